"""Which picture a case has, and how it is stored: modality, size, depth, sign, colour, transfer syntax."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from tests.pixels import chests, storing
from tests.pixels.storing import Layout

if TYPE_CHECKING:
    from numpy.random import Generator

    from tests.pixels.chests import Canvas

_SIZES = ((2500, 2048), (2430, 1994), (2022, 1736), (1760, 1760), (1280, 1056))
_CT_LAYOUTS = (
    Layout(stored=12, offset=1024),
    Layout(stored=16, offset=1024),
    Layout(stored=16, signed=True),
    Layout(stored=12, signed=True),
    Layout(stored=12, offset=1024, photometric="MONOCHROME1"),
)


def picture(rng: Generator, modality: str, sort: str, *, small: bool) -> tuple[Canvas, Layout]:
    """Return a made-up picture and how it is to be stored."""
    colours = ("MONOCHROME2", "MONOCHROME1", "RGB", "YBR_FULL", "PALETTE COLOR")
    if modality != "CT":
        photometric = str(rng.choice(colours, p=(0.6, 0.25, 0.05, 0.04, 0.06)))
        bits = int(rng.choice((8, 10, 12, 14, 16), p=(0.12, 0.15, 0.35, 0.19, 0.19)))
        rows, columns = (560, 512) if small else _SIZES[int(rng.integers(len(_SIZES)))]
        if photometric not in colours[:2]:
            return _coloured(rng, chests.radiograph(rng, rows, columns), photometric)
        canvas = chests.radiograph(rng, rows, columns, bits=bits)
        return canvas, Layout(photometric, 8 if bits == 8 else 16, bits)
    form = str(rng.choice(("series", "localizer", "screen"), p=(0.84, 0.1, 0.06) if sort == "text" else (0.9, 0.1, 0)))
    if form == "screen":
        photometric = str(rng.choice(colours, p=(0.4, 0, 0.3, 0.1, 0.2)))
        return _coloured(rng, chests.dose_screen(rng), photometric)
    if form == "localizer":
        return chests.localizer(rng), Layout(stored=12)
    side = 256 if small else 512
    canvas = chests.ct_series(rng, int(rng.integers(1, 4 if small else 9)), side)
    if rng.random() < 0.08:
        return _coloured(rng, canvas, colours[int(rng.integers(2, 5))])
    layout = _CT_LAYOUTS[int(rng.choice(len(_CT_LAYOUTS), p=(0.4, 0.2, 0.25, 0.1, 0.05)))]
    low, high = (end - layout.offset for end in layout.ends)
    canvas.low, canvas.high = max(low, canvas.low), min(high, canvas.high)
    canvas.values = np.clip(canvas.values, low, high)
    return canvas, layout


def _coloured(rng: Generator, canvas: Canvas, photometric: str) -> tuple[Canvas, Layout]:
    """Return what a workstation makes of a picture: eight bits as its window shows them, grey on a coloured page."""
    black, white = canvas.window or (canvas.low, canvas.high)
    grey = np.clip((canvas.values - black) * 255.0 / (white - black), 0, 255)
    values = np.rint(grey).astype(np.int32)
    layout = Layout(photometric, 8, 8, planar=int(rng.integers(2)), shuffle=int(rng.integers(99)))
    if layout.colour:
        values = np.repeat(values[..., None], 3, axis=-1)
    return replace(canvas, values=values, low=0, high=255, window=None), layout


def syntax_for(rng: Generator, layout: Layout, frames: int) -> str:
    """Choose a transfer syntax in which such pixels can be written without loss by the libraries at hand."""
    if layout.colour:
        syntax = storing.COLOUR_SYNTAXES[int(rng.integers(len(storing.COLOUR_SYNTAXES)))]
    else:
        syntax = storing.GREY_SYNTAXES[int(rng.integers(len(storing.GREY_SYNTAXES)))]
    if layout.signed and syntax not in storing.NATIVE:
        return RLELossless
    if layout.photometric == "PALETTE COLOR" and syntax not in storing.NATIVE[:2]:
        return ExplicitVRLittleEndian  # the words of its tables would have to be turned as well, or a codec minds
    if layout.allocated == 8 and frames > 1 and syntax == ExplicitVRBigEndian:
        return ExplicitVRLittleEndian
    return str(syntax)
