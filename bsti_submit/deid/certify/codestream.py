"""Compressed frames → the bytes in them that are not coded pixel values; anything foreign is a doubt.

JPEG (PS3.5 A.4.1, ITU-T T.81), JPEG-LS (T.87) and JPEG 2000 / HTJ2K codestreams (T.800) are walked marker by
marker. A comment, an application segment other than the canonical Adobe APP14, a JP2 box or bytes after the end are
refused; the other segments are returned, to be searched.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from struct import error as _STRUCT_ERROR  # noqa: N812

from bsti_submit.deid.certify.jpeg import Jpeg
from bsti_submit.deid.certify.jpeg2000 import Jpeg2000
from bsti_submit.deid.certify.strict import structure

_FRAME_HEADERS = {
    "1.2.840.10008.1.2.4.50": frozenset((0xC0,)),
    "1.2.840.10008.1.2.4.51": frozenset((0xC0, 0xC1)),
    "1.2.840.10008.1.2.4.57": frozenset((0xC3,)),
    "1.2.840.10008.1.2.4.70": frozenset((0xC3,)),
    "1.2.840.10008.1.2.4.80": frozenset((0xF7,)),
    "1.2.840.10008.1.2.4.81": frozenset((0xF7,)),
}
_HTJ2K = frozenset(("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"))
_J2K = _HTJ2K | {"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"}
JPEG_LS = frozenset(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"))
RLE = "1.2.840.10008.1.2.5"
COMPRESSED = frozenset((*_FRAME_HEADERS, *_J2K, RLE))
"""The encapsulated transfer syntaxes whose frames can be examined."""


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
            return _jpeg2000(frame, syntax, geometry)
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
    walked = Jpeg(frame, headers, geometry)
    _end(frame, walked.walk())
    return Coded(tuple(walked.segments), walked.precision)


def _jpeg2000(frame: bytes, syntax: str, geometry: Geometry) -> Coded:
    walked = Jpeg2000(frame, geometry, high_throughput=syntax in _HTJ2K)
    _end(frame, walked.walk())
    return Coded(tuple(walked.segments), walked.precision)


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
