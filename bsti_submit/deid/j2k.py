"""A JPEG 2000 or HTJ2K frame → the same codestream without boxes, anything behind it, or what no decoder needs.

ITU-T T.800 annex A and I, T.814. Segments have exactly the length that their parameters ask for. Tile-parts that
grow shorter tell their length anew, and so does the table of their lengths, which HTJ2K in DICOM demands.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.staged import UnclearCoding

if TYPE_CHECKING:
    from bsti_submit.deid.staged import PixelLayout
    from bsti_submit.model import Buffer

_SOC: Final = b"\xff\x4f"
_SOT: Final = b"\xff\x90"
_SOD: Final = b"\xff\x93"
_EOC: Final = b"\xff\xd9"
_SIZ, _CAP, _COD, _COC, _TLM, _QCD, _QCC, _RGN = (
    (0xFF51, 0xFF50, 0xFF52, 0xFF53, 0xFF55, 0xFF5C, 0xFF5D, 0xFF5E)
)  # fmt: skip
_TILE: Final = frozenset((_COD, _COC, _QCD, _QCC, _RGN))
_MAIN: Final = _TILE | {_CAP, _SIZ}
_IDLE: Final = frozenset((0xFF56, 0xFF57, 0xFF58, 0xFF59, 0xFF63, 0xFF64))
"""PRF, PLM, PLT, CPF, CRG and COM: profiles, lengths of packets, registration and comments, which no decoder needs.

