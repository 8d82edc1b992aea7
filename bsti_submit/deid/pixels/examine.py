"""A picture → the regions of text to blank, and whether doubt is left that a person has to settle.

Two independent looks: a trained detector finds lines (`reader`), a screen finds drawn strokes in the stored values
(`strokes`). What the detector is sure of is blanked; strokes that it does not account for are a doubt. Of a CT series
every slice is screened, and the detector is asked where the screen is not silent, and about the mean of the series.

What was read never leaves this module: an examination holds places only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from pydicom.pixels.processing import apply_color_lut

from bsti_submit.deid.pixels import strokes
from bsti_submit.deid.pixels.judgement import Judgement, is_surely_a_line, judge
from bsti_submit.deid.pixels.picture import Picture, PictureError
from bsti_submit.deid.pixels.projections import Projections
from bsti_submit.deid.pixels.reader import Line, Reader, ReaderError
from bsti_submit.deid.pixels.regions import Region
from bsti_submit.model import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from numpy.typing import NDArray

    IsKnown = Callable[[str], bool]

MOST_FRAMES: Final = 64
"""Different frames of one picture that are looked at; longer films are for a person."""
MOST_CLUSTERS: Final = 40
"""Places of strokes that are read one by one."""
_LOSSY: Final = frozenset(
    (
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.51",  # JPEG extended
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
        "1.2.840.10008.1.2.4.91",  # JPEG 2000
    )
)
LARGEST: Final = 24_000_000
"""Pixels of a frame; the largest radiographs have 18 million. A larger one does not fit into the detector's memory."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in one picture.

    Attributes
    ----------
    regions
        To be blanked in every frame, in stored pixels.
    doubt
        Why a person has to look: `Reason.POSSIBLE_TEXT`, or that the picture cannot be decoded. None if nothing is left in
        doubt. The regions are to be blanked all the same.
    searched
        Whether the search came to its end; without that, no regions say nothing.
    """

    regions: tuple[Region, ...]
    doubt: Reason | None
    searched: bool = True


class Examiner:
    """Finds burned-in text. Its detector starts when it is first needed and ends with it. A context manager."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._series: dict[Hashable, dict[tuple[int, ...], Projections]] = {}
        self._shared: dict[tuple[Hashable, tuple[int, ...]], list[Line]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the detector."""
        self._reader.close()

    @property
    def detections(self) -> int:
        """How many grey pictures the detector was given: a measure of cost."""
        return self._reader.read_count

    def survey(self, key: Hashable, pictures: Iterable[Callable[[], Picture]]) -> None:
        """Take in all slices of one CT series, so that text on every slice stands out in their projections.

        Parameters
        ----------
        key
            The series, as `examine` is told it later.
        pictures
            Each is called once, in any order; one picture is in memory at a time. A `PictureError` is passed over:
            `examine` tells of it.
        """
        shapes: dict[tuple[int, ...], Projections] = {}
        for make in pictures:
            try:
                picture = make()
                for index in range(picture.geometry.frames):
                    values = picture.frame(index)
                    shapes.setdefault(values.shape, Projections()).add(values)
            except PictureError:
                continue
        # Not before the end: nothing is judged by a part of the slices.
        self._series[key] = shapes
        self._shared = {place: lines for place, lines in self._shared.items() if place[0] != key}

    def examine(self, picture: Picture, key: Hashable | None, is_known: IsKnown) -> Examination:
        """Examine one picture. It raises nothing: what cannot be examined is a doubt.

        Parameters
        ----------
        picture
            Any number of frames.
        key
            The CT series whose `survey` went before. None for everything that is looked at by itself: radiographs,
            captures, localizers.
        is_known
            Says whether a text is one of this patient's words. Asked only about what reads as an allowed marker.
        """
        geometry = picture.geometry
        if geometry.rows * geometry.columns > LARGEST:
            return Examination((), Reason.POSSIBLE_TEXT, searched=False)
        series = self._series.get(key, {}).get((geometry.rows, geometry.columns))
        try:
            if series is not None and geometry.samples == 1 and not _is_lossy(picture):
                judgement = self._slice(picture, key, series, is_known)
            else:
                judgement = self._alone(picture, is_known)
        except PictureError:
            return Examination((), Reason.PIXEL_CODING, searched=False)
        except ReaderError:
            return Examination((), Reason.POSSIBLE_TEXT, searched=False)
        except Exception:  # noqa: BLE001 - palettes may be malformed in any way, and errors quote them
            return Examination((), Reason.UNREADABLE, searched=False)
        return Examination(tuple(sorted(set(judgement.blanked))), Reason.POSSIBLE_TEXT if judgement.doubtful else None)

    def _alone(self, picture: Picture, is_known: IsKnown) -> Judgement:
        """Look at every frame that is not like one before."""
        whole = Judgement()
        seen: set[bytes] = set()
        for index in range(picture.geometry.frames):
            for plane in _planes(picture, index):
                digest = hashlib.sha256(np.ascontiguousarray(plane).data).digest()
                if digest in seen:
                    continue
                seen.add(digest)
                if len(seen) > MOST_FRAMES:
                    whole.doubtful = True
                    return whole
                _add(whole, self._look(plane, is_known))
        return whole

    def _look(self, values: NDArray[Any], is_known: IsKnown) -> Judgement:
        """Ask the detector, then hold what it found against the strokes.

        It seldom finds a single letter, so what the strokes show besides is read by itself: a marker stays.
        """
        grey, window = _sixteen(values)
        judgement = judge(self._reader.read(grey, window), values.shape, is_known)
        places = strokes.clusters(values, judgement.known)
        if len(places) > MOST_CLUSTERS:
            judgement.doubtful = True
        elif places:
            wider = [_wider(place, grey.shape) for place in places]
            part = judge(self._reader.read(grey, window, wider), values.shape, is_known)
            # What does not read like text may still be some
            judgement.doubtful |= len(part.known) < len(places)
            _add(judgement, part)
        judgement.doubtful |= not _whole(values, judgement)
        return judgement

    def _find(self, values: NDArray[Any]) -> list[Line]:
        grey, window = _sixteen(values)
        return self._reader.read(grey, window)

    def _slice(self, picture: Picture, key: Hashable, series: Projections, is_known: IsKnown) -> Judgement:
        """Apply what the series shows as a whole, and look at slices that show more."""
        place = key, series.shape
        if place not in self._shared:
            self._shared[place] = list(self._lines_of(series))
        judgement = Judgement()
        for index in range(picture.geometry.frames):
            values = picture.frame(index)
            # A marker that was read in one frame says nothing of what stands there in another.
            own = judge(self._shared[place], series.shape, is_known)
            if strokes.unexplained(values, own.known):
                _add(own, self._look(values, is_known))
                own.doubtful |= strokes.unexplained(values, own.known)
            own.doubtful |= not _whole(values, own)
            _add(judgement, own)
        return judgement

    def _lines_of(self, series: Projections) -> Iterator[Line]:
        """Yield the lines that a series shows as a whole."""
        for plane in series.extremes():
            if strokes.suspicious(plane):
                yield from self._find(plane)
        change = series.change()
        if change is not None and strokes.suspicious(change):
            # What moves through the slices makes knots and large finds here, which say nothing: each slice is looked at
            # as well.
            yield from (line for line in self._find(change) if is_surely_a_line(line, series.shape))
        mean = series.mean()
        if mean is not None:
            yield from self._find(mean)  # faint text has no strokes that a screen could see


def _wider(place: Region, shape: tuple[int, ...]) -> Region:
    """Return a place with the margin that a reader needs around letters."""
    reach = 3 + min(place.width, place.height) // 6
    wider = Region(place.left - reach, place.top - reach, place.right + reach, place.bottom + reach)
    return wider.within(*shape[:2]) or place


def _add(whole: Judgement, part: Judgement) -> None:
    whole.blanked += part.blanked
    whole.kept += part.kept
    whole.doubtful |= part.doubtful
    whole.leave_no_initials()


def _whole(values: NDArray[Any], judgement: Judgement) -> bool:
    """Say whether all lines that are to be blanked were found from end to end."""
    return all(strokes.is_whole(values, line, judgement.known) for line in judgement.blanked)


def _is_lossy(picture: Picture) -> bool:
    """Say whether values were lost to compression: then what was drawn has no single value any more."""
    lost = str(picture.dataset.get("LossyImageCompression", "")) == "01"
    return lost or picture.geometry.transfer_syntax_uid in _LOSSY


def _planes(picture: Picture, index: int) -> Iterator[NDArray[Any]]:
    """Yield a frame as grey pictures: one, or one for each colour. Text may differ from its ground in one colour only."""
    values = picture.frame(index)
    if picture.geometry.photometric == "PALETTE COLOR":
        yield values  # a palette can give two values one colour
        values = apply_color_lut(values, picture.dataset)
    if values.ndim == 2:
        yield values
    else:
        yield from (np.ascontiguousarray(values[..., sample]) for sample in range(values.shape[2]))


def _sixteen(values: NDArray[Any]) -> tuple[NDArray[np.uint16], tuple[int, int]]:
    """Return values from 0 in 16 bits, and the window that shows nearly all of them."""
    least, greatest = int(values.min()), int(values.max())
    shift = max(0, (greatest - least).bit_length() - 16)
    grey = ((values.astype(np.int64) - least) >> shift).astype(np.uint16)
    rows, columns = (max(1, side // 512) for side in grey.shape)
    low, high = np.percentile(grey[::rows, ::columns], (0.5, 99.5))
    return grey, (int(low), int(high))
