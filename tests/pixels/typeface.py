"""Lines of text → masks of ink: typefaces, sizes, turns and edges."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tests.pixels.phrases import plain_latin

Alpha = npt.NDArray[np.float32]

BUILT_IN = ("scalable", "bitmap")
"""Pillow's own typefaces; every other is the path of a file."""
_ODD = ("symbol", "emoji", "dingbat", "math", "icon", "awesome", "webdings", "braille", "musical", "fallback")


@dataclass(frozen=True)
class Style:
    """How lines are written.

    Attributes
    ----------
    face
        One of `BUILT_IN`, or a file.
    height
        Height of a capital letter in pixels.
    turn
        Degrees against the clock.
    stretch
        Width against the typeface's own.
    weight
        Pixels that each stroke is made thicker by, on each side.
    blur
        Radius in pixels; a lead letter has none of a printer's sharpness.
    hard
        Whether pixels are ink or not, with nothing between.
    spacing
        From line to line, in letter heights.
    """

    face: str
    height: int
    turn: float = 0.0
    stretch: float = 1.0
    weight: int = 0
    blur: float = 0.0
    hard: bool = False
    spacing: float = 1.7


def typefaces(folder: Path | None = None, *, system: bool = False) -> tuple[str, ...]:
    """Return the typefaces there are: Pillow's two, those in a folder, those that the system lists."""
    files: set[str] = set()
    if folder is not None:
        files |= {str(path) for path in folder.rglob("*") if path.suffix.lower() in {".ttf", ".otf"}}
    if system and shutil.which("fc-list"):
        listed = subprocess.run(["fc-list", "--format=%{file}\n"], capture_output=True, text=True, check=False)
        files |= {name for name in listed.stdout.splitlines() if name.lower().endswith((".ttf", ".otf"))}
    return (*BUILT_IN, *sorted(name for name in files if _writes(name)))


def _writes(name: str) -> bool:
    """Whether a typeface has letters and digits of its own."""
    if any(word in Path(name).name.lower() for word in _ODD):
        return False
    try:
        font = ImageFont.truetype(name, 40)
        shapes = {bytes(font.getmask(letter)) for letter in "AHQ7"}
    except (OSError, ValueError):
        return False
    return len(shapes) == 4


@lru_cache(maxsize=256)
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    if face != "scalable":
        return ImageFont.truetype(face, size)
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


@lru_cache(maxsize=256)
def _size(face: str, height: int) -> int:
    """Return the size at which a capital letter is at least so many pixels high."""
    box = _font(face, 200).getbbox("H")
    size = int(height * 200 / (box[3] - box[1]))
    while True:
        box = _font(face, size).getbbox("H")
        if box[3] - box[1] >= height:
            return size
        size += 1


def _line(text: str, style: Style) -> Image.Image:
    """Return one line, its ink 255, with room around; its capital letters start at the same row in each."""
    if style.face == "bitmap":
        small = ImageFont.load_default_imagefont()
        letters = plain_latin(text)
        width = int(small.getbbox(letters)[2])
        picture = Image.new("L", (width + 2, 13))
        ImageDraw.Draw(picture).text((1, 1), letters, fill=255, font=small)
        picture = picture.point(lambda value: 255 if value else 0)
        scale = -(-style.height // 6)  # capital letters are 6 pixels high
        return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    font = _font(style.face, _size(style.face, style.height))
    letters = plain_latin(text) if style.face == "scalable" else text
    box = font.getbbox(letters, stroke_width=style.weight)
    pad = 2 + style.weight
    picture = Image.new("L", (int(box[2] - min(0, box[0])) + 2 * pad, int(box[3]) + 2 * pad))
    ImageDraw.Draw(picture).text(
        (pad - min(0, int(box[0])), pad), letters, fill=255, font=font, stroke_width=style.weight
    )
    return picture


def written(texts: list[str], style: Style) -> list[Alpha]:
    """Return one mask a line, all of the size of the whole block and in their places in it.

    Returns
    -------
    list of ndarray of float32, shape (rows, columns)
        0 is no ink, 1 is all ink.
    """
    lines = [_line(text, style) for text in texts]
    if style.stretch != 1:
        lines = [line.resize((max(8, round(line.width * style.stretch)), line.height)) for line in lines]
    step = max(round(style.height * style.spacing), *(_ink_height(line) + 2 for line in lines))
    pad = 2 + int(3 * style.blur)
    width = max(line.width for line in lines) + 2 * pad
    height = step * (len(lines) - 1) + max(line.height for line in lines) + 2 * pad
    blocks = []
    for number, line in enumerate(lines):
        block = Image.new("L", (width, height))
        block.paste(line, (pad, pad + number * step))
        if style.blur:
            block = block.filter(ImageFilter.GaussianBlur(style.blur))
        if style.turn:
            block = block.rotate(style.turn, Image.Resampling.BICUBIC, expand=True)
        alpha = np.asarray(block, np.float32) / 255
        blocks.append((alpha >= 0.5).astype(np.float32) if style.hard else alpha)
    return _cropped(blocks)


def _ink_height(line: Image.Image) -> int:
    box = line.getbbox()
    return 0 if box is None else box[3] - box[1]


def _cropped(blocks: list[Alpha]) -> list[Alpha]:
    whole = np.max(blocks, axis=0) > 0
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    return [block[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] for block in blocks]
