"""What `case`, `package`, `check` and `batch` have in common: from a path to a built package."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.cli import output, wiring
from bsti_submit.errors import HeldError, InputError
from bsti_submit.model import Outcome, Reason
from bsti_submit.pipeline.prepared import Choices
from bsti_submit.pipeline.stream import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bsti_submit.cli.person import Person
    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.deid.pixels.decisions import DecisionStore
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.model import InstanceRef
    from bsti_submit.outbox import Outbox
    from bsti_submit.pipeline.prepared import Prepared
    from bsti_submit.settings import Settings


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which studies, and what was confirmed about them."""

    index: int
    priors: tuple[int, ...]
    any_body_part: bool

    @property
    def numbers(self) -> tuple[int, ...]:
        """All studies that go."""
        return (self.index, *self.priors)

    def choices(self, leave_out: frozenset[InstanceRef]) -> Choices:
        """Return what the selection needs."""
        return Choices(self.numbers, leave_out, self.any_body_part)


def read_record(path: Path, context: Context | None, *, case_id: str | None = "") -> ClinicalRecord:
    """Read a clinical file and hold it against the images, and against the case that it is for.

    Parameters
    ----------
    case_id
        The case; empty for one that has no id yet, None where the case is not known.

    Raises
    ------
    InputError
        If anything is wrong with it, or it names a case though it is for a new one.
    HeldError
        If it may be about another patient or is another case's.
    """
    from bsti_submit.clinical.problem import Problem, error_for
    from bsti_submit.clinical.record import accept
    from bsti_submit.clinical.sources.json_file import read

    record = accept(read(path), context)
    named = record.data.get("case_id")
    if named is None or case_id is None or named == case_id:
        return record
    if case_id:
        raise error_for((Problem("E-CASE-DIFFERS", "case_id", "this record is another case's."),))
    message = (
        "a new case is given its id when it is packaged. Remove this field, and see that the record is of this case."
    )
    raise error_for((Problem("E-CASE-ID", "case_id", message),))


def choose_unattended(
    prepared: Prepared, study: int | None, record: Callable[[Context], ClinicalRecord], outbox: Outbox | None = None
) -> tuple[Chosen, ClinicalRecord]:
    """Choose the index and the priors where nobody can be asked: the newest, and what the record lists."""
    from bsti_submit.clinical.record import included_studies

    index = study if study is not None else 1
    context = prepared.context(index, outbox=outbox)
    found = record(context)
    priors = included_studies(found, context)
    return Chosen(index, priors, any_body_part=study is not None), found


def choose_attended(
    prepared: Prepared, person: Person, study: int | None, leave_out: frozenset[InstanceRef] = frozenset()
) -> Chosen:
    """Let the person choose, and confirm the body part.

    Raises
    ------
    HeldError
        If there are images that do not belong to a chest case.
    """
    index, priors = person.choose_studies(prepared, study)
    doubtful = [found for found in prepared.doubtful_body_parts((index, *priors)) if found.ref not in leave_out]
    if doubtful and not person.confirm_body_part(len(doubtful)):
        raise HeldError(
            "There are images that do not belong to a chest case, so nothing was packaged or sent.",
            details=(output.listed([found.ref for found in doubtful]),),
            hint="Choose another study, or leave those images out: --leave-out REF, once for each.",
        )
    return Chosen(index, priors, any_body_part=True)


def require_known(prepared: Prepared, leave_out: frozenset[InstanceRef]) -> None:
    """See that every instance to leave out is there, so that no slip of the pen sends what was meant to stay.

    Raises
    ------
    InputError
        If one is not.
    """
    here = {found.ref for found in prepared.survey.instances} | {found.ref for found in prepared.survey.rejections}
    if unknown := leave_out - here:
        raise InputError(
            "There is nothing here to leave out under that reference.",
            details=(output.listed(sorted(unknown)),),
            hint="The survey and the report of a held case name the references.",
        )


def require_told_apart(prepared: Prepared, person: Person | None) -> None:
    """Ask about, or hold, a patient whose hospital number tells nobody apart."""
    if not any(prepared.identity.is_weak(instance) for study in prepared.studies for instance in study.instances):
        return
    refusal = "The images have no usable hospital number, so the patient cannot be told apart from others."
    if person is None:
        raise HeldError(refusal, hint="Do this case at a terminal, where it can be decided.")
    person.must(
        "The images have no usable hospital number. Go on with a random pseudonym that links to no other case?",
        refusal,
    )


def require_plain_destination(prepared: Prepared, to: str) -> None:
    """See that a folder to copy to does not name the patient: the outbox keeps where a case went.

    Raises
    ------
    InputError
        If it does.
    """
    from bsti_submit.deid.certify import names_patient

    if to != "registry" and names_patient(prepared.identity.matcher(), to.removeprefix("dir:")):
        raise InputError(
            "The name of the folder to copy to holds something that may identify the patient, and it would be kept.",
            hint="Give a folder with another name.",
        )


def work_for(prepared: Prepared, key: SiteKey, decided: DecisionStore, *, compress: bool = True) -> Work:
    """Return the stream for a surveyed source."""
    return Work(prepared, key, decided, compress=compress)


def refused_kinds(prepared: Prepared, leave_out: frozenset[InstanceRef]) -> dict[Outcome, Counter[Reason]]:
    """Return what is left out, and what is held already, by reason."""
    rejections = prepared.select(Choices(leave_out=leave_out)).rejections
    return {
        outcome: Counter(rejection.reason for rejection in rejections if rejection.outcome is outcome)
        for outcome in (Outcome.LEFT_OUT, Outcome.HELD)
    }


def terms(settings: Settings) -> tuple[str, ...]:
    """Return what the statements call "named here", as it is set up for this site."""
    credit = settings.contributor.get("name", "") or settings.contributor.get("organisation", "")
    return (
        f"Lawful basis: {_TERMS.get(settings.basis, settings.basis)}",
        f"Opt-out:      {_TERMS.get(settings.opt_out, settings.opt_out)}",
        f"Credit:       {credit or 'anonymous'}",
    )


_TERMS = {
    "de-identified-before-disclosure": "de-identified before disclosure",
    "explicit-consent": "explicit consent on file",
    "section-251-or-other-approval": "section 251 or another approval",
    "not-applicable-deidentified": "does not apply to de-identified data",
    "checked-no-opt-out": "checked, and there is none",
}


def tell_held(settings: Settings, prepared: Prepared, refs: Sequence[InstanceRef]) -> str:
    """Write the local map for held files and return the line that says where it is."""
    paths = {ref: prepared.source.locate(ref).reveal() for ref in refs}
    return f"Which files those are is listed, for you alone, in {wiring.keep_paths(settings, paths)}"


def require_clinical(path: Path | None) -> Path:
    """Return the clinical file, or say which option names it.

    Raises
    ------
    InputError
        If it was not given.
    """
    if path is None:
        raise InputError(
            "Without a terminal the clinical metrics must come from a file.",
            hint="Give --clinical FILE; bsti-submit clinical template writes one to fill in.",
        )
    return path


def contributor(settings: Settings) -> bytes:
    """Return whom the site wants credited, as it goes beside a case; empty if nobody."""
    return wiring.contributor(settings.contributor)
