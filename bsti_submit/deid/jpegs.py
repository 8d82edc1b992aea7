"""A JPEG or JPEG-LS frame → the same picture without comments, application segments or anything behind it.

ITU-T T.81 annex B and T.87 annex C. Every segment that stays has exactly the length that its content needs, so that
nothing can be hidden at its end; what is not understood is refused.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.staged import UnclearCoding

if TYPE_CHECKING:
    from bsti_submit.deid.staged import PixelLayout
    from bsti_submit.model import Buffer

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_COLOURS: Final = 3

_EOI, _SOS, _DNL, _DRI, _DHT, _DQT, _DAC, _COM, _LSE, _SOF55, _APP14 = (
    (0xD9, 0xDA, 0xDC, 0xDD, 0xC4, 0xDB, 0xCC, 0xFE, 0xF8, 0xF7, 0xEE)
)  # fmt: skip
_APPLICATIONS: Final = range(0xE0, 0xF0)
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}

_SCAN_END: Final = {
    # Behind 0xFF stand, inside coded data, a zero or a restart (JPEG), or a stuffed bit and so a value below 0x80
    # (JPEG-LS); anything else is the next marker.
    False: re.compile(rb"\xff[^\x00\xd0-\xd7\xff]"),
    True: re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]"),
}


def clean_jpeg(frame: Buffer, layout: PixelLayout, *, jpeg_ls: bool) -> tuple[list[Buffer], int]:
    """Return the parts of a frame that are picture, and its sample precision in bits.

    A canonical Adobe segment is put in where a colour frame had one, since decoders take the colour transform from it.

    Raises
    ------
    UnclearCoding, struct.error, IndexError
        If it is not understood to its end.
    """
    if frame[:2] != SOI:
        raise UnclearCoding
    parts: list[Buffer] = [SOI]
    kept_from = position = 2
    precision = 0
    adobe: int | None = None
    while True:
        if frame[position] != 0xFF:
            raise UnclearCoding
        if frame[position + 1] == 0xFF:
            parts.append(frame[kept_from:position])
            position += 1
            kept_from = position
            continue
        marker = frame[position + 1]
        if marker == _EOI:
            parts.append(frame[kept_from : position + 2])
            if bytes(frame[position + 2 : position + 4]) == SOI:
                raise UnclearCoding  # a second picture, where the header tells of one
            break
        (length,) = struct.unpack_from(">H", frame, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(frame):
            raise UnclearCoding
        segment = frame[position:end]
        if marker in _APPLICATIONS or marker == _COM:
            if marker == _APP14 and bytes(segment[4:9]) == b"Adobe" and length >= 14:
                adobe = segment[15]
            if jpeg_ls and bytes(segment[4:8]) == b"mrfx":
                raise UnclearCoding  # a colour transform outside the standard
            parts.append(frame[kept_from:position])
            kept_from = end
        elif marker == _SOS:
            if not precision or length != 6 + 2 * segment[4]:
                raise UnclearCoding
            found = _SCAN_END[jpeg_ls].search(frame, end)
            if found is None:
                raise UnclearCoding
            end = found.start()
        elif marker == _SOF55 if jpeg_ls else marker in _FRAMES:
            if precision:
                raise UnclearCoding
            precision = _precision(segment, length, layout)
        elif not _is_exact(marker, segment, length, jpeg_ls=jpeg_ls):
            raise UnclearCoding
        position = end
    if adobe is not None and layout.samples == _COLOURS:
        parts.insert(1, _ADOBE + bytes([min(adobe, 2)]))
    return [part for part in parts if len(part)], precision


def _precision(segment: Buffer, length: int, layout: PixelLayout) -> int:
    precision, rows, columns, components = struct.unpack_from(">BHHB", segment, 4)
    if (rows, columns, components) != (layout.rows, layout.columns, layout.samples):
        raise UnclearCoding
    if length != 8 + 3 * components or not 2 <= precision <= layout.bits_allocated:
        raise UnclearCoding
    return int(precision)


def _is_exact(marker: int, segment: Buffer, length: int, *, jpeg_ls: bool) -> bool:
    """Whether a segment of tables is one that decoders need, and has nothing behind its tables."""
    if marker in {_DRI, _DNL}:
        return length == 4
    if marker == _LSE:
        return jpeg_ls and length == 13 and segment[4] == 1
    if jpeg_ls:
        return False
    if marker == _DAC:
        return length % 2 == 0
    position = 4
    end = length + 2
    if marker == _DQT:
        while position < end:
            position += 1 + 64 * (1 + (segment[position] >> 4 & 1))
    elif marker == _DHT:
        while position < end:
            position += 17 + sum(segment[position + 1 : position + 17])
    else:
        return False
    return position == end
