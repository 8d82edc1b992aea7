"""Rectangles of a picture, in stored pixels: where text was found, or where a person or a profile blanks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A rectangle of stored pixels, of one frame or of all.

    Attributes
    ----------
    left, top, right, bottom
        Columns and rows counted from 0 at the first pixel stored; ``right`` and ``bottom`` are the first that are
        not part of it.
    frame
        Counted from 0; None for every frame.
    """

    left: int
    top: int
    right: int
    bottom: int
    frame: int | None = None

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    def within(self, rows: int, columns: int) -> Self | None:
        """Return the part of it that lies in a picture, None if nothing does."""
        left, top = max(0, self.left), max(0, self.top)
        right, bottom = min(columns, self.right), min(rows, self.bottom)
        if left >= right or top >= bottom:
            return None
        return type(self)(left, top, right, bottom, self.frame)

    def without(self, other: Self) -> tuple[Self, ...]:
        """Return what is left of it outside another region, whatever the frame of that: at most four rectangles."""
        common = other.within(self.bottom, self.right)
        if common is None or common.right <= self.left or common.bottom <= self.top:
            return (self,)
        top, bottom = max(self.top, common.top), common.bottom
        parts = (
            type(self)(self.left, self.top, self.right, top, self.frame),
            type(self)(self.left, top, max(self.left, common.left), bottom, self.frame),
            type(self)(common.right, top, self.right, bottom, self.frame),
            type(self)(self.left, bottom, self.right, self.bottom, self.frame),
        )
        return tuple(part for part in parts if part.width > 0 and part.height > 0)
