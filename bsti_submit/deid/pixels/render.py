"""Pictures for the eye: an instance's frame as an 8-bit PNG, as its header says or over its full range.

Nothing here raises for bad input, and nothing is written to disk: what cannot be shown becomes a grey tile
that says so.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from pydicom.pixels.processing import apply_color_lut

from bsti_submit.deid.pixels.picture import Picture, PictureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from bsti_submit.model import Buffer

TILE: Final = 256
_PADDING: Final = 8
_CAPTION: Final = 18
_INK: Final = 230
_GREY: Final = 58
_CANNOT_BE_SHOWN: Final = "picture-cannot-be-shown"
_LOW_PERCENTILE, _HIGH_PERCENTILE = 0.5, 99.5


def render(
    data: Buffer, *, frame: int = 0, full_range: bool = False, size: int = 0, level: float = 0.0, width: float = 1.0
) -> bytes:
    """Return one frame of a Part 10 file as PNG.

    Parameters
    ----------
    data
        The file, identified or certified.
    frame
        Counted from 0; taken modulo the number of frames.
    full_range
        Show every stored value from the least to the greatest, so that text outside the header's window, or
        in values to which a palette gives one colour, is seen as well.
    size
        The longer side in pixels; 0 for every pixel of the image.
    level, width
        How the range shown differs from the header's window or the full one: its centre moved towards white
        by so many of its widths (which makes the picture darker), and so many times as wide.
    """
    try:
        picture = Picture(data)
        frame %= picture.geometry.frames
        grey = to_grey(picture, frame, full_range=full_range, level=level, width=width)
        image = Image.fromarray(grey)
    except PictureError as error:
        return tile(str(error))
    except Exception:  # noqa: BLE001 - LUTs and palettes may be malformed in any way
        return tile("cannot be shown")
    if size and max(image.size) > size:
        image.thumbnail((size, size), Image.Resampling.BOX)
    return _png(image)


def to_grey(
    picture: Picture, frame: int, *, full_range: bool = False, level: float = 0.0, width: float = 1.0
) -> NDArray[np.uint8]:
    """Return a frame in display terms: (rows, columns) where 255 is white, or (rows, columns, 3) RGB.

    Raises
    ------
    PictureError
        If it cannot be decoded.
    """
    values = picture.frame(frame)
    dataset = picture.dataset
    photometric = picture.geometry.photometric
    if photometric == "PALETTE COLOR" and not full_range:
        values = apply_color_lut(values, dataset)
    if values.ndim == 3:
        values = _to_bytes(values)
        return values if (level, width) == (0, 1) else (_between(values, 0, 255, level, width) * 255).astype(np.uint8)
    inverse = photometric == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    # In display terms, where a higher level is darker whichever way the values go
    shown = _normalise(values, dataset, frame, full_range, -level if inverse else level, width)
    if inverse:
        shown = 1 - shown
    return (shown * 255 + 0.5).astype(np.uint8)


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    top = max(1, int(values.max()))
    return (values.astype(np.float32) * (255 / top)).astype(np.uint8)


def _normalise(
    values: NDArray[Any], dataset: Dataset, frame: int, full_range: bool, level: float, width: float
) -> NDArray[np.float32]:
    """Return values from 0 to 1: by the header's window or VOI LUT, or from the least to the greatest."""
    if full_range:
        return _between(values, float(values.min()), float(values.max()), level, width)
    table = dataset.get("VOILUTSequence")
    window = _window(dataset, frame)
    if window is None and table:
        return _looked_up(values, table[0], level, width)
    if window is None:
        low, high = np.percentile(values[:: max(1, values.shape[0] // 512)], (_LOW_PERCENTILE, _HIGH_PERCENTILE))
        return _between(values, float(low), float(high), level, width)
    centre, wide = window
    slope, intercept = _rescale(dataset, frame)
    # PS3.3 section C.11.2.1.2.1, turned back into stored values
    low = (centre - 0.5 - (wide - 1) / 2 - intercept) / slope
    high = (centre - 0.5 + (wide - 1) / 2 - intercept) / slope
    return _between(values, low, high, level, width)


def _between(values: NDArray[Any], low: float, high: float, level: float, width: float) -> NDArray[np.float32]:
    """Return values from 0 at ``low`` to 1 at ``high``, both moved by ``level`` and ``width`` as `render` says."""
    if high == low:
        high = low + 1
    centre, half = (low + high) / 2 + level * (high - low), width * (high - low) / 2
    low, high = centre - half, centre + half
    shown = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.clip(shown, 0, 1, out=shown)


def _looked_up(values: NDArray[Any], table: Dataset, level: float, width: float) -> NDArray[np.float32]:
    entries, first, _ = (int(value) for value in table.LUTDescriptor)
    data = table.LUTData
    lut = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data, np.uint16)
    indices = np.clip(values.astype(np.int64) - first, 0, (entries or 1 << 16) - 1)
    return _between(lut[indices], 0, float(lut.max()), level, width)


def _frame_item(dataset: Dataset, frame: int, keyword: str) -> Dataset:
    """Return the item that a functional group gives to a frame, or else the data set itself."""
    for groups, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = dataset.get(groups) or ()
        if index < len(items) and items[index].get(keyword):
            found: Dataset = items[index][keyword].value[0]
            return found
    return dataset


def _first(dataset: Dataset, keyword: str) -> float | None:
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    return float(value if isinstance(value, str | int | float) else value[0])


def _window(dataset: Dataset, frame: int) -> tuple[float, float] | None:
    item = _frame_item(dataset, frame, "FrameVOILUTSequence")
    centre, width = _first(item, "WindowCenter"), _first(item, "WindowWidth")
    return None if centre is None or width is None or width < 1 else (centre, width)


def _rescale(dataset: Dataset, frame: int) -> tuple[float, float]:
    item = _frame_item(dataset, frame, "PixelValueTransformationSequence")
    return _first(item, "RescaleSlope") or 1.0, _first(item, "RescaleIntercept") or 0.0


def _png(image: Image.Image, comment: str = "") -> bytes:
    written = io.BytesIO()
    chunks = PngInfo()
    if comment:
        chunks.add_text("Comment", comment)
    image.save(written, "PNG", compress_level=1, pnginfo=chunks)  # loopback has bandwidth to spare
    return written.getvalue()


def tile(text: str, size: int = TILE) -> bytes:
    """Return a grey square with a few words on it, as PNG."""
    image = Image.new("L", (size, size), _GREY)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size - 1, size - 1), outline=120)
    draw.multiline_text(
        (size / 2, size / 2),
        f"This image cannot be shown:\n{text}",
        fill=_INK,
        anchor="mm",
        align="center",
        font=_font(),
    )
    return _png(image, _CANNOT_BE_SHOWN)