Packed packet headers (PPM, PPT) and changes of the progression (POC) are refused.
"""
_MOST_IN_TABLE: Final = 10_000
_SOT_LENGTH: Final = 12


def clean_j2k(frame: Buffer, layout: PixelLayout) -> tuple[list[Buffer], int]:
    """Return the parts of a codestream that are picture, and its sample precision in bits.

    Raises
    ------
    UnclearCoding, struct.error, IndexError
        If it is not understood to its end.
    """
    if bytes(frame[4:8]) == b"jP  ":
        frame = _codestream(frame)
    if bytes(frame[:2]) != _SOC:
        raise UnclearCoding
    header: list[Buffer] = [_SOC]
    position = 2
    precision = components = 0
    table_at = -1
    while bytes(frame[position : position + 2]) != _SOT:
        marker, length, end = _segment(frame, position)
        if (marker == _SIZ) != (position == 2):
            raise UnclearCoding
        if marker == _SIZ:
            precision, components = _precision(frame, length, layout)
        if marker == _TLM:
            table_at = len(header) if table_at < 0 else table_at
        elif marker not in _IDLE:
            _check(marker, frame[position + 4 : end], components, _MAIN)
            header.append(frame[position:end])
        position = end
    tiles: list[Buffer] = []
    lengths: list[tuple[int, int]] = []
    while bytes(frame[position : position + 2]) == _SOT:
        parts, position = _tile_part(frame, position, components)
        tiles += parts
        lengths.append((struct.unpack_from(">H", parts[0], 4)[0], sum(map(len, parts))))
    rest = bytes(frame[position : position + 2])
    # Some encoders leave the end marker out; that nothing but padding stands there is enough.
    if rest != _EOC and any(frame[position:]):
        raise UnclearCoding
    if not precision:
        raise UnclearCoding
    if table_at >= 0:
        header[table_at:table_at] = _length_table(lengths)
    return [*header, *tiles, _EOC], precision


def _precision(frame: Buffer, length: int, layout: PixelLayout) -> tuple[int, int]:
    xsiz, ysiz, xoff, yoff = struct.unpack_from(">4L", frame, 8)
    (components,) = struct.unpack_from(">H", frame, 40)
    if (ysiz - yoff, xsiz - xoff, components) != (layout.rows, layout.columns, layout.samples):
        raise UnclearCoding
    if length != 38 + 3 * components:
        raise UnclearCoding
    depths = [(frame[42 + 3 * index] & 0x7F) + 1 for index in range(components)]
    if max(depths) > layout.bits_allocated:
        raise UnclearCoding
    return max(depths), components


def _check(marker: int, body: Buffer, components: int, known: frozenset[int]) -> None:
    """Raise UnclearCoding unless a segment is known and has the length that its parameters ask for (T.800 annex A)."""
    if marker not in known:
        raise UnclearCoding
    size = len(body)
    if marker in {_COC, _QCC, _RGN} and body[0] >= components:
        raise UnclearCoding
    if marker == _COD:
        right = size == 10 + (body[5] + 1 if body[0] & 1 else 0)
    elif marker == _COC:
        right = size == 7 + (body[2] + 1 if body[1] & 1 else 0)
    elif marker in {_QCD, _QCC}:
        steps = body if marker == _QCD else body[1:]
        style, values = steps[0] & 31, len(steps) - 1
        # One step for each sub-band, of which there are three a level and the lowest.
        right = (values % 3 == 1, values == 2, values % 6 == 2)[style] if style < 3 else False
    elif marker == _CAP:
        right = size == 4 + 2 * struct.unpack_from(">L", body)[0].bit_count()
    else:
        right = marker != _RGN or size == 3
    if not right:
        raise UnclearCoding


def _segment(frame: Buffer, position: int) -> tuple[int, int, int]:
    marker, length = struct.unpack_from(">HH", frame, position)
    end = position + 2 + length
    if length < 2 or end > len(frame):
        raise UnclearCoding
    return marker, length, end


def _tile_part(frame: Buffer, start: int, components: int) -> tuple[list[Buffer], int]:
    """Return the parts of a tile-part that are picture, the first its start, and where the next begins."""
    _, length, position = _segment(frame, start)
    if length != _SOT_LENGTH - 2:
        raise UnclearCoding
    (size,) = struct.unpack_from(">L", frame, start + 6)
    end = start + size if size else _last_end(frame)
    if not position < end <= len(frame):
        raise UnclearCoding
    kept: list[Buffer] = []
    while bytes(frame[position : position + 2]) != _SOD:
        marker, _, following = _segment(frame, position)
        if following > end:
            raise UnclearCoding
        if marker not in _IDLE:
            _check(marker, frame[position + 4 : following], components, _TILE)
            kept.append(frame[position:following])
        position = following
    kept.append(frame[position:end])
    told = struct.pack(">L", _SOT_LENGTH + sum(map(len, kept)))
    opening = b"".join((frame[start : start + 6], told, frame[start + 10 : start + 12]))
    return [opening, *kept], end


def _last_end(frame: Buffer) -> int:
    """Return where a tile-part ends that goes to the end of the codestream."""
    end = len(frame)
    while end and not frame[end - 1]:
        end -= 1
    if bytes(frame[end - 2 : end]) != _EOC:
        raise UnclearCoding
    return end - 2


def _length_table(lengths: list[tuple[int, int]]) -> list[Buffer]:
    """Return tile-part length markers (T.800 A.7.1) with 16-bit tile numbers and 32-bit lengths."""
    tables: list[Buffer] = []
    for number, start in enumerate(range(0, len(lengths), _MOST_IN_TABLE)):
        rows = lengths[start : start + _MOST_IN_TABLE]
        if number > 255:
            raise UnclearCoding
        head = struct.pack(">HHBB", _TLM, 4 + 6 * len(rows), number, 0x60)
        tables.append(head + b"".join(struct.pack(">HL", *row) for row in rows))
    return tables


def _codestream(frame: Buffer) -> Buffer:
    """Return the codestream of a JP2 file (T.800 annex I); any other box is dropped."""
    position = 0
    while position + 8 <= len(frame):
        size, kind = struct.unpack_from(">L4s", frame, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", frame, start)
            start += 8
        end = len(frame) if size == 0 else position + size
        if end > len(frame) or end < start:
            raise UnclearCoding
        if kind == b"jp2c":
            return frame[start:end]
        position = end
    raise UnclearCoding
