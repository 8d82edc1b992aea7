"""Chest images with writing on them, as files: whoever made an image knows every pixel of its ink.

A case is a radiograph, a CT series, a localizer or a dose screen of a patient who does not exist, or one of them drawn on
a real image. The same seed, number and typefaces make the same case. Nothing here looks at how writing is found.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from tests.pixels import storing
from tests.pixels.inking import PLACES, SMALLEST, Item, Kind, Wanted, Writer
from tests.pixels.phrases import MARKERS, Person, identifying_line, invent
from tests.pixels.pictures import picture, syntax_for
from tests.pixels.shades import CONTRASTS
from tests.pixels.typeface import BUILT_IN, Style

if TYPE_CHECKING:
    from numpy.random import Generator

    from tests.pixels.chests import Canvas
    from tests.pixels.real import RealSeries

Sort = Literal["text", "markers", "plain"]
SORTS: tuple[Sort, ...] = ("text", "markers", "plain")
MODALITIES = ("CT", "DX", "CR")
_SHARES = (0.6, 0.15, 0.25)


@dataclass(frozen=True)
class Case:
    """Files of one series, and what is written on them.

    Attributes
    ----------
    number
        Series Number of the files; Instance Number counts them from 1.
    sort
        Whether it has identifying lines, nothing but markers, or no text.
    files
        One for each frame, or one for all.
    traits
        What kind of image it is, in words.
    """

    number: int
    modality: str
    sort: Sort
    files: tuple[bytes, ...]
    items: tuple[Item, ...]
    traits: dict[str, str] = field(default_factory=dict)

    def on(self, file: int) -> tuple[tuple[Item, tuple[int, ...]], ...]:
        """Return the lines that a file bears, each with the frames of that file (counted from 0) that bear it."""
        if len(self.files) == 1:
            return tuple((item, item.frames) for item in self.items)
        return tuple((item, (0,)) for item in self.items if file in item.frames)


def make_case(
    seed: int,
    number: int,
    modality: str,
    *,
    sorts: tuple[Sort, ...] = SORTS,
    faces: tuple[str, ...] = BUILT_IN,
    small: bool = False,
    ink: bool = True,
    real: RealSeries | None = None,
) -> Case:
    """Make one case.

    Parameters
    ----------
    number
        From 1; together with the seed and the modality it decides everything.
    sorts
        Which sorts of case to choose from.
    faces
        Typefaces: Pillow's own, and files.
    small
        For quick tests: small pictures and few slices, letters as high as ever.
    ink
        False makes the same case without any writing.
    real
        An image of a real scanner to write on.
    """
    rng = np.random.default_rng((seed, MODALITIES.index(modality), number))
    person = invent(rng)
    shares = np.array([_SHARES[SORTS.index(sort)] for sort in sorts])
    sort = sorts[int(rng.choice(len(sorts), p=shares / shares.sum()))]
    canvas, layout = (real.canvas, real.layout) if real else picture(rng, modality, sort, small=small)
    canvas = replace(canvas, values=canvas.values.copy())
    layout = replace(layout, syntax=syntax_for(rng, layout, len(canvas.values)))
    writer = Writer(rng, canvas, ink=ink)
    if sort != "plain":
        _write(rng, writer, canvas, person if rng.random() < 0.6 else invent(rng), sort, modality, faces)
    together = real is None and canvas.sort == "series" and len(canvas.values) > 1 and rng.random() < 0.12
    if real:  # the byte order of elements that nobody knows could not be turned
        layout = replace(layout, syntax=ExplicitVRLittleEndian if rng.random() < 0.6 else RLELossless)
    if together and layout.syntax not in {*storing.NATIVE, RLELossless}:
        layout = replace(layout, syntax=ExplicitVRLittleEndian)
    stacks = [canvas.values] if together else [canvas.values[frame : frame + 1] for frame in range(len(canvas.values))]
    if real and real.together:
        stacks = [canvas.values]
    files = []
    for place, stack in enumerate(stacks):
        if real:
            dataset = real.header(place, person, number)
            real.fill(dataset, stack)
        else:
            dataset = storing.header(person, "enhanced" if together else modality, number, place + 1)
            _describe(dataset, canvas.sort)
            storing.fill(dataset, stack, layout, canvas.window)
        files.append(storing.encode(dataset, layout.syntax))
    traits = {
        "picture": canvas.sort,
        "photometric": layout.photometric,
        "bits": f"{layout.stored}{' signed' if layout.signed else ''}",
        "syntax": layout.syntax,
        "planar": str(layout.planar) if layout.colour else "-",
        "frames": "in one file" if together or (real and real.together) else "a file each",
    }
    return Case(number, modality, sort, tuple(files), tuple(writer.items), traits)


def _describe(dataset: storing.Dataset, sort: str) -> None:
    if sort == "localizer":
        dataset.ImageType, dataset.SeriesDescription = ["ORIGINAL", "PRIMARY", "LOCALIZER"], "Topogram"
    elif sort == "screen":
        dataset.ImageType, dataset.SeriesDescription = ["DERIVED", "SECONDARY", "SCREEN SAVE"], "Dose report"


def _write(
    rng: Generator, writer: Writer, canvas: Canvas, person: Person, sort: Sort, modality: str, faces: tuple[str, ...]
) -> None:
    """Write identifying blocks and markers; where an identifying case is asked for, at least one line."""
    whole = canvas.shape[0] > 1000
    if sort == "text":
        blocks = int(rng.integers(3, 7)) if canvas.sort == "screen" else int(rng.integers(1, 4 if whole else 3))
        for _ in range(blocks):
            _block(rng, writer, canvas, person, faces)
        while not writer.items:
            _block(rng, writer, canvas, person, faces)
    least = 1 if sort == "markers" else 0
    for _ in range(int(rng.integers(least, 4 if whole else 3))):
        style = replace(_style(rng, canvas, faces), spacing=1.7)
        if modality != "CT" and rng.random() < 0.6:  # letters of lead
            tall = int(rng.integers(26, 34 + canvas.shape[0] // 40))
            style = replace(
                style, height=tall, blur=tall / 40, hard=False, turn=float(rng.choice((0, rng.uniform(-14, 14))))
            )
        contrast = str(rng.choice(("white", "white", "grey", "boxed")))
        marker = MARKERS[int(rng.integers(len(MARKERS)))]
        if len(marker) == 1 or rng.random() < 0.6:  # an L on its side could be anything
            style = replace(style, turn=(style.turn + 45) % 90 - 45)
        wanted = Wanted(((Kind.MARKER, marker, "marker"),), style, contrast, str(rng.choice(PLACES[:4])))
        writer.write(wanted, _frames(rng, canvas))


def _block(rng: Generator, writer: Writer, canvas: Canvas, person: Person, faces: tuple[str, ...]) -> None:
    style = _style(rng, canvas, faces)
    lines = [(Kind.IDENTIFYING, *identifying_line(rng, person)) for _ in range(int(rng.choice((1, 1, 1, 2, 3))))]
    if len(lines) > 1 and rng.random() < 0.2:
        lines[-1] = (Kind.MARKER, MARKERS[int(rng.integers(len(MARKERS)))], "marker")
        # askew, a rectangle over one line would reach into the next
        style = replace(style, turn=float(round(style.turn / 90) * 90), spacing=max(style.spacing, 1.7))
    contrast, place = str(rng.choice(CONTRASTS)), str(rng.choice(PLACES))
    frames, tint = _frames(rng, canvas), int(rng.integers(5))
    for attempt in range(4):
        if place == "cut" and min(len(text) for _, text, _ in lines) < 6:
            place = "corner"
        if writer.write(Wanted(tuple(lines), style, contrast, place, tint), frames):
            return
        if attempt == 0:
            style = replace(style, stretch=min(style.stretch, 1), turn=float(round(style.turn / 90) * 90))
        style = replace(style, height=max(SMALLEST, style.height * 2 // 3))
        lines = lines[:1] if attempt < 2 else [(Kind.IDENTIFYING, f"{person.given[0]}{person.family[0]}K", "initials")]
        place = place if attempt < 1 else "anatomy"


def _frames(rng: Generator, canvas: Canvas) -> tuple[int, ...]:
    """Choose the frames that bear a line: all, one, or a run of them."""
    count = len(canvas.values)
    match int(rng.integers(4)):
        case 0 | 1:
            return tuple(range(count))
        case 2:
            return (int(rng.integers(count)),)
        case _:
            first = int(rng.integers(count))
            return tuple(range(first, int(rng.integers(first, count)) + 1))


def _style(rng: Generator, canvas: Canvas, faces: tuple[str, ...]) -> Style:
    rows = canvas.shape[0]
    most = 60 if rows >= 2000 else 40 if rows >= 1000 else 22
    height = round(float(np.exp(rng.uniform(np.log(SMALLEST), np.log(most)))))
    if rng.random() < 0.2:
        height = SMALLEST + int(rng.integers(2))
    turn = float(rng.choice((0, 0, 0, 0, 90, 180, 270)))
    if rng.random() < 0.2:
        turn += float(rng.uniform(-8, 8))
    return Style(
        face=faces[int(rng.integers(len(faces)))],
        height=height,
        turn=turn,
        stretch=float(rng.choice((1, 1, 1, 0.8, 1.25))),
        weight=int(rng.choice((0, 0, 0, 1, 2))) if height >= 18 else 0,
        hard=bool(rng.random() < 0.4),
        spacing=float(rng.choice((1.5, 1.7, 2.2))),
    )
