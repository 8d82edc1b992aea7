"""Rectangles of a picture, in stored pixels: where text was found, or where a person or a profile blanks."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_REGIONS: Final = 200
"""More in one picture are no longer looked at one by one."""


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


def to_rows(regions: Iterable[Region]) -> list[list[int | None]]:
    """Return regions as JSON has them: ``[left, top, right, bottom, frame or null]`` each."""
    return [list(astuple(region)) for region in regions]


def from_rows(value: object, *, rows: int, columns: int, frames: int) -> tuple[Region, ...]:
    """Return the regions of a JSON value from outside, all of which lie in a picture of this size.

    Raises
    ------
    ValueError
        If it is anything else, or there are more than `MOST_REGIONS`.
    """
    if not isinstance(value, list) or len(value) > MOST_REGIONS:
        raise ValueError("not a list of regions")
    return tuple(_from_row(row, rows, columns, frames) for row in value)


def _from_row(row: object, rows: int, columns: int, frames: int) -> Region:
    if not isinstance(row, list) or len(row) != 5:
        raise ValueError("not a region")
    # `type`, for True is an int to `isinstance`
    if any(type(number) is not int for number in row[:4]) or (row[4] is not None and type(row[4]) is not int):
        raise ValueError("not a region of whole pixels")
    left, top, right, bottom, frame = row
    if not (0 <= left < right <= columns and 0 <= top < bottom <= rows and (frame is None or 0 <= frame < frames)):
        raise ValueError("not a region of this picture")
    return Region(left, top, right, bottom, frame)
