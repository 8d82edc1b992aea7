"""A cheap look at stored values for drawn letters: thin strokes of one exact value with hard edges, close together.

What a machine draws into a picture has one value, or one for the ink and shades along its edges; what it measures has noise. So no
window, polarity or contrast matters, and text in values that no window shows is found like any other. It takes
milliseconds, and says where a detector has to look, or a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bsti_submit.deid.pixels.regions import Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Values = NDArray[np.int16]
    Mask = NDArray[np.bool_]
    Ways = NDArray[np.uint8]

_THIN: Final = 7
"""Pixels across a stroke at most, at one scale."""
_STEPS: Final = (1, 2, 4, 8)
"""Every how many pixels are looked at: thick strokes are thin among every fourth."""
_CELL: Final = 32
"""Side of the squares in which strokes are counted; they overlap by half."""
_ENOUGH: Final = 18
"""Pixels of strokes of one value in a square: a letter of 10 pixels has about 20."""
_CROSSING: Final = 0.15
"""Share of them on strokes that run down, and on strokes that run across: a curved gap has but one of them."""
_ACROSS, _DOWN = 1, 2
_STRAIGHT: Final = 0.6
"""Share of them in one row or column from which they are a line, not letters."""
_CONTRAST: Final = 0.02
"""Step at a stroke's edge, as a share of the picture's range."""
_NOISE: Final = 4.0
"""The same, in multiples of the usual difference between neighbours."""
_MANY: Final = 120
_STRONG: Final = 0.3
_STRONG_NOISE: Final = 12.0
"""Pixels, contrast and noise as above for letters of no single value, which have to be more and stronger."""
_STANDING_OUT: Final = 6.0
"""The same beyond the ends of a line, in multiples of the usual distance from the middle value there."""
_SPECKS: Final = 3
"""Pixels that may."""
_CUT_OFF: Final = 12.0
"""The same for strokes of the least value."""


def suspicious(values: NDArray[Any]) -> bool:
    """Say whether a picture of shape (rows, columns) has anything like drawn letters."""
    return unexplained(values, ())


def unexplained(values: NDArray[Any], known: Iterable[Region]) -> bool:
    """Say whether there is anything like drawn letters outside of what is known already."""
    return next(_found(values, known), None) is not None


def clusters(values: NDArray[Any], known: Iterable[Region]) -> list[Region]:
    """Return the places of drawn letters outside of what is known already, each once."""
    places: list[Region] = []
    for place in _found(values, known):
        near = [other for other in places if _near(place, other)]
        places = [other for other in places if other not in near]
        for other in near:
            place = Region(  # noqa: PLW2901 - it grows
                min(place.left, other.left),
                min(place.top, other.top),
                max(place.right, other.right),
                max(place.bottom, other.bottom),
            )
        places.append(place)
    return places


def is_whole(values: NDArray[Any], line: Region, known: Iterable[Region]) -> bool:
    """Say whether nothing stands out beyond the ends of a line of text: no rest of it that was not found.

    Parameters
    ----------
    values
        Shape (rows, columns).
    line
        What was found. Looked at is as far beyond its ends as one and a half times its height.
    known
        Regions that do not count, itself among them.
    """
    reach = 2 + 3 * min(line.width, line.height) // 2
    over, down = (reach, 0) if line.width >= line.height else (0, reach)
    left, top = max(0, line.left - over), max(0, line.top - down)
    around = values[top : line.bottom + down, left : line.right + over].astype(np.int32)
    counted = np.ones(around.shape, bool)
    for place in known:
        # One pixel more, for the shade of a letter at its edge
        counted[
            max(0, place.top - 1 - top) : max(0, place.bottom + 1 - top),
            max(0, place.left - 1 - left) : max(0, place.right + 1 - left),
        ] = False
    if not counted.any():
        return True
    away = np.abs(around - int(np.median(around[counted])))
    # Noise that is cut off at the least value has a middle that tells nothing of it
    usual = max(float(np.median(away[counted])), _usual(_narrow(values)[::4, ::2]))
    return int(np.count_nonzero(away[counted] > max(_STANDING_OUT * usual, 4.0))) <= _SPECKS


def _found(values: NDArray[Any], known: Iterable[Region]) -> Iterator[Region]:
    known = list(known)
    narrow = _narrow(values)
    for step in _STEPS:
        part = np.ascontiguousarray(narrow[::step, ::step])
        if min(part.shape) < _THIN + 2:
            return
        hits = _strokes(part)
        shaded = _shaded(part) if step == 1 else np.zeros_like(hits)
        for place in known:
            reach = 2 + min(place.width, place.height) // 4
            here = (
                slice(max(0, place.top - reach) // step, (place.bottom + reach) // step + 1),
                slice(max(0, place.left - reach) // step, (place.right + reach) // step + 1),
            )
            hits[here] = 0
            shaded[here] = 0
        for marks, inks, enough in ((hits, part, _ENOUGH), (shaded, np.zeros_like(part), _MANY)):
            for left, top, right, bottom in _clustered(marks, inks, enough):
                yield Region(left * step, top * step, right * step, bottom * step)


def _shaded(values: Values) -> Ways:
    """Return the pixels of bright bars of strong contrast, whatever their value: small letters with smoothed edges.

    Anatomy has dark gaps and grey branches, but little that is thin and as bright as ink.
    """
    bars = _bars(values, _STRONG_NOISE, _STRONG)
    bars[values < int(values.max()) * 3 // 5] = 0
    return bars


def _near(one: Region, other: Region) -> bool:
    reach = max(8, min(one.height, other.height) // 2)
    return (
        max(one.left, other.left) - min(one.right, other.right) <= reach
        and max(one.top, other.top) - min(one.bottom, other.bottom) <= reach
    )


def _narrow(values: NDArray[Any]) -> Values:
    """Return values as 16 bits with room for differences: exact up to 14 bits, without the lowest beyond."""
    least, greatest = int(values.min()), int(values.max())
    shift = max(0, (greatest - least).bit_length() - 14)
    return ((values.astype(np.int32) - least) >> shift).astype(np.int16)


def _strokes(values: Values) -> Ways:
    """Return for each pixel on a thin bar that has a neighbour of the same value `_ACROSS`, `_DOWN` or both; 0 for others."""
    flat = np.zeros(values.shape, bool)
    across = values[:, 1:] == values[:, :-1]
    flat[:, 1:] |= across
    flat[:, :-1] |= across
    down = values[1:] == values[:-1]
    flat[1:] |= down
    flat[:-1] |= down
    bars = _bars(values, _NOISE)
    bars[~flat] = 0
    return bars


def _bars(values: Values, noise: float, contrast: float = _CONTRAST) -> Ways:
    """Return for each pixel whether it is on a bar, thin `_ACROSS` or `_DOWN`, that both sides are darker or brighter than."""
    usual = _usual(values[::4, ::2])
    step = min(max(contrast * int(values.max()), noise * usual, 4.0), 0x3FFF)
    # Noise over air is cut off at the least value, which makes grains of one value of it
    needed = np.where(values == 0, np.int16(max(step, min(_CUT_OFF * usual, 0x3FFF))), np.int16(step))
    bars = np.zeros(values.shape, np.uint8)
    for axis, sign in ((0, _DOWN), (1, _ACROSS)):
        width = [(0, 0), (0, 0)]
        width[axis] = (_THIN, _THIN)
        padded = np.pad(values, width, mode="edge")
        thin = values - _over(_over(padded, np.minimum, axis), np.maximum, axis) >= np.int16(step)
        thin |= _over(_over(padded, np.maximum, axis), np.minimum, axis) - values >= needed
        bars |= thin.astype(np.uint8) * np.uint8(sign)
    return bars


def _usual(sample: Values) -> float:
    """Return the median difference between neighbours, without those that padding or the end of the scale makes alike."""
    differences = np.abs(np.diff(sample, axis=1))
    differences = differences[(sample[:, 1:] > 0) & (sample[:, :-1] > 0)]
    return float(np.median(differences)) if differences.size else 0.0


def _over(values: Values, extreme: np.ufunc, axis: int) -> Values:
    """Return the extreme of every `_THIN` + 1 neighbours along an axis: one more than a stroke is across, in three steps."""
    for shift in (1, 2, 4):
        values = extreme(values[:, shift:], values[:, :-shift]) if axis else extreme(values[shift:], values[:-shift])
    return values


def _clustered(hits: Ways, values: Values, enough: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield where enough strokes of one value are in one square and are no straight line, as left, top, right, bottom."""
    rows, columns = np.nonzero(hits)
    if len(rows) < enough:
        return
    inks = values[rows, columns].astype(np.int64)
    ways = hits[rows, columns]
    half = _CELL // 2
    for down in (0, half):
        for across in (0, half):
            place = ((rows + down) // _CELL << 12) | ((columns + across) // _CELL)
            _, cells, counts = np.unique((inks << 24) | place, return_inverse=True, return_counts=True)
            for cell in np.flatnonzero(counts >= enough):
                own = cells == cell
                crossing = all(
                    np.count_nonzero(ways[own] & way) >= _CROSSING * counts[cell] for way in (_ACROSS, _DOWN)
                )
                if crossing and _spread(rows[own]) and _spread(columns[own]):
                    yield _grown(own, rows, columns, inks)


def _grown(
    own: Mask, rows: NDArray[np.intp], columns: NDArray[np.intp], inks: NDArray[np.int64]
) -> tuple[int, int, int, int]:
    """Return the bounds of some strokes and of all of the same ink that are near, since a letter ends at no square."""
    same = inks == inks[own][0]
    for _ in range(4):
        top, bottom = int(rows[own].min()), int(rows[own].max()) + 1
        left, right = int(columns[own].min()), int(columns[own].max()) + 1
        near = same & (rows >= top - 6) & (rows < bottom + 6) & (columns >= left - 6) & (columns < right + 6)
        if near.sum() == own.sum():
            break
        own = near
    return left, top, right, bottom


def _spread(places: NDArray[np.intp]) -> bool:
    counts = np.unique(places, return_counts=True)[1]
    return len(counts) >= 4 and int(counts.max()) <= _STRAIGHT * len(places)
