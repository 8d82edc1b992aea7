"""Lines of text that were found → what is blanked, what stays as a marker, and whether doubt is left.

Blanked is what surely is text. It stays only where it was surely read as an allowed marker and is none of this
patient's words. What is less sure is a doubt, for a person to settle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.pixels.markers import is_marker
from bsti_submit.deid.pixels.regions import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bsti_submit.deid.pixels.reader import Line

SURE: Final = 0.85
"""Score from which a line is text. Drawn letters score above 0.87, from 12 pixels on."""
DOUBTFUL: Final = 0.8
"""Score from which it may be. The grain of lungs and bones reaches 0.78."""
SURE_BLOCK: Final = 0.9
"""The same for what is not much longer than high: knots of bowel and bone reach 0.87. Below it is a doubt."""
LONG: Final = 2.0
"""Length over height of a line."""
READABLE: Final = 0.8
"""Mean confidence in its letters from which anything that was found is text, whatever its score."""
READ: Final = 0.9
"""Confidence in the least sure letter from which a marker was read."""
LARGE: Final = 0.2
"""Share of the picture from which what was found is no line of text, but a doubt."""
_MARGIN: Final = 0.15
"""Blanked around a line, as a share of its height: the detector's boxes can cut the ends of letters."""
_BESIDE: Final = 1.5
"""Distance, in heights of a line, within which a word belongs to it: an initial, not a marker."""


@dataclass(slots=True)
class Judgement:
    """What is to be done about one picture's lines.

    Attributes
    ----------
    blanked
        Regions of the picture.
    kept
        Regions of allowed markers.
    doubtful
        Whether anything may be text that is in neither.
    """

    blanked: list[Region] = field(default_factory=list)
    kept: list[Region] = field(default_factory=list)
    doubtful: bool = False

    @property
    def known(self) -> list[Region]:
        """All that is accounted for."""
        return self.blanked + self.kept

    def leave_no_initials(self) -> None:
        """Blank what reads as a marker but stands beside other text: it is part of that."""
        for region in list(self.kept):
            if any(_beside(region, line) for line in self.blanked):
                self.kept.remove(region)
                self.blanked.append(region)


def judge(lines: Iterable[Line], shape: tuple[int, ...], is_known: Callable[[str], bool]) -> Judgement:
    """Judge the lines of a picture of shape (rows, columns).

    ``is_known`` says whether a text is one of this patient's words. It is asked only about what reads as a marker.
    """
    rows, columns = shape[:2]
    judgement = Judgement()
    for line in lines:
        marker = line.least >= READ and is_marker(line.text)
        if not marker and not is_text(line):
            judgement.doubtful |= line.apart and line.score >= (DOUBTFUL if _is_long(line) else SURE)
            continue
        if is_large(line, shape):
            judgement.doubtful = True
            continue
        width, height = line.right - line.left, line.bottom - line.top
        margin = 1 + round(_MARGIN * min(width, height))
        region = Region(line.left - margin, line.top - margin, line.right + margin, line.bottom + margin)
        inside = region.within(rows, columns)
        if inside is None:
            continue
        stays = marker and not is_known(line.text)
        (judgement.kept if stays else judgement.blanked).append(inside)
    judgement.leave_no_initials()
    return judgement


def is_large(line: Line, shape: tuple[int, ...]) -> bool:
    """Say whether a line takes up more of a picture of shape (rows, columns) than text does."""
    return (line.right - line.left) * (line.bottom - line.top) > LARGE * shape[0] * shape[1]


def is_text(line: Line) -> bool:
    """Say whether a line surely is text: by its shape, or since three of its letters or digits could be read."""
    if line.apart and line.score >= (SURE if _is_long(line) else SURE_BLOCK):
        return True
    return line.mean >= READABLE and sum(character.isalnum() for character in line.text) >= 3


def is_surely_a_line(line: Line, shape: tuple[int, ...]) -> bool:
    """Say whether a line surely is one by its shape: neither a knot nor a large part of the picture."""
    return line.apart and line.score >= SURE and _is_long(line) and not is_large(line, shape)


def _is_long(line: Line) -> bool:
    width, height = line.right - line.left, line.bottom - line.top
    return max(width, height) >= LONG * min(width, height)


def _beside(marker: Region, line: Region) -> bool:
    """Say whether a marker continues a line, in the direction that the line runs in."""
    across, down = (
        _gap(marker.left, marker.right, line.left, line.right),
        _gap(marker.top, marker.bottom, line.top, line.bottom),
    )
    if line.width >= line.height:
        return down < -0.5 * min(marker.height, line.height) and across <= _BESIDE * line.height
    return across < -0.5 * min(marker.width, line.width) and down <= _BESIDE * line.width


def _gap(start: int, end: int, other_start: int, other_end: int) -> int:
    """Return the distance between two spans, below zero where they overlap."""
    return max(start, other_start) - min(end, other_end)
