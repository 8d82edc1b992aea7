"""Compressed frames with text in them that is no picture and nobody's name: taken out, or held; by both sides alone."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from bsti_submit.deid.certify.codestream import Geometry, examine
from bsti_submit.deid.certify.strict import Doubt
from bsti_submit.deid.frames import clean_encapsulated
from bsti_submit.deid.staged import EncapsulatedPixels, PixelLayout, Refusal

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
BASELINE, LOSSLESS, J2K, HTJ2K, RLE = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.5",
)
WIDE, HIGH = 56, 40
MARK = b"ZQEYED"
"""Text that looks like nobody's and whose letters are codes a Huffman table of AC coefficients may have."""


def picture(mode="L", wide=WIDE, high=HIGH):
    y, x = np.mgrid[:high, :wide]
    grey = (x * 3 + y * y // 7 + np.random.default_rng(5).integers(0, 9, (high, wide))) % 256
    return Image.fromarray(grey.astype(np.uint8)).convert(mode)


def jpeg(mode="L", wide=WIDE, high=HIGH, **options):
    out = io.BytesIO()
    picture(mode, wide, high).save(out, "JPEG", **options)
    return cleaned(BASELINE, out.getvalue(), mode, wide, high)


def j2k(mode="L", wide=WIDE, high=HIGH, **options):
    out = io.BytesIO()
    picture(mode, wide, high).save(out, "JPEG2000", no_jp2=True, **options)
    return cleaned(J2K, out.getvalue(), mode, wide, high)


def lossless():
    dataset = pydicom.dcmread(FILES / "SC_rgb_jpeg_gdcm.dcm")
    frame = list(pydicom.encaps.generate_fragments(dataset.PixelData))[1]
    return cleaned(LOSSLESS, frame, "RGB", 100, 100)


def rle():
    plane = np.asarray(picture()).tobytes()
    runs = (plane[at : at + 100] for at in range(0, len(plane), 100))
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return struct.pack("<16L", 1, 64, *[0] * 14) + packed + b"\0" * (len(packed) % 2)


def engine(syntax, frame, mode="L", wide=WIDE, high=HIGH):
    samples = 1 if mode == "L" else 3
    layout = PixelLayout(high, wide, samples, 1, 8, 8, 7, False, 0, "MONOCHROME2" if mode == "L" else "RGB")
    result = clean_encapsulated(memoryview(b""), (memoryview(frame),), layout, syntax)
    return bytes(result.frames[0]) if isinstance(result, EncapsulatedPixels) else result


def cleaned(*args):
    frame = engine(*args)
    assert isinstance(frame, bytes)
    return frame


def doubt(syntax, frame, mode="L", wide=WIDE, high=HIGH):
    """Return what the gate finds in a frame, None if nothing."""
    try:
        examine(frame, syntax, Geometry(high, wide, 1 if mode == "L" else 3, 1, 8, 8, 7, signed=False))
    except Doubt as found:
        return found.finding.kind
    return None


def decoded(frame):
    return np.asarray(Image.open(io.BytesIO(frame)))


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def before(frame, marker, new):
    """Insert before the first marker of its kind."""
    at = frame.index(bytes([0xFF, marker]))
    return frame[:at] + new + frame[at:]


def longer(frame, marker, more):
    """Add bytes to the first segment of its kind."""
    at = frame.index(bytes([0xFF, marker]))
    (length,) = struct.unpack_from(">H", frame, at + 2)
    body = frame[at + 4 : at + 2 + length] + more
    return frame[:at] + segment(marker, body) + frame[at + 2 + length :]


def body_of(frame, marker):
    at = frame.index(bytes([0xFF, marker]))
    (length,) = struct.unpack_from(">H", frame, at + 2)
    return frame[at + 4 : at + 2 + length]


def at_the_end(frame, new):
    at = frame.rindex(b"\xff\xd9")
    return frame[:at] + new + frame[at:]


def more_codes(frame):
    """Give the AC table six codes more, of 16 bits, which the picture has not."""
    at = frame.index(b"\xff\xc4", frame.index(b"\xff\xc4") + 2)
    (length,) = struct.unpack_from(">H", frame, at + 2)
    body = bytearray(frame[at + 4 : at + 2 + length])
    assert body[0] == 0x10
    values = bytes(value for value in b"ZQEYTU" if value not in body[17:])
    body[16] += len(values)
    return frame[:at] + segment(0xC4, bytes(body) + values) + frame[at + 2 + length :]


def in_tile(frame, new):
    """Put a segment into the header of the first tile-part."""
    at = frame.index(b"\xff\x90")
    (size,) = struct.unpack_from(">L", frame, at + 6)
    return frame[: at + 6] + struct.pack(">L", size + len(new)) + frame[at + 10 : at + 12] + new + frame[at + 12 :]


def behind_packets(frame, new):
    at = frame.index(b"\xff\x90")
    (size,) = struct.unpack_from(">L", frame, at + 6)
    longer_part = frame[: at + 6] + struct.pack(">L", size + len(new)) + frame[at + 10 : at + size]
    return longer_part + new + frame[at + size :]


def poked(frame, at, new):
    return frame[:at] + new + frame[at + len(new) :]


TABLE = b"\x03" + (MARK * 11)[:64]
CODES = b"\x11" + bytes(15) + b"\x06" + MARK
INTERVAL = b"ZQ"

GONE = {
    "quantisation table of no component": (BASELINE, lambda f: before(f, 0xC0, segment(0xDB, TABLE))),
    "quantisation table in front of the one used": (
        BASELINE,
        lambda f: before(f, 0xDB, segment(0xDB, b"\0" + TABLE[1:])),
    ),
    "two quantisation tables in a segment": (
        BASELINE,
        lambda f: f.replace(segment(0xDB, body_of(f, 0xDB)), segment(0xDB, TABLE + body_of(f, 0xDB))),
    ),
    "quantisation table behind the scan": (BASELINE, lambda f: at_the_end(f, segment(0xDB, TABLE))),
    "Huffman table of no scan": (BASELINE, lambda f: before(f, 0xDA, segment(0xC4, CODES))),
    "Huffman table in front of the one used": (BASELINE, lambda f: before(f, 0xC4, segment(0xC4, b"\x10" + CODES[1:]))),
    "Huffman table behind the scan": (BASELINE, lambda f: at_the_end(f, segment(0xC4, CODES))),
    "restart interval in front of another": (
        BASELINE,
        lambda f: before(f, 0xDA, segment(0xDD, INTERVAL) + segment(0xDD, b"\0\0")),
    ),
    "restart interval behind the scan": (BASELINE, lambda f: at_the_end(f, segment(0xDD, INTERVAL))),
    "number of lines": (BASELINE, lambda f: at_the_end(f, segment(0xDC, struct.pack(">H", HIGH)))),
    "fill bytes between segments": (BASELINE, lambda f: before(f, 0xDA, b"\xff" * 90)),
    "fill bytes behind the scan": (BASELINE, lambda f: at_the_end(f, b"\xff" * 90)),
    "spectral selection of a sequential scan": (
        BASELINE,
        lambda f: f.replace(segment(0xDA, body_of(f, 0xDA)), segment(0xDA, body_of(f, 0xDA)[:-3] + b"ZQD")),
    ),
    "Adobe segment of a grey picture": (
        BASELINE,
        lambda f: before(f, 0xDB, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")),
    ),
    "j2k comment": (J2K, lambda f: before(f, 0x52, segment(0x64, b"\0\1" + MARK))),
    "j2k comment of a tile": (J2K, lambda f: in_tile(f, segment(0x64, b"\0\1" + MARK))),
    "j2k lengths of packets": (J2K, lambda f: in_tile(f, segment(0x58, b"\0" + MARK))),
    "j2k lengths of packets in the main header": (J2K, lambda f: before(f, 0x52, segment(0x57, b"\0" + MARK))),
    "j2k registration": (J2K, lambda f: before(f, 0x52, segment(0x63, MARK[:4]))),
    "j2k profile": (J2K, lambda f: before(f, 0x52, segment(0x56, MARK))),
    "j2k corresponding profile": (J2K, lambda f: before(f, 0x52, segment(0x59, MARK))),
    "rle behind the last segment": (RLE, lambda f: f + MARK),
    "rle padding": (RLE, lambda f: f[:-1] + b"Z"),
}


def sample(syntax):
    return {BASELINE: lambda: jpeg(optimize=True), J2K: j2k, RLE: rle}[syntax]()


@pytest.mark.parametrize(("syntax", "plant"), GONE.values(), ids=GONE.keys())
def test_what_no_decoder_needs_is_held_by_the_gate_and_taken_out_by_the_engine(syntax, plant):
    clean = sample(syntax)
    dirty = plant(clean)
    assert dirty != clean
    assert doubt(syntax, clean) is None
    assert doubt(syntax, dirty) is not None
    out = cleaned(syntax, dirty)
    assert doubt(syntax, out) is None
    assert out == cleaned(syntax, clean)
    if syntax != RLE:
        assert np.array_equal(decoded(out), decoded(clean))


def test_a_table_of_lengths_that_lies_is_held_by_the_gate_and_made_anew_by_the_engine():
    clean = j2k()
    dirty = before(clean, 0x90, segment(0x55, b"\0\x60\0\0" + MARK[:4]))
    assert doubt(J2K, dirty) == "segment"
    out = cleaned(J2K, dirty)
    (size,) = struct.unpack_from(">L", clean, clean.index(b"\xff\x90") + 6)
    assert body_of(out, 0x55) == b"\0\x60\0\0" + struct.pack(">L", size)
    assert doubt(J2K, out) is None


HELD = {
    "behind the last sample": (BASELINE, lambda f: at_the_end(f, MARK)),
    "one byte behind the last sample": (BASELINE, lambda f: at_the_end(f, b"Z")),
    "restart markers without an interval": (BASELINE, lambda f: at_the_end(f, b"\xff\xd0" + MARK)),
    "codes that the picture has not": (BASELINE, more_codes),
    "a code twice": (BASELINE, lambda f: before(f, 0xDA, segment(0xC4, b"\x10" + bytes(15) + b"\x06" + b"ZZZZZZ"))),
    "number of other lines": (BASELINE, lambda f: at_the_end(f, segment(0xDC, b"ZQ"))),
    "expansion": (BASELINE, lambda f: before(f, 0xDA, segment(0xDF, b"Z"))),
    "hierarchical progression": (BASELINE, lambda f: before(f, 0xC0, segment(0xDE, body_of(f, 0xC0)))),
    "arithmetic conditioning": (BASELINE, lambda f: before(f, 0xDA, segment(0xCC, b"\0Z"))),
    "reserved": (BASELINE, lambda f: before(f, 0xDA, segment(0x02, MARK))),
    "extension": (BASELINE, lambda f: before(f, 0xDA, segment(0xF0, MARK))),
    "longer frame header": (BASELINE, lambda f: longer(f, 0xC0, MARK)),
    "longer scan header": (BASELINE, lambda f: longer(f, 0xDA, MARK)),
    "longer table": (BASELINE, lambda f: longer(f, 0xDB, MARK)),
    "longer interval": (BASELINE, lambda f: before(f, 0xDA, segment(0xDD, b"\0\0" + MARK))),
    "j2k behind the last packet": (J2K, lambda f: behind_packets(f, MARK)),
    "j2k one byte behind the last packet": (J2K, lambda f: behind_packets(f, b"Z")),
    "j2k longer COD": (J2K, lambda f: longer(f, 0x52, MARK)),
    "j2k longer QCD": (J2K, lambda f: longer(f, 0x5C, MARK)),
    "j2k longer SIZ": (J2K, lambda f: longer(f, 0x51, MARK)),
    "j2k longer RGN": (J2K, lambda f: before(f, 0x5C, segment(0x5E, b"\0\0\0" + MARK))),
    "j2k COD twice": (J2K, lambda f: before(f, 0x5C, segment(0x52, body_of(f, 0x52)))),
    "j2k COC of no component": (J2K, lambda f: before(f, 0x5C, segment(0x53, b"Z" + body_of(f, 0x52)[4:]))),
    "j2k QCC of no component": (J2K, lambda f: before(f, 0x90, segment(0x5D, b"Z" + body_of(f, 0x5C)))),
    "j2k other progression": (J2K, lambda f: before(f, 0x90, segment(0x5F, b"\0\0\0\1\x06\1\0"))),
    "j2k packed packet headers": (J2K, lambda f: before(f, 0x90, segment(0x60, b"\0" + MARK))),
    "j2k packed packet headers of a tile": (J2K, lambda f: in_tile(f, segment(0x61, b"\0" + MARK))),
    "j2k unknown": (J2K, lambda f: before(f, 0x52, segment(0x6F, MARK))),
    "j2k step sizes that are text": (
        J2K,
        lambda f: f.replace(body_of(f, 0x5C), body_of(f, 0x5C)[:1] + (MARK * 9)[: len(body_of(f, 0x5C)) - 1]),
    ),
    "j2k steps of sub-bands that are not there": (
        J2K,
        lambda f: f.replace(body_of(f, 0x52), poked(body_of(f, 0x52), 5, b"\x20")).replace(
            segment(0x5C, body_of(f, 0x5C)), segment(0x5C, b"\x42" + (MARK * 33)[: 2 * 97])
        ),
    ),
    "j2k capabilities": (J2K, lambda f: before(f, 0x52, segment(0x50, b"\0\2\0\0ZQ"))),
    "j2k capabilities of more parts": (HTJ2K, lambda f: before(f, 0x52, segment(0x50, b"ZQEYED"))),
    "j2k profile number": (J2K, lambda f: poked(f, 6, b"ZQ")),
    "j2k size of a tile beyond the picture": (J2K, lambda f: poked(f, 24, b"ZQEYZQED")),
    "j2k tile of no place": (J2K, lambda f: poked(f, f.index(b"\xff\x90") + 4, b"ZQ")),
    "rle unused offset": (RLE, lambda f: poked(f, 40, MARK)),
    "rle cut": (RLE, lambda f: f[:-9]),
}


@pytest.mark.parametrize(("syntax", "plant"), HELD.values(), ids=HELD.keys())
def test_what_cannot_be_taken_out_is_held(syntax, plant):
    clean = sample(J2K if syntax == HTJ2K else syntax)
    dirty = plant(clean)
    assert dirty != clean
    assert doubt(syntax, clean) is None
    assert doubt(syntax, dirty) is not None
    out = engine(syntax, dirty)
    assert isinstance(out, Refusal) or doubt(syntax, out) is not None


@pytest.mark.parametrize(
    "plant",
    [lambda f: before(f, 0xC4, segment(0xDB, TABLE)), lambda f: at_the_end(f, MARK), lambda f: at_the_end(f, b"\xff")],
    ids=["quantisation", "behind the last sample", "fill"],
)
def test_a_lossless_frame_ends_with_its_last_sample(plant):
    clean = lossless()
    assert doubt(LOSSLESS, clean, "RGB", 100, 100) is None
    assert doubt(LOSSLESS, plant(clean), "RGB", 100, 100) is not None
    assert engine(LOSSLESS, plant(clean), "RGB", 100, 100) in (clean, at_the_end(clean, MARK))


def test_initials_are_no_names_of_components():
    clean = jpeg("RGB")
    header, scan = body_of(clean, 0xC0), body_of(clean, 0xDA)
    names = bytearray(header), bytearray(scan)
    names[0][6::3] = names[1][1:7:2] = b"ZQD"
    dirty = clean.replace(header, bytes(names[0])).replace(scan, bytes(names[1]))
    assert doubt(BASELINE, clean, "RGB") is None
    assert doubt(BASELINE, dirty, "RGB") == "components"


JPEGS = {
    "grey": ("L", {}),
    "colour": ("RGB", {}),
    "colour, no subsampling": ("RGB", {"subsampling": 0}),
    "colour, 4:2:2": ("RGB", {"subsampling": 1}),
    "its own codes": ("RGB", {"optimize": True}),
    "restarts": ("L", {"restart_marker_blocks": 3}),
    "restarts of rows, colour": ("RGB", {"restart_marker_rows": 1}),
    "best": ("L", {"quality": 100}),
    "worst": ("RGB", {"quality": 1, "optimize": True}),
}


@pytest.mark.parametrize(("mode", "options"), JPEGS.values(), ids=JPEGS.keys())
@pytest.mark.parametrize("size", [(56, 40), (1, 1), (17, 33), (300, 401)], ids=str)
def test_a_jpeg_scan_is_followed_to_its_last_code(mode, options, size):
    frame = jpeg(mode, *size, **options)
    assert doubt(BASELINE, frame, mode, *size) is None
    assert doubt(BASELINE, at_the_end(frame, b"Z"), mode, *size) is not None
    assert doubt(BASELINE, at_the_end(frame, b"\0\0"), mode, *size) is not None
    last = frame.rindex(b"\xff\xd9")
    if size > (17, 33):
        assert doubt(BASELINE, frame[: last - 6] + frame[last:], mode, *size) is not None


STREAMS = {
    "grey": ("L", {}),
    "colour": ("RGB", {}),
    "lossy": ("RGB", {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]}),
    "layers": ("L", {"quality_mode": "rates", "quality_layers": [40, 20, 5, 1]}),
    "tiles": ("RGB", {"tile_size": (64, 32)}),
    "small blocks": ("L", {"codeblock_size": (8, 16)}),
    **{
        f"precincts and tiles, {order}": (
            "RGB",
            {
                "progression": order,
                "precinct_size": (32, 32),
                "codeblock_size": (16, 16),
                "tile_size": (100, 90),
                "quality_mode": "rates",
                "quality_layers": [30, 4],
            },
        )
        for order in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")
    },
    "no levels": ("L", {"num_resolutions": 1}),
}


@pytest.mark.parametrize(("mode", "options"), STREAMS.values(), ids=STREAMS.keys())
@pytest.mark.parametrize("size", [(128, 96), (301, 203)], ids=str)
def test_a_codestream_is_followed_to_its_last_packet(mode, options, size):
    frame = j2k(mode, *size, **options)
    assert doubt(J2K, frame, mode, *size) is None
    assert doubt(J2K, behind_packets(frame, b"Z"), mode, *size) is not None
    assert doubt(J2K, behind_packets(frame, b"\0"), mode, *size) is not None


def test_a_codestream_that_asks_for_too_much_is_given_up():
    coding = bytes([1, 0, 0, 1, 0, 5, 0, 0, 0, 1, *[0x11] * 6])
    size = struct.pack(">H8LH", 0, 65535, 65535, 0, 0, 65535, 65535, 0, 0, 1) + b"\7\1\1"
    head = b"\xff\x4f" + segment(0x51, size) + segment(0x52, coding) + segment(0x5C, b"\x40" + bytes(16))
    frame = head + b"\xff\x90" + struct.pack(">HHLBB", 10, 0, 113, 0, 1) + b"\xff\x93" + bytes(99) + b"\xff\xd9"
    assert doubt(J2K, frame, "L", 65535, 65535) == "packets"


def test_a_scan_without_a_code_is_not_waited_for():
    frame = jpeg(optimize=True)
    header = body_of(frame, 0xC0)
    frame = frame.replace(header, header[:1] + b"\xff\xff\xff\xff" + header[5:])
    scan = frame.index(b"\xff\xda") + 10
    frame = frame[:scan] + b"\xff\0" * 500 + frame[frame.rindex(b"\xff\xd9") :]
    assert doubt(BASELINE, frame, "L", 65535, 65535) is not None


@pytest.mark.parametrize("syntax", [BASELINE, LOSSLESS, J2K, RLE], ids=["jpeg", "lossless", "j2k", "rle"])
def test_damaged_frames_are_never_followed_without_end(syntax):
    chance = random.Random(3)
    mode, wide, high = ("RGB", 100, 100) if syntax == LOSSLESS else ("L", WIDE, HIGH)
    frame = lossless() if syntax == LOSSLESS else sample(syntax)
    for _ in range(300):
        damaged = bytearray(frame)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(min(len(damaged), chance.choice([60, 200, len(damaged)])))] = chance.randrange(256)
        doubt(syntax, bytes(damaged), mode, wide, high)
        out = engine(syntax, bytes(damaged), mode, wide, high)
        if isinstance(out, bytes):
            doubt(syntax, out, mode, wide, high)
