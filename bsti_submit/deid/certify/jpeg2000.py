"""JPEG 2000 and HTJ2K codestreams (ITU-T T.800 annexes A and B, T.814) → their marker segments, each exact and needed.

Every segment must have the length that its parameters ask for and stand once; a tile must end with its last packet.
Markers that a decoder can do without (comments, lengths of packets, registration, profiles) are refused, and so is
what is too rare to be followed: packed packet headers, changes of the progression, offsets on the reference grid.
"""

from __future__ import annotations

import itertools
from struct import Struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.certify.packet_headers import Surplus
from bsti_submit.deid.certify.packets import Coding, Effort, Order, packets_end
from bsti_submit.deid.certify.strict import structure

if TYPE_CHECKING:
    from bsti_submit.deid.certify.codestream import Geometry

_U16 = Struct(">H").unpack_from
_U32 = Struct(">I").unpack_from
_SOC, _SIZ, _SOT, _SOD, _EOC = 0xFF4F, 0xFF51, 0xFF90, 0xFF93, 0xFFD9
_CAP, _COD, _COC, _TLM, _QCD, _QCC, _RGN = 0xFF50, 0xFF52, 0xFF53, 0xFF55, 0xFF5C, 0xFF5D, 0xFF5E
_HIGH_THROUGHPUT: Final = 0x40
_PART_15: Final = b"\0\2\0\0"
"""Pcap of CAP (T.800 A.5.2): of the extensions only part 15, HTJ2K."""
_LEVELS: Final = 6
"""Decompositions that encoders make of the smallest pictures too."""
_PROFILES: Final = frozenset((0, 1, 2))


def _refuse(kind: str) -> Exception:
    return structure("PixelData", kind)


class _Settings:
    """The coding parameters of a codestream, or of one tile where its header has its own."""

    def __init__(self, components: int, main: _Settings | None = None) -> None:
        self._components = components
        self._main = main
        self.taken: dict[tuple[int, int], bytes] = {}

    def take(self, marker: int, body: bytes) -> None:
        """Take a segment; refuse one that is there already, and one that is none of these."""
        component = -1
        if marker in {_COC, _QCC, _RGN}:
            component = body[0]
            if component >= self._components:
                raise _refuse("segment")
        if marker not in {_COD, _COC, _QCD, _QCC, _RGN} or (marker, component) in self.taken:
            raise _refuse("segment")
        if marker == _RGN and (len(body) != 3 or body[1] or body[2] > 37):
            raise _refuse("segment")
        self.taken[marker, component] = body

    def _find(self, marker: int, special: int, component: int) -> tuple[int, bytes]:
        """Return what holds for a component: its own of the tile, the tile's, its own of the main header, its default."""
        for taken in (self.taken, self._main.taken if self._main else {}):
            for key in ((special, component), (marker, -1)):
                if key in taken:
                    return key[1], taken[key]
        raise _refuse("codestream")

    def order(self) -> Order:
        """Return the progression of the tile."""
        _, body = self._find(_COD, _COD, -1)
        progression, layers = body[1], _U16(body, 2)[0]
        if body[0] & ~7 or progression > 4 or not layers or body[4] > 1:
            raise _refuse("segment")
        return Order(progression, layers, bool(body[0] & 2), bool(body[0] & 4))

    def codings(self) -> list[Coding]:
        """Return how each component is coded, after every segment was held against the length it must have."""
        found: list[Coding] = []
        bands: dict[int, int] = {}
        for component in range(self._components):
            own, body = self._find(_COD, _COC, component)
            found.append(_coding(body[1:] if own >= 0 else body[:1] + body[5:]))
            quantised, _ = self._find(_QCD, _QCC, component)
            bands[quantised] = max(bands.get(quantised, 0), 3 * found[-1].levels + 1)
        for (marker, component), body in self.taken.items():
            if marker == _COC:
                _coding(body[1:])
            elif marker == _COD:
                _coding(body[:1] + body[5:])
            elif marker in {_QCD, _QCC}:
                steps = body[1:] if marker == _QCC else body
                count = bands.get(component)
                style = steps[0] & 31
                if count is None or style > 2 or len(steps) != 1 + (count, 2, 2 * count)[style]:
                    raise _refuse("segment")
                if not style and any(step & 7 for step in steps[1:]):  # reserved (table A.29)
                    raise _refuse("segment")
        return found


def _coding(body: bytes) -> Coding:
    """Read the parameters of a component (tables A.15 and A.20): the byte of the style first."""
    levels, wide, high, style, transformation = body[1:6]
    own = body[0] & 1
    if levels > 32 or wide > 8 or high > 8 or wide + high > 8 or style & 0x80 or transformation > 1:
        raise _refuse("segment")
    if len(body) != 6 + (levels + 1 if own else 0):
        raise _refuse("segment")
    precincts = tuple((byte & 15, byte >> 4) for byte in body[6:]) if own else ((15, 15),) * (levels + 1)
    return Coding(levels, wide + 2, high + 2, style, precincts)


