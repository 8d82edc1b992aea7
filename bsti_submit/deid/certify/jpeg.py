"""JPEG and JPEG-LS frames (ITU-T T.81 annex B, T.87 annex C) → their segments, each of which some scan needs.

A table that no scan uses, one that is replaced before its use, fill bytes, a comment or an application segment other
than the canonical Adobe APP14, codes that the picture has not, and bytes behind its last one are all refused. Where a
JPEG-LS scan ends, only its decoder can tell.
"""

from __future__ import annotations

import hashlib
import re
from struct import Struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.certify.huffman import Scan, Surplus, Table, follow
from bsti_submit.deid.certify.strict import structure

if TYPE_CHECKING:
    from bsti_submit.deid.certify.codestream import Geometry

_U16 = Struct(">H").unpack_from
_SOI, _EOI, _SOS, _DHT, _DQT, _DRI, _APP14, _LSE = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xEE, 0xF8
_EXTENDED, _LOSSLESS, _LS = 0xC1, 0xC3, 0xF7
_ADOBE: Final = re.compile(rb"Adobe\x00[\x64\x65]\x00\x00\x00\x00[\x00-\x02]", re.DOTALL)

# In JPEG a 0xFF of coded data is followed by 0x00 (or a restart marker); in JPEG-LS by a byte under 0x80.
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7]")
_JPEGLS_MARKER: Final = re.compile(rb"\xff[\x80-\xff]")

_NAMES: Final = frozenset((b"\0\1\2", b"\1\2\3", b"RGB", b"rgb"))
"""Component identifiers in use: any other three bytes could be initials."""
_TYPICAL: Final = frozenset(
    (
        "a6283a08f5d97906b66adcc812e32396ea83059e55dd4cc91934cf447559aeb6",
        "13f90e3c9dc476c66f24347f6ad29cea93262e99faed279970c2f74e0557f445",
    )
)
"""SHA-256 of the AC tables of T.81 K.3.2, which encoders take as they are; of others every value must be used."""


