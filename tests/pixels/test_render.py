"""Previews show what is there, in every layout, and never raise or tell."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from bsti_submit.deid.pixels import picture
from bsti_submit.deid.pixels.picture import Picture, PictureError
from bsti_submit.deid.pixels.render import contact_sheet, is_tile, render, tile
from tests.intake.factory import dataset, encode

SIDE = 16


def shown(data, **options):
    png = render(data, **options)
    assert not is_tile(png)
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def ramp(dtype="<u2", low=0, high=255):
    return np.linspace(low, high, SIDE * SIDE).astype(dtype)


def made(values, **attributes):
    return encode(dataset(1, PixelData=values.tobytes(), **attributes))


def test_the_headers_window_is_applied_with_its_rescale():
    data = made(ramp(high=2000), WindowCenter="0", WindowWidth="1000", RescaleSlope="1", RescaleIntercept="-1000")
    image = shown(data)
    assert image.flat[0] == 0
    assert image.flat[-1] == 255
    assert 120 < image.flat[SIDE * SIDE // 2] < 136
    assert (image == 0).sum() > 50


def test_the_full_range_shows_what_the_window_hides():
    values = ramp(high=100)
    values[40] = 4000
    data = made(values, WindowCenter="50", WindowWidth="100")
    assert shown(data, full_range=True).flat[40] == 255
    assert shown(data, full_range=True).flat[41] < 20


def test_the_full_range_shows_what_a_palette_hides():
    table = np.full(256, 30_000, "<u2").tobytes()
    colours = ("Red", "Green", "Blue")
    palette = {f"{colour}PaletteColorLookupTableDescriptor": [256, 0, 16] for colour in colours}
    palette |= {f"{colour}PaletteColorLookupTableData": table for colour in colours}
    values = np.full((16, 16), 100, "u1")
    values[4:8, 4:8] = 101
    attributes = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PhotometricInterpretation": "PALETTE COLOR"}
    data = made(values, **attributes, **palette)
    assert len(np.unique(shown(data))) == 1
    full = shown(data, full_range=True)
    assert (full[5, 5], full[0, 0]) == (255, 0)


def test_without_a_window_the_bulk_of_the_values_is_spread():
    image = shown(made(ramp(high=1000)))
    assert image.min() == 0
    assert image.max() == 255


@pytest.mark.parametrize("how", [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}])
def test_inverse_images_are_inverted(how):
    image = shown(made(ramp(), **how), full_range=True)
    assert (image.flat[0], image.flat[-1]) == (255, 0)


def test_signed_values_are_read_as_such():
    data = made(ramp("<i2", -1000, 1000), PixelRepresentation=1, BitsStored=16, HighBit=15)
    assert np.all(np.diff(shown(data, full_range=True).reshape(-1)) >= 0)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_native_syntax(syntax):
    values = ramp(high=4000)
    one = dataset(1, PixelData=values.tobytes())
    expected = shown(encode(one), full_range=True)
    if syntax == ExplicitVRBigEndian:
        one.PixelData = values.astype(">u2").tobytes()
    assert np.array_equal(shown(encode(one, syntax), full_range=True), expected)


def test_a_voi_lut_is_looked_up():
    item = Dataset()
    item.add_new(0x00283002, "US", [256, 0, 8])
    item.add_new(0x00283006, "OW", np.arange(255, -1, -1, dtype="<u2").tobytes())
    one = dataset(1, PixelData=ramp().tobytes())
    one.VOILUTSequence = [item]
    image = shown(encode(one))
    assert (image.flat[0], image.flat[-1]) == (255, 0)


def test_frames_are_chosen_and_their_own_window_is_used():
    values = np.concatenate([np.full(SIDE * SIDE, 10), np.full(SIDE * SIDE, 90)]).astype("<u2")
    one = dataset(1, PixelData=values.tobytes(), NumberOfFrames=2)
    item, voi = Dataset(), Dataset()
    voi.WindowCenter, voi.WindowWidth = "50", "100"
    item.FrameVOILUTSequence = [voi]
    one.SharedFunctionalGroupsSequence = [item]
    data = encode(one)
    assert shown(data, frame=0).max() < 60
    assert shown(data, frame=1).min() > 200
    assert np.array_equal(shown(data, frame=3), shown(data, frame=1))


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_in_either_plane_order(planar):
    pixels = np.zeros((SIDE, SIDE, 3), "u1")
    pixels[..., 0] = 200
    stored = pixels if planar == 0 else pixels.transpose(2, 0, 1)
    data = made(
        stored,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=planar,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )
    assert shown(data)[3, 3].tolist() == [200, 0, 0]


def test_a_size_bounds_the_longer_side():
    data = made(np.zeros(64 * 32, "<u2"), Rows=64, Columns=32)
    assert Image.open(io.BytesIO(render(data, size=16))).size == (8, 16)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"PixelData": None}, "no pixel data"),
        ({"Rows": 0}, "absurd dimensions"),
        ({"Rows": 65535, "Columns": 65535}, "absurd dimensions"),
        ({"Rows": 32}, "cannot be decoded"),
        ({"NumberOfFrames": -3}, "no pixel data"),
    ],
)
def test_what_cannot_be_shown_is_a_tile(attributes, words):
    data = encode(dataset(1, **attributes))
    assert is_tile(render(data))
    assert render(data) == tile(words)


def test_neither_tiles_nor_errors_tell_values(capfd):
    for data in (b"", b"ZZNAME" * 100, encode(dataset(1, Rows=9999))):
        assert is_tile(render(data))
    with pytest.raises(PictureError) as raised:
        Picture(b"ZZNAME" * 100)
    assert "ZZ" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_a_file_too_large_is_a_tile(monkeypatch):
    monkeypatch.setattr(picture, "LARGEST_FILE", 100)
    assert render(made(ramp())) == tile("too large to show")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_makes_a_preview_fail(data):
    whole = bytearray(encode(dataset(1)))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(132, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert render(bytes(whole), size=64).startswith(b"\x89PNG")


def test_a_contact_sheet_has_every_picture_at_its_place():
    white = render(made(np.full(SIDE * SIDE, 9, "<u2")), full_range=True)
    sheet = Image.open(io.BytesIO(contact_sheet([(white, "#000001")] * 5 + [(b"broken", "x")], columns=4, side=64)))
    assert sheet.width == 4 * 72 + 8
    assert sheet.height == 2 * 90 + 8
    assert Image.open(io.BytesIO(contact_sheet([]))).size


def test_pydicoms_own_images_of_every_codec():
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    names = (
        "JPEG2000",
        "MR_small_jpeg_ls_lossless",
        "SC_rgb_rle",
        "JPEG-LL",
        "MR_small_bigendian",
        "image_dfl",
    )
    present = [folder / f"{name}.dcm" for name in names if (folder / f"{name}.dcm").exists()]
    for path in present:
        assert not is_tile(render(path.read_bytes(), size=64)), path.name
    assert present


FAINT = {"WindowCenter": "2048", "WindowWidth": "4096", "RescaleSlope": "1", "RescaleIntercept": "0"}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_narrow_window_shows_faint_text_that_eight_bits_lose(photometric):
    values = np.full(SIDE * SIDE, 2048, "<u2")
    values[40] = 2051  # text, three values of 4096 away from its ground
    data = made(values, PhotometricInterpretation=photometric, **FAINT)
    wide, narrow = shown(data).flat, shown(data, width=1 / 256).flat
    assert abs(wide[40] - wide[0]) <= 1
    assert abs(narrow[40] - narrow[0]) > 40


@pytest.mark.parametrize("how", [{}, {"full_range": True}], ids=["window", "full"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2", "RGB"])
def test_a_higher_level_is_darker_however_the_values_go(photometric, how):
    if photometric == "RGB":
        layout = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
        data = made(np.repeat(ramp("u1"), 3), PhotometricInterpretation="RGB", **layout)
    else:
        data = made(ramp(high=4095), PhotometricInterpretation=photometric, **FAINT)
    plain, darker, brighter = (shown(data, level=level, **how) for level in (0, 0.25, -0.25))
    assert darker.mean() + 20 < plain.mean() < brighter.mean() - 20
    assert np.array_equal(plain, shown(data, level=0.0, width=1.0, **how))
    softer = shown(data, width=4.0, **how)
    assert 90 < softer.min() < softer.max() < 165


def test_a_look_up_table_is_adjusted_as_well():
    one = Dataset()
    one.LUTDescriptor = [256, 0, 16]
    one.LUTData = (np.arange(256, dtype="<u2") * 257).tobytes()
    data = made(ramp(), VOILUTSequence=[one])
    assert shown(data, level=0.25).mean() + 20 < shown(data).mean()


@pytest.mark.parametrize("first", ["deid.pixels.picture", "deid.pixels.recode", "pipeline.stream"])
def test_png_can_be_written_whatever_was_loaded_first(first):
    script = (
        f"import bsti_submit.{first}, io, numpy, PIL.Image\n"
        "values = numpy.random.default_rng(1).integers(0, 255, (512, 512), numpy.uint8)\n"
        "PIL.Image.fromarray(values).save(io.BytesIO(), 'PNG')"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode == 0