class Jpeg2000:
    """One codestream as it is walked."""

    def __init__(self, frame: bytes, geometry: Geometry, *, high_throughput: bool) -> None:
        self._frame = frame
        self._geometry = geometry
        self._high_throughput = high_throughput
        self._settings = _Settings(geometry.samples)
        self._tiles: dict[int, tuple[_Settings, list[bytes]]] = {}
        self._told: list[tuple[int | None, int]] = []
        self._lengths: list[tuple[int, int]] = []
        self._tables = 0
        self._capable = False
        self._grid = (0, 0)
        self.segments: list[bytes] = []
        self.precision = 0

    def walk(self) -> int:
        """Return where the codestream ends.

        Raises
        ------
        Doubt, IndexError, ValueError, struct.error
            If anything is there that its decoding does not need, or if it cannot be followed.
        """
        frame = self._frame
        if _U16(frame, 0)[0] != _SOC or _U16(frame, 2)[0] != _SIZ:
            raise _refuse("codestream")
        self._size(self._body(2))
        pos = 4 + _U16(frame, 4)[0]
        while (marker := _U16(frame, pos)[0]) != _SOT:
            body = self._body(pos)
            pos += 4 + len(body)
            if marker == _CAP and self._high_throughput and not self._capable:
                if body[:4] != _PART_15 or len(body) != 6:
                    raise _refuse("segment")
                self._capable = True
            elif marker == _TLM:
                self._table(body)
            else:
                self._settings.take(marker, body)
        while _U16(frame, pos)[0] == _SOT:
            pos = self._tile_part(pos)
        if _U16(frame, pos)[0] != _EOC:
            raise _refuse("segment")
        self._finish()
        return int(pos) + 2

    def _body(self, pos: int) -> bytes:
        length = _U16(self._frame, pos + 2)[0]
        body = self._frame[pos + 4 : pos + 2 + length]
        if len(body) != length - 2:
            raise _refuse("truncated")
        self.segments.append(body)
        return body

    def _size(self, body: bytes) -> None:
        shape = self._geometry
        profile = _U16(body, 0)[0]
        columns, rows, *offsets = (_U32(body, place)[0] for place in range(2, 34, 4))
        across, down = offsets[2:4]
        components = _U16(body, 34)[0]
        if (rows - offsets[1], columns - offsets[0], components) != (shape.rows, shape.columns, shape.samples):
            raise _refuse("dimensions")
        if len(body) != 36 + 3 * components or profile & ~0x4000 not in _PROFILES:
            raise _refuse("codestream")
        if any(offsets[:2] + offsets[4:]):
            raise _refuse("offsets")
        for tile, extent in ((across, columns), (down, rows)):
            # A tile beyond the picture could be of any size: only those in use.
            if not tile or (tile > extent and tile & (tile - 1)):
                raise _refuse("tiles")
        if any(body[place] != 1 for place in range(36, len(body)) if place % 3):
            raise _refuse("components")
        self._grid = across, down
        self.precision = max((depth & 0x7F) + 1 for depth in body[36::3])

    def _table(self, body: bytes) -> None:
        """Take a table of lengths (A.7.1), to be held against the tile-parts."""
        kind = body[1]
        wide, long = kind >> 4 & 3, 4 if kind & 0x40 else 2
        if body[0] != self._tables & 0xFF or kind & 0x8F or wide > 2 or (len(body) - 2) % (wide + long):
            raise _refuse("segment")
        self._tables += 1
        for place in range(2, len(body), wide + long):
            number = int.from_bytes(body[place : place + wide], "big") if wide else None
            self._told.append((number, int.from_bytes(body[place + wide : place + wide + long], "big")))

    def _tile_part(self, start: int) -> int:
        frame = self._frame
        length, number, part = _U16(frame, start + 2)[0], _U16(frame, start + 4)[0], frame[start + 10]
        told = int(_U32(frame, start + 6)[0])
        stop = start + told if told else frame.rindex(b"\xff\xd9")
        if length != 10 or stop > len(frame) - 2:
            raise _refuse("codestream")
        settings, bodies = self._tiles.setdefault(number, (_Settings(self._geometry.samples, self._settings), []))
        if part != len(bodies):
            raise _refuse("codestream")
        pos = start + 12
        while (marker := _U16(frame, pos)[0]) != _SOD:
            if part:
                raise _refuse("segment")
            body = self._body(pos)
            settings.take(marker, body)
            pos += 4 + len(body)
        if pos + 2 > stop:
            raise _refuse("codestream")
        bodies.append(frame[pos + 2 : stop])
        self._lengths.append((number, stop - start))
        return stop

    def _finish(self) -> None:
        self._settings.codings()
        self._settings.order()
        if self._told:
            order = itertools.count()
            told = [(next(order) if number is None else number, length) for number, length in self._told]
            if told != self._lengths:
                raise _refuse("segment")
        across, down = self._grid
        shape = self._geometry
        most = max(_LEVELS, max(shape.rows, shape.columns).bit_length())
        wide, high = -(-shape.columns // across), -(-shape.rows // down)
        effort = Effort()
        for number, (settings, bodies) in self._tiles.items():
            row, column = divmod(number, wide)
            if row >= high:
                raise _refuse("codestream")
            box = (
                *(column * across, row * down),
                *(min((column + 1) * across, shape.columns), min((row + 1) * down, shape.rows)),
            )
            codings, order_of = settings.codings(), settings.order()
            if any(coding.levels > most for coding in codings):
                raise _refuse("levels")  # of sub-bands without a sample, whose steps could say anything
            if any(coding.style & _HIGH_THROUGHPUT for coding in codings):
                # Its code-blocks tell their lengths otherwise (T.814 annex B); they are searched, not followed.
                if not self._high_throughput:
                    raise _refuse("codestream")
                continue
            data = b"".join(bodies)
            try:
                stop = packets_end(data, box, codings, order_of, effort)
            except Surplus:
                raise _refuse("packets") from None
            if stop != len(data):
                raise _refuse("after-packets")
