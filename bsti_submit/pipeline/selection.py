"""Survey + profile + choices → what is worked on, and what is left out or held, each with its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.deid.pixels.anatomy import Region, region
from bsti_submit.model import InstanceRef, Outcome, Reason, Rejection

if TYPE_CHECKING:
    from collections.abc import Collection

    from bsti_submit.deid.profile import Profile
    from bsti_submit.intake.survey import Study, Survey, SurveyedInstance


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person, or the options of an unattended run, decided before the work.

    Attributes
    ----------
    studies
        The studies to work on; None for all of them.
    leave_out
        Instances to leave out by name.
    any_body_part
        The body part was confirmed, or does not matter (`deid` and `check` hold only heads).
    """

    studies: frozenset[int] | None = None
    leave_out: frozenset[InstanceRef] = frozenset()
    any_body_part: bool = True


@dataclass(frozen=True, slots=True)
class Selection:
    """The instances to work on, and the refusals so far, in order of reference."""

    instances: tuple[SurveyedInstance, ...]
    rejections: tuple[Rejection, ...]

    def counts(self) -> Counter[Reason]:
        """Return how many instances were refused for each reason."""
        return Counter(rejection.reason for rejection in self.rejections)


def select(survey: Survey, profile: Profile, choices: Choices) -> Selection:
    """Decide on every instance of a survey by its header alone."""
    kept: list[SurveyedInstance] = []
    refused: list[Rejection] = [
        Rejection(found.ref, found.sop_class_uid, Outcome.LEFT_OUT, Reason.LEFT_OUT_BY_PERSON)
        if found.ref in choices.leave_out
        else found
        for found in survey.rejections
    ]
    wanted = _wanted(survey.studies(), choices.studies)
    for instance in survey.instances:
        reason = _refusal(instance, profile, choices, wanted)
        if reason is None:
            kept.append(instance)
        else:
            outcome = Outcome.HELD if reason in {Reason.HEAD_COVERED, Reason.BODY_PART} else Outcome.LEFT_OUT
            refused.append(Rejection(instance.ref, instance.sop_class_uid, outcome, reason))
    return Selection(tuple(kept), tuple(sorted(refused, key=lambda rejection: rejection.ref)))


def _wanted(studies: Collection[Study], numbers: frozenset[int] | None) -> frozenset[InstanceRef] | None:
    if numbers is None:
        return None
    return frozenset(ref for study in studies if study.number in numbers for ref in study.refs)


def _refusal(
    instance: SurveyedInstance, profile: Profile, choices: Choices, wanted: frozenset[InstanceRef] | None
) -> Reason | None:
    if instance.ref in choices.leave_out:
        return Reason.LEFT_OUT_BY_PERSON
    if (kind := profile.sop_class_kind(instance.sop_class_uid)) is not None:
        return kind
    if wanted is not None and instance.ref not in wanted:
        return Reason.OTHER_STUDY
    found = region(instance)
    if found is Region.HEAD:
        return Reason.HEAD_COVERED
    if found is not Region.CHEST and not choices.any_body_part:
        return Reason.BODY_PART
    return None
