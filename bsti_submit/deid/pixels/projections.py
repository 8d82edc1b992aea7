"""Slices of a CT series → pictures in which text that is on every slice stands out, in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

STILL: Final = 12
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

    def planes(self) -> Iterator[tuple[NDArray[np.int32], bool]]:
        """Yield the greatest and least values, their difference and the mean, each with whether it is a still one.

        Opaque text shows in the difference, where nothing else does not change; faint text in the mean, where noise is
        gone and only what is in one place has hard edges. One slice has no projections.
        """
        if self.count > 1:
            yield self._greatest, False
            yield self._least, False
            yield self._greatest - self._least, False
            yield (self._sum // self.count).astype(np.int32), self.count >= STILL
