"""Held images at the terminal: looked at, cleared, rejected or left out before the metrics are asked for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from bsti_submit.cli.output import listed
from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.deid.pixels.review_items import ReviewItem, drawn_from
from bsti_submit.deid.pixels.screen import needs_look, screen
from bsti_submit.errors import InputError
from bsti_submit.model import Outcome, Reason, Rejection
from bsti_submit.pipeline.case import CaseHeldError
from bsti_submit.pipeline.stream import file_bytes, held
from bsti_submit.report.events import Progress, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bsti_submit.cli.person import Person
    from bsti_submit.deid.pixels.regions import Region
    from bsti_submit.deid.staged import Staged
    from bsti_submit.intake.instance import SurveyedInstance
    from bsti_submit.model import InstanceRef, InstanceReport
    from bsti_submit.pipeline.prepared import Choices, Prepared
    from bsti_submit.pipeline.stream import Work
    from bsti_submit.report.events import Event


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
    """What came of a look at the pictures that need one: how many were shown, what is still held, what is left out."""

    shown: int
    held: tuple[InstanceReport, ...]
    left_out: frozenset[InstanceRef]


def review_held(
    prepared: Prepared,
    work: Work,
    choices: Choices,
    person: Person,
    emit: Callable[[Event], None],
    *,
    everything: bool = False,
    find: Callable[[Staged], tuple[Region, ...]] | None = None,
) -> Looked:
    """Show the pictures that must be looked at first, and keep what is decided.

    Parameters
    ----------
    everything
        Whether pictures that were decided on before are shown again, so that the decision can be changed.
    find
        Where text seems to stand in a picture; asked when it is first shown, and possibly for seconds.
    """
    waiting = [instance for instance in prepared.select(choices).instances if needs_look(instance)]
    series = list(dict.fromkeys(instance.series_uid for instance in waiting))
    waiting.sort(key=lambda instance: (series.index(instance.series_uid), _place(instance)))
    refused: list[InstanceReport] = []
    staged_by_ref: dict[InstanceRef, Staged] = {}
    verdicts: dict[InstanceRef, Verdict] = {}
    items: list[ReviewItem] = []
    for done, instance in enumerate(waiting):
        emit(Progress(Step.SCREEN, done, len(waiting)))
        staged = work.stage(instance)
        if isinstance(staged, Rejection):
            refused.append(staged.report())
            continue
        if (decision := work.decision(staged)) is not None:
            verdicts[instance.ref] = decision.verdict
        if decision is None or everything:
            staged_by_ref[instance.ref] = staged
            items.append(
                ReviewItem(
                    instance.ref,
                    instance.modality,
                    drawn_from(partial(file_bytes, staged)),
                    Reason.NOT_LOOKED_AT,
                    frames=max(1, staged.layout.frames),
                    group=f"Series {series.index(instance.series_uid) + 1}, {instance.modality}",
                    suggested=partial(find, staged) if find else None,
                    decision=decision,
                )
            )
    if waiting:
        emit(Progress(Step.SCREEN, len(waiting), len(waiting)))

    def decide(ref: InstanceRef, verdict: Verdict | None, regions: tuple[Region, ...]) -> None:
        work.decide(staged_by_ref[ref], ref, verdict, regions)

    if items:
        person.look_first(items, decide)
    verdicts |= {ref: verdict for ref, staged in staged_by_ref.items() if (verdict := work.verdict(staged))}
    for instance in waiting:
        reason = screen(instance, verdicts.get(instance.ref)).reason
        if reason not in {None, Reason.LEFT_OUT_BY_PERSON} and instance.ref not in {found.ref for found in refused}:
            refused.append(held(instance, reason).report())
    left_out = frozenset(ref for ref, verdict in verdicts.items() if verdict is Verdict.LEFT_OUT)
    return Looked(len(items), tuple(refused), left_out)


def _place(instance: SurveyedInstance) -> tuple[int, InstanceRef]:
    """Return where a picture stands in its series, so that a stack of slices can be scrolled through."""
    number = instance.instance_number.reveal().strip()
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0, instance.ref
