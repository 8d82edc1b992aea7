"""Slices of a CT series → pictures in which text that is on every slice stands out, in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

STILL: Final = 8
"""Slices from which their mean has so little noise that faint text stands out."""


class Projections:
    """The greatest, least and mean value of each pixel over the slices of a series.

    Attributes
    ----------
    count
        Slices that were taken in: those of the first one's shape.
    shape
        Rows and columns; () before the first slice.
    """

    def __init__(self) -> None:
        self.count = 0
        self.shape: tuple[int, ...] = ()

    def add(self, values: NDArray[Any]) -> None:
        """Take in one slice of shape (rows, columns); one of another shape is looked at by itself."""
        if self.count == 0 and values.ndim == 2:
            self.shape = values.shape
            self._greatest = values.astype(np.int32)
            self._least = self._greatest.copy()
            self._sum = values.astype(np.int64)
        elif values.shape == self.shape:
            np.maximum(self._greatest, values, out=self._greatest)
            np.minimum(self._least, values, out=self._least)
            self._sum += values
        else:
            return
        self.count += 1

    def extremes(self) -> Iterator[NDArray[np.int32]]:
        """Yield the greatest and the least values. One slice has no projections."""
        if self.count > 1:
            yield self._greatest
            yield self._least

    def change(self) -> NDArray[np.int32] | None:
        """Return the difference of those two: opaque text shows, where nothing else does not change."""
        return self._greatest - self._least if self.count > 1 else None

    def mean(self) -> NDArray[np.int32] | None:
        """Return the mean of `STILL` slices or more: faint text shows, where noise is gone and anatomy blurred."""
        return (self._sum // self.count).astype(np.int32) if self.count >= STILL else None
