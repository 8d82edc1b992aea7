"""A strict walk over our own output: Explicit VR Little Endian, and nothing that need not be there.

Zero preamble, new file meta, ascending tags without duplicates, even lengths, known VRs, no group lengths, bounded
depth (PS3.5 section 7, PS3.10 section 7). Anything else is a doubt.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from bsti_submit.deid.certify.attributes import LONG_VRS, SHORT_VRS, VRS_OF_TAG, name_of
from bsti_submit.deid.certify.charsets import codec_of
from bsti_submit.deid.certify.forms import Finding, Forms
from bsti_submit.model import Allowed, AllowList, Form, Reason

if TYPE_CHECKING:
    from bsti_submit.deid.certify.feed import Feed

DEPTH = 16
"""Sequences nested deeper than this are not let through; enhanced objects need five."""
HEAD_LIMIT = 256 << 20
"""The largest header, in bytes. The functional groups of some thousand frames take a few MiB."""

_HEAD = Struct("<HH2sH").unpack_from
_ITEM_HEAD = Struct("<HHI").unpack_from
_U32 = Struct("<I").unpack_from
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHARSET = 0x00080005
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_ICON = 0x00880200
_WINDOW = 1 << 15
_CACHED_LENGTH = 4096
_CACHED_VALUES = 128
_DEFAULT_CODEC = "ascii"


class Doubt(Exception):  # noqa: N818 - a verdict on its way up, not an error
    """The structure is not as it must be; the walk cannot go on."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.finding = finding


def structure(attribute: str = "", kind: str = "") -> Doubt:
    """Return a doubt about the structure."""
    return Doubt(Finding(Reason.STRUCTURE, attribute, kind))


class _Short(Exception):  # noqa: N818 - a signal
    """The window ends within an element."""


class Region(NamedTuple):
    """Where the value of one element is: for judging a hit in raw bytes."""

    start: int
    end: int
    tag: int
    vr: bytes


class Top(NamedTuple):
    """The top level of a data set: where it stops, its raw elements by tag, and the pixel data's tag or 0."""

    stop: int
    elements: dict[int, bytes]
    pixels: int