class Jpeg:
    """One frame as it is walked: the tables now in force, and what is still to come."""

    def __init__(self, frame: bytes, headers: frozenset[int], geometry: Geometry) -> None:
        self._frame = frame
        self._headers = headers
        self._geometry = geometry
        self._ls = _LS in headers
        self._process = 0
        self._quantisation: dict[int, bool] = {}
        self._huffman: dict[tuple[int, int], Table] = {}
        self._interval = 0
        self._components: dict[int, tuple[int, int, int]] = {}
        self._to_come: set[int] = set()
        self._once: set[int] = set()
        self._idle: set[int] = set()
        """Markers of segments that no scan has needed yet, one of a kind."""
        self.precision = 0
        self.segments: list[bytes] = []

    def walk(self) -> int:
        """Return where the frame ends.

        Raises
        ------
        Doubt, IndexError, struct.error
            If anything is there that its decoding does not need.
        """
        frame = self._frame
        if frame[:2] != b"\xff\xd8":
            raise _refuse("codestream")
        pos = 2
        while True:
            if frame[pos] != 0xFF:
                raise _refuse("between-segments")
            marker = frame[pos + 1]
            if marker == _EOI:
                self._finish()
                return pos + 2
            length = _U16(frame, pos + 2)[0]
            body = frame[pos + 4 : pos + 2 + length]
            if len(body) != length - 2:
                raise _refuse("truncated")
            self.segments.append(body)
            pos += 2 + length
            if marker == _SOS:
                pos = self._scan(body, pos)
            elif marker in self._headers:
                self._header(marker, body)
            else:
                self._segment(marker, body)

    def _finish(self) -> None:
        if not self.precision or self._to_come:
            raise _refuse("codestream")
        if self._idle or not all(self._quantisation.values()):
            raise _refuse("unneeded-segment")
        for table in self._huffman.values():
            _is_needed(table)

    def _header(self, marker: int, body: bytes) -> None:
        shape = self._geometry
        rows, columns, count = _U16(body, 1)[0], _U16(body, 3)[0], body[5]
        if (rows, columns, count) != (shape.rows, shape.columns, shape.samples):
            raise _refuse("dimensions")
        if self.precision or len(body) != 6 + 3 * count or not 2 <= body[0] <= shape.allocated:
            raise _refuse("codestream")
        if not (self._ls or marker == _LOSSLESS) and body[0] not in ({8, 12} if marker == _EXTENDED else {8}):
            raise _refuse("codestream")
        self._process = marker
        self.precision = body[0]
        for place in range(6, len(body), 3):
            sampling, table = body[place + 1], body[place + 2]
            across, down = sampling >> 4, sampling & 15
            if not (1 <= across <= 4 and 1 <= down <= 4) or table > (0 if self._ls or marker == _LOSSLESS else 3):
                raise _refuse("codestream")
            self._components[body[place]] = across, down, table
        if len(self._components) != count or (count > 1 and body[6::3] not in _NAMES):
            raise _refuse("components")
        self._to_come = set(self._components)

    def _segment(self, marker: int, body: bytes) -> None:
        """Take a segment of tables or parameters, of exactly the length that it says."""
        if marker in {_APP14, _LSE}:
            if marker in self._once:
                raise _refuse("unneeded-segment")
            self._once.add(marker)
        if marker == _APP14:
            if self._ls or self._geometry.samples != 3 or _ADOBE.fullmatch(body) is None:
                raise _refuse("segment")
        elif marker == _DRI:
            interval = int.from_bytes(body, "big")
            if not (len(body) == 2 or (self._ls and len(body) in (3, 4))) or interval == self._interval:
                raise _refuse("segment")
            self._await(marker)
            self._interval = interval
        elif marker == _LSE and self._ls:
            self._await(marker)
            _check_preset(body)
        elif marker == _DQT and not self._ls:
            self._quantisation_tables(body)
        elif marker == _DHT and not self._ls:
            self._huffman_tables(body)
        else:
            raise _refuse("segment")

    def _await(self, marker: int) -> None:
        if marker in self._idle:
            raise _refuse("unneeded-segment")
        self._idle.add(marker)

    def _quantisation_tables(self, body: bytes) -> None:
        pos = 0
        while pos < len(body):
            kind, number = body[pos] >> 4, body[pos] & 15
            if kind > 1 or number > 3 or not self._quantisation.get(number, True):
                raise _refuse("unneeded-segment")
            self._quantisation[number] = False
            pos += 1 + 64 * (1 + kind)
        if pos != len(body):
            raise _refuse("segment")

    def _huffman_tables(self, body: bytes) -> None:
        pos = 0
        while pos < len(body):
            kind, number = body[pos] >> 4, body[pos] & 15
            lengths = body[pos + 1 : pos + 17]
            stop = pos + 17 + sum(lengths)
            values = body[pos + 17 : stop]
            table = Table(kind == 1, lengths, values)
            if kind > 1 or number > 3 or stop > len(body) or not table.well_formed():
                raise _refuse("segment")
            if (kind, number) in self._huffman:
                _is_needed(self._huffman[kind, number])
            self._huffman[kind, number] = table
            pos = stop
        if pos != len(body):
            raise _refuse("segment")

    def _scan(self, body: bytes, pos: int) -> int:
        """Check a scan and the header that it has; return where the next marker stands."""
        found = (_JPEGLS_MARKER if self._ls else _JPEG_MARKER).search(self._frame, pos)
        if found is None:
            raise _refuse("truncated")
        count = body[0]
        names = body[1 : 1 + 2 * count : 2]
        if not count or len(body) != 4 + 2 * count or len(set(names)) != count or not set(names) <= self._to_come:
            raise _refuse("scan")
        self._to_come -= set(names)
        self._idle.clear()
        selectors = body[2 : 2 + 2 * count : 2]
        first, last, point = body[1 + 2 * count :]
        if self._ls:
            # No mapping tables, and no point transform (T.87 C.2.3).
            if any(selectors) or last > 2 or point:
                raise _refuse("scan")
            return found.start()
        lossless = self._process == _LOSSLESS
        if lossless:
            right = 1 <= first <= 7 and not last and point < self.precision
        else:
            right = (first, last, point) == (0, 63, 0)
        if not right:
            raise _refuse("scan")
        try:
            follow(self._frame[pos : found.start()], self._layout(names, selectors, lossless=lossless))
        except (KeyError, Surplus):
            raise _refuse("scan") from None
        return found.start()

    def _layout(self, names: bytes, selectors: bytes, *, lossless: bool) -> Scan:
        """Return how the data units of a scan follow each other (T.81 A.2); KeyError where a table is absent."""
        unit = 1 if lossless else 8
        widest = max(across for across, _, _ in self._components.values())
        tallest = max(down for _, down, _ in self._components.values())
        shape = self._geometry
        units: list[tuple[Table, Table | None]] = []
        for name, selector in zip(names, selectors, strict=True):
            across, down, quantisation = self._components[name]
            dc = self._huffman[0, selector >> 4]
            ac = None if lossless else self._huffman[1, selector & 15]
            if lossless and selector & 15:
                raise KeyError
            if not lossless:
                self._quantisation[quantisation] = self._quantisation[quantisation] or True
            dc.needed = True
            if ac is not None:
                ac.needed = True
            units += [(dc, ac)] * (across * down)
        if len(names) == 1:
            wide, high = -(-shape.columns * across // widest), -(-shape.rows * down // tallest)
            return Scan(units[:1], -(-wide // unit) * -(-high // unit), self._interval)
        if len(units) > 10:
            raise KeyError
        mcus = -(-shape.columns // (unit * widest)) * -(-shape.rows // (unit * tallest))
        return Scan(units, mcus, self._interval)


def _refuse(kind: str) -> Exception:
    return structure("PixelData", kind)


def _is_needed(table: Table) -> None:
    """Refuse a Huffman table that no scan used, and values of it that none used."""
    if not table.needed:
        raise _refuse("unneeded-segment")
    if not table.ac or all(table.used[value] for value in table.values):
        # The values of the others are lengths, at most 16: no text.
        return
    if hashlib.sha256(table.lengths + table.values).hexdigest() not in _TYPICAL:
        raise _refuse("unneeded-code")


def _check_preset(body: bytes) -> None:
    """Refuse what are not preset coding parameters (T.87 C.2.4.1.1), such as mapping tables for palette colour."""
    if len(body) != 11 or body[0] != 1:
        raise _refuse("segment")
    most, first, second, third, reset = (_U16(body, place)[0] for place in range(1, 11, 2))
    limits = [value for value in (first, second, third) if value]
    if limits != sorted(limits) or (most and any(value > most for value in limits)):
        raise _refuse("segment")
    if reset and not 3 <= reset <= max(255, most or 0xFFFF):
        raise _refuse("segment")
