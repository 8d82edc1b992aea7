"""The bytes of a DICOM file → its elements, as slices: nothing is decoded and nothing copied.

Our own walker, since the engine must see every byte that it lets pass, and since values that no rule touches need
not be decoded. Implicit and Explicit VR Little Endian, Explicit VR Big Endian, deflated and encapsulated transfer
syntaxes (PS3.5 7 and annex A), with or without preamble and file meta (PS3.10 7.1).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from bsti_submit.deid.vrs import dictionary_vr
from bsti_submit.model import Buffer, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

Value: TypeAlias = "memoryview | list[list[Element]] | Fragments"
Element: TypeAlias = "tuple[int, str, Value, memoryview | None]"
"""Tag; VR as stated, or the dictionary's where none is; value; the whole element as it stands if that is reusable."""

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

PIXEL_DATA: Final = 0x7FE00010
FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_PIXEL_DATA: Final = 0x7FE00009
_PIXEL_REPRESENTATION: Final = 0x00280103
_PIXELS: Final = frozenset({PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA})

_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_UNDEFINED: Final = 0xFFFFFFFF
DEEPEST: Final = 64
MOST_ELEMENTS: Final = 1_000_000
LARGEST_INFLATED: Final = 1 << 28
"""Bytes; the largest radiograph of a chest needs a fifth."""

_LONG: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
_SHORT: Final = frozenset(
    (
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FL",
        "FD",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
    )
    + ("UL", "US")
)
_PLAIN_VRS: Final = {vr.encode(): vr for vr in _SHORT}
_VRS: Final = {vr.encode(): vr for vr in _LONG | _SHORT}
_WORD: Final = {
    "US": 2,
    "SS": 2,
    "OW": 2,
    "AT": 2,
    "UL": 4,
    "SL": 4,
    "FL": 4,
    "OL": 4,
    "OF": 4,
} | dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8)