class Walker:
    """Walk data sets of one patient, remembering which elements were found good before.

    Most elements of a slice are those of the slice before: an element that passed, byte for byte, under the same
    character set passes again.
    """

    def __init__(self, forms: Forms, allow_list: AllowList | None) -> None:
        self._forms = forms
        self._allowed = allow_list.elements if allow_list is not None else None
        self._private = allow_list.private if allow_list is not None else {}
        self._creators = {(group, creator) for group, creator, _ in self._private}
        self._good: dict[str, set[bytes]] = {}
        self._distinct: dict[int, int] = {}
        self._elements_of_top: dict[int, bytes] = {}
        self.findings: list[Finding] = []
        self.regions: list[Region] | None = None

    def forget(self) -> None:
        """Forget which elements were found good."""
        self._good.clear()
        self._distinct.clear()

    def top(self, feed: Feed, start: int) -> tuple[bytes, Top]:
        """Walk the elements at the top level, up to the pixel data or the end. Nothing of the feed is consumed.

        Parameters
        ----------
        feed
            The payload.
        start
            Where the first element is, counted from where the feed stands.

        Returns
        -------
        tuple
            The bytes from where the feed stands to where the walk stopped, and what was found.

        Raises
        ------
        Doubt
            If the structure is wrong.
        """
        size = _WINDOW
        window = feed.peek(size)
        while True:
            self.findings.clear()
            cut = False
            try:
                found = self.walk(window, start)
            except _Short:
                cut = True
            if not cut and found.pixels:
                return window[: found.stop], found
            if size >= HEAD_LIMIT:
                raise Doubt(Finding(Reason.TOO_LARGE))
            size *= 2
            larger = feed.peek(size)
            if len(larger) == len(window):
                if cut:
                    raise structure(kind="truncated")
                return window, found
            window = larger

    def walk(self, buffer: bytes, start: int) -> Top:
        """Walk a whole buffer from `start`; `findings` takes what is wrong with single elements."""
        self._elements_of_top = {}
        stop, pixels = self._level(buffer, start, len(buffer), 0, _DEFAULT_CODEC, bounded=False)
        return Top(stop, self._elements_of_top, pixels)

    def _level(self, buffer: bytes, pos: int, end: int, depth: int, codec: str, *, bounded: bool) -> tuple[int, int]:
        """Walk the elements of a data set or item; return where it ends, and the pixel data's tag or 0."""
        good = self._good.setdefault(codec, set())
        blocks: dict[int, str] = {}
        top = self._elements_of_top if depth == 0 else None
        regions = self.regions
        last = 0
        while True:
            if pos + 8 > end:
                if pos == end and (bounded or depth == 0):
                    return pos, 0
                _cut(bounded=bounded)
            group, element, vr, length = _HEAD(buffer, pos)
            tag = group << 16 | element
            if tag == _ITEM_END and not bounded and depth:
                if buffer[pos + 4 : pos + 8] != b"\0\0\0\0":
                    raise structure(kind="delimiter")
                return pos + 8, 0
            if tag <= last:
                raise structure(name_of(tag), "order")
            if tag in _PIXELS and depth == 0:
                return pos, tag
            start = pos + 8
            if vr in LONG_VRS:
                if start + 4 > end:
                    _cut(bounded=bounded)
                length = _U32(buffer, start)[0]
                start += 4
            if length == _UNDEFINED and vr == b"SQ":
                self._frame(tag, vr, buffer[pos:start], 0)
                pos = self._items(buffer, start, end, depth + 1, codec, bounded=False, nested=bounded)
                self._allow_sequence(tag, empty=pos == start + 8)
                if top is not None:
                    top[tag] = b""
                last = tag
                continue
            stop = start + length
            if stop > end:
                if vr not in LONG_VRS and vr not in SHORT_VRS:
                    raise structure(name_of(tag), "vr")
                _cut(bounded=bounded)
            raw = buffer[pos:stop]
            if raw not in good or regions is not None:
                before = len(self.findings)
                self._frame(tag, vr, raw, length)
                if vr == b"SQ":
                    self._allow_sequence(tag, empty=not length)
                    self._items(buffer, start, stop, depth + 1, codec, bounded=True, nested=True)
                else:
                    if regions is not None:
                        regions.append(Region(start, stop, tag, vr))
                    self._value(tag, vr, raw[start - pos :], codec, blocks)
                if not group & 1 and len(self.findings) == before and len(raw) <= _CACHED_LENGTH:
                    self._remember(tag, raw, good)
            if tag == _CHARSET:
                codec = _charset(raw[8:])
                good = self._good.setdefault(codec, set())
            if top is not None:
                top[tag] = raw
            last = tag
            pos = stop

    def _items(self, buffer: bytes, pos: int, end: int, depth: int, codec: str, *, bounded: bool, nested: bool) -> int:
        """Walk the items of a sequence; return where it ends, its delimiter included.

        `bounded` says that `end` is the end of this very sequence, `nested` that it is one of an enclosing item.
        """
        if depth > DEPTH:
            raise structure(kind="depth")
        while True:
            if pos + 8 > end:
                if bounded and pos == end:
                    return pos
                _cut(bounded=bounded or nested)
            group, element, length = _ITEM_HEAD(buffer, pos)
            tag = group << 16 | element
            pos += 8
            if tag == _SEQUENCE_END and not bounded:
                if length:
                    raise structure(kind="delimiter")
                return pos
            if tag != _ITEM:
                raise structure(kind="item")
            if length == _UNDEFINED:
                # Up to its delimiter: what ends it early is the end of what encloses it.
                pos = self._unbounded_item(buffer, pos, end, depth, codec, nested=bounded or nested)
            else:
                if pos + length > end:
                    _cut(bounded=bounded or nested)
                self._level(buffer, pos, pos + length, depth, codec, bounded=True)
                pos += length

    def _unbounded_item(self, buffer: bytes, pos: int, end: int, depth: int, codec: str, *, nested: bool) -> int:
        try:
            return self._level(buffer, pos, end, depth, codec, bounded=False)[0]
        except _Short:
            if nested:
                raise structure(kind="item") from None
            raise

    @staticmethod
    def _frame(tag: int, vr: bytes, raw: bytes, length: int) -> None:
        """Check an element's own bytes: a data element of PS3.5 7.1 with a VR that PS3.6 gives it."""
        group = tag >> 16
        if vr in LONG_VRS:
            if raw[6] or raw[7]:
                raise structure(name_of(tag), "reserved-bytes")
        elif vr not in SHORT_VRS:
            raise structure(name_of(tag), "vr")
        if length & 1:
            raise structure(name_of(tag), "odd-length")
        if not tag & 0xFFFF or group < 8 or group >= 0xFFFA:
            raise structure(name_of(tag), "element")
        if not group & 1 and tag in VRS_OF_TAG and vr not in VRS_OF_TAG[tag]:
            raise structure(name_of(tag), "vr")

    def _allowed_for(self, tag: int) -> Allowed | None:
        """Return the forms allowed for a standard element, or note that it may not leave."""
        group = tag >> 16
        graphic = group & 0xFF00 in (0x5000, 0x6000)
        if self._allowed is None:
            if tag not in VRS_OF_TAG or graphic or group & 1 or tag == _ICON or tag in _PIXELS:
                self.findings.append(Finding(Reason.ELEMENT_NOT_ALLOWED, name_of(tag)))
            return None
        allowed = self._allowed.get(tag)
        if allowed is None or tag not in VRS_OF_TAG or graphic or tag == _ICON or tag in _PIXELS:
            self.findings.append(Finding(Reason.ELEMENT_NOT_ALLOWED, name_of(tag)))
            return None
        return allowed

    def _allow_sequence(self, tag: int, *, empty: bool) -> None:
        allowed = self._allowed_for(tag)
        if allowed is not None and not empty and not allowed.forms & {Form.SEQUENCE, Form.KEEP}:
            self.findings.append(Finding(Reason.ELEMENT_NOT_ALLOWED, name_of(tag), "form"))

    def _value(self, tag: int, vr: bytes, value: bytes, codec: str, blocks: dict[int, str]) -> None:
        if tag >> 16 & 1:
            self._private_value(tag, vr, value, codec, blocks)
            return
        before = len(self.findings)
        allowed = self._allowed_for(tag)
        if len(self.findings) == before:
            finding = self._forms.check(tag, vr, value, allowed, codec)
            if finding is not None:
                self.findings.append(finding)

    def _private_value(self, tag: int, vr: bytes, value: bytes, codec: str, blocks: dict[int, str]) -> None:
        """Check a private element by its creator; never remembered, since blocks move (PS3.5 7.8.1)."""
        group, element = tag >> 16, tag & 0xFFFF
        if 0x10 <= element <= 0xFF:
            creator = value.strip(b" \0").decode("latin-1")
            blocks[group << 8 | element] = creator
            if (group, creator) not in self._creators or vr != b"LO":
                self.findings.append(Finding(Reason.ELEMENT_NOT_ALLOWED, name_of(tag), "private"))
            return
        allowed = self._private.get((group, blocks.get(group << 8 | element >> 8, ""), element & 0xFF))
        if allowed is None or vr == b"UN":
            self.findings.append(Finding(Reason.ELEMENT_NOT_ALLOWED, name_of(tag), "private"))
            return
        finding = self._forms.check(tag, vr, value, allowed, codec)
        if finding is not None:
            self.findings.append(finding)

    def _remember(self, tag: int, raw: bytes, good: set[bytes]) -> None:
        distinct = self._distinct.get(tag, 0)
        if distinct < _CACHED_VALUES:
            self._distinct[tag] = distinct + 1
            good.add(raw)


def _cut(*, bounded: bool) -> NoReturn:
    if bounded:
        raise structure(kind="length")
    raise _Short


def _charset(raw: bytes) -> str:
    codec = codec_of(raw)
    if codec is None:
        raise Doubt(Finding(Reason.UNKNOWN_CHARACTER_SET, "SpecificCharacterSet"))
    return codec
