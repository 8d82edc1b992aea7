"""The pixel data element of our own output: its length, its bits, its fragments, and what is between them."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bsti_submit.deid.certify.codestream import COMPRESSED, JPEG_LS, RLE, Geometry, examine
from bsti_submit.deid.certify.feed import Exhausted, Feed
from bsti_submit.deid.certify.forms import Finding
from bsti_submit.deid.certify.strict import Doubt, structure
from bsti_submit.model import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from bsti_submit.deid.certify.attributes import Kind
    from bsti_submit.model import Buffer

NATIVE = frozenset(("1.2.840.10008.1.2.1",))
SYNTAXES = NATIVE | COMPRESSED
"""The transfer syntaxes that may leave: those that can be examined."""

FRAME_LIMIT = 256 << 20
"""The largest compressed frame in bytes."""
_PIXELS = "PixelData"
_PIXEL_DATA, _FLOAT, _DOUBLE = 0x7FE00010, 0x7FE00008, 0x7FE00009
_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_HEAD = Struct("<HH2sHI").unpack_from
_ITEM_HEAD = Struct("<HHI").unpack_from
_UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32}
_SIGNED = {8: np.int8, 16: np.int16, 32: np.int32}


class DecodeFrame(Protocol):
    """Decode one compressed frame to native little-endian samples, for the check of its unused bits."""

    def __call__(self, frame: bytes, syntax: str, shape: Geometry, /) -> Buffer:
        """Return the samples; raise anything where they cannot be told."""


def geometry(elements: dict[int, bytes]) -> Geometry:
    """Read the image pixel module from raw top-level elements.

    Raises
    ------
    Doubt
        If a value is absent or out of range.
    """

    def number(tag: int, name: str) -> int:
        raw = elements.get(tag, b"")
        if len(raw) != 10:
            raise structure(name, "absent")
        return int.from_bytes(raw[8:], "little")

    frames_raw = elements.get(0x00280008, b"")[8:].strip(b" \0")
    if frames_raw and not frames_raw.isdigit():
        raise structure("NumberOfFrames", "syntax")
    found = Geometry(
        rows=number(0x00280010, "Rows"),
        columns=number(0x00280011, "Columns"),
        samples=number(0x00280002, "SamplesPerPixel"),
        frames=int(frames_raw or b"1"),
        allocated=number(0x00280100, "BitsAllocated"),
        stored=number(0x00280101, "BitsStored") if 0x00280101 in elements else number(0x00280100, "BitsAllocated"),
        high=number(0x00280102, "HighBit") if 0x00280102 in elements else number(0x00280100, "BitsAllocated") - 1,
        signed=number(0x00280103, "PixelRepresentation") == 1 if 0x00280103 in elements else False,
    )
    if found.samples not in (1, 3) or not (found.rows and found.columns and found.frames):
        raise structure("Rows", "dimensions")
    if not 0 < found.stored <= found.allocated or not found.stored - 1 <= found.high < found.allocated:
        raise structure("BitsStored", "bits")
    return found


class PixelCheck:
    """Check one pixel data element as it streams past. `segments` are the bytes in it that must be searched.

    `search` looks through whole compressed frames: coded samples have room for text that no segment holds.
    """

    def __init__(
        self,
        syntax: str,
        shape: Geometry,
        decode: DecodeFrame | None,
        search: Callable[[bytes], Kind | None],
    ) -> None:
        self._syntax = syntax
        self._shape = shape
        self._decode = decode
        self._search = search
        self.segments: list[bytes] = []

    def run(self, feed: Feed) -> None:
        """Consume the element from its header to its end.

        Raises
        ------
        Doubt
            If anything is not as it must be.
        """
        try:
            group, element, vr, reserved, length = _HEAD(feed.take(12))
            tag = group << 16 | element
            if reserved or vr not in (b"OB", b"OW", b"OF", b"OD"):
                raise structure(_PIXELS, "vr")
            if self._syntax in NATIVE:
                self._native(feed, tag, vr, length)
            else:
                if tag != _PIXEL_DATA or vr != b"OB" or length != _UNDEFINED:
                    raise structure(_PIXELS, "encapsulation")
                self._encapsulated(feed)
        except Exhausted:
            raise Doubt(Finding(Reason.TRUNCATED, _PIXELS)) from None

    # --- native ---

    def _native(self, feed: Feed, tag: int, vr: bytes, length: int) -> None:
        shape = self._shape
        wanted = {_PIXEL_DATA: (8, 16, 32), _FLOAT: (32,), _DOUBLE: (64,)}[tag]
        if tag == _PIXEL_DATA and shape.allocated == 1:
            wanted = (1,)
        right = {_FLOAT: (b"OF",), _DOUBLE: (b"OD",)}.get(tag, (b"OW",) if shape.allocated > 8 else (b"OB", b"OW"))
        if shape.allocated not in wanted or vr not in right:
            raise structure(_PIXELS, "vr")
        bits = shape.rows * shape.columns * shape.samples * shape.frames * shape.allocated
        exact = (bits + 7) // 8
        if length != exact + (exact & 1):
            raise Doubt(Finding(Reason.PIXEL_LENGTH, _PIXELS))
        whole = tag != _PIXEL_DATA or shape.stored == shape.allocated
        unit = max(shape.allocated // 8, 1)
        for block in feed.blocks(exact, unit):
            if not whole and not bits_are_clean(block, shape):
                raise structure(_PIXELS, "unused-bits")
        if exact & 1 and feed.take(1)[0]:
            raise structure(_PIXELS, "padding")

    # --- encapsulated ---

    def _encapsulated(self, feed: Feed) -> None:
        table = self._item(feed, first=True)
        if table is None:
            raise structure(_PIXELS, "offset-table")
        starts = [int.from_bytes(table[place : place + 4], "little") for place in range(0, len(table), 4)]
        if len(table) % 4 or (starts and (len(starts) != self._shape.frames or starts[0])):
            raise structure(_PIXELS, "offset-table")
        if starts != sorted(set(starts)):
            raise structure(_PIXELS, "offset-table")
        parts: list[bytes] = []
        held = offset = frames = 0
        boundaries = set(starts[1:])
        one = self._shape.frames == 1
        while (fragment := self._item(feed)) is not None:
            if not fragment.nbytes:
                raise structure(_PIXELS, "empty-fragment")
            begins = offset in boundaries if starts else not one
            if parts and begins:
                self._frame(b"".join(parts))
                frames += 1
                parts, held = [], 0
            boundaries.discard(offset)
            parts.append(bytes(fragment))
            held += fragment.nbytes
            if held > FRAME_LIMIT:
                raise Doubt(Finding(Reason.TOO_LARGE, _PIXELS))
            offset += 8 + fragment.nbytes
        if not parts or boundaries:
            raise structure(_PIXELS, "offset-table")
        self._frame(b"".join(parts))
        if frames + 1 != self._shape.frames:
            raise structure(_PIXELS, "frames")

    @staticmethod
    def _item(feed: Feed, *, first: bool = False) -> memoryview | None:
        """Return the next item's bytes, or None at the delimiter."""
        group, element, length = _ITEM_HEAD(feed.take(8))
        tag = group << 16 | element
        if tag == _SEQUENCE_END and not first:
            if length:
                raise structure(_PIXELS, "delimiter")
            return None
        if tag != _ITEM or length == _UNDEFINED or length & 1:
            raise structure(_PIXELS, "item")
        if length > FRAME_LIMIT:
            raise Doubt(Finding(Reason.TOO_LARGE, _PIXELS))
        return feed.take(length)

    def _frame(self, frame: bytes) -> None:
        shape = self._shape
        if (kind := self._search(frame)) is not None:
            raise Doubt(Finding(Reason.RESIDUAL_IDENTIFIER, _PIXELS, kind.word))
        coded = examine(frame, self._syntax, shape)
        self.segments.extend(coded.segments)
        room = shape.stored < shape.allocated and not coded.precision <= shape.high + 1 == shape.stored
        if not room and self._syntax not in JPEG_LS:
            return
        # The codestream has room above BitsStored, where an old overlay may hide: only decoding can tell. And so
        # it is where a JPEG-LS scan ends: its decoder refuses one with bytes behind its last sample.
        if self._decode is None:
            if self._syntax == RLE and not shape.signed:
                raise structure(_PIXELS, "unused-bits")
            raise Doubt(Finding(Reason.PIXEL_CODING, _PIXELS, "unused-bits" if room else "scan"))
        try:
            samples = memoryview(self._decode(frame, self._syntax, shape)).cast("B")
        except ValueError:
            raise structure(_PIXELS, "scan") from None
        if samples.nbytes != shape.frame_bytes or (room and not bits_are_clean(samples, shape)):
            raise structure(_PIXELS, "unused-bits")


def bits_are_clean(block: memoryview, shape: Geometry) -> bool:
    """Whether no bit outside BitsStored says anything: zero, or in signed data above it the sign.

    Parameters
    ----------
    block
        Whole little-endian samples of `shape.allocated` bits each.
    """
    if shape.allocated not in _UNSIGNED:
        return shape.allocated == shape.stored
    low = shape.high + 1 - shape.stored
    types = _SIGNED if shape.signed else _UNSIGNED
    samples = np.frombuffer(block, dtype=np.dtype(types[shape.allocated]).newbyteorder("<"))
    if not samples.size:
        return True
    if low and int(np.bitwise_or.reduce(samples)) & ((1 << low) - 1):
        return False
    if shape.signed:
        limit = 1 << shape.high
        return bool(samples.min() >= -limit and samples.max() < limit)
    return bool(samples.max() < 1 << (shape.high + 1))
