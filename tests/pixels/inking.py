"""Lines of text into frames: a place, a brightness at which they can be read, and the exact ink."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tests.pixels.shades import shades
from tests.pixels.typeface import Alpha, Style, written

if TYPE_CHECKING:
    from numpy.random import Generator

    from tests.pixels.chests import Canvas

INK = 0.25
"""From this much ink on, a pixel belongs to a letter."""
SMALLEST = 12
"""Letter height in pixels from which on all text must be found."""
PLACES = ("corner", "corner", "margin", "anatomy", "edge", "cut")
_TINTS = ((1, 1, 1), (1, 1, 0), (0, 1, 0), (0, 1, 1), (1, 0.65, 0))
_LUMA = np.array((0.299, 0.587, 0.114))


class Kind(StrEnum):
    """What a line is: it must not leave, or it must stay."""

    IDENTIFYING = "identifying"
    MARKER = "marker"


@dataclass(frozen=True)
class Item:
    """A line that was drawn.

    Attributes
    ----------
    line
        The same on every frame and slice that bears the same line.
    frames
        Counted from 0 in the series.
    left, top
        Where the ink mask lies.
    ink
        Shape (rows, columns): the pixels of its letters.
    area
        Left, top, right, bottom (exclusive) of all that was changed for its sake, a box behind it included.
    height
        Letter height in pixels.
    """

    kind: Kind
    text: str
    sort: str
    line: int
    frames: tuple[int, ...]
    left: int
    top: int
    ink: npt.NDArray[np.bool_]
    area: tuple[int, int, int, int]
    height: int
    traits: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """A block of lines to be written."""

    lines: tuple[tuple[Kind, str, str], ...]
    style: Style
    contrast: str
    place: str
    tint: int = 0


class Writer:
    """Writes blocks on one canvas, none of them near another.

    Parameters
    ----------
    ink
        Whether to write at all; without, every decision is made and nothing is changed.
    """

    def __init__(self, rng: Generator, canvas: Canvas, *, ink: bool = True) -> None:
        self.items: list[Item] = []
        self._rng, self._canvas, self._ink = rng, canvas, ink
        self._taken: list[tuple[int, int, int, int]] = []

    def write(self, wanted: Wanted, frames: tuple[int, ...]) -> bool:
        """Write a block; false if there is no place for it."""
        rng = self._rng
        masks = written([text for _, text, _ in wanted.lines], wanted.style)
        pad = max(2, wanted.style.height // 3)
        spot = self._spot(wanted, masks[0].shape, pad)
        if spot is None:
            return False
        top, left = spot
        rows, columns = self._canvas.shape
        cut = (slice(max(0, -top), rows - top), slice(max(0, -left), columns - left))
        masks = [mask[cut] for mask in masks]
        if any(_extent(mask) < 8 for mask in masks):
            return False
        top, left = max(0, top), max(0, left)
        height, width = masks[0].shape
        box = (max(0, left - pad), max(0, top - pad), min(columns, left + width + pad), min(rows, top + height + pad))
        covered = np.max(masks, axis=0) >= 0.5
        under = self._grey(frames, (left, top, left + width, top + height))[:, covered]
        level, behind, contrast = shades(rng, self._canvas, wanted.contrast, under, self._grey(frames, box))
        self._draw(masks, frames, (top, left), box, level, behind, wanted.tint)
        gap = max(10, wanted.style.height)
        self._taken.append((box[0] - gap, box[1] - gap, box[2] + gap, box[3] + gap))
        traits = {
            "contrast": contrast,
            "place": wanted.place,
            "turn": _turn_name(wanted.style.turn),
            "face": Path(wanted.style.face).name,
            "edge": "hard" if wanted.style.hard else "blurred" if wanted.style.blur else "smooth",
            "behind": "box" if behind is not None else "nothing",
            "height": f"{wanted.style.height // 12 * 12}-{wanted.style.height // 12 * 12 + 11}",
            "lines": str(len(masks)),
        }
        for mask, (kind, text, sort) in zip(masks, wanted.lines, strict=True):
            ink = mask >= INK
            ys, xs = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
            inner = (slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1))
            area = box if behind is not None else (left, top, left + width, top + height)
            self.items.append(
                Item(
                    kind, text, sort, len(self.items), frames, left + int(xs[0]), top + int(ys[0]),
                    ink[inner], area, wanted.style.height, traits,
                )
            )  # fmt: skip
        return True

    def _spot(self, wanted: Wanted, size: tuple[int, ...], pad: int) -> tuple[int, int] | None:
        rows, columns = self._canvas.shape
        height, width = size[:2]
        if height + 2 * pad >= rows or width + 2 * pad >= columns:
            return None
        for _ in range(40):
            top, left = self._try(wanted, height, width, pad)
            box = (left - pad, top - pad, left + width + pad, top + height + pad)
            if all(box[2] <= x0 or x1 <= box[0] or box[3] <= y0 or y1 <= box[1] for x0, y0, x1, y1 in self._taken):
                return top, left
        return None

    def _try(self, wanted: Wanted, height: int, width: int, pad: int) -> tuple[int, int]:
        rng, (rows, columns) = self._rng, self._canvas.shape
        most_top, most_left = rows - height - pad, columns - width - pad
        any_top, any_left = int(rng.integers(pad, most_top + 1)), int(rng.integers(pad, most_left + 1))
        near = int(rng.integers(0, max(2, rows // 25)))
        ends_top = int(rng.choice([min(near, most_top), max(0, rows - height - near)]))
        ends_left = int(rng.choice([min(near, most_left), max(0, columns - width - near)]))
        border = self._canvas.border
        match wanted.place:
            case "corner":
                return ends_top, ends_left
            case "margin":
                return (ends_top, any_left) if rng.random() < 0.5 else (any_top, ends_left)
            case "edge" if border is not None:
                across = int(rng.integers(-height, 1))
                row = int(np.clip((border[1] if rng.random() < 0.5 else border[3]) + across, 0, rows - height))
                return row, any_left
            case "cut":
                # at most a third of the letters' height, or of the line's length, lies outside
                off_top, off_left = int(rng.integers(1, max(2, height // 3))), int(rng.integers(1, max(2, width // 3)))
                if len(wanted.lines) > 1 or wanted.style.height * 2 < 3 * SMALLEST or height > 2 * width:
                    off_top = 0
                if height > 2 * width and (len(wanted.lines) > 1 or wanted.style.height * 2 < 3 * SMALLEST):
                    off_left = 0
                if off_top and rng.random() < 0.5:
                    return int(rng.choice([-off_top, rows - height + off_top])), any_left
                if not off_left:
                    return -min(off_top, height // 3), any_left
                return any_top, int(rng.choice([-off_left, columns - width + off_left]))
            case _:
                inner_top = int(rng.integers(rows // 6, max(rows // 6 + 1, 5 * rows // 6 - height)))
                inner_left = int(rng.integers(columns // 6, max(columns // 6 + 1, 5 * columns // 6 - width)))
                return min(inner_top, most_top), min(inner_left, most_left)

    def _grey(self, frames: tuple[int, ...], box: tuple[int, int, int, int]) -> npt.NDArray[np.float64]:
        left, top, right, bottom = box
        part = self._canvas.values[list(frames), top:bottom, left:right].astype(np.float64)
        return part @ _LUMA if part.ndim == 4 else part

    def _draw(
        self, masks: list[Alpha], frames: tuple[int, ...], at: tuple[int, int], box: tuple[int, int, int, int],
        level: int, behind: int | None, tint: int,
    ) -> None:  # fmt: skip
        if not self._ink:
            return
        values, (top, left) = self._canvas.values, at
        alpha = np.max(masks, axis=0)
        colour = values.ndim == 4
        shade = np.rint(np.array(_TINTS[tint if behind is None else 0]) * level) if colour else np.array(level)
        for frame in frames:
            if behind is not None:
                values[frame, box[1] : box[3], box[0] : box[2]] = behind
            part = values[frame, top : top + alpha.shape[0], left : left + alpha.shape[1]]
            much = alpha[..., None] if colour else alpha
            part[:] = np.rint(part + (shade - part) * much)


def _extent(mask: Alpha) -> int:
    ink = mask >= INK
    return min(int(ink.any(1).sum()), int(ink.any(0).sum())) if ink.any() else 0


def _turn_name(turn: float) -> str:
    right = round(turn / 90) * 90
    return f"{right % 360}" if abs(turn - right) < 0.01 else f"{right % 360} and a little"
