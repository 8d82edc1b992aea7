"""A cheap look at stored values for drawn letters: thin strokes of one exact value with hard edges, close together.

What a machine draws into a picture has one value, or one for the ink and shades along its edges; what it measures has noise. So no
window, polarity or contrast matters, and text in values that no window shows is found like any other. It takes
milliseconds, and says where a detector has to look, or a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from bsti_submit.deid.pixels.reader import Line
    from bsti_submit.deid.pixels.regions import Region

    Values = NDArray[np.int16]
    Mask = NDArray[np.bool_]

_THIN: Final = 7
"""Pixels across a stroke at most, at one scale."""
_STEPS: Final = (1, 2, 4, 8)
"""Every how many pixels are looked at: thick strokes are thin among every fourth."""
_CELL: Final = 32
"""Side of the squares in which strokes are counted; they overlap by half."""
_ENOUGH: Final = 18
"""Pixels of strokes of one value in a square: a letter of 10 pixels has about 20."""
_STRAIGHT: Final = 0.6
"""Share of them in one row or column from which they are a line, not letters."""
_CONTRAST: Final = 0.02
"""Step at a stroke's edge, as a share of the picture's range."""
_NOISE: Final = 4.0
"""The same, in multiples of the usual difference between neighbours."""
_CUT_OFF: Final = 12.0
"""The same for strokes of the least value."""


def suspicious(values: NDArray[Any]) -> bool:
    """Say whether a picture of shape (rows, columns) has anything like drawn letters."""
    return unexplained(values, ())


def unexplained(values: NDArray[Any], known: Iterable[Line | Region]) -> bool:
    """Say whether there is anything like drawn letters outside of what is known already."""
    places = list(known)
    narrow = _narrow(values)
    for step in _STEPS:
        part = np.ascontiguousarray(narrow[::step, ::step])
        if min(part.shape) < _THIN + 2:
            return False
        hits = _strokes(part)
        for place in places:
            reach = 2 + (place.bottom - place.top) // 4
            hits[
                max(0, place.top - reach) // step : (place.bottom + reach) // step + 1,
                max(0, place.left - reach) // step : (place.right + reach) // step + 1,
            ] = False
        if _clustered(hits, part):
            return True
    return False


def _narrow(values: NDArray[Any]) -> Values:
    """Return values as 16 bits with room for differences: exact up to 14 bits, without the lowest beyond."""
    least, greatest = int(values.min()), int(values.max())
    shift = max(0, (greatest - least).bit_length() - 14)
    return ((values.astype(np.int32) - least) >> shift).astype(np.int16)


def _strokes(values: Values) -> Mask:
    """Return the pixels that have a neighbour of the same value and lie on a thin bar with hard edges."""
    flat = np.zeros(values.shape, bool)
    across = values[:, 1:] == values[:, :-1]
    flat[:, 1:] |= across
    flat[:, :-1] |= across
    down = values[1:] == values[:-1]
    flat[1:] |= down
    flat[:-1] |= down
    sample = values[::4]
    usual = float(np.median(np.abs(np.diff(sample[:, ::2], axis=1)))) if sample.size > 2 else 0.0
    step = max(_CONTRAST * int(values.max()), _NOISE * usual, 4.0)
    # Noise over air is cut off at the least value, which makes grains of one value of it
    needed = np.where(values == 0, np.int16(max(step, min(_CUT_OFF * usual, 0x3FFF))), np.int16(step))
    bars = np.zeros(values.shape, bool)
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (_THIN, _THIN)
        padded = np.pad(values, width, mode="edge")
        bars |= values - _over(_over(padded, np.minimum, axis), np.maximum, axis) >= step
        bars |= _over(_over(padded, np.maximum, axis), np.minimum, axis) - values >= needed
    bars &= flat
    return bars


def _over(values: Values, extreme: np.ufunc, axis: int) -> Values:
    """Return the extreme of every `_THIN` + 1 neighbours along an axis: one more than a stroke is across, in three steps."""
    for shift in (1, 2, 4):
        values = extreme(values[:, shift:], values[:, :-shift]) if axis else extreme(values[shift:], values[:-shift])
    return values


def _clustered(hits: Mask, values: NDArray[Any]) -> bool:
    """Say whether enough strokes of one value are in one square, and are no straight line."""
    rows, columns = np.nonzero(hits)
    if len(rows) < _ENOUGH:
        return False
    inks = values[rows, columns].astype(np.int64)
    half = _CELL // 2
    for down in (0, half):
        for across in (0, half):
            place = ((rows + down) // _CELL << 12) | ((columns + across) // _CELL)
            _, cells, counts = np.unique((inks << 24) | place, return_inverse=True, return_counts=True)
            for cell in np.flatnonzero(counts >= _ENOUGH):
                own = cells == cell
                if _spread(rows[own]) and _spread(columns[own]):
                    return True
    return False


def _spread(places: NDArray[np.intp]) -> bool:
    counts = np.unique(places, return_counts=True)[1]
    return len(counts) >= 4 and int(counts.max()) <= _STRAIGHT * len(places)
