"""A lung phantom: a chest drawn from ellipses, with vessels, ground glass and the noise of a real scanner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.float32]
Stored: TypeAlias = npt.NDArray[np.uint16]

_NOISE_FIELDS = 6
_VESSELS = 90


def _ellipse(x: Image, y: Image, cx: float, cy: float, rx: float, ry: float) -> npt.NDArray[np.bool_]:
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1.0


def _blur(image: Image, passes: int = 1) -> Image:
    """Smooth with a 3 by 3 binomial kernel that wraps round."""
    for _ in range(passes):
        for axis in (0, 1):
            image = 0.5 * image + 0.25 * (np.roll(image, 1, axis) + np.roll(image, -1, axis))
    return image


@dataclass(frozen=True)
class LungPhantom:
    """A chest of `slices` axial images of `size` by `size` pixels, the same for the same seed."""

    slices: int
    seed: int
    size: int = 512

    def slice(self, index: int) -> Stored:
        """Return one axial slice as stored values.

        Returns
        -------
        ndarray of uint16, shape (size, size)
            12 bits stored; Hounsfield units are the value minus 1024.
        """
        x, y, vessels, patches, noise = _scene(self.seed, self.size)
        z = (index + 0.5) / self.slices
        hounsfield = self._anatomy(x, y, z)
        lungs = hounsfield < -700
        lungs &= _ellipse(x, y, 0.0, 0.0, 0.8, 0.6)
        self._vessels(hounsfield, lungs, vessels, z)
        for cx, cy, cz, radius, density in patches:
            fade = np.exp(-(((x - cx) / radius) ** 2 + ((y - cy) / radius) ** 2 + ((z - cz) / 0.16) ** 2))
            hounsfield += np.where(lungs, np.float32(density) * fade, np.float32(0))
        hounsfield = _blur(hounsfield, 2)
        shift = np.random.default_rng((self.seed, index)).integers(0, self.size, 2)
        grain = np.roll(noise[index % _NOISE_FIELDS], (int(shift[0]), int(shift[1])), (0, 1))
        # noise is greater behind more tissue: the middle of the body is the noisiest
        hounsfield += grain * (20 + 20 * np.exp(-(x**2 + y**2) / 0.35))
        stored = np.clip(np.rint(hounsfield) + 1024, 0, 4095)
        stored[x**2 + y**2 > 1.0] = 0
        values: Stored = stored.astype(np.uint16)
        return values

    @staticmethod
    def _anatomy(x: Image, y: Image, z: float) -> Image:
        hounsfield = np.full(x.shape, -1000, np.float32)
        hounsfield[_ellipse(x, y, 0.0, 0.74, 0.62, 0.06)] = -350  # the table
        hounsfield[_ellipse(x, y, 0.0, 0.0, 0.90, 0.66)] = -100  # fat
        hounsfield[_ellipse(x, y, 0.0, 0.0, 0.85, 0.61)] = 45  # muscle
        wall = _ellipse(x, y, 0.0, 0.0, 0.76, 0.54) & ~_ellipse(x, y, 0.0, 0.0, 0.72, 0.50)
        hounsfield[wall & (np.sin(9 * np.arctan2(y, x) + 14 * z) > 0.2)] = 420
        grow = 0.55 + 0.45 * np.sin(np.pi * (0.12 + 0.76 * z))
        for side in (-1.0, 1.0):
            lung = _ellipse(x, y, 0.37 * side, 0.02, 0.30 * grow, 0.46 * grow)
            hounsfield[lung] = (-880 + 70 * y)[lung]  # denser where gravity pulls
        if z > 0.45:
            hounsfield[_ellipse(x, y, 0.12, -0.16, 0.30 * z, 0.24 * z)] = 50
        hounsfield[_ellipse(x, y, 0.16, 0.14, 0.055, 0.055)] = 160  # aorta with some contrast
        if z < 0.5:
            hounsfield[_ellipse(x, y, 0.0, 0.0, 0.05, 0.05)] = -990  # trachea
        hounsfield[_ellipse(x, y, 0.0, 0.42, 0.13, 0.11)] = 480  # vertebra, then its marrow and canal
        hounsfield[_ellipse(x, y, 0.0, 0.41, 0.11, 0.085)] = 180
        hounsfield[_ellipse(x, y, 0.0, 0.53, 0.045, 0.04)] = 30
        return hounsfield

    def _vessels(
        self, hounsfield: Image, lungs: npt.NDArray[np.bool_], vessels: npt.NDArray[np.float64], z: float
    ) -> None:
        """Draw each vessel's cross-section into its own small window: whole-image work would be slow."""
        half = self.size / 2
        for cx, cy, dx, dy, radius, cz in vessels:
            if abs(z - cz) > 0.3:
                continue
            column, row = half * (1 + cx + dx * (z - cz)), half * (1 + cy + dy * (z - cz))
            reach = max(1.0, half * radius)
            top, left = int(row - reach), int(column - reach)
            bottom, right = int(row + reach) + 1, int(column + reach) + 1
            rows, columns = np.ogrid[top:bottom, left:right]
            window = (rows - row) ** 2 + (columns - column) ** 2 <= reach**2
            window &= lungs[top:bottom, left:right]
            hounsfield[top:bottom, left:right][window] = 40


