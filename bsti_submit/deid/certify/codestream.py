"""Compressed frames → the bytes in them that are not coded pixel values; anything foreign is a doubt.

JPEG (PS3.5 A.4.1, ITU-T T.81), JPEG-LS (T.87) and JPEG 2000 / HTJ2K codestreams (T.800) are walked marker by
marker. A comment, an application segment other than the canonical Adobe APP14, a JP2 box or bytes after the end are
refused; the other segments are returned, to be searched.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from struct import Struct
from struct import error as _STRUCT_ERROR  # noqa: N812

from bsti_submit.deid.certify.strict import structure

_U16 = Struct(">H").unpack_from
_U32 = Struct(">I").unpack_from
_SOI, _EOI, _SOS, _DHT, _DQT, _DRI, _APP14 = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xEE
_LSE = 0xF8
_ADOBE = re.compile(rb"Adobe\x00[\x64\x65]\x00\x00\x00\x00[\x00-\x02]", re.DOTALL)
_DNL = 0xDC

# In JPEG a 0xFF of coded data is followed by 0x00 (or a restart marker); in JPEG-LS by a byte under 0x80.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
_JPEGLS_MARKER = re.compile(rb"\xff[\x80-\xff]")

_FRAME_HEADERS = {
    "1.2.840.10008.1.2.4.50": frozenset((0xC0,)),
    "1.2.840.10008.1.2.4.51": frozenset((0xC0, 0xC1)),
    "1.2.840.10008.1.2.4.57": frozenset((0xC3,)),
    "1.2.840.10008.1.2.4.70": frozenset((0xC3,)),
    "1.2.840.10008.1.2.4.80": frozenset((0xF7,)),
    "1.2.840.10008.1.2.4.81": frozenset((0xF7,)),
}
_J2K = frozenset(
    (
        *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),
        *("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"),
    )
)
RLE = "1.2.840.10008.1.2.5"
COMPRESSED = frozenset((*_FRAME_HEADERS, *_J2K, RLE))
"""The encapsulated transfer syntaxes whose frames can be examined."""

_J2K_MAIN = frozenset((0xFF52, 0xFF53, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF55, 0xFF57, 0xFF60, 0xFF63, 0xFF50, 0xFF59))
_J2K_TILE = frozenset((0xFF52, 0xFF53, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF58, 0xFF61))
_SOC, _SIZ, _SOT, _SOD, _EOC = 0xFF4F, 0xFF51, 0xFF90, 0xFF93, 0xFFD9


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the data set says of its pixel data: counts, bits."""

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Length of one native frame in bytes."""
        return (self.rows * self.columns * self.samples * self.allocated + 7) // 8


@dataclass(frozen=True, slots=True)
class Coded:
    """One examined frame: the segments to search, and the bits a sample that its codestream can hold."""

    segments: tuple[bytes, ...]
    precision: int


_PIXELS = "PixelData"


def _refuse(kind: str) -> Exception:
    return structure(_PIXELS, kind)


def examine(frame: bytes, syntax: str, geometry: Geometry) -> Coded:
    """Walk one compressed frame.

    Parameters
    ----------
    frame
        All bytes of the frame's fragments.
    syntax
        Transfer syntax UID, one of `COMPRESSED`.
    geometry
        What the frame must agree with.

    Raises
    ------
    Doubt
        If anything is there that is not needed to decode it, or if it cannot be followed.
    """
    try:
        if syntax in _J2K:
            return _jpeg2000(frame, geometry)
        if syntax == RLE:
            return _rle(frame, geometry)
        return _jpeg(frame, _FRAME_HEADERS[syntax], geometry)
    except (IndexError, ValueError, ArithmeticError, _STRUCT_ERROR):
        raise _refuse("codestream") from None


def _end(frame: bytes, pos: int) -> None:
    """Nothing may follow the end but one zero byte of padding to an even length (PS3.5 A.4)."""
    if frame[pos:] not in (b"", b"\0") or (len(frame) > pos and not pos & 1):
        raise _refuse("after-end")


def _jpeg(frame: bytes, headers: frozenset[int], geometry: Geometry) -> Coded:
    if frame[:2] != b"\xff\xd8":
        raise _refuse("codestream")
    lossless = 0xF7 in headers
    marker_pattern = _JPEGLS_MARKER if lossless else _JPEG_MARKER
    segments: list[bytes] = []
    precision = 0
    pos = 2
    while True:
        if frame[pos] != 0xFF:
            raise _refuse("between-segments")
        marker = frame[pos + 1]
        if marker == _EOI:
            _end(frame, pos + 2)
            if not precision:
                raise _refuse("codestream")
            return Coded(tuple(segments), precision)
        length = _U16(frame, pos + 2)[0]
        body = frame[pos + 4 : pos + 2 + length]
        if len(body) != length - 2:
            raise _refuse("truncated")
        if marker in headers:
            if precision:
                raise _refuse("codestream")
            precision = _frame_header(body, geometry)
        elif marker == _SOS:
            if not precision:
                raise _refuse("codestream")
        elif not _is_table(marker, body, lossless=lossless):
            raise _refuse("segment")
        segments.append(body)
        pos += 2 + length
        if marker == _SOS:
            found = marker_pattern.search(frame, pos)
            if found is None:
                raise _refuse("truncated")
            pos = found.start()
            while frame[pos + 1] == 0xFF:
                pos += 1


def _frame_header(body: bytes, geometry: Geometry) -> int:
    rows, columns = _U16(body, 1)[0], _U16(body, 3)[0]
    if (rows, columns, body[5]) != (geometry.rows, geometry.columns, geometry.samples):
        raise _refuse("dimensions")
    if len(body) != 6 + 3 * body[5] or not 2 <= body[0] <= geometry.allocated:
        raise _refuse("codestream")
    return body[0]


def _is_table(marker: int, body: bytes, *, lossless: bool) -> bool:
    """Whether a segment is one of the tables that decoding needs, of the length that it says."""
    if marker == _APP14:
        return _ADOBE.fullmatch(body) is not None
    if marker == _DRI:
        return len(body) in (2, 3, 4)
    if marker == _DNL:
        return len(body) == 2
    if lossless:
        # Preset parameters, and mapping tables for palette colour, which no image here has (T.87 C.2.4.1).
        return marker == _LSE and body[:1] == b"\x01" and len(body) == 11
    pos = 0
    if marker == _DQT:
        while pos < len(body):
            pos += 1 + 64 * (1 + (body[pos] >> 4))
        return pos == len(body)
    if marker == _DHT:
        while pos < len(body):
            pos += 17 + sum(body[pos + 1 : pos + 17])
        return pos == len(body)
    return False


def _jpeg2000(frame: bytes, geometry: Geometry) -> Coded:
    if _U16(frame, 0)[0] != _SOC or _U16(frame, 2)[0] != _SIZ:
        raise _refuse("codestream")
    segments: list[bytes] = []
    length = _U16(frame, 4)[0]
    size = frame[6 : 4 + length]
    columns, rows, left, top = (_U32(size, place)[0] for place in (2, 6, 10, 14))
    components = _U16(size, 34)[0]
    if (rows - top, columns - left, components) != (geometry.rows, geometry.columns, geometry.samples):
        raise _refuse("dimensions")
    if len(size) != 36 + 3 * components:
        raise _refuse("codestream")
    precision = max((size[36 + 3 * place] & 0x7F) + 1 for place in range(components))
    segments.append(size)
    pos = 4 + length
    while True:
        marker = _U16(frame, pos)[0]
        if marker == _EOC:
            _end(frame, pos + 2)
            return Coded(tuple(segments), precision)
        length = _U16(frame, pos + 2)[0]
        if marker == _SOT:
            pos = _tile_part(frame, pos, segments)
        elif marker in _J2K_MAIN:
            segments.append(frame[pos + 4 : pos + 2 + length])
            pos += 2 + length
        else:
            raise _refuse("segment")


def _tile_part(frame: bytes, start: int, segments: list[bytes]) -> int:
    part_length = _U32(frame, start + 6)[0]
    stop = start + part_length if part_length else frame.rindex(b"\xff\xd9")
    if stop > len(frame) - 2 or _U16(frame, start + 2)[0] != 10:
        raise _refuse("codestream")
    pos = start + 12
    while (marker := _U16(frame, pos)[0]) != _SOD:
        if marker not in _J2K_TILE:
            raise _refuse("segment")
        length = _U16(frame, pos + 2)[0]
        segments.append(frame[pos + 4 : pos + 2 + length])
        pos += 2 + length
    if pos + 2 > stop:
        raise _refuse("codestream")
    return stop


def _rle(frame: bytes, geometry: Geometry) -> Coded:
    """Walk a frame of PackBits segments (PS3.5 G): each must decode to one byte plane exactly."""
    count = int.from_bytes(frame[:4], "little")
    planes = geometry.samples * geometry.allocated // 8
    offsets = [int.from_bytes(frame[4 * place + 4 : 4 * place + 8], "little") for place in range(15)]
    if count != planes or offsets[0] != 64 or any(offsets[count:]):
        raise _refuse("rle-header")
    bounds = [*offsets[:count], len(frame)]
    precision = 0
    for place, (start, stop) in enumerate(itertools.pairwise(bounds)):
        if stop <= start:
            raise _refuse("rle-header")
        highest = _packbits(frame[start:stop], geometry.rows * geometry.columns)
        below = 8 * (planes // geometry.samples - 1 - place % (planes // geometry.samples))
        if highest:
            precision = max(precision, below + highest.bit_length())
    return Coded((), precision)


def _packbits(segment: bytes, expected: int) -> int:
    """Return all bits set in a decoded segment; it must decode to `expected` bytes and end there."""
    pos = have = 0
    seen: set[int] = set()
    size = len(segment)
    while have < expected:
        control = segment[pos]
        if control < 128:
            literal = segment[pos + 1 : pos + 2 + control]
            if len(literal) != control + 1:
                raise _refuse("rle-segment")
            seen.update(literal)
            have += control + 1
            pos += control + 2
        elif control > 128:
            seen.add(segment[pos + 1])
            have += 257 - control
            pos += 2
        else:
            pos += 1
    if have != expected or size - pos > 1 or any(segment[pos:]):
        raise _refuse("rle-segment")
    highest = 0
    for value in seen:
        highest |= value
    return highest
