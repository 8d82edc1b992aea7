"""Chest images that are made from nothing but a random generator: radiographs, CT series, localizers, dose screens.

Everything that is in them beside anatomy is there to be mistaken for letters: staples, clips, wires, leads, tubes,
scale bars, the table, the edges of collimation. None of it is text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.pixels.metal import Plane, drawn_plane, lay_over, pen_on

if TYPE_CHECKING:
    from numpy.random import Generator

Values = npt.NDArray[np.int32]


@dataclass
class Canvas:
    """Frames to write on. Greater is brighter, whatever the file will say.

    Attributes
    ----------
    values
        Shape (frames, rows, columns), or (frames, rows, columns, 3) for colour.
    low, high
        The values that this device uses, both inclusive.
    window
        What the header's window shows, from black to white; None if it has none.
    border
        Left, top, right and bottom of what collimation left; None if there is no edge.
    """

    values: Values
    low: int
    high: int
    window: tuple[int, int] | None = None
    border: tuple[int, int, int, int] | None = None
    sort: str = "radiograph"
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[1], self.values.shape[2]


def _enlarged(plane: Plane, rows: int, columns: int) -> Plane:
    return np.array(Image.fromarray(plane).resize((columns, rows), Image.Resampling.BICUBIC), np.float32)


def _texture(rng: Generator, rows: int, columns: int, grain: int) -> Plane:
    coarse = rng.standard_normal((rows // grain + 3, columns // grain + 3), np.float32)
    return _enlarged(coarse, rows, columns)


def _soft(value: Plane, width: float) -> Plane:
    """Return a step from 0 to 1 where a value passes from below 0 to above it."""
    return np.clip(value / width + 0.5, 0, 1).astype(np.float32)


def radiograph(rng: Generator, rows: int, columns: int, *, bits: int = 12) -> Canvas:
    """Return one chest radiograph, brighter where more was in the way of the rays."""
    small = 480
    y, x = np.meshgrid(
        np.linspace(-1.1, 1.1, small, dtype=np.float32), np.linspace(-1, 1, small, dtype=np.float32), indexing="ij"
    )
    lean, tall = float(rng.uniform(0.75, 1.05)), float(rng.uniform(0.85, 1.1))
    body = _soft(1 - (np.abs(x) / lean) ** 3 - (np.clip(-y - 0.75, 0, None) / 0.45) ** 2, 0.08)
    picture = 0.62 * body * (1 + 0.12 * y)
    for side in (-1.0, 1.0):
        ellipse = 1 - ((x - 0.42 * side) / 0.33) ** 2 - ((y + 0.08) / (0.72 * tall)) ** 2
        dome = 0.42 * tall - y - 0.5 * (x - 0.45 * side) ** 2 + (0.05 if side < 0 else 0)
        lung = _soft(np.minimum(ellipse, 3 * dome), 0.12)
        picture -= lung * (0.36 - 0.1 * np.exp(-(((x - 0.15 * side) / 0.12) ** 2)))
        for rib in range(10):
            centre = -0.78 * tall + 0.14 * rib + float(rng.normal(0, 0.006))
            arc = centre + 0.55 * (np.abs(x) - 0.35) ** 2 - 0.1 * np.abs(x) + 0.02 * rib * np.abs(x)
            inside = (x * side > 0.06) & (np.abs(x) < 0.78)
            picture += 0.055 * inside * (np.exp(-(((y - arc) / 0.028) ** 2)) + np.exp(-(((y - arc) / 0.012) ** 4)))
        clavicle = -0.8 * tall + 0.16 * (np.abs(x) - 0.1)
        picture += 0.09 * np.exp(-(((y - clavicle) / 0.03) ** 4)) * (x * side > 0.05) * (np.abs(x) < 0.7)
    picture += 0.12 * np.exp(-((x / 0.1) ** 4)) * (1 + 0.3 * np.sin(22 * y))
    picture += 0.13 * _soft(1 - ((x - 0.13) / 0.3) ** 2 - ((y - 0.3) / 0.32) ** 2, 0.2)
    picture += 0.02 * _texture(rng, small, small, 12) * body
    plane = _enlarged(picture.astype(np.float32), rows, columns)
    plane += 0.006 * _texture(rng, rows, columns, 3)
    plane += float(rng.uniform(0.003, 0.012)) * rng.standard_normal(plane.shape, np.float32)
    plane = plane * float(rng.uniform(0.85, 1.0)) + float(rng.uniform(0.02, 0.1))
    lay_over(rng, plane)
    border = _collimated(rng, plane) if rng.random() < 0.5 else None
    top = (1 << bits) - 1
    used = top if bits < 16 or rng.random() < 0.5 else top // 4
    values = np.clip(np.rint(plane * used), 0, used).astype(np.int32)
    window = None
    if rng.random() < 0.8:
        low, high = np.percentile(values, [float(rng.uniform(2, 20)), float(rng.uniform(95, 99.8))])
        window = (int(low), max(int(high), int(low) + used // 4))
    return Canvas(values[None], 0, used, window, border)


def _collimated(rng: Generator, plane: Plane) -> tuple[int, int, int, int]:
    """Shut the collimator: outside is black, white, or grey with little noise; the edge may be turned a little."""
    rows, columns = plane.shape
    left, right = (int(columns * value) for value in (rng.uniform(0.03, 0.14), rng.uniform(0.86, 0.97)))
    top, bottom = (int(rows * value) for value in (rng.uniform(0.03, 0.14), rng.uniform(0.86, 0.97)))
    picture, pen = pen_on(rows, columns)
    pen.rectangle((left, top, right, bottom), fill=255)
    if rng.random() < 0.5:
        picture = picture.rotate(float(rng.uniform(-3, 3)), Image.Resampling.BICUBIC)
    open_ = drawn_plane(picture, float(rng.uniform(0.3, 3)))
    outside = float(rng.choice([0.0, 0.0, 0.97, 0.1, 0.85]))
    shut = outside + rng.normal(0, 0.003 if outside else 0, plane.shape)
    plane[:] = plane * open_ + shut * (1 - open_)
    return left, top, right, bottom


def ct_series(rng: Generator, slices: int, side: int = 512) -> Canvas:
    """Return a few neighbouring slices of a chest, in Hounsfield units."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    theta, wide, deep = np.arctan2(y, x), float(rng.uniform(0.78, 0.95)), float(rng.uniform(0.55, 0.7))
    wave = 1 + 0.02 * np.cos(3 * theta + float(rng.uniform(0, 6))) + 0.015 * np.cos(5 * theta)
    radius = np.sqrt((x / wide) ** 2 + (y / deep) ** 2) / wave
    vessels = rng.uniform(-0.6, 0.6, (70, 2)), rng.gamma(2.5, 0.005, 70) + 0.003
    table, clip, streak = rng.random() < 0.8, rng.random() < 0.25, rng.random() < 0.15
    noise, circle = float(rng.uniform(8, 45)), rng.random() < 0.5
    clip_at, start = rng.uniform(-0.3, 0.3, 2), float(rng.uniform(0.1, 0.6))
    outside = int(rng.choice([-1024, -1000, -2000, -1024]))
    planes = []
    for number in range(slices):
        z = start + 0.02 * number
        hu = np.full((side, side), -1000, np.float32)
        if table:
            hu[np.abs(y - 0.86 - 0.08 * x * x) < 0.012] = 60
            hu[(np.abs(y - 0.9 - 0.08 * x * x) < 0.035) & (np.abs(x) < 0.7)] += 250
        hu[radius < 1] = -95
        hu[radius < 0.93] = 50
        ring = (radius > 0.8) & (radius < 0.86) & (np.sin(11 * theta + 16 * z) > 0.35)
        hu[ring] = 350 + 200 * np.sin(40 * theta[ring])
        for sign in (-1.0, 1.0):
            lung = ((x - 0.4 * sign * wide) / (0.32 * wide)) ** 2 + ((y + 0.02) / (0.62 * deep)) ** 2 < 1
            hu[lung & (radius < 0.79)] = -860
        heart = ((x - 0.1) / 0.27) ** 2 + ((y + 0.1) / 0.24) ** 2 < 0.5 + z
        hu[heart & (radius < 0.75)] = 45
        lungs = hu < -800
        lungs &= radius < 0.79
        for (vx, vy), vr in zip(*vessels, strict=True):
            hu[lungs & ((x - vx - 0.2 * (z - start)) ** 2 + (y - vy) ** 2 < vr**2)] = 30
        hu[(x**2 + (y - 0.62 * deep) ** 2) < 0.013] = 420
        hu[(x**2 + (y - 0.62 * deep) ** 2) < 0.008] = 170
        hu[(x**2 + (y - 0.86 * deep) ** 2) < 0.0018] = 20
        hu[(x - 0.14) ** 2 + (y - 0.4 * deep) ** 2 < 0.004] = 190
        if clip:
            hu[(np.abs(x - clip_at[0]) < 0.006) & (np.abs(y - clip_at[1] - 0.3 * (z - start)) < 0.02)] = 3000
        if streak:
            hu += 160 * np.sin(9 * np.arctan2(y - 0.3, x)) * (radius < 1) * np.exp(-4 * np.abs(y - 0.3))
        hu += (noise * rng.standard_normal(hu.shape)).astype(np.float32)
        hu = (hu + np.roll(hu, 1, 0) + np.roll(hu, 1, 1)) / 3  # a scanner's noise is not from pixel to pixel
        hu = np.clip(hu, -1024, 3071)
        if circle:
            hu[x * x + y * y > 1] = outside
        planes.append(np.rint(hu).astype(np.int32))
    window = [(-1350, 150), (-160, 240), (-1000, 200), (-200, 300)][int(rng.integers(4))]
    return Canvas(np.stack(planes), -1024, 3071, window, None, "series")


def localizer(rng: Generator, rows: int = 700, columns: int = 512) -> Canvas:
    """Return the scout view of a CT: a coarse radiograph with lines where the slices are, and no numbers."""
    made = radiograph(rng, rows, columns, bits=12)
    values = made.values
    if rng.random() < 0.5:
        for at in rng.integers(rows // 5, 4 * rows // 5, 2):
            values[0, at, columns // 8 : 7 * columns // 8] = made.high
    return Canvas(values, 0, made.high, made.window, made.border, "localizer")


def dose_screen(rng: Generator, rows: int = 512, columns: int = 512) -> Canvas:
    """Return the black page that scanners write text on; the lines of a table may be there, the text is not."""
    values = np.zeros((1, rows, columns), np.int32)
    if rng.random() < 0.5:
        for at in range(rows // 3, rows, int(rng.integers(40, 80))):
            values[0, at, 20 : columns - 20] = 160
    return Canvas(values, 0, 255, None, None, "screen")