@lru_cache(maxsize=2)
def _scene(seed: int, size: int) -> tuple[Image, Image, npt.NDArray[np.float64], list[tuple[float, ...]], list[Image]]:
    random = np.random.default_rng(seed)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / (size / 2) - 1
    x: Image
    y: Image
    x, y = np.meshgrid(axis, axis)
    side = random.choice((-1.0, 1.0), _VESSELS)
    vessels = np.column_stack(
        (
            side * random.uniform(0.16, 0.6, _VESSELS),
            random.uniform(-0.36, 0.4, _VESSELS),
            random.normal(0, 0.4, _VESSELS),
            random.normal(0, 0.4, _VESSELS),
            random.gamma(3, 0.004, _VESSELS) + 0.004,
            random.uniform(0, 1, _VESSELS),
        )
    )
    # ground glass as COVID-19 shows it: peripheral, posterior, basal, on both sides
    patches: list[tuple[float, ...]] = [
        (
            float(random.choice((-1, 1)) * random.uniform(0.42, 0.6)),
            float(random.uniform(0.1, 0.36)),
            float(random.uniform(0.4, 0.9)),
            float(random.uniform(0.06, 0.14)),
            float(random.uniform(250, 480)),
        )
        for _ in range(9)
    ]
    noise: list[Image] = []
    for _ in range(_NOISE_FIELDS):
        field = _blur(random.standard_normal((size, size), np.float32))
        noise.append((field / field.std()).astype(np.float32))
    return x, y, vessels, patches, noise


def radiograph(seed: int, rows: int = 1280, columns: int = 1056, lines: tuple[str, ...] = ()) -> Stored:
    """Return a chest radiograph of the phantom, with `lines` burned in as a portable machine does.

    Returns
    -------
    ndarray of uint16, shape (rows, columns)
        12 bits stored; greater is brighter (MONOCHROME2).
    """
    random = np.random.default_rng((seed, 7))
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    y = np.linspace(-1.15, 1.15, rows, dtype=np.float32)[:, None]
    depth = 1500 * np.sqrt(np.clip(1 - (x / 0.95) ** 2 - 0.25 * np.clip(y, -2, 0) ** 2, 0, None))
    for side in (-1.0, 1.0):
        lung = np.sqrt(np.clip(1 - ((x - 0.42 * side) / 0.34) ** 2 - ((y + 0.05) / 0.78) ** 2, 0, None))
        depth = depth - 900 * lung
        depth = depth + 420 * lung * np.exp(-(((x - 0.52 * side) / 0.14) ** 2 + ((y - 0.35) / 0.2) ** 2))
    depth = depth + 900 * np.sqrt(np.clip(1 - ((x - 0.14) / 0.34) ** 2 - ((y - 0.32) / 0.38) ** 2, 0, None))
    depth = depth + 420 * np.exp(-((x / 0.07) ** 2)) + 60 * (np.sin(26 * (y - 0.35 * x**2)) > 0.55)
    depth = depth + _blur(random.standard_normal((rows, columns), np.float32), 2) * 40
    image: Stored = np.clip(np.rint(600 + depth), 0, 4095).astype(np.uint16)
    if lines:
        stamp_text(image, lines, value=4095)
    return image


def stamp_text(image: npt.NDArray[Any], lines: tuple[str, ...], value: int, height: int = 0) -> None:
    """Burn lines of text into the upper left corner of `image`, in place.

    Parameters
    ----------
    image
        Two-dimensional, changed in place.
    value
        The stored value of the letters.
    height
        Letter height in pixels; about 1/55 of the image when 0.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    rows, columns = image.shape
    height = height or max(10, rows // 55)
    mask = Pillow.new("L", (columns, rows))
    pen = ImageDraw.Draw(mask)
    font = ImageFont.load_default(size=height)
    for number, line in enumerate(lines):
        pen.text((columns // 40, rows // 40 + int(number * height * 1.4)), line, fill=255, font=font)
    image[np.asarray(mask) > 127] = value
