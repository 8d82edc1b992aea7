"""What became of the writing on an image, told from its stored values before and after alone.

A pixel counts as blanked where a square of one constant value, at least three quarters of a letter high, covers it: what
is left of letters has no such square in it, whatever their colour. A line is blanked when that holds for all of its ink, or for
98 % of it and no rest that hangs together is longer or higher than a quarter of a letter. Outside the picture counts as blanked.
A marker is intact when not one pixel of its ink changed. A changed pixel that no square of 4 pixels covers is stray:
outside of blanked rectangles every stored value has to be what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tests.pixels.inking import Item

Stored = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]
LEAST_SIDE = 4
"""No blanked rectangle is narrower than this."""


def _covered(constant: Mask, side: int) -> Mask:
    """Return the pixels that a square of constant pixels covers (a morphological opening)."""
    rows, columns = constant.shape
    wide = np.pad(constant, side, constant_values=True)
    corners = _windows(wide, side) == side * side
    return (
        _windows(np.pad(corners, ((side - 1, side - 1), (side - 1, side - 1))), side)[
            side : side + rows, side : side + columns
        ]
        > 0
    )


def _windows(mask: Mask, side: int) -> npt.NDArray[np.int32]:
    """Return how many pixels are set in each square of a side, by its upper left corner."""
    total = np.pad(mask.astype(np.int32).cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def _pieces(rest: Mask) -> list[tuple[int, int]]:
    """Return height and width of each set of pixels that hangs together, corners included."""
    left = {(int(row), int(column)) for row, column in np.argwhere(rest)}
    found = []
    while left:
        stack = [left.pop()]
        piece = list(stack)
        while stack:
            row, column = stack.pop()
            for near in ((row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)):
                if near in left:
                    left.remove(near)
                    stack.append(near)
                    piece.append(near)
        rows, columns = [row for row, _ in piece], [column for _, column in piece]
        found.append((max(rows) - min(rows) + 1, max(columns) - min(columns) + 1))
    return found


@dataclass(frozen=True)
class Comparison:
    """The stored values of one object before and after, shape (frames, rows, columns, samples)."""

    before: Stored
    after: Stored

    @property
    def changed(self) -> Mask:
        """Where any sample differs, shape (frames, rows, columns)."""
        return np.asarray((self.before != self.after).any(axis=-1))

    def values(self, frame: int) -> list[Stored]:
        """Return the values that changed pixels of a frame now have; black alone if all is well."""
        changed = self.changed[frame]
        return list(np.unique(self.after[frame][changed], axis=0)) if changed.any() else []

    def share_changed(self) -> float:
        """Return the share of pixels that changed."""
        return float(self.changed.mean())

    def stray(self) -> int:
        """Return how many changed pixels are part of no rectangle of one value, the same in the whole object."""
        count = 0
        values = np.unique(self.after[self.changed], axis=0)
        if len(values) > 1:
            return int(self.changed.sum())
        for frame in range(len(self.before)):
            if self.changed[frame].any():
                constant = (self.after[frame] == values[0]).all(axis=-1)
                count += int((self.changed[frame] & ~_covered(constant, LEAST_SIDE)).sum())
        return count

    def is_blanked(self, item: Item, frames: tuple[int, ...]) -> bool:
        """Whether none of these frames shows a line any more."""
        return all(self._blanked(item, frame) for frame in frames)

    def _blanked(self, item: Item, frame: int) -> bool:
        side = max(6, round(0.75 * item.height))
        height, width = item.ink.shape
        room = 2 * side
        top, left = max(0, item.top - room), max(0, item.left - room)
        part = self.after[frame, top : item.top + height + room, left : item.left + width + room]
        at = (slice(item.top - top, item.top - top + height), slice(item.left - left, item.left - left + width))
        rest = item.ink.copy()
        for value in self.values(frame):
            rest &= ~_covered((part == value).all(axis=-1), side)[at]
        if not rest.any():
            return True
        small = item.height / 4
        return rest.sum() <= 0.02 * item.ink.sum() and all(
            rows <= small and columns <= small for rows, columns in _pieces(rest)
        )

    def is_intact(self, item: Item, frames: tuple[int, ...]) -> bool:
        """Whether every pixel of a marker's ink is as it was, in all of these frames."""
        height, width = item.ink.shape
        at = (slice(item.top, item.top + height), slice(item.left, item.left + width))
        return not any((self.changed[frame][at] & item.ink).any() for frame in frames)
