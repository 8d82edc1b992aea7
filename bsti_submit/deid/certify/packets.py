"""The packets of a JPEG 2000 tile (ITU-T T.800 annex B) → where the last one ends.

Only packet headers are decoded: they say how many bytes each code-block has, and so where the next packet begins.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.deid.certify.packet_headers import Band, Header, Surplus

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOP, _EPH = b"\xff\x91\x00\x04", b"\xff\x92"
MOST_WORK = 1 << 21
"""What following a frame may cost, in visits to code-blocks: 4096 x 4096 has some 5,500 of them a layer."""
_A_BLOCK, _A_BAND, _A_RESOLUTION = 8, 24, 4
"""What it costs to make them, in the same measure."""


@dataclass(slots=True)
class Effort:
    """How much may still be done for a frame."""

    left: int = MOST_WORK

    def spend(self, work: int) -> None:
        """Raise Surplus where it is used up."""
        self.left -= work
        if self.left < 0:
            raise Surplus


@dataclass(frozen=True, slots=True)
class Coding:
    """How one component of a tile is coded (COD or COC): exponents of sizes, precincts from the lowest resolution up."""

    levels: int
    block_wide: int
    block_high: int
    style: int
    precincts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What COD says of a whole tile: progression, layers, and whether packets are marked."""

    progression: int
    layers: int
    sop: bool
    eph: bool


def packets_end(
    data: bytes, box: tuple[int, int, int, int], codings: list[Coding], order: Order, effort: Effort
) -> int:
    """Return where the last packet of a tile ends.

    Parameters
    ----------
    data
        The bodies of its tile-parts, joined.
    box
        Left, top, right and bottom of the tile on the reference grid; components are not subsampled.
    codings
        Of each component.
    effort
        What the whole frame may cost.

    Raises
    ------
    Surplus, IndexError
        If the packets cannot be followed. Packets that are left out at the end are no fault.
    """
    pos = 0
    for number, (bands, layer) in enumerate(_sequence(box, codings, order, effort)):
        if pos == len(data):
            return pos
        if data[pos : pos + 4] == _SOP and order.sop:
            if int.from_bytes(data[pos + 4 : pos + 6], "big") != number & 0xFFFF:
                raise Surplus
            pos += 6
        effort.spend(1 + sum(len(band.blocks) for band in bands))
        header = Header(data, pos)
        body = sum(band.read(header, layer) for band in bands) if header.bit() else 0
        pos = header.close()
        if order.eph:
            if data[pos : pos + 2] != _EPH:
                raise Surplus
            pos += 2
        pos += body
        if pos > len(data):
            raise Surplus
    return pos


def _sequence(
    box: tuple[int, int, int, int], codings: list[Coding], order: Order, effort: Effort
) -> Iterator[tuple[list[Band], int]]:
    """Yield precinct and layer of each packet in the order of the progression (B.12)."""
    found: list[tuple[int, int, int, int, int, list[Band]]] = []
    for component, coding in enumerate(codings):
        for resolution in range(coding.levels + 1):
            for number, (y, x, bands) in enumerate(_precincts(box, coding, resolution, effort)):
                found.append((component, resolution, y, x, number, bands))
    layers = range(order.layers)
    if order.progression == 0:
        found.sort(key=lambda one: (one[1], one[0], one[4]))
        return ((one[5], layer) for layer in layers for one in found)
    if order.progression == 1:
        found.sort(key=lambda one: (one[1], one[0], one[4]))
        groups = [list(group) for _, group in itertools.groupby(found, key=lambda one: one[1])]
        return ((one[5], layer) for group in groups for layer in layers for one in group)
    if order.progression == 2:
        found.sort(key=lambda one: (one[1], one[2], one[3], one[0], one[4]))
    elif order.progression == 3:
        found.sort(key=lambda one: (one[2], one[3], one[0], one[1], one[4]))
    else:
        found.sort(key=lambda one: (one[0], one[2], one[3], one[1], one[4]))
    return ((one[5], layer) for one in found for layer in layers)


def _precincts(
    box: tuple[int, int, int, int], coding: Coding, resolution: int, effort: Effort
) -> Iterator[tuple[int, int, list[Band]]]:
    """Yield the precincts of a resolution (B.6): where each begins on the reference grid, and its code-blocks."""
    effort.spend(_A_RESOLUTION)
    down = coding.levels - resolution
    left, top, right, bottom = (_scaled(edge, down) for edge in box)
    if right <= left or bottom <= top:
        return
    wide, high = coding.precincts[resolution]
    split = min(resolution, 1)
    if split and not (wide and high):
        raise Surplus
    block_wide, block_high = min(coding.block_wide, wide - split), min(coding.block_high, high - split)
    kinds = ((1, 0), (0, 1), (1, 1)) if split else ((0, 0),)
    scale = down + split
    edges = [
        (
            *(_shifted(edge, scale, across) for edge in (box[0], box[2])),
            *(_shifted(edge, scale, over) for edge in (box[1], box[3])),
        )
        for across, over in kinds
    ]
    for row in range(top >> high, -(-bottom >> high)):
        for column in range(left >> wide, -(-right >> wide)):
            bands: list[Band] = []
            for first, last, upper, lower in edges:
                x0, x1 = max(first, column << wide - split), min(last, column + 1 << wide - split)
                y0, y1 = max(upper, row << high - split), min(lower, row + 1 << high - split)
                if x1 <= x0 or y1 <= y0:
                    continue
                across = -(-x1 >> block_wide) - (x0 >> block_wide)
                over = -(-y1 >> block_high) - (y0 >> block_high)
                effort.spend(_A_BAND + _A_BLOCK * across * over)
                bands.append(Band(across, over, coding.style))
            effort.spend(1)
            yield max(box[1], row << high + down), max(box[0], column << wide + down), bands


def _scaled(value: int, down: int) -> int:
    return -(-value >> down)


def _shifted(value: int, scale: int, odd: int) -> int:
    """Return where an edge lies in a sub-band (equation B-15)."""
    return -(-(value - (odd << scale - 1 if odd else 0)) >> scale)
