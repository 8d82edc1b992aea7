"""The bytes of an input header, in whatever syntax and state → the values that may hold an identifier.

Lenient on purpose: what can be read of a broken file is read, and nothing is ever raised. The strict walker for
our own output is in `strict`.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from bsti_submit.deid.certify.attributes import KIND_OF_TAG, KIND_OF_VR, LONG_VRS, SHORT_VRS, VRS_OF_TAG

if TYPE_CHECKING:
    from bsti_submit.model import Buffer

DEPTH = 64
"""Sequences nested deeper than this are not read: a recursion bomb, not an image."""
LIMIT = 64 << 20
"""No more than this many bytes of a header are read, deflated or not."""

_EXPLICIT = {False: Struct("<HH2sH").unpack_from, True: Struct(">HH2sH").unpack_from}
_IMPLICIT = {False: Struct("<HHI").unpack_from, True: Struct(">HHI").unpack_from}
_U32 = {False: Struct("<I").unpack_from, True: Struct(">I").unpack_from}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHARSET, _SYNTAX = 0x00080005, 0x00020010
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_DEFLATED = frozenset((b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.8.1"))
_BIG = b"1.2.840.10008.1.2.2"
_IMPLICIT_SYNTAX = b"1.2.840.10008.1.2"


class Found(NamedTuple):
    """One value that may hold an identifier: its tag, its VR, its raw bytes, and the character set in force."""

    tag: int
    vr: bytes
    raw: bytes
    charset: bytes


def _implied_vr(tag: int) -> bytes:
    vrs = VRS_OF_TAG.get(tag)
    if vrs:
        return vrs[0]
    if tag >> 16 & 1:
        return b"LO" if 0x10 <= tag & 0xFFFF <= 0xFF else b"UN"
    return b"UN"


class _Walk:
    def __init__(self, buffer: bytes, *, explicit: bool, big: bool, found: list[Found]) -> None:
        self._buffer = buffer
        self._explicit = explicit
        self._big = big
        self._found = found

    def dataset(self, pos: int, end: int, depth: int, charset: bytes) -> int:
        """Read elements from `pos` up to `end` or a delimiter, and return where it stopped."""
        buffer, found = self._buffer, self._found
        explicit, implicit, u32 = _EXPLICIT[self._big], _IMPLICIT[self._big], _U32[self._big]
        is_explicit = self._explicit
        while pos + 8 <= end:
            if is_explicit:
                group, element, vr, length = explicit(buffer, pos)
                tag = group << 16 | element
                start = pos + 8
                if vr in LONG_VRS:
                    if start + 4 > end:
                        return end
                    length = u32(buffer, start)[0]
                    start += 4
                elif vr not in SHORT_VRS:
                    # A delimiter, or an element without a VR: an implicit one slipped in, as some writers do.
                    length = u32(buffer, pos + 4)[0]
                    vr = b"" if group == 0xFFFE else _implied_vr(tag)
            else:
                group, element, length = implicit(buffer, pos)
                tag = group << 16 | element
                start = pos + 8
                vr = b"" if group == 0xFFFE else _implied_vr(tag)
            if vr in KIND_OF_VR or tag in KIND_OF_TAG:
                if length != _UNDEFINED and vr != b"SQ":
                    found.append(Found(tag, vr, buffer[start : min(start + length, end)], charset))
            elif tag == _CHARSET:
                charset = buffer[start : min(start + length, end)]
            elif (tag in _PIXELS and not depth) or not any(buffer[pos : pos + 8]):
                return end  # the pixels, or zero bytes where an element should be
            elif tag in _PIXELS and length == _UNDEFINED:
                pos = self._fragments(start, end)  # of an icon, with the rest of the header behind it
                continue
            elif not vr:
                if tag in (_ITEM_END, _SEQUENCE_END):
                    return start
                pos = start
                continue
            elif vr == b"UN":
                self._unknown(tag, start, min(start + length, end), charset)
            if vr == b"SQ" or length == _UNDEFINED:
                if depth >= DEPTH:
                    return end
                stop = end if length == _UNDEFINED else min(start + length, end)
                walk = self if vr == b"SQ" else _Walk(buffer, explicit=False, big=False, found=found)
                reached = walk.items(start, stop, depth + 1, charset)
                pos = reached if length == _UNDEFINED else stop
            else:
                pos = start + length
        return end

    def _fragments(self, pos: int, end: int) -> int:
        """Pass over compressed pixels, and return where they end."""
        while pos + 8 <= end:
            group, element, length = _IMPLICIT[self._big](self._buffer, pos)
            pos += 8
            if group << 16 | element != _ITEM:
                return pos
            pos += length
        return end

    def _unknown(self, tag: int, start: int, stop: int, charset: bytes) -> None:
        """Read an element of VR UN by the VR of the dictionary (CP-246: as Implicit VR Little Endian)."""
        vr = _implied_vr(tag)
        if vr in KIND_OF_VR:
            self._found.append(Found(tag, vr, self._buffer[start:stop], charset))
        elif vr == b"SQ":
            _Walk(self._buffer, explicit=False, big=False, found=self._found).items(start, stop, DEPTH - 8, charset)

    def items(self, pos: int, end: int, depth: int, charset: bytes) -> int:
        """Read the items of a sequence, and return where it ends."""
        implicit = _IMPLICIT[self._big]
        while pos + 8 <= end:
            group, element, length = implicit(self._buffer, pos)
            tag = group << 16 | element
            pos += 8
            if tag == _SEQUENCE_END:
                return pos
            if tag != _ITEM:
                return end
            stop = end if length == _UNDEFINED else min(pos + length, end)
            reached = self.dataset(pos, stop, depth, charset)
            pos = reached if length == _UNDEFINED else stop
        return end


def _file_meta(buffer: bytes, pos: int) -> tuple[int, bytes]:
    """Return where the data set begins and the raw transfer syntax, walking the file meta if there is one."""
    syntax = b""
    unpack = _EXPLICIT[False]
    while pos + 8 <= len(buffer):
        group, element, vr, length = unpack(buffer, pos)
        if group != 2:
            break
        start = pos + 8
        if vr in LONG_VRS and start + 4 <= len(buffer):
            length = _U32[False](buffer, start)[0]
            start += 4
        elif vr not in SHORT_VRS:
            length = _U32[False](buffer, pos + 4)[0]
        if element == _SYNTAX & 0xFFFF:
            syntax = buffer[start : start + length].rstrip(b" \0")
        pos = start + length
    return pos, syntax


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(-15).decompress(data, LIMIT)
    except zlib.error:
        return b""


def scan_header(header: Buffer) -> list[Found]:
    """Return the values of a header that may hold an identifier.

    Parameters
    ----------
    header
        An input file's bytes from the start, up to its pixel data or further: with or without preamble and
        file meta, in any transfer syntax. Broken input yields what could be read.
    """
    buffer = bytes(memoryview(header)[:LIMIT])
    found: list[Found] = []
    start = 132 if buffer[128:132] == b"DICM" else 4 if buffer[:4] == b"DICM" else 0
    pos, syntax = _file_meta(buffer, start)
    pos = min(pos, len(buffer))
    _Walk(buffer, explicit=True, big=False, found=found).dataset(start, pos, 0, b"")
    if syntax in _DEFLATED:
        buffer, pos = _inflate(buffer[pos:]), 0
    if len(buffer) < pos + 8:
        return found
    vr = buffer[pos + 4 : pos + 6]
    explicit = vr in LONG_VRS or vr in SHORT_VRS
    if not explicit and syntax not in (b"", _IMPLICIT_SYNTAX) and buffer[pos + 6 : pos + 8] != b"\0\0":
        # Declared explicit, first VR unknown: more likely a strange VR than an implicit data set.
        explicit = True
    # Groups of the first element are small numbers: the byte that is zero tells the order, whatever is declared.
    big = buffer[pos] == 0 and buffer[pos + 1] != 0 if syntax in (b"", _BIG) else False
    _Walk(buffer, explicit=explicit, big=big, found=found).dataset(pos, len(buffer), 0, b"")
    return found
