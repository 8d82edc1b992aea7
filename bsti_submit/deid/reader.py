"""The bytes of a DICOM file → its elements, as slices: nothing is decoded and nothing copied.

Our own walker, since the engine must see every byte that it lets pass, and since values that no rule touches need
not be decoded. Implicit and Explicit VR Little Endian, Explicit VR Big Endian, deflated and encapsulated transfer
syntaxes (PS3.5 7 and annex A), with or without preamble and file meta (PS3.10 7.1).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.walker import LONG_VRS, VRS, Broken, Walker, is_implicit
from bsti_submit.model import Buffer, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from bsti_submit.deid.walker import Element

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})
LARGEST_INFLATED: Final = 1 << 28
"""Bytes; the largest radiograph of a chest needs a fifth."""


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
    implicit = is_implicit(buffer, position)
    if not syntax:
        syntax = _guessed(buffer, position, implicit=implicit)
    big = syntax == EXPLICIT_BIG
    walker = Walker(buffer, ">" if big else "<", explicit=(not implicit or big) and syntax != IMPLICIT_LITTLE)
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
        items, _ = Walker(value, "<", explicit=False).items(0, len(value), 1, len(value))
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
        implicit = is_implicit(buffer, position)
        big = (syntax or _guessed(buffer, position, implicit=implicit)) == EXPLICIT_BIG
        walker = Walker(buffer, ">" if big else "<", explicit=not implicit or big)
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
        vr = VRS.get(bytes(buffer[position + 4 : position + 6]))
        if vr is None:
            raise Broken(Reason.UNREADABLE)
        if vr in LONG_VRS:
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
