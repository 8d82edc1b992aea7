"""What lies over a chest and is no text: staples, clips, wires, leads, a pacemaker, tubes, scale bars, beads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from numpy.random import Generator

Plane = npt.NDArray[np.float32]


def pen_on(rows: int, columns: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty picture and a pen for it."""
    picture = Image.new("L", (columns, rows))
    return picture, ImageDraw.Draw(picture)


def drawn_plane(picture: Image.Image, blur: float = 0.7) -> Plane:
    """Return what was drawn, from 0 to 1, its edges a little soft."""
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), np.float32) / 255


def lay_over(rng: Generator, plane: Plane) -> None:
    """Lay metal, plastic and tubes over a radiograph, in place."""
    rows, columns = plane.shape
    unit = rows / 1000
    metal, pen = pen_on(rows, columns)
    faint, pale = pen_on(rows, columns)

    def some(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    if rng.random() < 0.35:  # a row of skin staples
        x, y, step, turn = some(0.3, 0.7) * columns, some(0.2, 0.6) * rows, some(12, 22) * unit, some(-0.6, 0.6)
        for number in range(int(rng.integers(4, 16))):
            at_x, at_y = x + number * step * turn, y + number * step
            pen.line((at_x, at_y, at_x + 9 * unit, at_y + some(-1, 1)), fill=255, width=max(1, round(1.6 * unit)))
            pen.line((at_x, at_y, at_x + 1, at_y + 3 * unit), fill=255, width=max(1, round(1.6 * unit)))
            pen.line((at_x + 9 * unit, at_y, at_x + 9 * unit, at_y + 3 * unit), fill=255, width=max(1, round(unit)))
    if rng.random() < 0.35:  # surgical clips
        for _ in range(int(rng.integers(2, 9))):
            x, y = some(0.3, 0.7) * columns, some(0.3, 0.8) * rows
            pen.line(
                (x, y, x + some(-8, 8) * unit, y + some(3, 9) * unit, x + some(-4, 4) * unit, y + some(8, 14) * unit),
                fill=255,
                width=max(2, round(2 * unit)),
            )
    if rng.random() < 0.25:  # sternal wires
        for number in range(int(rng.integers(3, 7))):
            x, y, r = columns / 2 + some(-8, 8) * unit, (0.25 + 0.08 * number) * rows, some(9, 15) * unit
            pen.ellipse((x - r, y - r * 0.7, x + r, y + r * 0.7), outline=255, width=max(2, round(2 * unit)))
            pen.line((x, y - r * 0.7, x + 6 * unit, y - r), fill=255, width=max(2, round(2 * unit)))
    if rng.random() < 0.45:  # leads and their electrodes
        for _ in range(int(rng.integers(2, 5))):
            points = [(some(0.1, 0.9) * columns, some(0.1, 0.9) * rows) for _ in range(4)]
            pale.line(_curve(points), fill=170, width=max(2, round(3 * unit)), joint="curve")
            x, y = points[-1]
            r = some(6, 11) * unit
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
            pale.ellipse((x - 3 * r, y - 3 * r, x + 3 * r, y + 3 * r), outline=90, width=max(1, round(2 * unit)))
    if rng.random() < 0.2:  # a pacemaker
        x, y, r = some(0.12, 0.25) * columns, some(0.2, 0.3) * rows, some(35, 55) * unit
        pen.ellipse((x - r, y - r, x + r, y + r * 0.9), fill=235)
        pen.line(
            _curve(
                [(x, y + r), (0.4 * columns, 0.3 * rows), (0.5 * columns, 0.4 * rows), (0.58 * columns, 0.66 * rows)]
            ),
            fill=220,
            width=max(2, round(4 * unit)),
        )
    if rng.random() < 0.4:  # a tube with a line that shows
        x = columns / 2 + some(-10, 10) * unit
        pale.line(
            _curve([(x, 0), (x + 8 * unit, 0.2 * rows), (x - 6 * unit, 0.4 * rows), (x + 40 * unit, 0.8 * rows)]),
            fill=150,
            width=max(2, round(2.5 * unit)),
        )
    if rng.random() < 0.2:  # a scale bar, without numbers
        x, y, step, count = some(0.92, 0.97) * columns, some(0.2, 0.4) * rows, some(20, 35) * unit, 10
        pen.line((x, y, x, y + count * step), fill=255, width=2)
        for tick in range(count + 1):
            reach = (14 if tick % 5 == 0 else 8) * unit
            pen.line((x - reach, y + tick * step, x, y + tick * step), fill=255, width=2)
    if rng.random() < 0.15:  # beads or buttons
        x, y, step = some(0.35, 0.45) * columns, some(0.06, 0.15) * rows, some(14, 22) * unit
        for number in range(int(rng.integers(4, 11))):
            at_y = y + 0.1 * step * (number - 5) ** 2
            pen.ellipse((x + number * step, at_y, x + number * step + 8 * unit, at_y + 8 * unit), fill=230)
    lift = drawn_plane(metal) * float(rng.uniform(0.3, 0.9))
    np.maximum(plane, np.minimum(plane + lift, 1.0) * (lift > 0.02), out=plane)
    plane += 0.12 * drawn_plane(faint, 1.2)


def _curve(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a smooth line (Bézier) for four points."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
    made = []
    for step in range(41):
        t = step / 40
        u = 1 - t
        w = (u**3, 3 * u * u * t, 3 * u * t * t, t**3)
        made.append((w[0] * ax + w[1] * bx + w[2] * cx + w[3] * dx, w[0] * ay + w[1] * by + w[2] * cy + w[3] * dy))
    return made
