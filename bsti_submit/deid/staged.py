"""A de-identified instance that is not trusted yet, and how its bytes are put together.

The file is made anew (PS3.15 E.1.1): 128 zero bytes, our own file meta, the data set in Explicit VR Little Endian
with defined lengths and ascending tags, and the pixels exactly.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias, overload

from bsti_submit.model import Buffer

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from bsti_submit.model import Reason

IMPLEMENTATION_CLASS_UID: Final = "2.25.325890217394761250433571926847120359781"
IMPLEMENTATION_VERSION: Final = "BSTI-SUBMIT"

CODE_MEANINGS: Final = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113102": "Clean Recognizable Visual Features Option",
    "113103": "Clean Graphics Option",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs Option",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}
"""CID 7050, De-identification Method."""

PIXEL_DATA: Final = 0x7FE00010
_LONG: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_head_short = struct.Struct("<HH2sH").pack
_head_long = struct.Struct("<HH2sHL").pack
_LONGEST_SHORT = 0xFFFF


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an instance cannot be de-identified. ``attribute`` is a keyword or a tag, never a value."""

    reason: Reason
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How pixel bytes are read (PS3.3 C.7.6.3). ``photometric`` and the numbers are as the header states them."""

    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: int
    photometric: str


@dataclass(frozen=True, slots=True)
class NativePixels:
    """Uncompressed pixels, little-endian, of exact length. ``blocks`` yields them afresh, block by block."""

    vr: str
    size: int
    blocks: Callable[[], Iterator[Buffer]] = field(repr=False)


class UnclearCoding(ValueError):  # noqa: N818 - caught where frames are cleaned, and turned into a refusal
    """Compressed pixels that are not understood to their last byte."""


class JoinedFrames(Sequence[Buffer]):
    """Frames that are joined of slices of the input only when asked for, so that they are never all in memory."""

    __slots__ = ("_parts", "sizes")

    def __init__(self, parts: tuple[tuple[Buffer, ...], ...]) -> None:
        self._parts = parts
        self.sizes = tuple(sum(map(len, each)) for each in parts)

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> Buffer: ...
    @overload
    def __getitem__(self, index: slice) -> JoinedFrames: ...
    def __getitem__(self, index: int | slice) -> Buffer | JoinedFrames:
        if isinstance(index, slice):
            return JoinedFrames(self._parts[index])
        parts = self._parts[index]
        return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class EncapsulatedPixels:
    """Compressed pixels, one fragment a frame, every segment that is not picture removed.

    ``precision`` is the coded sample precision in bits, 0 where it is not known.
    """

    frames: Sequence[Buffer] = field(repr=False)
    precision: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """Length of each frame in bytes, without padding."""
        frames = self.frames
        return frames.sizes if isinstance(frames, JoinedFrames) else tuple(map(len, frames))


Pixels: TypeAlias = NativePixels | EncapsulatedPixels


def encode(tag: int, vr: str, value: Buffer) -> bytes:
    """Return an element in Explicit VR Little Endian, its value padded to even length."""
    raw_vr = vr.encode()
    odd = len(value) & 1
    length = len(value) + odd
    padding = (b"\0" if vr in {"UI", "OB", "UN"} else b" ") if odd else b""
    if raw_vr in _LONG:
        return b"".join((_head_long(tag >> 16, tag & 0xFFFF, raw_vr, 0, length), value, padding))
    if length > _LONGEST_SHORT:
        raise ValueError("the value is too long for its VR")
    return b"".join((_head_short(tag >> 16, tag & 0xFFFF, raw_vr, length), value, padding))


def encode_sequence(tag: int, items: list[bytes]) -> bytes:
    """Return a sequence of encoded items, with defined lengths."""
    body = b"".join(part for item in items for part in (struct.pack("<HHL", 0xFFFE, 0xE000, len(item)), item))
    return _head_long(tag >> 16, tag & 0xFFFF, b"SQ", 0, len(body)) + body


def method_codes(codes: frozenset[str] | set[str]) -> bytes:
    """Return De-identification Method Code Sequence (0012,0064)."""
    return encode_sequence(
        0x00120064,
        [
            encode(0x00080100, "SH", code.encode())
            + encode(0x00080102, "SH", b"DCM")
            + encode(0x00080104, "LO", CODE_MEANINGS[code].encode())
            for code in sorted(codes)
        ],
    )


@dataclass(frozen=True, slots=True)
class Staged:
    """A de-identified instance: the elements before the pixels, encoded, and the pixels.

    Attributes
    ----------
    sop_class_uid, study_uid, series_uid, instance_uid
        Of the output.
    elements
        Tag and encoding of every element of the data set but the pixels, in the order of the tags.
    codes
        The CID 7050 codes that are true of it.
    counts
        How many elements came to each action, for the report.
    """

    sop_class_uid: str
    study_uid: str
    series_uid: str
    instance_uid: str
    modality: str
    transfer_syntax_uid: str
    elements: tuple[tuple[int, Buffer], ...] = field(repr=False)
    pixels: Pixels | None
    layout: PixelLayout
    codes: frozenset[str]
    counts: Counter[str] = field(repr=False)

    @property
    def needs_pixel_check(self) -> bool:
        """Whether only a decode can show that nothing stands in the bits above Bits Stored."""
        return isinstance(self.pixels, EncapsulatedPixels) and self.pixels.precision > self.layout.bits_stored

    def examined(self) -> Staged:
        """Return it with what is true once its picture has really been looked at: 113101 and no burned-in text."""
        codes = self.codes | {"113101"}
        kept = [(tag, raw) for tag, raw in self.elements if tag not in {0x00120064, 0x00280301}]
        kept += [(0x00120064, method_codes(codes)), (0x00280301, encode(0x00280301, "CS", b"NO"))]
        return replace(self, elements=tuple(sorted(kept, key=lambda pair: pair[0])), codes=codes)

    def with_pixels(self, pixels: Pixels, transfer_syntax_uid: str) -> Staged:
        """Return it with its pixels coded otherwise."""
        return replace(self, pixels=pixels, transfer_syntax_uid=transfer_syntax_uid)

    def to_bytes(self) -> bytes:
        """Return the whole file in memory."""
        return b"".join(bytes(chunk) for chunk in self.payload().chunks())

    def payload(self) -> FilePayload:
        """Return the bytes of the file."""
        before = [raw for tag, raw in self.elements if tag < PIXEL_DATA]
        after = [raw for tag, raw in self.elements if tag > PIXEL_DATA]
        head = b"".join((bytes(128), b"DICM", self._file_meta(), *before))
        tail = b"".join(after)
        pixels = self.pixels
        if pixels is None:
            return FilePayload(head + tail, None, b"")
        if isinstance(pixels, NativePixels):
            odd = pixels.size & 1
            head += _head_long(0x7FE0, 0x0010, pixels.vr.encode(), 0, pixels.size + odd)
            return FilePayload(head, pixels, (b"\0" if odd else b"") + tail)
        head += _head_long(0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0)
        return FilePayload(head, pixels, struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) + tail)

    def _file_meta(self) -> bytes:
        body = b"".join(
            (
                encode(0x00020001, "OB", b"\x00\x01"),
                encode(0x00020002, "UI", self.sop_class_uid.encode()),
                encode(0x00020003, "UI", self.instance_uid.encode()),
                encode(0x00020010, "UI", self.transfer_syntax_uid.encode()),
                encode(0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode()),
                encode(0x00020013, "SH", IMPLEMENTATION_VERSION.encode()),
            )
        )
        return encode(0x00020000, "UL", struct.pack("<L", len(body))) + body


class FilePayload:
    """A file's bytes: what comes before the pixels, the pixels, what comes after. See `bsti_submit.model.Payload`."""

    __slots__ = ("_head", "_pixels", "_tail", "size")

    def __init__(self, head: bytes, pixels: Pixels | None, tail: bytes) -> None:
        self._head = head
        self._pixels = pixels
        self._tail = tail
        length = 0
        if isinstance(pixels, NativePixels):
            length = pixels.size
        elif pixels is not None:
            length = sum(8 + size + (size & 1) for size in pixels.sizes)
        self.size = len(head) + length + len(tail)

    def chunks(self) -> Iterator[Buffer]:
        """Yield the bytes in order, afresh at each call."""
        yield self._head
        if isinstance(self._pixels, NativePixels):
            yield from self._pixels.blocks()
        elif self._pixels is not None:
            for frame in self._pixels.frames:
                odd = len(frame) & 1
                yield struct.pack("<HHL", 0xFFFE, 0xE000, len(frame) + odd)
                yield frame
                if odd:
                    yield b"\0"
        if self._tail:
            yield self._tail
