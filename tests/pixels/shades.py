"""How bright letters are, and the box behind them: so that a person could read them, in the header's window or in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from numpy.random import Generator

    from tests.pixels.chests import Canvas

Grey = npt.NDArray[np.float64]

CONTRASTS = ("white", "white", "grey", "faint", "dark", "boxed", "outside")
_STEPS = {"grey": (0.3, 0.6), "faint": (0.06, 0.12)}
"""How far letters are from what is around them, in widths of the window."""


def shades(rng: Generator, canvas: Canvas, wanted: str, under: Grey, around: Grey) -> tuple[int, int | None, str]:
    """Return the letters' value, the value of a box behind them or None, and the contrast that became of it.

    A contrast that could not be read where the line stands gives way to the next one: nine of ten pixels of its ink have
    to differ from what they cover, on every frame.

    Parameters
    ----------
    under
        What the ink covers, shape (frames, pixels).
    around
        What is there and close by, in any shape.
    """
    black, white = canvas.window or (canvas.low, canvas.high)
    black, white = max(black, canvas.low), min(white, canvas.high)
    if white - black < 20:
        black, white = canvas.low, canvas.high
    span = white - black
    around = np.clip(around, black, white)
    middle = float(np.median(around))
    noise = 1.5 * float(np.median(np.abs(around - middle)))
    brightest = canvas.high if rng.random() < 0.6 else white
    steps = {name: float(rng.uniform(*ends)) * span for name, ends in _STEPS.items()}
    steps["faint"] = max(steps["faint"], 3 * noise)
    hidden = _outside(rng, canvas, under)
    for contrast in (wanted, "boxed" if wanted == "dark" else "white"):
        need = 0.25 * span
        if contrast == "boxed":
            break
        if contrast == "outside":
            if hidden is None:
                continue
            return *hidden, contrast
        if contrast == "white":
            level = brightest
        elif contrast == "dark":
            level = black
        else:
            level = int(middle + steps[contrast] if middle + steps[contrast] <= white else middle - steps[contrast])
            need = (0.5 if contrast == "grey" else 0.7) * steps[contrast]
        seen = np.abs(np.clip(under, black, white) - np.clip(level, black, white)) >= need
        if canvas.low <= level <= canvas.high and seen.mean(axis=1).min() >= 0.9:
            return level, None, contrast
    boxes = ((black, brightest), (white, black), (black + span // 2, white), (black, black + 2 * span // 3))
    behind, level = boxes[1 if wanted == "dark" else int(rng.integers(4))]
    return level, behind, "boxed"


def _outside(rng: Generator, canvas: Canvas, under: Grey) -> tuple[int, int | None] | None:
    """Return values that the header's window shows as all black or all white, letters and what is behind."""
    if canvas.window is None:
        return None
    black, white = canvas.window
    apart = (canvas.high - canvas.low) // 20
    sides = [
        (first, last) for first, last in ((canvas.low, black - 1), (white + 1, canvas.high)) if last - first > 2 * apart
    ]
    if not sides:
        return None
    first, last = sides[int(rng.integers(len(sides)))]
    if under.max() + apart < black - 1:
        return int(rng.integers(int(under.max()) + apart, black)), None
    one = int(rng.integers(first, last - apart))
    other = int(rng.integers(one + apart, last + 1))
    return (one, other) if rng.random() < 0.5 else (other, one)
