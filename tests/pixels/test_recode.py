"""Lossless coding is proved, smaller, readable by others, and declined where it is not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from bsti_submit.deid.pixels import recode
from bsti_submit.deid.pixels.recode import (
    JPEG_LS_LOSSLESS,
    decode_samples,
    decoded_high_bits_clean,
    encode_frames,
)
from tests.intake.factory import dataset, put

SIDE = 64


def smooth(dtype, low, high, frames=1):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = (np.sin(x / 9) * np.cos(y / 7) + 1) / 2 * (high - low) * 0.8 + low
    stack = [np.clip(wave + rng.normal(0, 2, wave.shape) + frame, low, high) for frame in range(frames)]
    return np.stack(stack).astype(dtype)


def layout(allocated, stored, *, signed=False, frames=1, **other):
    return {
        "rows": SIDE,
        "columns": SIDE,
        "samples": 1,
        "bits_allocated": allocated,
        "bits_stored": stored,
        "signed": signed,
        "frames": frames,
        **other,
    }


LAYOUTS = [
    pytest.param("<u2", 0, 4095, layout(16, 12), id="unsigned 12 of 16"),
    pytest.param("<u2", 0, 1023, layout(16, 10), id="unsigned 10 of 16"),
    pytest.param("<u2", 0, 65535, layout(16, 16), id="unsigned 16"),
    pytest.param("<i2", -2000, 3000, layout(16, 16, signed=True), id="signed 16"),
    pytest.param("u1", 0, 255, layout(8, 8), id="unsigned 8"),
    pytest.param("i1", -128, 127, layout(8, 8, signed=True), id="signed 8"),
    pytest.param("<u2", 0, 4095, layout(16, 12, frames=3), id="three frames"),
]


@pytest.mark.parametrize(("dtype", "low", "high", "how"), LAYOUTS)
def test_every_stored_value_comes_back(dtype, low, high, how, tmp_path):
    values = smooth(dtype, low, high, how["frames"])
    frames = encode_frames(values.tobytes(), **how)
    assert frames is not None
    assert len(frames) == how["frames"]
    assert all(len(frame) % 2 == 0 for frame in frames)
    assert sum(map(len, frames)) < values.nbytes
    made = dataset(1, side=SIDE, NumberOfFrames=how["frames"], PixelRepresentation=int(how["signed"]))
    made.BitsAllocated, made.BitsStored, made.HighBit = (
        how["bits_allocated"],
        how["bits_stored"],
        how["bits_stored"] - 1,
    )
    made.PixelData = encapsulate(frames)
    path = put(tmp_path / "x.dcm", made, JPEG_LS_LOSSLESS)
    assert np.array_equal(pydicom.dcmread(path).pixel_array.reshape(values.shape), values)
    if shutil.which("dcmdjpls"):
        out = tmp_path / "out.dcm"
        subprocess.run(["dcmdjpls", path, out], check=True, capture_output=True)
        assert pydicom.dcmread(out).PixelData == values.tobytes()
    facts = {key: value for key, value in how.items() if key != "frames"}
    assert decoded_high_bits_clean(frames, transfer_syntax_uid=JPEG_LS_LOSSLESS, **facts) is True


def test_odd_length_padding_is_allowed_and_other_lengths_are_not():
    values = smooth("u1", 0, 255)[:, :63, :63].copy()
    how = layout(8, 8, rows=63, columns=63)
    assert encode_frames(values.tobytes() + b"\0", **how) is not None
    assert encode_frames(values.tobytes(), **how) is not None
    assert encode_frames(values.tobytes()[:-1], **how) is None
    assert encode_frames(values.tobytes() + bytes(3), **how) is None
    assert encode_frames(b"", **layout(8, 8, rows=0)) is None


@pytest.mark.parametrize(
    "how",
    [
        layout(16, 12, samples=3),
        layout(32, 32),
        layout(1, 1),
        layout(16, 12, signed=True),
        layout(16, 8),
        layout(16, 1),
        layout(16, 17),
    ],
    ids=str,
)
def test_what_is_not_coded_stays_native(how):
    length = SIDE * SIDE * how["samples"] * max(1, how["bits_allocated"] // 8)
    assert encode_frames(bytes(length), **how) is None


def test_noise_is_not_made_larger():
    noise = np.random.default_rng(2).integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    assert encode_frames(noise.tobytes(), **layout(16, 16)) is None


def test_bits_above_bits_stored_are_not_coded_away():
    values = smooth("<u2", 0, 4095)
    values[0, 5, 5] |= 0x8000
    assert encode_frames(values.tobytes(), **layout(16, 12)) is None


def test_a_decode_that_differs_is_not_used(monkeypatch):
    real = recode.jpeg_ls.decode_buffer

    def wrong(stream):
        decoded, facts = real(stream)
        decoded[0] ^= 1
        return decoded, facts

    monkeypatch.setattr(recode.jpeg_ls, "decode_buffer", wrong)
    assert encode_frames(smooth("<u2", 0, 4095).tobytes(), **layout(16, 12)) is None


def test_large_pixel_data_stay_native(monkeypatch):
    monkeypatch.setattr(recode, "LARGEST_RECODED", 1000)
    assert encode_frames(smooth("<u2", 0, 4095).tobytes(), **layout(16, 12)) is None


def test_bits_hidden_above_bits_stored_are_found():
    values = smooth("<u2", 0, 4095)
    values[0, 5, 5] |= 0x4000
    frames = encode_frames(values.tobytes(), **layout(16, 16))
    facts = {"rows": SIDE, "columns": SIDE, "samples": 1, "bits_allocated": 16, "signed": False}
    ask = {"transfer_syntax_uid": JPEG_LS_LOSSLESS, **facts}
    assert decoded_high_bits_clean(frames, bits_stored=12, **ask) is False
    assert decoded_high_bits_clean(frames, bits_stored=15, **ask) is True
    assert decoded_high_bits_clean([b"garbage!"], bits_stored=12, **ask) is None
    assert decoded_high_bits_clean(frames, bits_stored=12, **{**ask, "rows": SIDE + 1}) is None
    assert decoded_high_bits_clean(frames, bits_stored=12, **{**ask, "transfer_syntax_uid": "1.2.3"}) is None


def test_samples_for_the_final_check():
    class Shape:
        rows = columns = SIDE
        samples, allocated, signed = 1, 16, False

    values = smooth("<u2", 0, 4095)
    (frame,) = encode_frames(values.tobytes(), **layout(16, 12))
    assert decode_samples(frame, JPEG_LS_LOSSLESS, Shape()) == values.tobytes()
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode_samples(b"garbage!", JPEG_LS_LOSSLESS, Shape())


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("JPEG2000.dcm", True),
        ("JPEG-LL.dcm", True),
        ("MR_small_RLE.dcm", True),
        ("MR_small_jp2klossless.dcm", True),
    ],
)
def test_other_codecs_are_decoded_for_their_high_bits(name, clean):
    path = Path(pydicom.__file__).parent / "data" / "test_files" / name
    if not path.exists():
        pytest.skip("pydicom does not ship this file")
    read = pydicom.dcmread(path)
    found = decoded_high_bits_clean(
        list(generate_frames(read.PixelData, number_of_frames=1)),
        transfer_syntax_uid=read.file_meta.TransferSyntaxUID,
        rows=read.Rows,
        columns=read.Columns,
        samples=1,
        bits_allocated=read.BitsAllocated,
        bits_stored=read.BitsStored,
        signed=bool(read.PixelRepresentation),
    )
    assert found is clean