class Broken(Exception):  # noqa: N818 - caught at once and turned into a refusal
    """The bytes are not a DICOM data set that can be read for certain."""

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fragments:
    """Encapsulated pixel data: the basic offset table, and the fragments (PS3.5 A.4)."""

    offsets: memoryview
    fragments: tuple[memoryview, ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A data set as it stands in a file.

    Attributes
    ----------
    transfer_syntax_uid
        As the file says, or as its first element shows where it says nothing.
    elements
        At the top level, in the order of the file.
    big_endian
        Whether pixel words are big-endian; all other values have been brought to little-endian.
    """

    transfer_syntax_uid: str
    elements: list[Element]
    big_endian: bool


def parse(data: Buffer) -> Parsed:
    """Parse a whole file.

    Raises
    ------
    Broken
        With the reason for holding it back.
    """
    buffer = memoryview(data)
    syntax, position = _file_meta(buffer)
    if syntax == DEFLATED:
        buffer, position = memoryview(_inflate(buffer[position:])), 0
    implicit = _is_implicit(buffer, position)
    if not syntax:
        syntax = _guessed(buffer, position, implicit=implicit)
    big = syntax == EXPLICIT_BIG
    walker = _Walker(buffer, ">" if big else "<", explicit=(not implicit or big) and syntax != IMPLICIT_LITTLE)
    if syntax == IMPLICIT_LITTLE and not implicit:
        walker.explicit = True  # a known fault of writers; the first element shows how it really is
    elements = walker.data_set(position)
    return Parsed(syntax, elements, big)


def parse_sequence(value: memoryview) -> list[list[Element]]:
    """Parse the value of a sequence that was stored as UN: Implicit VR Little Endian (PS3.5 6.2.2).

    Raises
    ------
    Broken
        If it is no such thing.
    """
    try:
        items, _ = _Walker(value, "<", explicit=False).items(0, len(value), 1, len(value))
    except struct.error:
        raise Broken(Reason.TRUNCATED) from None
    return items


def each_text(data: Buffer, use: Callable[[int, str, memoryview, bytes], None]) -> None:
    """Call ``use(tag, vr, value, character_set)`` for every value of a header that can be read, at any depth.

    For a header that stops before its pixel data, or anywhere: what comes before the break is used. Never raises.
    """
    buffer = memoryview(data)
    try:
        syntax, position = _file_meta(buffer, use)
        if syntax == DEFLATED:
            buffer, position = memoryview(_inflate(buffer[position:])), 0
        implicit = _is_implicit(buffer, position)
        big = (syntax or _guessed(buffer, position, implicit=implicit)) == EXPLICIT_BIG
        walker = _Walker(buffer, ">" if big else "<", explicit=not implicit or big)
        walker.tolerant = True
        elements = walker.data_set(position)
    except (Broken, struct.error, IndexError, ValueError, RecursionError, zlib.error):
        return
    _each(elements, b"", use)


def _each(elements: list[Element], inherited: bytes, use: Callable[[int, str, memoryview, bytes], None]) -> None:
    character_set = next(
        (bytes(value) for tag, _, value, _ in elements if tag == 0x00080005 and isinstance(value, memoryview)),
        inherited,
    )
    for tag, vr, value, _ in elements:
        if isinstance(value, memoryview):
            use(tag, vr, value, character_set)
        elif isinstance(value, list):
            for item in value:
                _each(item, character_set, use)


def _file_meta(buffer: memoryview, use: Callable[[int, str, memoryview, bytes], None] | None = None) -> tuple[str, int]:
    """Return the transfer syntax, "" if none is stated, and where the data set starts."""
    position = 132 if bytes(buffer[128:132]) == b"DICM" else 0
    syntax = ""
    while position + 8 <= len(buffer) and bytes(buffer[position : position + 2]) == b"\x02\x00":
        vr = _VRS.get(bytes(buffer[position + 4 : position + 6]))
        if vr is None:
            raise Broken(Reason.UNREADABLE)
        if vr in _LONG:
            length, start = struct.unpack_from("<L", buffer, position + 8)[0], position + 12
        else:
            length, start = struct.unpack_from("<H", buffer, position + 6)[0], position + 8
        if start + length > len(buffer):
            raise Broken(Reason.TRUNCATED)
        value = buffer[start : start + length]
        element = struct.unpack_from("<H", buffer, position + 2)[0]
        if element == 0x0010:
            syntax = bytes(value).rstrip(b"\0 ").decode("ascii", "replace")
        if use is not None:
            use(0x00020000 | element, vr, value, b"")
        position = start + length
    return syntax, position


def _is_implicit(buffer: memoryview, position: int) -> bool:
    return bytes(buffer[position + 4 : position + 6]) not in _VRS


def _guessed(buffer: memoryview, position: int, *, implicit: bool) -> str:
    """Return the transfer syntax of a data set of which nothing is told."""
    if implicit:
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if bytes(buffer[position : position + 1]) == b"\0" else EXPLICIT_LITTLE


def _inflate(data: memoryview) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, LARGEST_INFLATED)
    except zlib.error:
        raise Broken(Reason.UNREADABLE) from None
    if inflater.unconsumed_tail:
        raise Broken(Reason.TOO_LARGE)
    if not inflater.eof:
        raise Broken(Reason.TRUNCATED)
    return inflated


class _Walker:
    """Walks one byte order and one way of stating VRs; changes to implicit inside UN."""

    def __init__(self, buffer: memoryview, order: str, *, explicit: bool) -> None:
        self.buffer = buffer
        self.order = order
        self.explicit = explicit
        self.tolerant = False
        self.count = 0
        self.signed = False
        self._tag = struct.Struct(order + "HH").unpack_from
        self._head = struct.Struct(order + "HH2sH").unpack_from
        self._long = struct.Struct(order + "L").unpack_from
        self._tag_long = struct.Struct(order + "HHL").unpack_from

    def data_set(self, position: int) -> list[Element]:
        """Return the elements of the data set that starts at a position and ends with the buffer."""
        elements: list[Element] = []
        end = len(self.buffer)
        after_pixels = False
        while position < end:
            if self.explicit and self.order == "<" and not after_pixels:
                position = self._plain(position, elements)
                if position == end:
                    break
            if end - position < 8 or not any(self.buffer[position : position + 8]):
                if after_pixels or self.tolerant or not any(self.buffer[position:end]):
                    break  # padding
                raise Broken(Reason.TRUNCATED)
            try:
                element, position = self.element(position, end, 0)
            except (Broken, struct.error, IndexError):
                # What stands behind the pixels and is no element goes with everything else behind them; an
                # interrupted header is used as far as it goes only for harvesting.
                if after_pixels or self.tolerant:
                    break
                raise
            if element[0] == _PIXEL_REPRESENTATION and isinstance(element[2], memoryview):
                self.signed = bytes(element[2]) == b"\1\0"
            after_pixels = after_pixels or element[0] in _PIXELS
            elements.append(element)
        return elements

    def _plain(self, position: int, elements: list[Element]) -> int:
        """Take the elements with short VRs in Explicit VR Little Endian up to the first that needs more care.

        Nine of ten elements of an image are of this kind, and one loop over them halves the time of reading.
        """
        buffer, end, head, vrs = self.buffer, len(self.buffer), self._head, _PLAIN_VRS.get
        add = elements.append
        last = end - 8
        start_count = len(elements)
        while position <= last:
            group, number, raw_vr, length = head(buffer, position)
            vr = vrs(raw_vr)
            stop = position + 8 + length
            if vr is None or stop > end or group == 0xFFFE:
                break
            add((group << 16 | number, vr, buffer[position + 8 : stop], buffer[position:stop]))
            position = stop
        self.count += len(elements) - start_count
        if self.count > MOST_ELEMENTS:
            raise Broken(Reason.TOO_LARGE)
        return position

    def element(self, position: int, end: int, depth: int) -> tuple[Element, int]:
        """Return the element at a position, and where the next one starts."""
        self.count += 1
        if self.count > MOST_ELEMENTS:
            raise Broken(Reason.TOO_LARGE)
        start = position
        buffer = self.buffer
        reusable = self.explicit and self.order == "<"
        long = not self.explicit
        if self.explicit:
            group, number, raw_vr, length = self._head(buffer, position)
            tag = group << 16 | number
            vr = _VRS.get(raw_vr)
            if vr is None:
                raise Broken(Reason.UNREADABLE)
            long = vr in _LONG
            if long:
                (length,) = self._long(buffer, position + 8)
                position += 12
            else:
                position += 8
        else:
            group, number, length = self._tag_long(buffer, position)
            tag = group << 16 | number
            vr = dictionary_vr(tag, signed=self.signed)
            position += 8
        if group == 0xFFFE:
            raise Broken(Reason.UNREADABLE)
        if long and length == _UNDEFINED:
            return self._undefined(tag, vr, position, end, depth)
        stop = position + length
        if stop > end:
            raise Broken(Reason.TRUNCATED)
        if vr == "SQ":
            return (tag, vr, self._sequence(tag, position, stop, depth), None), stop
        value = buffer[position:stop]
        if self.order == ">" and vr in _WORD and tag not in _PIXELS:
            value = _swapped(value, _WORD[vr])
        # Of a long VR the two reserved bytes could hold anything, so that such an element is encoded anew.
        return (tag, vr, value, buffer[start:stop] if reusable and not long else None), stop

    def _sequence(self, tag: int, position: int, stop: int, depth: int) -> Value:
        try:
            return self.items(position, stop, depth + 1, stop - position)[0]
        except (Broken, struct.error):
            # Makers put anything into their own sequences; of one whose end is told, the inside is opaque.
            if tag >> 16 & 1 and self.count <= MOST_ELEMENTS:
                return self.buffer[position:stop]
            raise

    def _undefined(self, tag: int, vr: str, position: int, end: int, depth: int) -> tuple[Element, int]:
        if tag == PIXEL_DATA and depth == 0:
            fragments, position = self._fragments(position, end)
            return (tag, vr, fragments, None), position
        if vr == "SQ":
            items, position = self.items(position, end, depth + 1, _UNDEFINED)
            return (tag, "SQ", items, None), position
        if vr == "UN":
            inner = self if not self.explicit else self._other(explicit=False)
            items, position = inner.items(position, end, depth + 1, _UNDEFINED)
            self.count = max(self.count, inner.count)
            return (tag, "SQ", items, None), position
        raise Broken(Reason.UNREADABLE)

    def _other(self, *, explicit: bool) -> _Walker:
        inner = _Walker(self.buffer, "<", explicit=explicit)
        inner.count = self.count
        inner.signed = self.signed
        return inner

    def items(self, position: int, end: int, depth: int, length: int) -> tuple[list[list[Element]], int]:
        """Return the items of a sequence, and where it ends."""
        if depth > DEEPEST:
            raise Broken(Reason.TOO_LARGE)
        found: list[list[Element]] = []
        while position < end or length == _UNDEFINED:
            group, number, size = self._tag_long(self.buffer, position)
            tag = group << 16 | number
            position += 8
            if tag == _SEQUENCE_END:
                if length == _UNDEFINED:
                    return found, position
                raise Broken(Reason.UNREADABLE)
            if tag != _ITEM:
                raise Broken(Reason.UNREADABLE)
            self.count += 1
            if self.count > MOST_ELEMENTS:
                raise Broken(Reason.TOO_LARGE)
            item, position = self._item(position, end, size, depth)
            found.append(item)
        return found, position

    def _item(self, position: int, end: int, size: int, depth: int) -> tuple[list[Element], int]:
        if size != _UNDEFINED and position + size > end:
            raise Broken(Reason.TRUNCATED)
        if size and self.order == "<" and self._tag_long(self.buffer, position)[0] != 0xFFFE:
            explicit = not _is_implicit(self.buffer, position)
            if explicit != self.explicit:
                # A known fault of writers: items in the other way of stating VRs than what is around them.
                inner = self._other(explicit=explicit)
                found = inner.item(position, end, size, depth)
                self.count = max(self.count, inner.count)
                return found
        return self.item(position, end, size, depth)

    def item(self, position: int, end: int, size: int, depth: int) -> tuple[list[Element], int]:
        """Return the elements of an item in this walker's way of stating VRs, and where it ends."""
        elements: list[Element] = []
        if size != _UNDEFINED:
            end = position + size
            while position < end:
                element, position = self.element(position, end, depth)
                elements.append(element)
            return elements, position
        while True:
            group, number = self._tag(self.buffer, position)
            if group << 16 | number == _ITEM_END:
                return elements, position + 8
            element, position = self.element(position, end, depth)
            elements.append(element)

    def _fragments(self, position: int, end: int) -> tuple[Fragments, int]:
        found: list[memoryview] = []
        while True:
            if position + 8 > end:
                raise Broken(Reason.TRUNCATED)
            group, number, size = self._tag_long(self.buffer, position)
            tag = group << 16 | number
            position += 8
            if tag == _SEQUENCE_END:
                break
            if tag != _ITEM or size == _UNDEFINED:
                raise Broken(Reason.UNREADABLE)
            if position + size > end:
                raise Broken(Reason.TRUNCATED)
            found.append(self.buffer[position : position + size])
            position += size
            self.count += 1
            if self.count > MOST_ELEMENTS:
                raise Broken(Reason.TOO_LARGE)
        if not found:
            raise Broken(Reason.PIXEL_CODING)
        return Fragments(found[0], tuple(found[1:])), position


def _swapped(value: memoryview, width: int) -> memoryview:
    if len(value) % width:
        raise Broken(Reason.UNREADABLE)
    raw = bytes(value)
    turned = bytearray(len(raw))
    for offset in range(width):
        turned[offset::width] = raw[width - 1 - offset :: width]
    return memoryview(bytes(turned))
