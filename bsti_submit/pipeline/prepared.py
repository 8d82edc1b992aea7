"""A source that has been surveyed: what a command knows before the long work starts."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bsti_submit.clinical.facts import Context, StudyFact, build_context
from bsti_submit.deid.pixels.anatomy import Coverage, coverage
from bsti_submit.deid.pixels.examine import Examiner
from bsti_submit.deid.pseudonyms import image_set_digest, study_set_tag
from bsti_submit.errors import HeldError, InputError
from bsti_submit.intake.source import open_source
from bsti_submit.intake.survey import survey_source
from bsti_submit.model import InstanceRef, Outcome, Reason, Rejection
from bsti_submit.outbox import Origin
from bsti_submit.pipeline.earlier import EarlierCases
from bsti_submit.pipeline.stream import Identity
from bsti_submit.report.events import Progress, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from bsti_submit.clinical.facts import FindIdentifiers
    from bsti_submit.deid.profile import Profile
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.intake.instance import SurveyedInstance
    from bsti_submit.intake.source import Source
    from bsti_submit.intake.studies import Study
    from bsti_submit.intake.survey import Survey
    from bsti_submit.outbox import Outbox
    from bsti_submit.pipeline.stream import Work
    from bsti_submit.report.events import Event


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person, or the options of an unattended run, decided before the work.

    Attributes
    ----------
    studies
        The numbers of the studies to work on; None for all instances, whatever their study.
    leave_out
        Instances to leave out by reference.
    any_body_part
        The body part was confirmed, or does not matter (`deid` and `check` hold only heads).
    """

    studies: tuple[int, ...] | None = None
    leave_out: frozenset[InstanceRef] = frozenset()
    any_body_part: bool = True


@dataclass(frozen=True, slots=True)
class Selection:
    """The instances to work on, and the refusals so far in the order of their references."""

    instances: tuple[SurveyedInstance, ...]
    rejections: tuple[Rejection, ...]


