"""An RLE frame (PS3.5 annex G) → exactly its segments, each followed to know where it ends."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.staged import UnclearCoding

if TYPE_CHECKING:
    from bsti_submit.deid.staged import PixelLayout
    from bsti_submit.model import Buffer

_HEADER: Final = 64
_NO_OPERATION: Final = 128


def clean_rle(frame: Buffer, layout: PixelLayout) -> tuple[list[Buffer], int]:
    """Return the parts of a frame that are picture, and its sample precision in bits.

    Raises
    ------
    UnclearCoding, struct.error, IndexError
        If it is not understood to its end.
    """
    count, *starts = struct.unpack_from("<16L", frame, 0)
    planes = layout.samples * (layout.bits_allocated // 8)
    if count != planes or starts[0] != _HEADER or any(starts[count:]):
        raise UnclearCoding
    size = layout.rows * layout.columns
    header = [count]
    segments: list[Buffer] = []
    position = _HEADER
    for index in range(count):
        start = starts[index]
        end = starts[index + 1] if index + 1 < count else len(frame)
        if not _HEADER <= start <= end <= len(frame):
            raise UnclearCoding
        stop = _end_of_segment(frame, start, end, size)
        header.append(position)
        segments.append(frame[start:stop])
        if (stop - start) & 1:
            segments.append(b"\0")
        position += stop - start + (stop - start & 1)
    return [struct.pack("<16L", *header, *([0] * (15 - count))), *segments], layout.bits_allocated


def _end_of_segment(frame: Buffer, start: int, end: int, size: int) -> int:
    position, decoded = start, 0
    while decoded < size:
        if position >= end:
            raise UnclearCoding
        control = frame[position]
        if control < _NO_OPERATION:
            decoded += control + 1
            position += control + 2
        elif control > _NO_OPERATION:
            decoded += 257 - control
            position += 2
        else:
            position += 1
    if decoded != size or position > end:
        raise UnclearCoding
    return position
