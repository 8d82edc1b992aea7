"""Compressed and native pixels: what hides between and above the pixel values is found."""

from __future__ import annotations

import io

import jpeg_ls
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from bsti_submit.deid.certify import Gate, Harvest, verify_structure
from bsti_submit.deid.pixels.recode import decode_samples
from bsti_submit.model import Certified, Reason, Rejection
from tests.deid.certify_factory import (
    ALLOW_LIST,
    REF,
    BytesPayload,
    Person,
    input_header,
    national,
    output_dataset,
    to_bytes,
)

SIZE = 32
JPEG, LOSSLESS, JPEGLS, J2K, RLE = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)


@pytest.fixture(scope="module")
def gate() -> Gate:
    harvest = Harvest()
    harvest.add_header(input_header(Person()))
    return Gate(ALLOW_LIST, harvest.build(), national, decode=decode_samples)


def samples(bits: int) -> np.ndarray:
    dtype = np.uint8 if bits == 8 else np.uint16
    ramp = np.arange(SIZE * SIZE) * 7 % (1 << min(bits, 12))
    return ramp.reshape(SIZE, SIZE).astype(dtype)


def without(stream: bytes, *markers: int) -> bytes:
    """Drop segments from a JPEG stream."""
    out, pos = stream[:2], 2
    while stream[pos + 1] != 0xDA:
        stop = pos + 2 + int.from_bytes(stream[pos + 2 : pos + 4], "big")
        if stream[pos + 1] not in markers:
            out += stream[pos:stop]
        pos = stop
    return out + stream[pos:]


def frame(syntax: str) -> bytes:
    out = io.BytesIO()
    if syntax == JPEG:
        Image.fromarray(samples(8)).save(out, "JPEG")
        return without(out.getvalue(), 0xE0)
    if syntax == J2K:
        Image.fromarray(samples(8)).save(out, "JPEG2000", no_jp2=True)
        stream = out.getvalue()
        place = stream.find(b"\xff\x64")
        return stream[:place] + stream[place + 2 + int.from_bytes(stream[place + 2 : place + 4], "big") :]
    if syntax == JPEGLS:
        return bytes(jpeg_ls.encode(samples(16)))
    return _rle(samples(16))


def _rle(array: np.ndarray) -> bytes:
    planes = [(array >> 8).astype(np.uint8).tobytes(), (array & 255).astype(np.uint8).tobytes()]
    segments = []
    for plane in planes:
        packed = b""
        for start in range(0, len(plane), 100):
            part = plane[start : start + 100]
            packed += bytes([len(part) - 1]) + part
        segments.append(packed + b"\0" * (len(packed) & 1))
    header = (2).to_bytes(4, "little") + (64).to_bytes(4, "little") + (64 + len(segments[0])).to_bytes(4, "little")
    return header.ljust(64, b"\0") + b"".join(segments)


def encapsulated(
    syntax: str, *frames: bytes, stored: int | None = None, signed: bool = False, has_bot: bool = True
) -> bytes:
    ds = output_dataset(size=SIZE)
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax in (JPEG, J2K):
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    else:
        ds.BitsStored = stored or 16
        ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(signed)
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    ds.PixelData = encapsulate([part + b"\0" * (len(part) & 1) for part in frames], has_bot=has_bot)
    ds["PixelData"].VR = "OB"
    return to_bytes(ds)


def check(gate: Gate, data: bytes) -> Certified | Rejection:
    return gate.certify(REF, BytesPayload(data))


def held(gate: Gate, data: bytes) -> Rejection:
    result = check(gate, data)
    assert isinstance(result, Rejection), "certified"
    return result


ALL = pytest.mark.parametrize("syntax", [JPEG, JPEGLS, J2K, RLE], ids=["jpeg", "jpeg-ls", "j2k", "rle"])


@ALL
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("chunk", [0, 33])
def test_good_compressed_frames_are_certified(gate, syntax, frames, chunk):
    for has_bot in (True, False):
        data = encapsulated(syntax, *[frame(syntax)] * frames, has_bot=has_bot)
        result = gate.certify(REF, BytesPayload(data, chunk))
        assert isinstance(result, Certified), result


