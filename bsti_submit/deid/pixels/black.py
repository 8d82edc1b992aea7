"""What is black: the stored value that the header of an instance displays as the darkest.

Greys go through rescale or Modality LUT, window or VOI LUT, and the polarity (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2,
C.11.6); indices through the palette (C.7.9). Taken is the darkest value that the picture has, so that its range stays
as wide as it was, or a darker one where the header shows even that as grey.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.pixels.processing import apply_color_lut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom.dataset import Dataset

    from bsti_submit.deid.staged import PixelLayout

GREYS: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOURS: Final = 3
_LUMINANCE: Final = (0.2126, 0.7152, 0.0722)
"""Of red, green and blue (ITU-R BT.709)."""


class NoBlack(ValueError):  # noqa: N818 - caught where pixels are blanked, and turned into a refusal
    """It cannot be told what is displayed as black. Holds the keyword that leaves it open."""


def storable(layout: PixelLayout) -> tuple[int, int]:
    """Return the least and the greatest value that Bits Stored can hold."""
    if layout.signed:
        half = 1 << (layout.bits_stored - 1)
        return -half, half - 1
    return 0, (1 << layout.bits_stored) - 1


def black(layout: PixelLayout, header: Dataset, extremes: Callable[[], tuple[int, int]]) -> tuple[int, ...]:
    """Return the stored value of black, one for each sample of a pixel.

    Parameters
    ----------
    header
        Of the instance as it will leave: by it the picture is displayed.
    extremes
        Gives the least and the greatest stored value of the picture; called for greys only.

    Raises
    ------
    NoBlack
        If the header does not say how the pixels are displayed, or says it of the frames in different ways.
    """
    if layout.photometric in GREYS and layout.samples == 1:
        return (_grey(layout, header, *extremes()),)
    if layout.signed:
        raise NoBlack("PixelRepresentation")
    if layout.photometric == "PALETTE COLOR" and layout.samples == 1:
        return (_index(layout, header),)
    if layout.photometric == "RGB" and layout.samples == _COLOURS:
        return (0, 0, 0)
    if layout.photometric == "YBR_FULL" and layout.samples == _COLOURS:
        neutral = 1 << (layout.bits_stored - 1)
        return (0, neutral, neutral)
    raise NoBlack("PhotometricInterpretation")


def _grey(layout: PixelLayout, header: Dataset, least: int, greatest: int) -> int:
    low, high = storable(layout)
    inverted = layout.photometric == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE"
    frames = {_Display(header, frame, inverted=inverted).key for frame in _telling_frames(layout, header)}
    falls = {key[0] for key in frames}
    if len(falls) != 1:
        raise NoBlack("RescaleSlope")
    edges = [edge for key in frames for edge in key[1]]
    if falls.pop():
        return min(high, max([greatest, *(math.ceil(min(edge, high)) for edge in edges)]))
    return max(low, min([least, *(math.floor(max(edge, low)) for edge in edges)]))


def _telling_frames(layout: PixelLayout, header: Dataset) -> range:
    """Return the frames that may be displayed in ways of their own."""
    return range(layout.frames if header.get("PerFrameFunctionalGroupsSequence") else 1)


class _Display:
    """How one frame is displayed: whether greater values are darker, and which stored values are black at the latest."""

    def __init__(self, header: Dataset, frame: int, *, inverted: bool) -> None:
        transform = _item(header, frame, "PixelValueTransformationSequence")
        self._slope = _number(transform, "RescaleSlope") or 1.0
        self._intercept = _number(transform, "RescaleIntercept") or 0.0
        modality = next(iter(header.get("ModalityLUTSequence") or ()), None)
        windows = list(_windows(_item(header, frame, "FrameVOILUTSequence")))
        tables = tuple(header.get("VOILUTSequence") or ())
        falling = {_falls(table) for table in tables} | ({False} if windows else set())
        if len(falling) > 1:
            raise NoBlack("VOILUTSequence")  # which of them is displayed is the viewer's choice
        falls = inverted ^ (_falls(modality) if modality is not None else self._slope < 0) ^ (falling == {True})
        edges: list[float] = []
        if modality is not None:
            # Behind such a table a window says nothing of stored values; what is beyond its ends is black for certain.
            edges += [math.inf if falls else -math.inf]
        else:
            edges += [self._stored(window[1 if inverted else 0]) for window in windows]
            edges += [self._stored(end) for table in tables for end in _ends(table)]
        self.key = falls, tuple(edge for edge in edges if not math.isnan(edge))

    def _stored(self, value: float) -> float:
        return (value - self._intercept) / self._slope


def _item(header: Dataset, frame: int, keyword: str) -> Dataset:
    """Return the functional group of a frame, or else the data set itself."""
    for groups, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = header.get(groups) or ()
        if index < len(items) and items[index].get(keyword):
            found: Dataset = items[index][keyword].value[0]
            return found
    return header


def _numbers(item: Dataset, keyword: str) -> list[float]:
    value = item.get(keyword)
    if value is None or value == "":
        return []
    values = [value] if isinstance(value, str | int | float) else list(value)
    return [float(each) for each in values]


def _number(item: Dataset, keyword: str) -> float | None:
    return next(iter(_numbers(item, keyword)), None)


def _windows(item: Dataset) -> Iterator[tuple[float, float]]:
    """Yield where each window begins and ends (C.11.2.1.2.1)."""
    for centre, width in zip(_numbers(item, "WindowCenter"), _numbers(item, "WindowWidth"), strict=False):
        half = max(width - 1, 0) / 2
        yield centre - 0.5 - half, centre - 0.5 + half


def _falls(table: Dataset) -> bool:
    """Return whether a lookup table gives its last entry less than its first."""
    data = table.LUTData
    if isinstance(data, bytes):
        width = 1 if int(table.LUTDescriptor[2]) <= 8 and len(data) == (int(table.LUTDescriptor[0]) or 1 << 16) else 2
        data = np.frombuffer(data, f"<u{width}")
    return int(data[-1]) < int(data[0])


def _ends(table: Dataset) -> tuple[float, float]:
    """Return the values that a lookup table gives its first and its last entry."""
    entries, first = int(table.LUTDescriptor[0]) or 1 << 16, int(table.LUTDescriptor[1])
    return float(first), float(first + entries - 1)


def _index(layout: PixelLayout, header: Dataset) -> int:
    """Return the index to which the palette gives the darkest colour."""
    low, high = storable(layout)
    entries, first = (int(value) for value in header.RedPaletteColorLookupTableDescriptor[:2])
    indices = np.arange(max(low, first), min(high, first + (entries or 1 << 16) - 1) + 1)
    if not indices.size:
        raise NoBlack("RedPaletteColorLookupTableDescriptor")
    colours = apply_color_lut(indices.astype(f"<u{layout.bits_allocated // 8}"), header)
    return int(indices[int(np.argmin(colours @ np.array(_LUMINANCE)))])
