"""Pixel bytes: the same picture, and nothing but the picture."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bsti_submit.deid import frames
from bsti_submit.deid.frames import clean_encapsulated, clean_native
from bsti_submit.deid.staged import EncapsulatedPixels, NativePixels, PixelLayout, Refusal
from bsti_submit.model import Reason

MARK = b"ZQPLANT"
FILES = Path(pydicom.__file__).parent / "data" / "test_files"
BASELINE, LOSSLESS, LS, J2K, RLE = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)
NOTHING = memoryview(b"")


def layout(rows=4, columns=6, *, samples=1, count=1, allocated=16, stored=12, high=None, signed=False, **more):
    high = stored - 1 if high is None else high
    photometric = more.get("photometric", "MONOCHROME2")
    return PixelLayout(rows, columns, samples, count, allocated, stored, high, signed, 0, photometric)


def native(value, shape, *, big_endian=False, vr="OW"):
    pixels = clean_native(memoryview(value), shape, big_endian=big_endian, vr=vr)
    if isinstance(pixels, Refusal):
        return pixels
    out = b"".join(bytes(block) for block in pixels.blocks())
    assert len(out) == pixels.size
    assert out == b"".join(bytes(block) for block in pixels.blocks())
    return out


def coded(fragments, shape, syntax, offsets=NOTHING, **more):
    views = tuple(memoryview(bytes(each)) for each in fragments)
    return clean_encapsulated(memoryview(offsets), views, shape, syntax, **more)


# --- native ---------------------------------------------------------------------------------------------------------


def test_clean_pixels_are_passed_on_without_a_copy():
    value = np.arange(24, dtype="<u2").tobytes()
    pixels = clean_native(memoryview(value), layout(), big_endian=False, vr="OW")
    assert isinstance(pixels, NativePixels)
    (block,) = pixels.blocks()
    assert isinstance(block, memoryview)
    assert block.obj is value


@pytest.mark.parametrize("allocated", [8, 16, 32])
def test_what_stands_behind_the_picture_is_dropped(allocated):
    shape = layout(allocated=allocated, stored=allocated)
    value = bytes(range(24)) * (allocated // 8)
    assert native(value + MARK, shape) == value


@pytest.mark.parametrize("allocated", [8, 16, 32])
def test_a_picture_that_is_too_short_is_held(allocated):
    shape = layout(allocated=allocated, stored=allocated)
    assert native(bytes(24 * allocated // 8 - 1), shape) == Refusal(Reason.PIXEL_LENGTH, "PixelData")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_bits_above_bits_stored_are_cleared_and_all_others_stay(data):
    allocated = data.draw(st.sampled_from([8, 16, 32]))
    stored = data.draw(st.integers(1, allocated))
    signed = data.draw(st.booleans())
    words = data.draw(st.lists(st.integers(0, (1 << allocated) - 1), min_size=24, max_size=24))
    value = np.array(words, dtype=f"<u{allocated // 8}").tobytes()
    out = np.frombuffer(native(value, layout(allocated=allocated, stored=stored, signed=signed)), f"<u{allocated // 8}")
    for word, new in zip(words, out.tolist(), strict=True):
        low = word & ((1 << stored) - 1)
        negative = signed and low >> (stored - 1)
        assert new == (low | ((1 << allocated) - (1 << stored)) if negative else low)


def test_bits_are_cleared_in_every_block():
    rows = 2048
    words = np.full(rows * rows, 0x0123, dtype="<u2")
    words[-1] |= 0xF000
    assert words.nbytes > frames.BLOCK
    out = np.frombuffer(native(words.tobytes(), layout(rows, rows)), "<u2")
    assert (out == 0x0123).all()


def test_one_bit_pixels_lose_the_bits_behind_the_last_one():
    shape = layout(3, 3, allocated=1, stored=1)
    assert native(b"\xff\xff\xff", shape) == b"\xff\x01"


@pytest.mark.parametrize(("allocated", "vr"), [(16, "OW"), (32, "OW"), (8, "OW"), (8, "OB")])
def test_big_endian_words_are_turned(allocated, vr):
    values = np.arange(24).astype(f"<u{allocated // 8}")
    if allocated == 8 and vr == "OW":
        stored = values.reshape(-1, 2)[:, ::-1].tobytes()
    else:
        stored = values.astype(f">u{allocated // 8}").tobytes()
    shape = layout(allocated=allocated, stored=allocated)
    assert native(stored, shape, big_endian=True, vr=vr) == values.tobytes()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (layout(high=15), Reason.PIXEL_CODING),
        (layout(stored=0), Reason.PIXEL_CODING),
        (layout(stored=17), Reason.PIXEL_CODING),
        (layout(allocated=12), Reason.PIXEL_CODING),
        (layout(allocated=24, stored=24), Reason.PIXEL_CODING),
        (layout(samples=2), Reason.PIXEL_CODING),
        (layout(count=0), Reason.PIXEL_CODING),
        (layout(rows=0), Reason.PIXEL_CODING),
        (layout(65535, 65535, count=2), Reason.TOO_LARGE),
        (layout(65535, 32000), Reason.PIXEL_LENGTH),
    ],
)
def test_absurd_layouts_are_held_at_once(shape, reason):
    refusal = native(bytes(64), shape)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


def test_memory_stays_bounded_for_many_frames():
    count = 256
    value = np.full(512 * 512 * count, 0xF123, dtype="<u2").tobytes()  # 128 MiB
    pixels = clean_native(memoryview(value), layout(512, 512, count=count), big_endian=False, vr="OW")
    assert isinstance(pixels, NativePixels)
    tracemalloc.start()
    length = sum(len(block) for block in pixels.blocks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == len(value)
    assert peak < 24 << 20


# --- encapsulated ---------------------------------------------------------------------------------------------------

COMPRESSED = sorted(
    path
    for path in FILES.glob("*.dcm")
    if pydicom.dcmread(path, force=True, stop_before_pixels=True).get("Rows")
    and "TransferSyntaxUID" in pydicom.dcmread(path, force=True, stop_before_pixels=True).file_meta
    and pydicom.dcmread(path, force=True, stop_before_pixels=True).file_meta.TransferSyntaxUID in frames.ENCAPSULATED
)
BROKEN = {"JPEG2000-embedded-sequence-delimiter.dcm"}


def of(dataset):
    return layout(
        dataset.Rows,
        dataset.Columns,
        samples=dataset.SamplesPerPixel,
        count=int(dataset.get("NumberOfFrames", 1)),
        allocated=dataset.BitsAllocated,
        stored=dataset.BitsStored,
        signed=bool(dataset.PixelRepresentation),
        photometric=dataset.PhotometricInterpretation,
    )


def fragments_of(dataset):
    return list(pydicom.encaps.generate_fragments(dataset.PixelData))[1:]


@pytest.mark.parametrize("path", [path for path in COMPRESSED if path.name not in BROKEN], ids=lambda path: path.name)
def test_compressed_pictures_decode_to_the_same_values(path):
    dataset = pydicom.dcmread(path)
    cleaned = coded(fragments_of(dataset), of(dataset), dataset.file_meta.TransferSyntaxUID)
    assert isinstance(cleaned, EncapsulatedPixels)
    assert len(cleaned.frames) == int(dataset.get("NumberOfFrames", 1))
    assert cleaned.sizes == tuple(len(frame) for frame in cleaned.frames)
    try:
        before = dataset.pixel_array
    except RuntimeError:
        pytest.skip("no decoder here reads the original")
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(frame) for frame in cleaned.frames])
    dataset["PixelData"].is_undefined_length = True
    dataset._pixel_array = None
    assert np.array_equal(before, dataset.pixel_array)


@pytest.mark.parametrize("path", [path for path in COMPRESSED if path.name not in BROKEN], ids=lambda path: path.name)
def test_cleaning_twice_changes_nothing(path):
    dataset = pydicom.dcmread(path)
    syntax = dataset.file_meta.TransferSyntaxUID
    once = coded(fragments_of(dataset), of(dataset), syntax)
    twice = coded([bytes(frame) for frame in once.frames], of(dataset), syntax)
    assert [bytes(each) for each in once.frames] == [bytes(each) for each in twice.frames]


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(mode="L", **options):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (16, 24), dtype="u1")).convert(mode)
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


GREY = layout(16, 24, allocated=8, stored=8)
COLOUR = layout(16, 24, allocated=8, stored=8, samples=3, photometric="YBR_FULL_422")


@pytest.mark.parametrize("marker", [0xFE, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF])
def test_comments_and_application_segments_go(marker):
    plain = jpeg()
    dirty = plain[:2] + segment(marker, b"Adobe" + MARK) + plain[2:]
    cleaned = coded([dirty + b"\0\0" + MARK], GREY, BASELINE)
    frame = bytes(cleaned.frames[0])
    assert MARK not in frame
    assert b"JFIF" not in frame
    assert np.array_equal(Image.open(io.BytesIO(frame)), Image.open(io.BytesIO(plain)))


def test_segments_between_scans_go_as_well():
    plain = jpeg("RGB", progressive=True)
    cut = plain.index(b"\xff\xda", plain.index(b"\xff\xda") + 2)
    tables = plain.rindex(b"\xff\xc4", 0, cut)
    dirty = plain[:tables] + b"\xff\xff" + segment(0xFE, MARK)[1:] + plain[tables:]
    cleaned = coded([dirty], COLOUR, BASELINE)
    assert MARK not in bytes(cleaned.frames[0])
    assert np.array_equal(Image.open(io.BytesIO(bytes(cleaned.frames[0]))), Image.open(io.BytesIO(plain)))


@pytest.mark.parametrize("transform", [0, 1])
def test_the_adobe_segment_stays_in_canonical_form_where_colours_need_it(transform):
    plain = jpeg("RGB")
    adobe = segment(0xEE, b"Adobe" + struct.pack(">HHHB", 101, 0x4000, 0x1234, transform) + MARK)
    frame = bytes(coded([plain[:2] + adobe + plain[2:]], COLOUR, BASELINE).frames[0])
    assert MARK not in frame
    assert frame[2:18] == b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


@pytest.mark.parametrize("marker", [0xDB, 0xC4, 0xDD])
def test_what_hides_behind_the_tables_of_a_segment_is_held(marker):
    plain = jpeg()
    at = plain.find(bytes([0xFF, marker]))
    if at < 0:
        dirty = plain[:2] + segment(marker, b"\0\0" + MARK) + plain[2:]
    else:
        (length,) = struct.unpack_from(">H", plain, at + 2)
        body = plain[at + 4 : at + 2 + length] + b"ZQ"
        dirty = plain[:at] + segment(marker, body) + plain[at + 2 + length :]
    assert coded([dirty], GREY, BASELINE) == Refusal(Reason.PIXEL_CODING, "PixelData")


def test_a_second_picture_behind_the_first_is_held():
    assert isinstance(coded([jpeg() + jpeg()], GREY, BASELINE), Refusal)


def j2k_frame():
    dataset = pydicom.dcmread(FILES / "MR_small_jp2klossless.dcm")
    return fragments_of(dataset)[0], of(dataset)


def test_comments_go_from_the_headers_of_a_codestream_and_lengths_are_told_anew():
    frame, shape = j2k_frame()
    clean = bytes(coded([frame], shape, J2K).frames[0])
    comment = b"\xff\x64" + struct.pack(">HH", len(MARK) + 4, 1) + MARK
    at = clean.index(b"\xff\x90")
    main = clean[:at] + comment + clean[at:]
    (size,) = struct.unpack_from(">L", clean, at + 6)
    tile = (
        clean[: at + 6] + struct.pack(">L", size + len(comment)) + clean[at + 10 : at + 12] + comment + clean[at + 12 :]
    )
    endless = tile[: at + 6] + bytes(4) + tile[at + 10 :]
    for dirty in (main, tile, endless, main + MARK):
        assert bytes(coded([dirty], shape, J2K).frames[0]) == clean


def test_the_table_of_tile_part_lengths_is_made_anew():
    frame, shape = j2k_frame()
    clean = bytes(coded([frame], shape, J2K).frames[0])
    at = clean.index(b"\xff\x90")
    (size,) = struct.unpack_from(">L", clean, at + 6)
    table = b"\xff\x55" + struct.pack(">HBB", 4 + 5, 0, 0x50) + struct.pack(">BL", 0, size + 99)
    cleaned = bytes(coded([clean[:at] + table + clean[at:]], shape, J2K).frames[0])
    assert cleaned == clean[:at] + b"\xff\x55" + struct.pack(">HBBHL", 10, 0, 0x60, 0, size) + clean[at:]


def test_boxes_around_a_codestream_go():
    frame, shape = j2k_frame()
    clean = bytes(coded([frame], shape, J2K).frames[0])

    def box(kind, body):
        return struct.pack(">L", len(body) + 8) + kind + body

    file = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 ") + box(b"xml ", MARK) + box(b"jp2c", clean)
    assert bytes(coded([file + box(b"uuid", MARK)], shape, J2K).frames[0]) == clean


def test_rle_segments_are_cut_to_what_they_decode_to():
    dataset = pydicom.dcmread(FILES / "MR_small_RLE.dcm")
    (frame,) = fragments_of(dataset)
    clean = bytes(coded([frame], of(dataset), RLE).frames[0])
    count, first, second = struct.unpack_from("<3L", clean)
    dirty = struct.pack("<3L", count, first, second + 8) + clean[12:second] + MARK + b"\0" + clean[second:] + MARK
    assert bytes(coded([dirty], of(dataset), RLE).frames[0]) == clean


# --- frames of fragments --------------------------------------------------------------------------------------------


def two_frames():
    frame = jpeg()
    frame += b"\0" * (len(frame) % 2)
    return frame, [frame[:100], frame[100:], frame[:50], frame[50:120], frame[120:]]


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_frames_are_joined_of_their_fragments(table):
    frame, pieces = two_frames()
    shape = layout(16, 24, allocated=8, stored=8, count=2)
    second = sum(8 + len(piece) for piece in pieces[:2])
    offsets = struct.pack("<2L", 0, second) if table == "basic" else b""
    extended = memoryview(struct.pack("<2Q", 0, second)) if table == "extended" else None
    cleaned = coded(pieces, shape, BASELINE, offsets, extended=extended)
    expected = bytes(coded([frame], GREY, BASELINE).frames[0])
    assert [bytes(each) for each in cleaned.frames] == [expected, expected]
    assert [bytes(each) for each in cleaned.frames[1:]] == [expected]


@pytest.mark.parametrize("offsets", [struct.pack("<2L", 0, 7), struct.pack("<2L", 4, 0), struct.pack("<L", 0)])
def test_offsets_that_lie_are_held(offsets):
    _, pieces = two_frames()
    shape = layout(16, 24, allocated=8, stored=8, count=2)
    assert isinstance(coded(pieces, shape, BASELINE, offsets), Refusal)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.94", "1.2.3", ""])
def test_other_syntaxes_are_held(syntax):
    assert coded([b"x"], GREY, syntax) == Refusal(Reason.UNSUPPORTED_SYNTAX, "TransferSyntaxUID")


def test_a_coded_precision_above_bits_stored_is_told():
    cleaned = coded([jpeg()], layout(16, 24, allocated=8, stored=6), BASELINE)
    assert cleaned.precision == 8


@pytest.mark.parametrize("path", [FILES / name for name in ("MR_small_RLE.dcm", "JPEG2000.dcm", "JPEG-LL.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_jpeg_ls_lossless.dcm")], ids=lambda path: path.name)  # fmt: skip
def test_damaged_frames_are_cleaned_or_held_but_never_raise(path):
    if not path.exists():
        pytest.skip("this version of pydicom does not bring the file")
    dataset = pydicom.dcmread(path)
    (frame,) = fragments_of(dataset)
    chance = random.Random(7)
    for _ in range(150):
        damaged = bytearray(frame)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(min(len(damaged), chance.choice([40, 400, len(damaged)])))] = chance.randrange(256)
        cut = bytes(damaged[: chance.choice([len(damaged), chance.randrange(len(damaged))])])
        result = coded([cut], of(dataset), dataset.file_meta.TransferSyntaxUID)
        assert isinstance(result, EncapsulatedPixels | Refusal)