class Prepared:
    """A surveyed source under one profile and one key."""

    def __init__(
        self,
        source: Source,
        survey: Survey,
        identity: Identity,
        profile: Profile,
        key: SiteKey,
        examiner: Examiner,
        find_identifiers: FindIdentifiers | None = None,
    ) -> None:
        self.source = source
        self.survey = survey
        self.identity = identity
        self.profile = profile
        self.examiner = examiner
        self._key = key
        self._find_identifiers = find_identifiers
        self.studies: tuple[Study, ...] = survey.studies(self.is_eligible)
        """The studies with anything to send, newest first; their numbers are what ``--study`` takes."""

    def is_eligible(self, instance: SurveyedInstance) -> bool:
        """Whether the profile sends objects of this kind."""
        return self.profile.sop_class_kind(instance.sop_class_uid) is None

    def study(self, number: int) -> Study:
        """Return a study by its number.

        Raises
        ------
        InputError
            If there is none of that number.
        """
        for study in self.studies:
            if study.number == number:
                return study
        raise InputError(
            f"There is no study number {number} here.",
            hint=f"The studies with images to send are numbered 1 to {len(self.studies)}, newest first.",
        )

    def tag(self, numbers: Collection[int]) -> str:
        """Return the keyed tag by which the outbox knows these studies of this patient again."""
        studies = [self.study(number) for number in numbers]
        patients = {self.identity.mark(instance) for study in studies for instance in study.instances}
        return study_set_tag(self._key, patients, [study.uid for study in studies])

    def origin(self, instances: Collection[SurveyedInstance], work: Work) -> Origin:
        """Return what a package of some instances is made of and under, after they went through the work."""
        profile = self.profile
        rules = (profile.name, profile.version, profile.recipe_sha256)
        pictures = {work.cleared[instance.ref] for instance in instances if instance.ref in work.cleared}
        return Origin(
            self._key.derive(b"rules", *(rule.encode() for rule in rules)).hex(),
            image_set_digest(self._key, [instance.instance_uid for instance in instances]),
            len(instances),
            tuple(sorted(pictures)),
        )

    def origin_today(self, choices: Choices, work: Work) -> Origin:
        """Return what a package would be made of now, by the choices and by what was decided about pictures."""
        return self.origin([found for found in self.select(choices).instances if work.goes(found)], work)

    def require_one_patient(self) -> None:
        """Stop where a folder holds more than one patient.

        Raises
        ------
        HeldError
            With their number, never who they are.
        """
        if (count := len(self.survey.patients)) > 1:
            raise HeldError(
                f"The images here belong to {count} different patients, so nothing was done.",
                hint="A case is one patient. Put each patient's images into a folder of their own.",
            )

    def require_images(self) -> None:
        """Stop where there is nothing that the profile sends.

        Raises
        ------
        InputError
            With what was found instead.
        """
        if self.studies:
            return
        found = Selection((), self.select(Choices()).rejections)
        counts: dict[Reason, int] = {}
        for rejection in found.rejections:
            counts[rejection.reason] = counts.get(rejection.reason, 0) + 1
        lines = [f"{count} x {reason.text}" for reason, count in counts.items()]
        if self.survey.ignored:
            lines.append(f"{self.survey.ignored} x Not DICOM files; they were ignored.")
        if self.survey.archives:
            lines.append(f"{self.survey.archives} of those look like archives, which are not opened inside a folder.")
        raise InputError(
            "There is nothing here that this profile sends.",
            details=tuple(lines),
            hint="The registry takes CT and chest radiographs (CR, DX).",
        )

    def doubtful_body_parts(self, numbers: Collection[int]) -> tuple[SurveyedInstance, ...]:
        """Return the instances of some studies whose body part is not the chest, or not stated, and no head."""
        return tuple(
            instance
            for number in numbers
            for instance in self.study(number).instances
            if coverage(instance) in {Coverage.OTHER, Coverage.UNKNOWN}
        )

    def select(self, choices: Choices) -> Selection:
        """Decide on every instance by its header alone."""
        wanted = None
        if choices.studies is not None:
            wanted = {ref for number in choices.studies for ref in self.study(number).refs}
        kept: list[SurveyedInstance] = []
        refused = [self._rejected(found, choices) for found in self.survey.rejections]
        for instance in self.survey.instances:
            refusal = self._refusal(instance, choices, wanted)
            if refusal is None:
                kept.append(instance)
            else:
                refused.append(Rejection(instance.ref, instance.sop_class_uid, *refusal))
        return Selection(tuple(kept), tuple(sorted(refused, key=lambda rejection: rejection.ref)))

    def _rejected(self, found: Rejection, choices: Choices) -> Rejection:
        """Return what became of a file that the survey could not take: of a kind that is not sent it is no doubt."""
        if found.ref in choices.leave_out:
            return replace(found, outcome=Outcome.LEFT_OUT, reason=Reason.LEFT_OUT_BY_PERSON)
        kind = self.profile.sop_class_kind(found.sop_class_uid) if found.sop_class_uid else None
        if found.outcome is Outcome.HELD and kind is not None:
            return replace(found, outcome=Outcome.LEFT_OUT, reason=kind, attribute="")
        return found

    def _refusal(
        self, instance: SurveyedInstance, choices: Choices, wanted: Collection[InstanceRef] | None
    ) -> tuple[Outcome, Reason] | None:
        if instance.ref in choices.leave_out:
            return Outcome.LEFT_OUT, Reason.LEFT_OUT_BY_PERSON
        if (kind := self.profile.sop_class_kind(instance.sop_class_uid)) is not None:
            return Outcome.LEFT_OUT, kind
        if wanted is not None and instance.ref not in wanted:
            return Outcome.LEFT_OUT, Reason.OTHER_STUDY
        covered = coverage(instance)
        if covered is Coverage.HEAD:
            return Outcome.HELD, Reason.HEAD_COVERED
        if covered is not Coverage.CHEST and not choices.any_body_part:
            return Outcome.HELD, Reason.BODY_PART
        return None

    def context(self, index: int, *, included: Collection[int] | None = None, outbox: Outbox | None = None) -> Context:
        """Return the facts that a clinical record is held against.

        Parameters
        ----------
        index
            The number of the index study.
        included
            The studies that were chosen to go along; None where the record itself says.
        outbox
            Where the patient's earlier cases are looked up.
        """
        study = self.study(index)
        first = study.instances[0]
        earlier = EarlierCases(outbox, self.identity.scope(first), self._key) if outbox is not None else None
        return build_context(
            birth_date=first.birth_date,
            patient_age=first.patient_age,
            sex=first.sex.reveal(),
            patient_id=first.patient_id,
            studies=[
                StudyFact(
                    found.number,
                    "\\".join(found.modalities),
                    found.date,
                    included is None or found.number in included,
                    earlier.of_study(self.tag([found.number])) if earlier is not None else "",
                )
                for found in self.studies
            ],
            index_number=index,
            priors_chosen=included is not None,
            today=datetime.now(UTC).date(),
            matches_patient=self.identity.mentions,
            final_check=lambda text: self.identity.matcher().finds(text),
            same_patient=earlier.same_patient if earlier is not None else None,
            find_identifiers=self._find_identifiers,
        )


@contextmanager
def prepare(
    path: Path,
    profile: Profile,
    key: SiteKey,
    emit: Callable[[Event], None],
    find_identifiers: FindIdentifiers | None = None,
) -> Iterator[Prepared]:
    """Open and survey a source: one pass over the headers, which also gathers who it is about, in memory.

    Parameters
    ----------
    find_identifiers
        The search of typed text for the forms of identifiers, where the site has patterns of its own.

    Raises
    ------
    InputError
        If there is nothing there, or it cannot be opened.
    """
    with open_source(path) as source, Examiner() as examiner:
        identity = Identity(key, profile.words)
        survey = survey_source(
            source,
            on_header=identity.add_header,
            progress=lambda done, total: emit(Progress(Step.SURVEY, done, total)),
        )
        for part in source.path_parts():
            identity.add_text(part)
        yield Prepared(source, survey, identity, profile, key, examiner, find_identifiers)
