"""Walks the bytes of a data set, in one byte order and one way of stating VRs, and never beyond what it is given."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from bsti_submit.deid.vrs import dictionary_vr, is_text
from bsti_submit.model import Reason

Value: TypeAlias = "memoryview | list[list[Element]] | Fragments"
Element: TypeAlias = "tuple[int, str, Value, memoryview | None]"
"""Tag; VR as stated, or the dictionary's where none is; value; the whole element as it stands if that is reusable."""

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

LONG_VRS: Final = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""With two reserved bytes and a length of four (PS3.5 7.1.2)."""
_SHORT_VRS: Final = frozenset("AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_PLAIN_VRS: Final = {vr.encode(): vr for vr in _SHORT_VRS}
VRS: Final = {vr.encode(): vr for vr in LONG_VRS | _SHORT_VRS}
_WORD: Final = (
    dict.fromkeys(("US", "SS", "OW", "AT"), 2)
    | dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), 4)
    | dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8)
)
"""Bytes of a word, which a big-endian file has the other way round."""


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


def is_implicit(buffer: memoryview, position: int) -> bool:
    """Whether no VR stands where the first element would have one."""
    return bytes(buffer[position + 4 : position + 6]) not in VRS


class Walker:
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
            if after_pixels and element[0] < PIXEL_DATA and not self.tolerant:
                # It belongs before the pixels, where the survey ends: nobody was asked about what it says of the picture.
                raise Broken(Reason.UNREADABLE)
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
            vr = VRS.get(raw_vr)
            if vr is None:
                raise Broken(Reason.UNREADABLE)
            long = vr in LONG_VRS
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
        if self.order == ">" and vr in _WORD and tag not in _PIXELS and not is_text(tag):
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

    def _other(self, *, explicit: bool) -> Walker:
        inner = Walker(self.buffer, "<", explicit=explicit)
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
            explicit = not is_implicit(self.buffer, position)
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
