"""Pixel bytes → exactly the picture: nothing behind it, nothing in unused bits, no segment that is not picture.

Native pixels keep their stored values (PS3.5 8.1); bits outside Bits Stored are cleared, for signed data filled with
the sign. Compressed frames keep their coded picture; comments and application segments are taken out. What is
not understood is refused.
"""

from __future__ import annotations

import itertools
import mmap
import struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.j2k import clean_j2k
from bsti_submit.deid.jpegs import clean_jpeg
from bsti_submit.deid.rle import clean_rle
from bsti_submit.deid.staged import (
    EncapsulatedPixels,
    JoinedFrames,
    NativePixels,
    PixelLayout,
    Refusal,
    UnclearCoding,
)
from bsti_submit.model import Buffer, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK: Final = 4 << 20
"""Bytes of native pixels handled at a time; a multiple of every word."""
_LET_GO_EVERY: Final = 8 * BLOCK
"""Bytes of a mapped file after which what was read is given back."""

JPEG: Final = frozenset(
    ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
)
JPEG_LS: Final = frozenset(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"))
JPEG_2000: Final = frozenset(
    (
        "1.2.840.10008.1.2.4.90",
        "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.4.201",
        "1.2.840.10008.1.2.4.202",
        "1.2.840.10008.1.2.4.203",
    )
)
RLE: Final = "1.2.840.10008.1.2.5"
ENCAPSULATED: Final = JPEG | JPEG_LS | JPEG_2000 | {RLE}

LARGEST: Final = 0xFFFFFFFE
"""Bytes of a native value of defined length (PS3.5 7.1)."""


def clean_native(value: memoryview, layout: PixelLayout, *, big_endian: bool, vr: str) -> NativePixels | Refusal:
    """Return native pixels of exact length, little-endian, with nothing outside Bits Stored.

    Parameters
    ----------
    value
        As it stands in the file; anything behind the picture is dropped.
    vr
        ``OB`` or ``OW`` as stated; a big-endian OW is turned by 16-bit words (PS3.5 7.3).
    """
    size = native_size(layout)
    if size is None or layout.bits_allocated not in {1, 8, 16, 32}:
        return Refusal(Reason.PIXEL_CODING, "BitsAllocated")
    if size > LARGEST:
        return Refusal(Reason.TOO_LARGE, "PixelData")
    if len(value) < size:
        return Refusal(Reason.PIXEL_LENGTH, "PixelData")
    word = layout.bits_allocated // 8
    if big_endian and vr == "OB" and layout.bits_allocated > 8:
        return Refusal(Reason.PIXEL_CODING, "PixelData")
    swap = 0
    if big_endian and vr != "OB":
        swap = max(word, 2)
        if len(value) < size + size % swap:
            return Refusal(Reason.PIXEL_LENGTH, "PixelData")
    if layout.bits_allocated > 1 and (
        not 1 <= layout.bits_stored <= layout.bits_allocated or layout.high_bit != layout.bits_stored - 1
    ):
        # A picture that does not start at bit 0 is retired since 2000; its words could not be told from text.
        return Refusal(Reason.PIXEL_CODING, "HighBit")
    out_vr = "OW" if layout.bits_allocated > 8 else vr if vr in {"OB", "OW"} else "OW"
    return NativePixels(out_vr, size, _blocks(value[: size + (size % swap if swap else 0)], size, layout, swap))


def native_size(layout: PixelLayout) -> int | None:
    """Return the length of the picture in bytes; None for a layout that has none."""
    pixels = layout.rows * layout.columns * layout.frames
    if pixels <= 0 or layout.samples not in {1, 3, 4}:
        return None
    if layout.bits_allocated == 1:
        return (pixels * layout.samples + 7) // 8
    if layout.bits_allocated % 8:
        return None
    if layout.photometric == "YBR_FULL_422":
        return pixels * 2 * (layout.bits_allocated // 8)
    return pixels * layout.samples * (layout.bits_allocated // 8)


def _blocks(value: memoryview, size: int, layout: PixelLayout, swap: int) -> Callable[[], Iterator[Buffer]]:
    def blocks() -> Iterator[Buffer]:
        for start in range(0, size, BLOCK):
            if start % _LET_GO_EVERY == 0:
                _let_go(value)
            block: Buffer = value[start : start + BLOCK]
            if swap:
                block = _turned(block, swap)
            block = _cleared(block, layout)
            if start + len(block) >= size:
                block = _last(block, size - start, layout)
            yield block
        _let_go(value)

    return blocks


def _let_go(value: memoryview) -> None:
    """Give the pages of a large mapped file back: once read they count as our memory, and reading them again is cheap."""
    if isinstance(value.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        value.obj.madvise(mmap.MADV_DONTNEED)


def _last(block: Buffer, size: int, layout: PixelLayout) -> Buffer:
    """Return the last block of exact size; of 1-bit pixels, the bits behind the last one are cleared as well."""
    block = memoryview(block)[:size]
    used = layout.rows * layout.columns * layout.frames * layout.samples % 8
    if layout.bits_allocated != 1 or not used or not block[-1] >> used:
        return block
    return bytes(block[:-1]) + bytes([block[-1] & (1 << used) - 1])


def _turned(block: Buffer, width: int) -> bytes:
    import numpy as np

    return np.frombuffer(block, dtype=f">u{width}").astype(f"<u{width}").tobytes()


def _cleared(block: Buffer, layout: PixelLayout) -> Buffer:
    """Return a block with the bits above Bits Stored zero or, for signed data, filled with the sign."""
    allocated, stored = layout.bits_allocated, layout.bits_stored
    if allocated in (1, stored):
        return block
    import numpy as np

    width = allocated // 8
    count = len(block) // width
    if not layout.signed:
        words = np.frombuffer(block, dtype=f"<u{width}", count=count)
        if int(words.max()) >> stored == 0:
            return block
        return bytes((words & words.dtype.type((1 << stored) - 1)).tobytes()) + bytes(block[count * width :])
    signed = np.frombuffer(block, dtype=f"<i{width}", count=count)
    half = 1 << (stored - 1)
    if int(signed.min()) >= -half and int(signed.max()) < half:
        return block
    shift = allocated - stored
    return ((signed << shift) >> shift).tobytes() + bytes(block[count * width :])


def clean_encapsulated(
    offsets: memoryview,
    fragments: tuple[memoryview, ...],
    layout: PixelLayout,
    transfer_syntax_uid: str,
    *,
    extended: memoryview | None = None,
) -> EncapsulatedPixels | Refusal:
    """Return compressed frames, one fragment each, with every segment taken out that is not picture.

    Parameters
    ----------
    offsets
        The basic offset table; empty where there is none.
    extended
        The value of Extended Offset Table (7FE0,0001), if there is one.
    """
    if transfer_syntax_uid not in ENCAPSULATED:
        return Refusal(Reason.UNSUPPORTED_SYNTAX, "TransferSyntaxUID")
    if native_size(layout) is None or layout.bits_allocated not in {8, 16, 32}:
        return Refusal(Reason.PIXEL_CODING, "BitsAllocated")
    if not 1 <= layout.bits_stored <= layout.bits_allocated or layout.high_bit != layout.bits_stored - 1:
        return Refusal(Reason.PIXEL_CODING, "HighBit")
    try:
        cleaned = [
            _clean(frame, layout, transfer_syntax_uid)
            for frame in _frames(offsets, extended, fragments, layout.frames, transfer_syntax_uid)
        ]
    except (UnclearCoding, struct.error, IndexError, ValueError):
        return Refusal(Reason.PIXEL_CODING, "PixelData")
    return EncapsulatedPixels(
        JoinedFrames(tuple(tuple(parts) for parts, _ in cleaned)), max(precision for _, precision in cleaned)
    )


def _clean(frame: Buffer, layout: PixelLayout, transfer_syntax_uid: str) -> tuple[list[Buffer], int]:
    if transfer_syntax_uid == RLE:
        return clean_rle(frame, layout)
    if transfer_syntax_uid in JPEG_2000:
        return clean_j2k(frame, layout)
    return clean_jpeg(frame, layout, jpeg_ls=transfer_syntax_uid in JPEG_LS)


def _frames(
    offsets: memoryview,
    extended: memoryview | None,
    fragments: tuple[memoryview, ...],
    count: int,
    transfer_syntax_uid: str,
) -> Iterator[Buffer]:
    """Yield the coded frames, joined of their fragments (PS3.5 A.4)."""
    if count < 1 or not fragments:
        raise UnclearCoding
    if len(fragments) == count:
        return iter(fragments)
    if count == 1:
        return iter([b"".join(fragments)])
    starts: tuple[int, ...] = ()
    if len(offsets) == 4 * count:
        starts = struct.unpack(f"<{count}L", offsets)
    elif not len(offsets) and extended is not None and len(extended) == 8 * count:
        starts = struct.unpack(f"<{count}Q", extended)
    if starts:
        return _by_offsets(starts, fragments)
    if transfer_syntax_uid == RLE or len(fragments) < count or len(offsets):
        raise UnclearCoding
    return _by_end_marker(fragments, count)


def _by_offsets(starts: tuple[int, ...], fragments: tuple[memoryview, ...]) -> Iterator[Buffer]:
    at: dict[int, int] = {}
    position = 0
    for index, fragment in enumerate(fragments):
        at[position] = index
        position += 8 + len(fragment)
    if starts[0] != 0 or any(start not in at for start in starts) or list(starts) != sorted(set(starts)):
        raise UnclearCoding
    bounds = [at[start] for start in starts] + [len(fragments)]
    for first, last in itertools.pairwise(bounds):
        yield fragments[first] if last == first + 1 else b"".join(fragments[first:last])


def _by_end_marker(fragments: tuple[memoryview, ...], count: int) -> Iterator[Buffer]:
    """Yield frames where there are no offsets: one ends with the fragment that holds its end-of-image marker."""
    found = 0
    pending: list[memoryview] = []
    for fragment in fragments:
        pending.append(fragment)
        if b"\xff\xd9" in bytes(fragment[-10:]):
            found += 1
            yield pending[0] if len(pending) == 1 else b"".join(pending)
            pending = []
    if pending or found != count:
        raise UnclearCoding
