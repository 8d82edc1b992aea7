"""Regions of a staged instance → black; every other stored value stays what it was.

Native pixels are streamed block by block. Compressed ones are decoded frame by frame and written again without loss:
as JPEG-LS where that is smaller and proved equal, else native. Elements that would contradict the new pixels are
made true or removed.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.filereader import read_dataset

from bsti_submit.deid.frames import BLOCK, native_size
from bsti_submit.deid.pixels.black import NoBlack, black
from bsti_submit.deid.pixels.decoded import Decoded, Undecodable, decoded
from bsti_submit.deid.pixels.recode import JPEG_LS_LOSSLESS, LARGEST_RECODED, encode_frames
from bsti_submit.deid.reader import EXPLICIT_LITTLE
from bsti_submit.deid.staged import EncapsulatedPixels, NativePixels, Refusal, Staged, encode
from bsti_submit.model import Buffer, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pydicom.dataset import Dataset

    from bsti_submit.deid.pixels.regions import Region
    from bsti_submit.deid.staged import PixelLayout, Pixels

LARGEST_HELD: Final = 64 << 20
"""Bytes of decoded frames that are kept for the next pass; more are decoded again."""
_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
_LOSSY, _LOSSY_RATIO, _LOSSY_METHOD = 0x00282110, 0x00282112, 0x00282114
_UNTRUE: Final = frozenset((0x00280106, 0x00280107, 0x00280108, 0x00280109, 0x00280110, 0x00280111, 0x00603000))
"""The least and the greatest pixel value of image, series and plane, and the histogram: of the pixels as they were."""


def blank(staged: Staged, regions: Sequence[Region]) -> Staged | Refusal:
    """Return an instance with exactly these regions black in display terms, in the frames that they name.

    Parameters
    ----------
    regions
        What lies outside the picture is ignored; with nothing inside, the instance is returned as it is.

    Returns
    -------
    Staged or Refusal
        With `Reason.PIXEL_CODING` and a keyword where it is not certain which stored values the pixels have, which
        of them is black, or which frame is meant.
    """
    layout = staged.layout
    within = [part for each in regions if (part := each.within(layout.rows, layout.columns)) is not None]
    if any(each.frame is not None and not 0 <= each.frame < layout.frames for each in within):
        return Refusal(Reason.PIXEL_CODING, "NumberOfFrames")
    if not within:
        return staged
    if layout.bits_allocated not in {8, 16, 32}:
        return Refusal(Reason.PIXEL_CODING, "BitsAllocated")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            return _blanked(staged, within)
    except (NoBlack, Undecodable) as doubt:
        return Refusal(Reason.PIXEL_CODING, str(doubt))
    except Exception:  # noqa: BLE001 - a header may be malformed in any way, and no error's text may be shown
        return Refusal(Reason.PIXEL_CODING, "PixelData")


def _blanked(staged: Staged, regions: Sequence[Region]) -> Staged:
    header = read_dataset(io.BytesIO(b"".join(raw for _, raw in staged.elements)), False, True)
    if isinstance(staged.pixels, NativePixels):
        layout, source = _native(staged.layout, staged.pixels.blocks)
        pixels: Pixels = _written(staged.pixels.vr, layout, source, regions, header)
        elements = _true_elements(staged, header, layout)
        return replace(staged, pixels=pixels, layout=layout, elements=elements)
    if staged.pixels is None:
        raise Undecodable("PixelData")
    frames = decoded(staged.pixels, staged.layout, staged.transfer_syntax_uid)
    layout, source = frames.layout, frames.blocks
    if (native_size(layout) or 0) <= LARGEST_HELD:
        held = tuple(frames.blocks())
        source = lambda: iter(held)  # noqa: E731 - of the same type as `blocks`
    else:
        for _ in frames.blocks():  # whatever cannot be decoded has to be known now, not when the bytes are written
            pass
    native = _written("OW" if layout.bits_allocated > 8 else "OB", layout, source, regions, header)
    coded = _coded(native, layout)
    return replace(
        staged,
        pixels=coded or native,
        layout=layout,
        transfer_syntax_uid=JPEG_LS_LOSSLESS if coded else EXPLICIT_LITTLE,
        elements=_true_elements(staged, header, layout, frames),
    )


def _native(
    layout: PixelLayout, blocks: Callable[[], Iterator[Buffer]]
) -> tuple[PixelLayout, Callable[[], Iterator[Buffer]]]:
    """Return native pixels of which each has its own colour: two pixels of YBR_FULL_422 share theirs."""
    if layout.photometric != "YBR_FULL_422":
        return layout, blocks
    if layout.columns % 2 or layout.planar or layout.samples != 3 or layout.bits_allocated != 8:
        raise NoBlack("PhotometricInterpretation")
    whole = replace(layout, photometric="YBR_FULL")
    return whole, lambda: (
        np.frombuffer(block, np.uint8).reshape(-1, 4)[:, (0, 2, 3, 1, 2, 3)].tobytes() for block in blocks()
    )


def _written(
    vr: str,
    layout: PixelLayout,
    source: Callable[[], Iterator[Buffer]],
    regions: Sequence[Region],
    header: Dataset,
) -> NativePixels:
    dtype = np.dtype(f"<{'i' if layout.signed else 'u'}{layout.bits_allocated // 8}")
    size = native_size(layout) or 0

    def extremes() -> tuple[int, int]:
        found = [(int(values.min()), int(values.max())) for values in _arrays(source(), dtype)]
        return min(low for low, _ in found), max(high for _, high in found)

    colour = np.array(black(layout, header, extremes), dtype)
    return NativePixels(vr, size, lambda: _painted(source(), layout, dtype, regions, colour))


def _arrays(blocks: Iterable[Buffer], dtype: np.dtype[np.integer]) -> Iterator[np.ndarray]:
    return (np.frombuffer(block, dtype) for block in blocks if len(block))


def _painted(
    blocks: Iterable[Buffer],
    layout: PixelLayout,
    dtype: np.dtype[np.integer],
    regions: Sequence[Region],
    colour: np.ndarray,
) -> Iterator[Buffer]:
    """Yield the pixels with the regions painted, a few rows of one plane or interleaved frame at a time."""
    planes = layout.samples if layout.planar else 1
    together = layout.samples // planes
    line = layout.columns * together * dtype.itemsize
    most = max(1, BLOCK // line)
    plane = row = 0
    pending = bytearray()
    for block in blocks:
        pending += block
        start = 0
        while lines := min((len(pending) - start) // line, layout.rows - row, most):
            rows = pending[start : start + lines * line]
            picture = np.frombuffer(rows, dtype).reshape(lines, layout.columns, together)
            frame, sample = divmod(plane, planes)
            for each in regions:
                if each.frame in {None, frame}:
                    painted = picture[max(0, each.top - row) : max(0, each.bottom - row), each.left : each.right]
                    painted[...] = colour[sample : sample + together]
            yield rows
            start += len(rows)
            row += lines
            if row == layout.rows:
                plane, row = plane + 1, 0
        del pending[:start]
    if pending or row or plane != planes * layout.frames:
        raise Undecodable("PixelData")


def _coded(native: NativePixels, layout: PixelLayout) -> EncapsulatedPixels | None:
    """Return the pixels as JPEG-LS, frame by frame; None if a frame would not be smaller or not be the same."""
    if native.size > LARGEST_RECODED or layout.samples != 1:
        return None
    length = native.size // layout.frames
    streams: list[bytes] = []
    pending = bytearray()
    for block in native.blocks():
        pending += block
        if len(pending) < length:
            continue
        coded = encode_frames(
            bytes(pending),
            rows=layout.rows,
            columns=layout.columns,
            samples=layout.samples,
            bits_allocated=layout.bits_allocated,
            bits_stored=layout.bits_stored,
            signed=layout.signed,
            frames=1,
        )
        if coded is None:
            return None
        streams += coded
        pending.clear()
    return EncapsulatedPixels(tuple(streams), layout.bits_stored)


def _true_elements(
    staged: Staged, header: Dataset, layout: PixelLayout, frames: Decoded | None = None
) -> tuple[tuple[int, Buffer], ...]:
    """Return the elements as they are true of the blanked pixels."""
    elements = {tag: raw for tag, raw in staged.elements if tag not in _UNTRUE}
    if layout.photometric != staged.layout.photometric:
        elements[_PHOTOMETRIC] = encode(_PHOTOMETRIC, "CS", layout.photometric.encode("ascii"))
    if layout.samples > 1:
        elements[_PLANAR] = encode(_PLANAR, "US", layout.planar.to_bytes(2, "little"))
    if frames is not None and frames.lossy_method and header.get("LossyImageCompression") != "01":
        # The syntax told that values were lost; from now on only these elements do (PS3.3 C.7.6.1.1.5).
        ratio = (native_size(layout) or 0) / max(1, sum(frames.pixels.sizes))
        elements[_LOSSY] = encode(_LOSSY, "CS", b"01")
        elements[_LOSSY_RATIO] = encode(_LOSSY_RATIO, "DS", f"{ratio:.2f}".encode("ascii"))
        elements[_LOSSY_METHOD] = encode(_LOSSY_METHOD, "CS", frames.lossy_method.encode("ascii"))
    return tuple(sorted(elements.items()))
