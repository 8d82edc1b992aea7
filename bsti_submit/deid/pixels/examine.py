"""A picture → the regions of text to blank, and whether doubt is left that a person has to settle.

Two tiers: what is surely text is blanked, unless it was surely read as an allowed marker; what only may be text is
a doubt. Recognised text never leaves this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from pydicom.pixels.processing import apply_color_lut

from bsti_submit.deid.pixels import strokes
from bsti_submit.deid.pixels.markers import is_marker
from bsti_submit.deid.pixels.picture import Picture, PictureError
from bsti_submit.deid.pixels.projections import Projections
from bsti_submit.deid.pixels.reader import Line, Reader, ReaderError
from bsti_submit.deid.pixels.regions import Region
from bsti_submit.model import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from numpy.typing import NDArray

SURE: Final = 0.85
"""Score from which a line is text, and blanked. Lines of real letters score above 0.87."""
DOUBTFUL: Final = 0.8
"""Score from which it may be. The grain of lungs and bones reaches 0.78."""
READABLE: Final = 0.8
"""Mean confidence in its letters from which anything that was found is text, whatever its score."""
LARGE: Final = 0.2
"""Share of the picture from which what was found is no line of text, but a doubt."""
READ: Final = 0.9
"""Confidence in each letter from which a marker was read."""
MOST_FRAMES: Final = 64
"""Different frames of one picture that are looked at; a person looks at longer films."""
FEW: Final = 3
"""Slices below which a CT series is no volume but localizers or captures, each looked at like a radiograph."""
_MARGIN: Final = 0.15
"""Blanked around a line, as a share of its height: the model's boxes can cut the ends of letters."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in one picture.

    Attributes
    ----------
    regions
        To be blanked, in stored pixels.
    doubt
        Why a person has to look; None if nothing is left in doubt. The regions are to be blanked all the same.
    """

    regions: tuple[Region, ...]
    doubt: Reason | None


@dataclass(slots=True)
class _Evidence:
    """Lines of one frame, or of all."""

    lines: list[Line]
    doubtful: bool


class Examiner:
    """Finds burned-in text. Its detector starts when it is first needed and ends with it. A context manager."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._series: dict[Hashable, Projections] = {}
        self._shared: dict[Hashable, _Evidence] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the detector."""
        self._reader.close()

    @property
    def detections(self) -> int:
        """How many pictures the detector has looked at: a measure of cost."""
        return self._reader.read_count

    def survey(self, key: Hashable, pictures: Iterable[Callable[[], Picture]]) -> None:
        """Look at all slices of one CT series at once: text that is on every slice stands out in their projections.

        Parameters
        ----------
        key
            The series, as `examine` is told it later.
        pictures
            Each called once, in any order; one picture is in memory at a time. A `PictureError` is passed over: `examine`
            tells of it.
        """
        projections = self._series[key] = Projections()
        self._shared.pop(key, None)
        for make in pictures:
            try:
                picture = make()
                for index in range(picture.geometry.frames):
                    values = picture.frame(index)
                    if values.ndim == 2:
                        projections.add(values)
            except PictureError:
                continue

    def examine(self, picture: Picture, key: Hashable | None, is_known: Callable[[str], bool]) -> Examination:
        """Examine one picture.

        Parameters
        ----------
        picture
            Any number of frames.
        key
            The CT series whose `survey` went before; None for everything that is looked at by itself (radiographs,
            captures, localizers).
        is_known
            Says whether a text is one of this patient's words. Asked only about what reads as an allowed marker.
        """
        try:
            series = self._series.get(key) if key is not None else None
            if series is not None and series.count >= FEW:
                return self._slice(picture, key, series, is_known)
            return self._alone(picture, is_known)
        except PictureError:
            return Examination((), Reason.PIXEL_CODING)
        except ReaderError:
            return Examination((), Reason.POSSIBLE_TEXT)
        except Exception:  # noqa: BLE001 - palettes and look-up tables may be malformed in any way
            return Examination((), Reason.UNREADABLE)

    def _alone(self, picture: Picture, is_known: Callable[[str], bool]) -> Examination:
        regions: list[Region] = []
        doubtful = False
        seen: dict[bytes, int] = {}
        frames = picture.geometry.frames
        for index in range(frames):
            planes = list(_planes(picture, index))
            digest = _digest(planes)
            if digest in seen:
                continue
            seen[digest] = index
            if len(seen) > MOST_FRAMES:
                return Examination(tuple(regions), Reason.POSSIBLE_TEXT)
            for values, window in planes:
                evidence = self._look(values, window)
                found, unsure = _settle(evidence, values.shape, is_known)
                regions.extend(found)
                doubtful |= unsure
        # What is in one frame is blanked in all: text seldom moves, and what it covers there is at its edges
        whole = sorted(set(regions))
        return Examination(tuple(whole), Reason.POSSIBLE_TEXT if doubtful else None)

    def _look(self, values: NDArray[np.uint16], window: tuple[int, int]) -> _Evidence:
        lines = self._reader.read(values, window)
        return _Evidence(lines, strokes.unexplained(values, lines))

    def _slice(
        self, picture: Picture, key: Hashable, series: Projections, is_known: Callable[[str], bool]
    ) -> Examination:
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = self._survey_evidence(series)
        regions, doubtful = _settle(shared, series.shape, is_known)
        for index in range(picture.geometry.frames):
            values = picture.frame(index)
            if values.ndim != 2:
                return self._alone(picture, is_known)
            if values.shape != series.shape:
                return self._alone(picture, is_known)
            if strokes.unexplained(values, regions):
                window = _ends(values)
                evidence = self._look(_sixteen(values, *_extremes(values)), window)
                found, unsure = _settle(evidence, values.shape, is_known)
                regions.extend(found)
                # The screen fired and the detector saw nothing: nobody knows what it is
                doubtful |= unsure or not found
        return Examination(tuple(sorted(set(regions))), Reason.POSSIBLE_TEXT if doubtful else None)

    def _survey_evidence(self, series: Projections) -> _Evidence:
        lines: list[Line] = []
        doubtful = False
        for plane in series.planes():
            if strokes.suspicious(plane):
                evidence = self._look(_sixteen(plane, *_extremes(plane)), _ends(plane))
                lines.extend(evidence.lines)
                doubtful |= evidence.doubtful
        return _Evidence(lines, doubtful)


def _settle(evidence: _Evidence, shape: tuple[int, ...], is_known: Callable[[str], bool]) -> tuple[list[Region], bool]:
    """Return what is to be blanked, and whether doubt is left."""
    rows, columns = shape[:2]
    regions: list[Region] = []
    doubtful = evidence.doubtful
    for line in evidence.lines:
        width, height = line.right - line.left, line.bottom - line.top
        sure = (line.apart and line.score >= SURE) or _reads(line)
        if not sure:
            doubtful |= line.apart and line.score >= DOUBTFUL
            continue
        if width * height > LARGE * rows * columns:
            doubtful = True
            continue
        if line.least >= READ and is_marker(line.text) and not is_known(line.text):
            continue
        margin = 1 + round(_MARGIN * min(width, height))
        region = Region(line.left - margin, line.top - margin, line.right + margin, line.bottom + margin)
        inside = region.within(rows, columns)
        if inside is not None:
            regions.append(inside)
    return regions, doubtful


def _reads(line: Line) -> bool:
    """Say whether a line reads like text: the recogniser is sure of two letters or digits or more."""
    return line.mean >= READABLE and sum(character.isalnum() for character in line.text) >= 2


def _planes(picture: Picture, index: int) -> Iterator[tuple[NDArray[np.uint16], tuple[int, int]]]:
    """Yield a frame as grey pictures: one, or one for each colour that is not like another."""
    values = picture.frame(index)
    if picture.geometry.photometric == "PALETTE COLOR":
        yield _sixteen(values, *_extremes(values)), _ends(values)
        values = apply_color_lut(values, picture.dataset)
    if values.ndim == 2:
        yield _sixteen(values, *_extremes(values)), _ends(values)
        return
    before: list[NDArray[Any]] = []
    for sample in range(values.shape[2]):
        plane = values[..., sample]
        if not any(np.array_equal(plane, other) for other in before):
            before.append(plane)
            yield _sixteen(plane, *_extremes(plane)), _ends(plane)


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _sixteen(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    """Return values stretched to 16 bits, so that the least is 0."""
    if high - low <= 0xFFFF and values.dtype.kind in "iu":
        return (values.astype(np.int64) - int(low)).astype(np.uint16)
    scaled = (values.astype(np.float64) - low) * (0xFFFF / max(high - low, 1e-9))
    return scaled.astype(np.uint16)


def _ends(values: NDArray[Any]) -> tuple[int, int]:
    """Return the window that shows nearly every value, in the scale of `_sixteen`."""
    sample = _sixteen(values, *_extremes(values))[:: max(1, values.shape[0] // 512), :: max(1, values.shape[1] // 512)]
    low, high = np.percentile(sample, (0.5, 99.5))
    return int(low), int(high)


def _digest(planes: list[tuple[NDArray[np.uint16], tuple[int, int]]]) -> bytes:
    import hashlib

    digest = hashlib.sha256()
    for values, _ in planes:
        digest.update(np.ascontiguousarray(values).data)
    return digest.digest()
