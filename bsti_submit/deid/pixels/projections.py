"""Slices of a CT series → four pictures in which text that is on every slice stands out, in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Projections:
    """The greatest, least and mean value of each pixel over the slices of a series.

    Attributes
    ----------
    count
        Slices of the first shape; slices of another shape are not counted, and have to be looked at by themselves.
    shape
        Rows and columns.
    """

    def __init__(self) -> None:
        self.count = 0
        self.shape: tuple[int, ...] = ()

    def add(self, values: NDArray[Any]) -> None:
        """Take in one slice of shape (rows, columns)."""
        if self.count == 0:
            self.shape = values.shape
            self._greatest = values.astype(np.int32)
            self._least = self._greatest.copy()
            self._sum = values.astype(np.float64)
        elif values.shape == self.shape:
            np.maximum(self._greatest, values, out=self._greatest, casting="unsafe")
            np.minimum(self._least, values, out=self._least, casting="unsafe")
            self._sum += values
        else:
            return
        self.count += 1

    def planes(self) -> Iterator[NDArray[np.int32]]:
        """Yield the greatest and least values, their difference and the mean.

        Opaque text shows in the difference, where it alone does not change; faint text in the mean, where the noise is
        gone.
        """
        if self.count:
            yield self._greatest
            yield self._least
            yield self._greatest - self._least
            yield np.rint(self._sum / self.count).astype(np.int32)
