"""Huffman-coded scans (ITU-T T.81 annexes F and H) → whether their last bit is the picture's, and which codes it used.

No sample is made: only the length of each code is followed. numpy tells for every bit what a code that began there
would be, a block of the scan at a time; what is left is to step from code to code.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_BLOCK = 1 << 15
"""Bytes of a scan looked at together: memory is some 64 times as much, and stays in the cache."""
_MOST_UNITS = 1 << 27
"""Samples or blocks of a scan beyond which it is not followed: the largest radiographs have a tenth of that."""
_LONGEST_CODE = 31
_LONGEST_MCU = 10 * 64 * _LONGEST_CODE
_ADVANCE, _STEP, _SYMBOL, _NO_CODE = 31, 5, 12, 256
_END_OF_BLOCK, _COEFFICIENTS = 127, 64


class Surplus(ValueError):  # noqa: N818 - a doubt, turned into a finding by who asked
    """A scan that is not exactly its picture."""


@dataclass(slots=True)
class Table:
    """One Huffman table, as its segment has it, and the values that scans have used. ``ac``: of AC coefficients."""

    ac: bool
    lengths: bytes
    values: bytes
    used: bytearray = field(default_factory=lambda: bytearray(_NO_CODE + 1))
    needed: bool = False

    def well_formed(self) -> bool:
        """Whether it can be a table of its kind: no code too many, no value twice, none that codes nothing."""
        room = 1 << 16
        for length, count in enumerate(self.lengths, 1):
            room -= count << (16 - length)
        if room < 0 or len(set(self.values)) != len(self.values):
            return False
        if not self.ac:
            return all(value <= 16 for value in self.values)
        return all(value & 15 <= 14 and (value & 15 or value in {0x00, 0xF0}) for value in self.values)


@dataclass(frozen=True, slots=True)
class Scan:
    """How a scan is put together.

    Attributes
    ----------
    units
        For each data unit of an MCU its DC (or only) and its AC table; None where the process is lossless.
    mcus
        Number of MCUs.
    interval
        MCUs from restart to restart; 0 without restarts.
    """

    units: Sequence[tuple[Table, Table | None]]
    mcus: int
    interval: int


def follow(raw: bytes, scan: Scan) -> None:
    """Follow a scan to its last code and mark the values of its tables that it used.

    Parameters
    ----------
    raw
        The entropy-coded segments with their restart markers.

    Raises
    ------
    Surplus
        If it holds less or more than its MCUs and up to seven equal bits (T.81 F.1.2.3).
    """
    pieces = _RESTART.split(raw)
    if any(mark[0] & 7 != place & 7 for place, mark in enumerate(pieces[1::2])):
        raise Surplus
    intervals = [piece.replace(b"\xff\0", b"\xff") for piece in pieces[::2]]
    interval = scan.interval or scan.mcus
    if scan.mcus * len(scan.units) > _MOST_UNITS or len(intervals) != -(-scan.mcus // interval):
        raise Surplus
    bits = _Bits(b"".join(intervals), scan)
    pos = end = 0
    left = scan.mcus
    for piece in intervals:
        end += 8 * len(piece)
        count = min(interval, left)
        left -= count
        pos = bits.samples(pos, count * len(scan.units)) if bits.plain else bits.blocks(pos, count)
        rest = end - pos
        if not 0 <= rest < 8:
            raise Surplus
        if rest and piece[-1] & (1 << rest) - 1 not in {0, (1 << rest) - 1}:
            raise Surplus
        pos = end
    if any(table.used[_NO_CODE] for unit in scan.units for table in unit if table is not None):
        raise Surplus


@functools.lru_cache(maxsize=32)
def _codes(lengths: bytes, values: bytes, *, ac: bool) -> NDArray[np.uint32]:
    """Return, for each 16 bits to come, how far to go on, by how many coefficients, and the value coded."""
    # Where no code begins it goes on all the same, so that a scan always comes to its end.
    out = np.full(1 << 16, _NO_CODE << _SYMBOL | _END_OF_BLOCK << _STEP | _LONGEST_CODE, np.uint32)
    place = at = 0
    for length, count in enumerate(lengths, 1):
        width = 1 << (16 - length)
        for value in values[at : at + count]:
            bits = value & 15
            step = 0
            if ac:
                step = (value >> 4) + 1 if value else _END_OF_BLOCK
            out[place : place + width] = length + bits | step << _STEP | value << _SYMBOL
            place += width
        at += count
    return out


@functools.lru_cache(maxsize=8)
def _advances(lengths: bytes, values: bytes) -> NDArray[np.uint8]:
    """Return, for each 16 bits to come, how far to go on; 0 where no code begins."""
    codes = _codes(lengths, values, ac=False)
    return np.where(codes >> _SYMBOL == _NO_CODE, 0, codes & _ADVANCE).astype(np.uint8)


class _Bits:
    """The bits of a scan, of which a block at a time is known code by code."""

    def __init__(self, data: bytes, scan: Scan) -> None:
        self._data = data
        self._units = scan.units
        tables = {id(table): table for unit in scan.units for table in unit if table is not None}
        self.plain = scan.units[0][1] is None and len(tables) == 1
        self._codes: dict[int, NDArray[np.uint32] | NDArray[np.uint8]] = {}
        for key, table in tables.items():
            if self.plain:
                self._codes[key] = _advances(table.lengths, table.values)
            else:
                self._codes[key] = _codes(table.lengths, table.values, ac=table.ac)
        self._start = 0
        self._limit = -1
        self._known: dict[int, memoryview] = {}

    def _load(self, pos: int) -> None:
        """Make the block known that begins with the byte of a bit."""
        first = pos >> 3
        block = self._data[first : first + _BLOCK + 2]
        size = min(_BLOCK, len(self._data) - first)
        if size <= 0:
            raise Surplus
        data = np.frombuffer(block.ljust(size + 2, b"\0"), np.uint8).astype(np.uint32)
        wide = data[:-2] << 16 | data[1:-1] << 8 | data[2:]
        ahead = np.empty((size, 8), np.uint16)
        for bit in range(8):
            ahead[:, bit] = wide[:size] >> (8 - bit)
        each = ahead.reshape(-1)
        self._known = {key: codes[each].data for key, codes in self._codes.items()}
        self._start = first << 3
        self._limit = self._start + 8 * size

    def samples(self, pos: int, count: int) -> int:
        """Return where the codes of so many samples of one table end."""
        (key,) = self._codes
        while count:
            if pos > self._limit - _LONGEST_CODE and self._limit < 8 * len(self._data):
                self._load(pos)
            known, at = self._known[key], pos - self._start
            some = min(count, max(1, (self._limit - pos) // _LONGEST_CODE))
            for _ in range(some - 1):
                at += known[at]
            # Where no code begins, no step leads on: it is enough that the last one did.
            if not known[at]:
                raise Surplus
            pos = at + known[at] + self._start
            count -= some
        return pos

    def blocks(self, pos: int, count: int) -> int:
        """Return where so many MCUs end."""
        known: list[tuple[memoryview, bytearray, memoryview | None, bytearray]] = []
        for _ in range(count):
            if pos > self._limit - _LONGEST_MCU and self._limit < 8 * len(self._data):
                self._load(pos)
                known = []
            if not known:
                known = [
                    (self._known[id(dc)], dc.used, None if ac is None else self._known[id(ac)], (ac or dc).used)
                    for dc, ac in self._units
                ]
            pos -= self._start
            for dc, dc_used, ac, ac_used in known:
                code = dc[pos]
                pos += code & _ADVANCE
                dc_used[code >> _SYMBOL] = 1
                if ac is None:
                    continue
                place = 1
                while place < _COEFFICIENTS:
                    code = ac[pos]
                    pos += code & _ADVANCE
                    ac_used[code >> _SYMBOL] = 1
                    place += code >> _STEP & _END_OF_BLOCK
                if _COEFFICIENTS < place <= _END_OF_BLOCK:
                    raise Surplus
            pos += self._start
        return pos
