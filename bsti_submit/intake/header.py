"""The start of a DICOM file, read without a DICOM library: bytes in, a few attributes and a verdict out.

The survey must cost less than a millisecond a file, so this walker stops at the pixel data, keeps some
forty attributes and skips the rest by their length (PS3.5 section 7, PS3.10 section 7). It judges nothing
but whether the file is whole: the engine reads every element again.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from bsti_submit.model import Buffer, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
PIXEL_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

FIRST_READ: Final = 1 << 16
LARGEST_INFLATED: Final = 1 << 30
"""Bytes a deflated data set may grow to; a chest study's largest radiograph needs 1/20 of it."""
GROWTH_FROM: Final = 64 << 20
MOST_GROWTH: Final = 100
"""What unpacks to over 64 MiB and to over 100 times its size is no picture but a bomb, and is not unpacked."""
DEEPEST: Final = 64
LONGEST_VALUE: Final = 1 << 16

LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())

WANTED: Final = frozenset(
    {0x00080050, 0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080020, 0x00080030, 0x00080060, 0x00081030}
    | {0x0008103E, 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00101010, 0x00180015}
    | {0x00181030, 0x00181400, 0x00189423, 0x0020000D, 0x0020000E, 0x00200011, 0x00200013, 0x00280002}
    | {0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102}
    | {0x00280103, 0x00280301, 0x00321060, 0x00400254}
)
GROUPS: Final = frozenset({0x52009229, 0x52009230})
"""Shared and Per-Frame Functional Groups: looked into for the Frame Anatomy Sequence alone."""
FRAME_ANATOMY: Final = 0x00209071
REGIONS: Final = frozenset({0x00082218, 0x00082228})
"""Anatomic Region and Primary Anatomic Structure Sequence, with their modifiers."""
PROCEDURES: Final = frozenset({0x00081032, 0x00321064, 0x00400260, 0x00400275})
"""Procedure, requested procedure and protocol codes, and the Request Attributes Sequence."""
CODE_VALUES: Final = frozenset({0x00080100, 0x00080119, 0x00080120})
CODE_MEANING: Final = 0x00080104
PROCEDURE_TEXTS: Final = frozenset({CODE_MEANING, 0x00321060, 0x00400007})


