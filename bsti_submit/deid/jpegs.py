"""A JPEG or JPEG-LS frame → the same picture, and of its segments only what a scan needs, in canonical form.

ITU-T T.81 annex B and T.87 annex C. Tables are taken apart and set anew before the scan that needs them, one a
segment, so that nothing can be hidden in one that none uses or at the end of one; what is not understood is refused.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.staged import UnclearCoding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bsti_submit.deid.staged import PixelLayout
    from bsti_submit.model import Buffer

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_COLOURS: Final = 3

_EOI, _SOS, _DNL, _DRI, _DHT, _DQT, _COM, _LSE, _APP14 = (
    (0xD9, 0xDA, 0xDC, 0xDD, 0xC4, 0xDB, 0xFE, 0xF8, 0xEE)
)  # fmt: skip
_SOF0, _SOF1, _PROGRESSIVE, _LOSSLESS, _LS = 0xC0, 0xC1, 0xC2, 0xC3, 0xF7
_APPLICATIONS: Final = range(0xE0, 0xF0)
_FRAMES: Final = {False: frozenset((_SOF0, _SOF1, _PROGRESSIVE, _LOSSLESS)), True: frozenset((_LS,))}
"""Frame headers: arithmetic coding and hierarchical pictures have no transfer syntax."""
_AC: Final = 0x10

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
    built = _Rebuilt(layout, jpeg_ls=jpeg_ls)
    position = 2
    adobe: int | None = None
    while True:
        if frame[position] != 0xFF:
            raise UnclearCoding
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == _EOI:
            if bytes(frame[position + 2 : position + 4]) == SOI:
                raise UnclearCoding  # a second picture, where the header tells of one
            break
        (length,) = struct.unpack_from(">H", frame, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(frame):
            raise UnclearCoding
        body = bytes(frame[position + 4 : end])
        if marker in _APPLICATIONS or marker == _COM:
            if marker == _APP14 and body[:5] == b"Adobe" and length >= 14:
                adobe = body[11]
            if jpeg_ls and body[:4] == b"mrfx":
                raise UnclearCoding  # a colour transform outside the standard
        elif marker == _SOS:
            built.scan(body)
            found = _SCAN_END[jpeg_ls].search(frame, end)
            if found is None:
                raise UnclearCoding
            last = found.start()
            while frame[last - 1] == 0xFF:  # coded data do not end with one: fill bytes (B.1.1.2)
                last -= 1
            built.parts.append(frame[end:last])
            end = found.start()
        else:
            built.segment(marker, body)
        position = end
    if not built.precision:
        raise UnclearCoding
    colours = adobe is not None and layout.samples == _COLOURS and not jpeg_ls
    head = [SOI, _ADOBE + bytes([min(adobe or 0, 2)])] if colours else [SOI]
    return [*head, *(part for part in built.parts if len(part)), EOI], built.precision


class _Rebuilt:
    """A frame that is put together anew: what its scans need, right before the first that does."""

    def __init__(self, layout: PixelLayout, *, jpeg_ls: bool) -> None:
        self._layout = layout
        self._jpeg_ls = jpeg_ls
        self._process = 0
        self._quantisation: dict[int, int] = {}
        self._header: bytes = b""
        self._current: dict[tuple[int, int], bytes] = {}
        self._set: dict[tuple[int, int], bytes] = {(_DRI, 0): b"\0\0"}
        self.precision = 0
        self.parts: list[Buffer] = []

    def segment(self, marker: int, body: bytes) -> None:
        """Take a segment other than a scan's; UnclearCoding unless it has exactly the length that it says."""
        if marker in _FRAMES[self._jpeg_ls]:
            self._frame_header(marker, body)
        elif marker == _DRI and len(body) == 2:
            self._current[_DRI, 0] = body
        elif marker == _DNL and body == struct.pack(">H", self._layout.rows):
            pass  # the header says it already
        elif marker == _LSE and self._jpeg_ls and len(body) == 11 and body[0] == 1:
            self._current[_LSE, 0] = body
        elif marker in {_DQT, _DHT} and not self._jpeg_ls:
            for table in _tables(marker, body):
                self._current[marker, table[0] & 0x1F if marker == _DHT else table[0] & 0x0F] = table
        else:
            raise UnclearCoding

    def _frame_header(self, marker: int, body: bytes) -> None:
        precision, rows, columns, components = struct.unpack_from(">BHHB", body)
        layout = self._layout
        if self.precision or (rows, columns, components) != (layout.rows, layout.columns, layout.samples):
            raise UnclearCoding
        if len(body) != 6 + 3 * components or not 2 <= precision <= layout.bits_allocated:
            raise UnclearCoding
        header = bytearray(body)
        if marker in {_LOSSLESS, _LS}:
            header[8::3] = bytes(components)  # quantisation tables, of which there are none
        self._header = _segment(marker, bytes(header))
        self._quantisation = dict(zip(body[6::3], body[8::3], strict=True))
        self._process = marker
        self.precision = int(precision)

    def scan(self, body: bytes) -> None:
        """Set the header of a scan, and before it all that it needs and that does not stand there yet."""
        count = body[0]
        if not self.precision or len(body) != 4 + 2 * count:
            raise UnclearCoding
        if not set(body[1 : 1 + 2 * count : 2]) <= self._quantisation.keys():
            raise UnclearCoding
        header = bytearray(body)
        if self._process in {_SOF0, _SOF1}:
            header[-3:] = b"\0\x3f\0"  # as B.2.3 has it; decoders do not look
        elif self._process == _LOSSLESS:
            header[-2] = 0
            header[2 : 2 + 2 * count : 2] = bytes(selector & 0xF0 for selector in body[2 : 2 + 2 * count : 2])
        if not self._jpeg_ls:
            if self._process != _LOSSLESS:
                for name in body[1 : 1 + 2 * count : 2]:
                    self._put(_DQT, self._quantisation[name])
            self._put_header()
            for number in sorted(self._huffman(header, count)):
                self._put(_DHT, number)
        else:
            self._put_header()
            if (_LSE, 0) in self._current:
                self._put(_LSE, 0)
        if (_DRI, 0) in self._current:
            self._put(_DRI, 0)
        self.parts.append(_segment(_SOS, bytes(header)))

    def _huffman(self, header: bytearray, count: int) -> set[int]:
        """Return the numbers of the Huffman tables of a scan (B.2.3 and G.1.1)."""
        selectors = header[2 : 2 + 2 * count : 2]
        dc = {selector >> 4 for selector in selectors}
        ac = {_AC | selector & 15 for selector in selectors}
        if self._process == _LOSSLESS:
            return dc
        if self._process == _PROGRESSIVE:
            first, _, approximation = header[-3:]
            return ac if first else set() if approximation >> 4 else dc
        return dc | ac

    def _put_header(self) -> None:
        if self._header:
            self.parts.append(self._header)
            self._header = b""

    def _put(self, marker: int, number: int) -> None:
        table = self._current.get((marker, number))
        if table is None:
            raise UnclearCoding
        if self._set.get((marker, number)) != table:
            self._set[marker, number] = table
            self.parts.append(_segment(marker, table))


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _tables(marker: int, body: bytes) -> Iterator[bytes]:
    """Yield the tables of a segment; UnclearCoding where it does not end with the last."""
    position = 0
    while position < len(body):
        if marker == _DQT:
            size = 1 + 64 * (1 + (body[position] >> 4 & 1))
        else:
            size = 17 + sum(body[position + 1 : position + 17])
        yield body[position : position + size]
        position += size
    if position != len(body):
        raise UnclearCoding