@ALL
def test_a_frame_in_several_fragments_is_certified(gate, syntax):
    one = frame(syntax)
    one += b"\0" * (len(one) & 1)
    data = encapsulated(syntax, one)
    cut = b"\xfe\xff\x00\xe0" + (20).to_bytes(4, "little") + one[:20]
    cut += b"\xfe\xff\x00\xe0" + (len(one) - 20).to_bytes(4, "little") + one[20:]
    whole = b"\xfe\xff\x00\xe0" + len(one).to_bytes(4, "little") + one
    assert isinstance(check(gate, data.replace(whole, cut)), Certified)


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def insert(stream: bytes, place: int, new: bytes) -> bytes:
    return stream[:place] + new + stream[place:]


def last(stream: bytes) -> int:
    return stream.rindex(b"\xff\xd9")


WRONG = {
    "jpeg comment": (JPEG, lambda s: insert(s, 2, segment(0xFE, b"Smithson"))),
    "jpeg comment that says nothing": (JPEG, lambda s: insert(s, 2, segment(0xFE, b"made by us"))),
    "jpeg APP1": (JPEG, lambda s: insert(s, 2, segment(0xE1, b"Exif\0\0Smithson"))),
    "jpeg APP0": (JPEG, lambda s: insert(s, 2, segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"))),
    "jpeg APP14 with more": (JPEG, lambda s: insert(s, 2, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1SMITH"))),
    "jpeg name in a table": (JPEG, lambda s: insert(s, 2, segment(0xDB, b"\1" + b"smithson" * 8))),
    "jpeg table of wrong length": (JPEG, lambda s: insert(s, 2, segment(0xDB, b"\1" + b"x" * 65))),
    "jpeg second header": (JPEG, lambda s: insert(s, 2, s[s.index(b"\xff\xc0") : s.index(b"\xff\xc0") + 13])),
    "jpeg comment before the end": (JPEG, lambda s: insert(s, last(s), segment(0xFE, b"Smithson"))),
    "jpeg between segments": (JPEG, lambda s: insert(s, 2, b"JOHN")),
    "jpeg after the end": (JPEG, lambda s: s + b"Smithson"),
    "jpeg two zero bytes after the end": (JPEG, lambda s: s + b"\0\0"),
    "jpeg without an end": (JPEG, lambda s: s[: last(s)]),
    "jpeg progressive": (JPEG, lambda s: s.replace(b"\xff\xc0", b"\xff\xc2")),
    "jpeg other size": (
        JPEG,
        lambda s: s.replace(b"\0\x11\x08\0 \0 ", b"\0\x11\x08\0 \0!").replace(b"\0\x0b\x08\0 \0 ", b"\0\x0b\x08\0 \0!"),
    ),
    "jpeg-ls comment": (JPEGLS, lambda s: insert(s, 2, segment(0xFE, b"Smithson"))),
    "jpeg-ls APP8": (JPEGLS, lambda s: insert(s, 2, segment(0xE8, b"mrfx\1"))),
    "jpeg-ls mapping table": (JPEGLS, lambda s: insert(s, 2, segment(0xF8, b"\2\1\1smithson"))),
    "jpeg-ls behind the last sample": (JPEGLS, lambda s: insert(s, last(s), b"ZQEYED")),
    "jpeg-ls a byte behind the last sample": (JPEGLS, lambda s: insert(s, last(s), b"\0")),
    "jpeg-ls Adobe": (JPEGLS, lambda s: insert(s, 2, segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))),
    "jpeg-ls longer parameters": (JPEGLS, lambda s: insert(s, 2, segment(0xF8, b"\1" + bytes(10) + b"ZQ"))),
    "jpeg-ls parameters twice": (JPEGLS, lambda s: insert(s, 2, segment(0xF8, b"\1" + bytes(10)) * 2)),
    "jpeg-ls parameters that are text": (JPEGLS, lambda s: insert(s, 2, segment(0xF8, b"\1ZQEYEDYEZQ"))),
    "jpeg-ls parameters behind the scan": (JPEGLS, lambda s: insert(s, last(s), segment(0xF8, b"\1" + bytes(10)))),
    "jpeg-ls interval of no scan": (JPEGLS, lambda s: insert(s, last(s), segment(0xDD, b"ZQ"))),
    "jpeg-ls table of a component": (JPEGLS, lambda s: s.replace(b"\xff\xda\0\x08\1\1\0", b"\xff\xda\0\x08\1\1Z")),
    "jpeg-ls fill bytes": (JPEGLS, lambda s: insert(s, 2, b"\xff" * 9)),
    "jpeg behind the last sample": (JPEG, lambda s: insert(s, last(s), b"ZQEYED")),
    "jpeg-ls after the end": (JPEGLS, lambda s: s + b"12"),
    "j2k comment": (J2K, lambda s: insert(s, s.index(b"\xff\x52"), segment(0x64, b"\0\1Smithson"))),
    "j2k boxes": (J2K, lambda s: b"\0\0\0\x0cjP  \r\n\x87\n" + s),
    "j2k after the end": (J2K, lambda s: s + b"Smithson"),
    "j2k unknown marker": (J2K, lambda s: insert(s, s.index(b"\xff\x52"), segment(0x70, b"John"))),
    "rle in the header": (RLE, lambda s: s[:40] + b"JOHN" + s[44:]),
    "rle more segments": (RLE, lambda s: b"\3" + s[1:]),
    "rle after the end": (RLE, lambda s: s + b"Smithson"),
    "rle cut": (RLE, lambda s: s[:-40]),
    "not a frame": (JPEG, lambda s: b"Smithson was here "),
}


@pytest.mark.parametrize(("syntax", "mutate"), WRONG.values(), ids=WRONG.keys())
def test_what_hides_in_a_frame_is_held(gate, syntax, mutate):
    good = frame(syntax)
    bad = mutate(good)
    assert bad != good
    assert held(gate, encapsulated(syntax, bad)).reason in (Reason.STRUCTURE, Reason.RESIDUAL_IDENTIFIER)


@pytest.mark.parametrize("syntax", [JPEG, JPEGLS, J2K], ids=["jpeg", "jpeg-ls", "j2k"])
@pytest.mark.parametrize("hidden", [b"Smithson", b"Smithson^J\xc3\xb6hn ID:943 476 5919", b"S\0m\0i\0t\0h\0s\0o\0n\0"])
def test_a_name_behind_the_last_coded_sample_is_held(gate, syntax, hidden):
    good = frame(syntax)
    bad = insert(good, last(good), hidden)
    if syntax == J2K:
        tile = bad.index(b"\xff\x90") + 6
        length = int.from_bytes(bad[tile : tile + 4], "big")
        bad = bad[:tile] + (length and length + len(hidden)).to_bytes(4, "big") + bad[tile + 4 :]
        whole = np.asarray(Image.open(io.BytesIO(bad)))
        assert (whole == samples(8)).all()  # no decoder would tell
    for frames in ([bad], [good, bad, good]):
        rejection = held(gate, encapsulated(syntax, *frames))
        assert (rejection.reason, rejection.attribute) == (Reason.RESIDUAL_IDENTIFIER, "PixelData")


ITEM, END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def between(data: bytes, new: bytes) -> bytes:
    place = data.rindex(END)
    return data[:place] + new + data[place:]


AROUND = {
    "bytes after the fragments": lambda d: between(d, b"Smithson"),
    "an empty fragment": lambda d: between(d, ITEM + b"\0\0\0\0"),
    "one more fragment": lambda d: between(d, ITEM + b"\x08\0\0\0Smithson"),
    "a fragment of undefined length": lambda d: between(d, ITEM + b"\xff\xff\xff\xff"),
    "a delimiter with a length": lambda d: d[:-8] + b"\xfe\xff\xdd\xe0\x04\0\0\0",
    "bytes after the delimiter": lambda d: d + b"John",
    "no delimiter": lambda d: d[:-8],
    "a name in the offset table": lambda d: d.replace(ITEM + b"\x0c\0\0\0\0\0\0\0", ITEM + b"\x0c\0\0\0JOHN", 1),
    "a wrong offset": lambda d: d.replace(ITEM + b"\x0c\0\0\0\0\0\0\0", ITEM + b"\x0c\0\0\0\2\0\0\0", 1),
    "fewer frames": lambda d: d.replace(b"\x28\0\x08\0IS\x02\x003 ", b"\x28\0\x08\0IS\x02\x002 ", 1),
    "more frames": lambda d: d.replace(b"\x28\0\x08\0IS\x02\x003 ", b"\x28\0\x08\0IS\x02\x004 ", 1),
}


@pytest.mark.parametrize("mutate", AROUND.values(), ids=AROUND.keys())
@ALL
def test_what_hides_around_the_frames_is_held(gate, syntax, mutate):
    good = encapsulated(syntax, *[frame(syntax)] * 3)
    assert isinstance(check(gate, good), Certified)
    bad = mutate(good)
    assert bad != good
    held(gate, bad)


# --- native ---


def native(**values: object) -> bytes:
    ds = output_dataset(size=SIZE)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    return to_bytes(ds)


def pixels(change: int, *, signed: bool = False) -> bytes:
    array = (samples(16).astype(np.int16) - 2048 * signed).copy()
    array[3, 4] = change
    return array.astype("<i2").tobytes()


CLEAN = {
    "unsigned": {"PixelData": pixels(4095)},
    "signed": {"PixelData": pixels(-2048, signed=True), "PixelRepresentation": 1},
    "16 bits": {"PixelData": pixels(-1), "BitsStored": 16, "HighBit": 15},
    "8 bits": {"PixelData": b"\xff" * SIZE * SIZE, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
    "frames": {"PixelData": pixels(1) * 3, "NumberOfFrames": 3},
    "odd": {
        "PixelData": b"\1" * 9 + b"\0",
        "Rows": 3,
        "Columns": 3,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    },
    "stored high": {"PixelData": np.full((SIZE, SIZE), 0xFFF0, "<u2").tobytes(), "HighBit": 15},
}
DIRTY = {
    "overlay in the high bits": ({"PixelData": pixels(4096)}, Reason.STRUCTURE),
    "overlay in the top bit": ({"PixelData": pixels(-0x8000)}, Reason.STRUCTURE),
    "signed beyond its bits": (
        {"PixelData": pixels(2048, signed=True), "PixelRepresentation": 1},
        Reason.STRUCTURE,
    ),
    "below the stored bits": (
        {"PixelData": np.full((SIZE, SIZE), 0xFFF1, "<u2").tobytes(), "HighBit": 15},
        Reason.STRUCTURE,
    ),
    "8 bits": (
        {"PixelData": b"\xff" * SIZE * SIZE, "BitsAllocated": 8, "BitsStored": 7, "HighBit": 6},
        Reason.STRUCTURE,
    ),
    "too long": ({"PixelData": pixels(1) + b"Smithson"}, Reason.PIXEL_LENGTH),
    "too short": ({"PixelData": pixels(1)[:-2]}, Reason.PIXEL_LENGTH),
    "more frames": ({"PixelData": pixels(1), "NumberOfFrames": 2}, Reason.PIXEL_LENGTH),
    "no rows": ({"Rows": 0}, Reason.STRUCTURE),
    "more stored than allocated": ({"BitsStored": 17}, Reason.STRUCTURE),
    "padding byte": (
        {
            "PixelData": b"\1" * 9 + b"J",
            "Rows": 3,
            "Columns": 3,
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
        },
        Reason.STRUCTURE,
    ),
}


@pytest.mark.parametrize("values", CLEAN.values(), ids=CLEAN.keys())
def test_clean_native_pixels_are_certified(gate, values):
    for chunk in (0, 777):
        assert isinstance(gate.certify(REF, BytesPayload(native(**values), chunk)), Certified)


@pytest.mark.parametrize(("values", "reason"), DIRTY.values(), ids=DIRTY.keys())
def test_wrong_native_pixels_are_held(gate, values, reason):
    assert held(gate, native(**values)).reason is reason


# --- room above BitsStored in a codestream ---


def test_room_above_bits_stored_needs_a_decoder():
    array = samples(16) - np.uint16(2048)
    data = encapsulated(JPEGLS, bytes(jpeg_ls.encode(array)), stored=12, signed=True)
    findings = verify_structure(BytesPayload(data), ALLOW_LIST, national)
    assert [finding.reason for finding in findings] == [Reason.PIXEL_CODING]

    def decode(stream: bytes, syntax: str, shape: object) -> bytes:
        return jpeg_ls.decode(np.frombuffer(stream, np.uint8)).astype("<u2").tobytes()

    assert verify_structure(BytesPayload(data), ALLOW_LIST, national, decode=decode) == ()
    array[0, 0] ^= 0x4000
    dirty = encapsulated(JPEGLS, bytes(jpeg_ls.encode(array)), stored=12, signed=True)
    findings = verify_structure(BytesPayload(dirty), ALLOW_LIST, national, decode=decode)
    assert [finding.kind for finding in findings] == ["unused-bits"]


def test_rle_bits_are_seen_without_a_decoder(gate):
    assert isinstance(check(gate, encapsulated(RLE, frame(RLE), stored=12)), Certified)
    array = samples(16).copy()
    array[0, 0] |= 0x8000
    assert held(gate, encapsulated(RLE, _rle(array), stored=12)).reason is Reason.STRUCTURE