class Opened(Protocol):
    """A file, or a member of an archive, open for reading."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def head(self, length: int) -> Buffer:
        """Return the first ``length`` bytes, or fewer where the file is shorter."""

    def at(self, offset: int, length: int) -> Buffer:
        """Return up to ``length`` bytes from ``offset``."""


class _Short(Exception):  # noqa: N818 - a signal, not an error
    """More bytes are needed, from the part of the file that was not read yet."""


class _Bad(Exception):  # noqa: N818
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(slots=True)
class Header:
    """What the walker saw. All values are the raw bytes of the file and may identify the patient.

    ``problem`` is None for a whole file. ``bytes_before_pixels`` is the file up to the value of the pixel
    data; a deflated data set stands there inflated, under Explicit VR Little Endian. ``as_stored`` is the part of
    the file of which that was made.
    """

    sop_class: bytes = b""
    transfer_syntax_uid: str = ""
    values: dict[int, bytes] = field(default_factory=dict)
    regions: set[bytes] = field(default_factory=set)
    region_meanings: set[bytes] = field(default_factory=set)
    texts: set[bytes] = field(default_factory=set)
    dataset_offset: int = 0
    pixels: bool = False
    little: bool = True
    problem: Reason | None = None
    bytes_before_pixels: Buffer = b""
    as_stored: Buffer = b""

    def __repr__(self) -> str:
        return f"Header(problem={self.problem})"


class _Walker:
    """Walks one buffer. Offsets are the buffer's; ``total`` is the length of the whole file."""

    __slots__ = ("buffer", "end", "explicit", "header", "long", "pair", "seen", "short", "total")

    def __init__(self, buffer: Buffer, total: int, header: Header, *, explicit: bool, little: bool) -> None:
        order = "<" if little else ">"
        self.buffer = buffer
        self.end = len(buffer)
        self.total = total
        self.explicit = explicit
        self.header = header
        self.pair = struct.Struct(order + "HH2sH")
        self.short = struct.Struct(order + "HHL")
        self.long = struct.Struct(order + "L")
        self.seen = 0

    def _missing(self) -> Exception:
        return _Bad(Reason.TRUNCATED) if self.end >= self.total else _Short()

    def element(self, position: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
        """Return tag, VR (empty when implicit), value offset and length of the element at ``position``."""
        try:
            if explicit:
                group, number, vr, length = self.pair.unpack_from(self.buffer, position)
                if group == 0xFFFE:
                    group, number, length = self.short.unpack_from(self.buffer, position)
                    return 0xFFFE0000 | number, b"", position + 8, length
                if vr in LONG_VRS:
                    (length,) = self.long.unpack_from(self.buffer, position + 8)
                    return group << 16 | number, vr, position + 12, length
                if vr not in SHORT_VRS:
                    raise _Bad(Reason.UNREADABLE)
                return group << 16 | number, vr, position + 8, length
            group, number, length = self.short.unpack_from(self.buffer, position)
        except struct.error:
            raise self._missing() from None
        return group << 16 | number, b"", position + 8, length

    def top(self, position: int) -> int:
        """Walk the data set from ``position``; return the offset of the pixel data's value, or the end."""
        header = self.header
        while True:
            if position == self.end == self.total:
                return position
            tag, vr, value, length = self.element(position, explicit=self.explicit)
            self.seen += 1
            if tag in PIXEL_TAGS:
                header.pixels = True
                return value
            if tag >= 0xFFFCFFFC:
                if tag != 0xFFFCFFFC:
                    raise _Bad(Reason.UNREADABLE)
            elif tag in WANTED and length != UNDEFINED:
                if value + length > self.end:
                    raise self._missing()
                if length > LONGEST_VALUE:
                    raise _Bad(Reason.UNREADABLE)  # the engine would read it, and know more than was looked at here
                header.values[tag] = bytes(self.buffer[value : value + length])
            elif length == UNDEFINED or tag in GROUPS or tag in REGIONS or tag in PROCEDURES:
                context = tag if tag in GROUPS or tag in REGIONS or tag in PROCEDURES else 0
                # A UN of undefined length holds implicit little-endian items (PS3.5 section 6.2.2).
                position = self.sequence(value, length, context, 1, explicit=self.explicit and vr != b"UN")
                continue
            position = value + length
            if position > self.end:
                raise self._missing()

    def sequence(self, position: int, length: int, context: int, depth: int, *, explicit: bool) -> int:
        """Walk a sequence's items and return the offset after it; ``context`` is what is looked into."""
        if depth > DEEPEST:
            raise _Bad(Reason.UNREADABLE)
        stop = position + length if length != UNDEFINED else 0
        if stop and stop > self.end:
            raise self._missing()
        while not stop or position < stop:
            tag, _, value, size = self.element(position, explicit=explicit)
            if tag == SEQUENCE_END:
                return value
            if tag != ITEM:
                raise _Bad(Reason.UNREADABLE)
            position = self.item(value, size, context, depth, explicit=explicit)
        return position

    def item(self, position: int, length: int, context: int, depth: int, *, explicit: bool) -> int:
        """Walk one item and return the offset after it."""
        stop = position + length if length != UNDEFINED else 0
        if stop:
            if stop > self.end:
                raise self._missing()
            if not context:
                return stop
        while not stop or position < stop:
            tag, vr, value, size = self.element(position, explicit=explicit)
            if tag == ITEM_END:
                return value
            below = self._context(context, tag)
            if size == UNDEFINED or below:
                inner = explicit and vr != b"UN"
                position = self.sequence(value, size, below, depth + 1, explicit=inner)
                continue
            position = value + size
            if position > self.end:
                raise self._missing()
            if context:
                self._collect(context, tag, value, size)
        return position

    @staticmethod
    def _context(context: int, tag: int) -> int:
        if context in GROUPS:
            return tag if tag == FRAME_ANATOMY else 0
        if context == FRAME_ANATOMY or context in REGIONS:
            return tag if tag in REGIONS else context if tag == 0x00082220 else 0
        return tag if tag in PROCEDURES else 0

    def _collect(self, context: int, tag: int, value: int, size: int) -> None:
        if not 0 < size <= LONGEST_VALUE:
            return
        if context in REGIONS:
            if tag in CODE_VALUES:
                self.header.regions.add(bytes(self.buffer[value : value + size]))
            elif tag == CODE_MEANING:
                self.header.region_meanings.add(bytes(self.buffer[value : value + size]))
        elif context in PROCEDURES and tag in PROCEDURE_TEXTS:
            self.header.texts.add(bytes(self.buffer[value : value + size]))

    def file_meta(self, position: int) -> int:
        """Read group 0002, always explicit little endian (PS3.10 section 7.1); return the offset after it."""
        while self.end - position >= 8 or self.end < self.total:
            if position + 2 > self.end:
                raise self._missing()
            if bytes(self.buffer[position : position + 2]) != b"\x02\x00":
                break
            tag, _, value, length = self.element(position, explicit=True)
            position = value + length
            if position > self.end:
                raise self._missing()
            if tag == 0x00020002:
                self.header.sop_class = bytes(self.buffer[value:position])
            elif tag == 0x00020010:
                self.header.transfer_syntax_uid = _uid(bytes(self.buffer[value:position]))
        return position


def _uid(raw: bytes) -> str:
    return raw.rstrip(b"\0 ").decode("ascii", "replace")


def recognise(start: Buffer, size: int) -> int | None:
    """Return where the DICOM starts in a file (after ``DICM``, or 0 without a preamble), or None.

    A file without the Part 10 preamble is taken for DICOM only if its first two elements are well formed,
    start in group 0002 or 0008 and ascend.
    """
    if size >= 132 and bytes(start[128:132]) == b"DICM":
        return 132
    begin = bytes(start[:64])
    if len(begin) < 16 or begin[:2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}:
        return None
    little = begin[0] != 0
    explicit = begin[4:6] in SHORT_VRS or begin[4:6] in LONG_VRS
    walker = _Walker(start, len(start), Header(), explicit=explicit, little=little)
    try:
        first, _, value, length = walker.element(0, explicit=explicit)
        if length > 1024 or length % 2 or first & 0xFFFF > 0x0070:
            return None
        second, *_ = walker.element(value + length, explicit=explicit)
    except _Bad:
        return None
    return 0 if first < second < 0x00400000 else None


def _guess(start: Buffer, position: int) -> str:
    """Return the transfer syntax that a data set without file meta seems to have."""
    start = bytes(start[position : position + 6])
    if start[4:6] in SHORT_VRS or start[4:6] in LONG_VRS:
        return EXPLICIT_BIG if start[:1] == b"\0" else EXPLICIT_LITTLE
    return IMPLICIT_LITTLE


def read_header(opened: Opened) -> Header | None:
    """Read a file's header and see whether the file is whole.

    Returns
    -------
    Header or None
        None if the file is not DICOM. A broken file is a `Header` with its ``problem``.
    """
    length = FIRST_READ
    while True:
        start = opened.head(length)
        cut = len(start) < min(length, opened.size)  # an archive may state more than a member holds
        header = Header()
        try:
            found = _read(opened, start, header)
        except _Short:
            if cut or len(start) >= opened.size:
                header.problem = Reason.TRUNCATED
                return header
            length *= 8
        except _Bad as bad:
            header.problem = bad.reason
            return header
        else:
            if cut and not header.problem:
                header.problem = Reason.TRUNCATED
            return found


def _read(opened: Opened, start: Buffer, header: Header) -> Header | None:
    position = recognise(start, opened.size)
    if position is None:
        return None
    walker = _Walker(start, opened.size, header, explicit=True, little=True)
    position = walker.file_meta(position)
    header.dataset_offset = position
    if not header.transfer_syntax_uid:
        header.transfer_syntax_uid = _guess(start, position)
    syntax = header.transfer_syntax_uid
    if syntax == DEFLATED:
        return _read_deflated(opened, start, header, position)
    header.little = syntax != EXPLICIT_BIG
    walker = _Walker(start, opened.size, header, explicit=syntax != IMPLICIT_LITTLE, little=header.little)
    position = walker.top(position)
    header.bytes_before_pixels = header.as_stored = memoryview(start)[:position]
    if header.pixels:
        header.problem = _tail(walker, position, opened.at, opened.size)
    return header


def _read_deflated(opened: Opened, start: Buffer, header: Header, position: int) -> Header:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        packed = opened.at(position, opened.size - position)
        inflated = inflater.decompress(packed, min(LARGEST_INFLATED, max(GROWTH_FROM, MOST_GROWTH * len(packed))))
    except zlib.error:
        raise _Bad(Reason.UNREADABLE) from None
    if inflater.unconsumed_tail:
        raise _Bad(Reason.TOO_LARGE)
    if not inflater.eof:
        raise _Bad(Reason.TRUNCATED)
    meta = bytes(start[:position]).replace(DEFLATED.encode(), EXPLICIT_LITTLE.encode() + b"\0\0\0")
    whole = meta + inflated
    walker = _Walker(whole, len(whole), header, explicit=True, little=True)
    position = walker.top(position)
    header.bytes_before_pixels = memoryview(whole)[:position]
    header.as_stored = opened.head(opened.size)
    if header.pixels:
        view = memoryview(whole)
        header.problem = _tail(walker, position, lambda at, n: view[at : at + n], len(whole))
    return header


def _tail(walker: _Walker, value: int, at: Callable[[int, int], Buffer], total: int) -> Reason | None:
    """Say whether the pixel data, whose value starts at ``value``, end before the file does."""
    (length,) = walker.long.unpack_from(walker.buffer, value - 4)
    if length != UNDEFINED:
        return Reason.TRUNCATED if value + length > total else None
    position = value
    while True:  # fragments, PS3.5 section A.4
        head = at(position, 8)
        if len(head) < 8:
            return Reason.TRUNCATED
        group, number, size = walker.short.unpack(head)
        tag = group << 16 | number
        if tag == SEQUENCE_END:
            return None
        if tag != ITEM or size == UNDEFINED:
            return Reason.UNREADABLE
        position += 8 + size
        if position > total:
            return Reason.TRUNCATED
