"""What is known of the pictures of a source: what a person decided, and what the search for text found where nobody did."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.pixels.picture import Picture, PictureError
from bsti_submit.deid.pixels.screen import CT_CLASSES, needs_person, screen
from bsti_submit.model import Reason, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bsti_submit.deid.pixels.decisions import Decision, DecisionStore, Verdict
    from bsti_submit.deid.pixels.examine import Examination
    from bsti_submit.deid.pixels.regions import Region
    from bsti_submit.deid.staged import Staged
    from bsti_submit.intake.instance import SurveyedInstance
    from bsti_submit.model import InstanceRef
    from bsti_submit.pipeline.prepared import Prepared

_LOCALIZERS: Final = frozenset({"LOCALIZER", "LOCALISER", "SCOUT", "TOPOGRAM"})


@dataclass(frozen=True, slots=True)
class Look:
    """What is to become of one picture.

    Attributes
    ----------
    reason
        Why it is held or left out; None if it may go on.
    regions
        What is blanked before it goes on.
    examined
        Whether a person or the search for text really looked at it.
    decision
        What a person decided about it, None if nobody did.
    """

    reason: Reason | None
    regions: tuple[Region, ...] = ()
    examined: bool = False
    decision: Decision | None = None


class Looking:
    """Look at the pictures of one source.

    A CT series is searched as a whole, so that what is left out of a case does not change what is found in the rest.

    Parameters
    ----------
    decisions
        What people decided; None where nothing was ever decided.
    key
        Pictures are known again by a digest under it.
    stage
        De-identifies an instance: pictures are looked at as they would leave.
    """

    def __init__(
        self,
        prepared: Prepared,
        decisions: DecisionStore | None,
        key: bytes,
        stage: Callable[[SurveyedInstance], Staged | Rejection],
    ) -> None:
        self._stage = stage
        self._examiner = prepared.examiner
        self._is_known = prepared.identity.mentions
        self._decisions = decisions
        self._key = key
        self._series: defaultdict[str, list[SurveyedInstance]] = defaultdict(list)
        self._surveyed: set[str] = set()
        self._found: dict[InstanceRef, Examination] = {}
        self._lock = Lock()
        for instance in prepared.survey.instances:
            if _is_slice(instance):
                self._series[instance.series_uid.reveal()].append(instance)

    @property
    def nothing_decided(self) -> bool:
        """Whether nobody ever decided about any picture."""
        return self._decisions is None or self._decisions.is_empty()

    def at(self, instance: SurveyedInstance, staged: Staged) -> Look:
        """Look at the picture of an instance, as it would leave."""
        try:
            picture = Picture(staged.to_bytes())
            decision = self._decided(picture)
        except PictureError:
            return Look(Reason.PIXEL_CODING)
        if decision is not None:
            screening = screen(instance, decision.verdict)
            return Look(screening.reason, decision.regions, screening.examined, decision)
        if (reason := screen(instance).reason) is not None:
            return Look(reason)
        found = self._search(instance, picture)
        screening = screen(instance, found=found)
        return Look(screening.reason, found.regions, screening.examined)

    def suggested(self, instance: SurveyedInstance, staged: Staged) -> tuple[Region, ...]:
        """Return where text was found in a picture, for a person to judge.

        Raises
        ------
        PictureError
            If it could not be searched.
        """
        found = self._search(instance, Picture(staged.to_bytes()))
        if not found.searched:
            raise PictureError("it could not be searched for text")
        return found.regions

    def decision(self, staged: Staged) -> Decision | None:
        """Return what a person decided about exactly this picture."""
        if self.nothing_decided:
            return None  # no picture need be read
        try:
            return self._decided(Picture(staged.to_bytes()))
        except PictureError:
            return None

    def decide(self, staged: Staged, ref: InstanceRef, verdict: Verdict | None, regions: Sequence[Region] = ()) -> None:
        """Keep or take back what a person decided about a picture.

        Raises
        ------
        PictureError
            If it cannot be read as one, so that nothing could be kept.
        """
        if self._decisions is None:
            return
        digest = Picture(staged.to_bytes()).digest(self._key)
        if verdict is None:
            self._decisions.withdraw(digest)
        else:
            self._decisions.record(digest, verdict, regions, ref=ref)

    def _decided(self, picture: Picture) -> Decision | None:
        if self._decisions is None or self.nothing_decided:
            return None
        return self._decisions.find(picture.digest(self._key))

    def _search(self, instance: SurveyedInstance, picture: Picture) -> Examination:
        with self._lock:  # the page asks in several threads
            if instance.ref in self._found:
                return self._found[instance.ref]  # a source hands out no file that has changed
            series = instance.series_uid.reveal() if _is_slice(instance) else None
            if series is not None and series not in self._surveyed:
                self._examiner.survey(series, self._pictures(series))
                self._surveyed.add(series)
            found = self._examiner.examine(picture, series, self._is_known)
            if found.searched:
                self._found[instance.ref] = found
            return found

    def _pictures(self, series: str) -> Iterator[Callable[[], Picture]]:
        """Yield the pictures of a series, each to be read when its turn comes: one is in memory at a time."""
        for instance in self._series[series]:
            yield partial(self._picture, instance)

    def _picture(self, instance: SurveyedInstance) -> Picture:
        staged = self._stage(instance)
        if isinstance(staged, Rejection):
            raise PictureError("not readable")  # it is held when its own turn comes
        return Picture(staged.to_bytes())


def _is_slice(instance: SurveyedInstance) -> bool:
    """Say whether a picture is one of a stack, in which text that is on many stands out: no localizer and no page."""
    words = {word for value in instance.image_type for word in value.split()}
    return instance.sop_class_uid in CT_CLASSES and not needs_person(instance) and words.isdisjoint(_LOCALIZERS)
