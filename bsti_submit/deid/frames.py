"""Pixel bytes → exactly the picture: nothing behind it, nothing in unused bits, no segment that is not picture.

Native pixels keep their stored values (PS3.5 8.1); bits outside Bits Stored are cleared, for signed data filled with
the sign. Compressed frames keep their coded picture; comments and application segments are taken out. What is
not understood is refused.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.staged import EncapsulatedPixels, NativePixels, PixelLayout, Refusal
from bsti_submit.model import Buffer, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK: Final = 4 << 20
"""Bytes of native pixels handled at a time; a multiple of every word."""

JPEG: Final = frozenset(
    ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
)
JPEG_LS: Final = frozenset(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"))
JPEG_2000: Final = frozenset(
    ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201")
    + ("1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
)
RLE: Final = "1.2.840.10008.1.2.5"
ENCAPSULATED: Final = JPEG | JPEG_LS | JPEG_2000 | {RLE}

_ADOBE: Final = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"


class _Unclear(Exception):  # noqa: N818 - caught here and turned into a refusal
    pass


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
    if size is None:
        return Refusal(Reason.PIXEL_CODING, "BitsAllocated")
    if len(value) < size:
        return Refusal(Reason.PIXEL_LENGTH, "PixelData")
    word = layout.bits_allocated // 8
    if big_endian and vr != "OB" and word not in {1, 2, 4, 8} and layout.bits_allocated != 1:
        return Refusal(Reason.PIXEL_CODING, "BitsAllocated")
    swap = 0
    if big_endian and vr != "OB":
        swap = max(word, 2)
        if len(value) < size + size % swap:
            return Refusal(Reason.PIXEL_LENGTH, "PixelData")
    if layout.bits_allocated not in {1, 8, 16, 32}:
        return Refusal(Reason.PIXEL_CODING, "BitsAllocated")
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
            block: Buffer = value[start : start + BLOCK]
            if swap:
                block = _turned(block, swap)
            block = _cleared(block, layout)
            yield memoryview(block)[: size - start] if start + len(block) > size else block

    return blocks


def _turned(block: Buffer, width: int) -> bytes:
    import numpy as np

    return np.frombuffer(block, dtype=f">u{width}").astype(f"<u{width}").tobytes()


def _cleared(block: Buffer, layout: PixelLayout) -> Buffer:
    """Return a block with the bits above Bits Stored zero or, for signed data, filled with the sign."""
    allocated, stored = layout.bits_allocated, layout.bits_stored
    if allocated == 1 or stored == allocated:
        return block
    import numpy as np

    width = allocated // 8
    whole = len(block) // width * width
    words = np.frombuffer(block, dtype=f"<u{width}", count=whole // width)
    mask = np.array((1 << stored) - 1, dtype=words.dtype)
    if not layout.signed:
        if int(np.bitwise_or.reduce(words)) <= int(mask):
            return block
        return (words & mask).tobytes() + bytes(block[whole:])
    shift = allocated - stored
    signed = np.frombuffer(block, dtype=f"<i{width}", count=whole // width)
    filled = (signed << shift) >> shift
    return block if np.array_equal(filled, signed) else filled.tobytes() + bytes(block[whole:])


def clean_encapsulated(
    offsets: memoryview, fragments: tuple[memoryview, ...], layout: PixelLayout, transfer_syntax_uid: str
) -> EncapsulatedPixels | Refusal:
    """Return compressed frames, one fragment each, with every segment taken out that is not picture.

    Parameters
    ----------
    offsets
        The basic offset table; empty where there is none.
    """
    if transfer_syntax_uid not in ENCAPSULATED:
        return Refusal(Reason.UNSUPPORTED_SYNTAX, "TransferSyntaxUID")
    try:
        frames = _frames(offsets, fragments, layout.frames, transfer_syntax_uid)
        cleaned = []
        for frame in frames:
            if transfer_syntax_uid == RLE:
                cleaned.append(_clean_rle(frame, layout))
            elif transfer_syntax_uid in JPEG_2000:
                cleaned.append(_clean_j2k(frame, layout))
            else:
                cleaned.append(_clean_jpeg(frame, layout, lossless_ls=transfer_syntax_uid in JPEG_LS))
    except (_Unclear, struct.error, IndexError, ValueError):
        return Refusal(Reason.PIXEL_CODING, "PixelData")
    return EncapsulatedPixels(tuple(cleaned))


def _frames(
    offsets: memoryview, fragments: tuple[memoryview, ...], count: int, transfer_syntax_uid: str
) -> list[bytes]:
    if count < 1 or not fragments:
        raise _Unclear
    if len(fragments) == count:
        return [bytes(fragment) for fragment in fragments]
    if count == 1:
        return [b"".join(fragments)]
    if len(offsets) == 4 * count:
        starts = struct.unpack(f"<{count}L", offsets)
        at: dict[int, int] = {}
        position = 0
        for index, fragment in enumerate(fragments):
            at[position] = index
            position += 8 + len(fragment)
        if starts[0] != 0 or any(start not in at for start in starts) or list(starts) != sorted(set(starts)):
            raise _Unclear
        bounds = [at[start] for start in starts] + [len(fragments)]
        return [b"".join(fragments[first:last]) for first, last in zip(bounds, bounds[1:], strict=False)]
    if transfer_syntax_uid == RLE or len(fragments) < count:
        raise _Unclear
    # No offsets: a frame ends with the fragment that holds its end-of-image marker.
    frames: list[bytes] = []
    pending: list[memoryview] = []
    for fragment in fragments:
        pending.append(fragment)
        if b"\xff\xd9" in bytes(fragment[-10:]):
            frames.append(b"".join(pending))
            pending = []
    if pending or len(frames) != count:
        raise _Unclear
    return frames


def _clean_jpeg(frame: bytes, layout: PixelLayout, *, lossless_ls: bool) -> bytes:
    """Return a JPEG (ITU-T T.81) or JPEG-LS (T.87) frame without COM and APPn."""
    if frame[:2] != b"\xff\xd8":
        raise _Unclear
    kept = [b"\xff\xd8"]
    position = 2
    precision = 0
    adobe: int | None = None
    while True:
        if frame[position] != 0xFF:
            raise _Unclear
        while frame[position + 1] == 0xFF:
            position += 1
        marker = frame[position + 1]
        if marker == 0xD9:
            kept.append(b"\xff\xd9")
            break
        (length,) = struct.unpack_from(">H", frame, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(frame):
            raise _Unclear
        segment = frame[position:end]
        if marker == 0xEE and segment[4:9] == b"Adobe" and length >= 14:
            adobe = segment[15]
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            if lossless_ls and marker == 0xE8:
                raise _Unclear
        elif marker in {0xC4, 0xDB, 0xDD, 0xDC, 0xC8, 0xCC} or (lossless_ls and marker == 0xF8):
            if marker == 0xC8:
                raise _Unclear
            kept.append(segment)
        elif 0xC0 <= marker <= 0xCF or (lossless_ls and marker == 0xF7):
            precision = segment[4]
            height, width = struct.unpack_from(">HH", segment, 5)
            if (height, width) != (layout.rows, layout.columns) or segment[9] != layout.samples:
                raise _Unclear
            if length != 8 + 3 * segment[9]:
                raise _Unclear
            kept.append(segment)
        elif marker == 0xDA:
            scan_end = _scan_end(frame, end)
            kept.append(frame[position:scan_end])
            end = scan_end
        else:
            raise _Unclear
        position = end
    if not precision:
        raise _Unclear
    if adobe is not None and layout.samples == 3:
        kept.insert(1, _ADOBE + bytes([min(adobe, 2)]))
    return b"".join(kept)


def _scan_end(frame: bytes, position: int) -> int:
    """Return where the entropy-coded data ends: at the next marker that is neither stuffing nor a restart."""
    while True:
        position = frame.find(b"\xff", position)
        if position < 0 or position + 1 >= len(frame):
            raise _Unclear
        following = frame[position + 1]
        # After 0xFF come a zero (JPEG), a value below 0x80 (JPEG-LS bit stuffing) or a restart.
        if following < 0x80 or 0xD0 <= following <= 0xD7:
            position += 2
        elif following == 0xFF:
            position += 1
        else:
            return position


def _clean_j2k(frame: bytes, layout: PixelLayout) -> bytes:
    """Return a JPEG 2000 codestream (ITU-T T.800 A) without comments."""
    if frame[4:8] == b"jP  ":
        frame = _codestream(frame)
    if frame[:4] != b"\xff\x4f\xff\x51":
        raise _Unclear
    kept = [b"\xff\x4f"]
    position = 2
    sized = False
    while True:
        marker, length, end = _segment(frame, position)
        if marker == 0xFF90:
            break
        if marker == 0xFF51:
            xsiz, ysiz, xoff, yoff = struct.unpack_from(">4L", frame, position + 6)
            (components,) = struct.unpack_from(">H", frame, position + 38)
            if (ysiz - yoff, xsiz - xoff, components) != (layout.rows, layout.columns, layout.samples):
                raise _Unclear
            if length != 38 + 3 * components:
                raise _Unclear
            sized = True
        if marker not in _J2K_MAIN:
            raise _Unclear
        if marker != 0xFF64:
            kept.append(frame[position:end])
        position = end
    while frame[position : position + 2] == b"\xff\x90":
        part, position = _tile_part(frame, position)
        kept.append(part)
    if frame[position : position + 2] != b"\xff\xd9" or not sized:
        raise _Unclear
    kept.append(b"\xff\xd9")
    return b"".join(kept)


_J2K_MAIN: Final = frozenset((0xFF50, 0xFF51, 0xFF52, 0xFF53, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF64))
"""CAP, SIZ, COD, COC, QCD, QCC, RGN, POC, COM. Packed headers and length markers (PPM, TLM, PLM) are refused:
their lengths would no longer hold."""
_J2K_TILE: Final = frozenset((0xFF52, 0xFF53, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF64, 0xFF58))


def _segment(frame: bytes, position: int) -> tuple[int, int, int]:
    marker, length = struct.unpack_from(">HH", frame, position)
    end = position + 2 + length
    if length < 2 or end > len(frame):
        raise _Unclear
    return marker, length, end


def _tile_part(frame: bytes, start: int) -> tuple[bytes, int]:
    """Return a tile-part without comments, its length told anew, and where the next begins."""
    _, length, position = _segment(frame, start)
    if length != 10:
        raise _Unclear
    (size,) = struct.unpack_from(">L", frame, start + 6)
    end = start + size if size else len(frame.rstrip(b"\0")) - 2
    if not size and frame[end : end + 2] != b"\xff\xd9":
        raise _Unclear
    if not position < end <= len(frame):
        raise _Unclear
    headers = []
    while frame[position : position + 2] != b"\xff\x93":
        marker, _, following = _segment(frame, position)
        if marker not in _J2K_TILE or following > end:
            raise _Unclear
        if marker != 0xFF64:
            headers.append(frame[position:following])
        position = following
    body = b"".join((*headers, frame[position:end]))
    return frame[start : start + 6] + struct.pack(">L", 12 + len(body)) + frame[start + 10 : start + 12] + body, end


def _codestream(frame: bytes) -> bytes:
    """Return the codestream of a JP2 file (T.800 annex I); any other box is dropped."""
    position = 0
    while position + 8 <= len(frame):
        size, kind = struct.unpack_from(">L4s", frame, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", frame, start)
            start += 8
        end = len(frame) if size == 0 else position + size
        if end > len(frame) or end < start:
            raise _Unclear
        if kind == b"jp2c":
            return frame[start:end]
        position = end
    raise _Unclear


def _clean_rle(frame: bytes, layout: PixelLayout) -> bytes:
    """Return an RLE frame (PS3.5 annex G) of exactly its segments, each decoded to know where it ends."""
    count, *starts = struct.unpack_from("<16L", frame, 0)
    planes = layout.samples * (layout.bits_allocated // 8)
    if count != planes or starts[0] != 64 or any(starts[count:]):
        raise _Unclear
    size = layout.rows * layout.columns
    segments = []
    for index in range(count):
        start = starts[index]
        end = starts[index + 1] if index + 1 < count else len(frame)
        if not 64 <= start <= end <= len(frame):
            raise _Unclear
        segments.append(_rle_segment(frame, start, end, size))
    header = [count]
    position = 64
    for segment in segments:
        header.append(position)
        position += len(segment)
    return struct.pack("<16L", *header, *([0] * (15 - count))) + b"".join(segments)


def _rle_segment(frame: bytes, start: int, end: int, size: int) -> bytes:
    position, decoded = start, 0
    while decoded < size:
        if position >= end:
            raise _Unclear
        control = frame[position]
        if control < 128:
            decoded += control + 1
            position += control + 2
        elif control > 128:
            decoded += 257 - control
            position += 2
        else:
            position += 1
    if decoded != size or position > end:
        raise _Unclear
    return frame[start:position] + b"\0" * ((position - start) & 1)
