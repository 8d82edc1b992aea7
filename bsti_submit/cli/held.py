"""Held images at the terminal: looked at, cleared, rejected or left out before the metrics are asked for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bsti_submit.cli.output import listed
from bsti_submit.deid.pixels.review_items import ReviewItem, drawn_from
from bsti_submit.deid.pixels.screen import screen
from bsti_submit.errors import InputError
from bsti_submit.intake.source import UnreadableInstance
from bsti_submit.model import Outcome, Reason, Rejection
from bsti_submit.pipeline.case import CaseHeldError
from bsti_submit.pipeline.stream import held
from bsti_submit.report.events import Progress, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bsti_submit.cli.person import Person
    from bsti_submit.deid.pixels.decisions import Verdict
    from bsti_submit.deid.pixels.regions import Region
    from bsti_submit.intake.instance import SurveyedInstance
    from bsti_submit.model import InstanceRef, InstanceReport
    from bsti_submit.pipeline.looking import Look
    from bsti_submit.pipeline.prepared import Choices, Prepared
    from bsti_submit.pipeline.stream import Work
    from bsti_submit.report.events import Event


FOR_A_LOOK: Final = frozenset({Reason.NOT_LOOKED_AT, Reason.POSSIBLE_TEXT})
"""What a look at the picture settles."""


def settle_held(prepared: Prepared, choices: Choices, reports: Iterable[InstanceReport], person: Person) -> Choices:
    """Let the person leave out what is held, before they answer for two minutes what could not be sent in the end.

    Raises
    ------
    CaseHeldError
        If they would rather stop.
    InputError
        If nothing is left to send.
    """
    reports = tuple(reports)
    refs = defaultdict(list)
    for report in reports:
        if report.outcome is Outcome.HELD and report.reason is not None:
            refs[report.reason].append(report.ref)
    others = replace(choices, leave_out=choices.leave_out.union(*refs.values()))
    left = bool(prepared.select(others).instances)
    if refs:
        lines = [f"{len(found)} held: {reason.text}  {listed(found)}" for reason, found in refs.items()]
        if not left or not person.leaves_out(lines, sum(map(len, refs.values()))):
            raise CaseHeldError(reports)
    if not left:
        raise InputError("Nothing is left to send.", hint="Every image is left out.")
    return others


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a look at the pictures that need one.

    Attributes
    ----------
    shown
        How many were shown.
    held, left_out
        What is still held, and what is left out.
    unasked
        How many were decided on for the first time that were not held.
    """

    shown: int
    held: tuple[InstanceReport, ...]
    left_out: frozenset[InstanceRef]
    unasked: int


def review_held(
    prepared: Prepared,
    work: Work,
    choices: Choices,
    person: Person,
    emit: Callable[[Event], None],
    *,
    everything: bool = False,
) -> Looked:
    """Search all pictures for text, show those that a person must look at, and keep what is decided.

    Parameters
    ----------
    everything
        Whether all pictures are shown, so that a decision can be changed, or made about one that is not held.
    """
    chosen = list(prepared.select(choices).instances)
    series = list(dict.fromkeys(instance.series_uid for instance in chosen))
    chosen.sort(key=lambda instance: (series.index(instance.series_uid), _place(instance)))
    refused: dict[InstanceRef, InstanceReport] = {}
    shown: dict[InstanceRef, SurveyedInstance] = {}
    items: list[ReviewItem] = []
    left_out: set[InstanceRef] = set()
    for done, instance in enumerate(chosen):
        emit(Progress(Step.SCREEN, done, len(chosen)))
        staged = work.stage(instance)
        if isinstance(staged, Rejection):
            refused[instance.ref] = staged.report()
            continue
        look = work.look(instance, staged)
        _note(instance, look, refused, left_out)
        if everything or (look.reason in FOR_A_LOOK and look.decision is None):
            shown[instance.ref] = instance
            name = f"Series {series.index(instance.series_uid) + 1}, {instance.modality}"
            items.append(_item(work, instance, staged.layout.frames, name, look))
    emit(Progress(Step.SCREEN, len(chosen), len(chosen)))

    def decide(ref: InstanceRef, verdict: Verdict | None, regions: tuple[Region, ...]) -> None:
        staged = work.stage(shown[ref])
        if isinstance(staged, Rejection):
            raise UnreadableInstance(ref)
        work.looking.decide(staged, ref, verdict, regions)

    if items:
        person.look_first(items, decide, sum(item.reason in FOR_A_LOOK and item.decision is None for item in items))
    free = {item.ref for item in items if item.reason is None}
    unasked = 0
    for ref, instance in shown.items():
        staged = work.stage(instance)
        if isinstance(staged, Rejection):
            refused[ref] = staged.report()
            continue
        look = work.look(instance, staged)
        _note(instance, look, refused, left_out)
        unasked += ref in free and look.decision is not None
    return Looked(len(items), tuple(refused.values()), frozenset(left_out), unasked)


def _note(
    instance: SurveyedInstance,
    look: Look,
    refused: dict[InstanceRef, InstanceReport],
    left_out: set[InstanceRef],
) -> None:
    refused.pop(instance.ref, None)
    left_out.discard(instance.ref)
    if look.reason is Reason.LEFT_OUT_BY_PERSON:
        left_out.add(instance.ref)
    elif look.reason is not None:
        refused[instance.ref] = held(instance, look.reason).report()


def _item(work: Work, instance: SurveyedInstance, frames: int, group: str, look: Look) -> ReviewItem:
    # Staged again for each look: a study of thousands of slices is not kept in memory.
    def read() -> bytes:
        staged = work.stage(instance)
        return b"" if isinstance(staged, Rejection) else staged.to_bytes()

    def suggested() -> tuple[Region, ...]:
        staged = work.stage(instance)
        if isinstance(staged, Rejection):
            raise UnreadableInstance(instance.ref)  # not searched is not the same as nothing found
        return work.looking.suggested(instance, staged)

    reason = look.reason
    if screen(instance).reason is Reason.HEAD_COVERED:
        reason = Reason.HEAD_COVERED
    elif look.decision is not None:
        reason = Reason.NOT_LOOKED_AT  # so it is again once the decision is taken back
    return ReviewItem(
        instance.ref,
        instance.modality,
        drawn_from(read),
        reason,
        frames=max(1, frames),
        group=group,
        clearable=reason is not Reason.HEAD_COVERED,
        suggested=suggested,
        decision=look.decision,
    )


def _place(instance: SurveyedInstance) -> tuple[int, InstanceRef]:
    """Return where a picture stands in its series, so that a stack of slices can be scrolled through."""
    number = instance.instance_number.reveal().strip()
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0, instance.ref