def is_tile(png: bytes) -> bool:
    """Say whether a PNG is a `tile`, so that nobody clears a picture that nobody could see."""
    return _CANNOT_BE_SHOWN.encode() in png[:256]


def png_size(png: bytes) -> tuple[int, int]:
    """Return rows and columns of a PNG, from its first chunk (RFC 2083 section 4.1.1)."""
    return int.from_bytes(png[20:24], "big"), int.from_bytes(png[16:20], "big")


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=13)


def contact_sheet(pictures: Sequence[tuple[bytes, str]], *, columns: int = 6, side: int = TILE) -> bytes:
    """Return pictures side by side, each with its caption below, as one PNG.

    Parameters
    ----------
    pictures
        PNG bytes and a caption; a caption is a ref or a pseudonym, never an identifier.
    columns
        Pictures in a row.
    side
        The side of one picture's square, in pixels.
    """
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    cell, height = side + _PADDING, side + _PADDING + _CAPTION
    sheet = Image.new("RGB", (columns * cell + _PADDING, max(1, rows) * height + _PADDING), (16, 18, 20))
    draw = ImageDraw.Draw(sheet)
    for index, (png, caption) in enumerate(pictures):
        left = _PADDING + index % columns * cell
        top = _PADDING + index // columns * height
        try:
            with Image.open(io.BytesIO(png)) as opened:
                picture = opened.convert("RGB")
        except OSError:
            continue
        picture.thumbnail((side, side), Image.Resampling.BOX)
        sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
        draw.text((left + side / 2, top + side + 2), caption, fill=(_INK, _INK, _INK), anchor="ma", font=_font())
    return _png(sheet)
