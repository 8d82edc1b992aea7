"""What `case`, `package`, `check` and `batch` have in common: from a path to a built package."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.cli import wiring
from bsti_submit.deid.pixels.render import render
from bsti_submit.deid.pixels.review import ReviewItem
from bsti_submit.deid.pixels.screen import needs_look
from bsti_submit.errors import HeldError, InputError
from bsti_submit.model import Reason, Rejection
from bsti_submit.pipeline.prepared import Choices
from bsti_submit.pipeline.stream import Work, file_bytes
from bsti_submit.report.events import Progress, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bsti_submit.cli.person import Person
    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.deid.pixels.decisions import DecisionStore, Verdict
    from bsti_submit.deid.pixels.review import Renderer
    from bsti_submit.deid.profile import Profile
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.model import InstanceRef
    from bsti_submit.phi import Identified
    from bsti_submit.pipeline.case import Built
    from bsti_submit.pipeline.prepared import Prepared
    from bsti_submit.report.events import Event
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


def read_record(path: Path, context: Context | None, *, id_suffix: Identified[str] | None = None) -> ClinicalRecord:
    """Read a clinical file and hold it against the images."""
    from bsti_submit.clinical.record import accept
    from bsti_submit.clinical.sources.json_file import read

    return accept(read(path), context, id_suffix=id_suffix)


def choose_unattended(
    prepared: Prepared, study: int | None, record: Callable[[Context], ClinicalRecord]
) -> tuple[Chosen, ClinicalRecord]:
    """Choose the index and the priors where nobody can be asked: the newest, and what the record lists."""
    from bsti_submit.clinical.record import included_studies

    index = study if study is not None else 1
    context = prepared.context(index)
    found = record(context)
    priors = included_studies(found, context)
    return Chosen(index, priors, any_body_part=study is not None), found


def choose_attended(prepared: Prepared, person: Person, study: int | None) -> Chosen:
    """Let the person choose, and confirm the body part."""
    index, priors = (study, ()) if study is not None else person.choose_studies(prepared)
    prepared.study(index)
    doubtful = prepared.doubtful_body_parts((index, *priors))
    confirmed = not doubtful or person.confirm_body_part(len(doubtful))
    return Chosen(index, priors, any_body_part=confirmed)


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


def work_for(prepared: Prepared, key: SiteKey, decided: DecisionStore, *, compress: bool = True) -> Work:
    """Return the stream for a surveyed source."""
    return Work(prepared.source, prepared.identity, prepared.profile, key, decided, compress=compress)


def review_held(
    prepared: Prepared,
    work: Work,
    choices: Choices,
    person: Person,
    emit: Callable[[Event], None],
    *,
    everything: bool = False,
) -> int:
    """Show the pictures that must be looked at first, and keep what is decided. Return how many were shown."""
    waiting = [instance for instance in prepared.select(choices).instances if needs_look(instance)]
    items: list[ReviewItem] = []
    staged_by_ref = {}
    for done, instance in enumerate(waiting):
        emit(Progress(Step.SCREEN, done, len(waiting)))
        staged = work.stage(instance)
        if isinstance(staged, Rejection) or (work.verdict(staged) is not None and not everything):
            continue
        staged_by_ref[instance.ref] = staged
        items.append(
            ReviewItem(
                instance.ref,
                f"{instance.modality} {instance.ref}",
                _renderer(lambda staged=staged: file_bytes(staged)),  # type: ignore[misc]
                Reason.NOT_LOOKED_AT,
                frames=max(1, instance.frames),
            )
        )
    emit(Progress(Step.SCREEN, len(waiting), len(waiting)))
    if not items:
        return 0

    def decide(ref: InstanceRef, verdict: Verdict | None) -> None:
        work.decide(staged_by_ref[ref], ref, verdict)

    person.say(f"{len(items)} {'picture has' if len(items) == 1 else 'pictures have'} to be looked at for text first.")
    person.look(items, decide)
    return len(items)


def output_items(built: Built) -> list[ReviewItem]:
    """Return the output images of a package for the last look."""
    return [
        ReviewItem(
            certified.ref,
            f"{certified.modality} {certified.ref}",
            _renderer(lambda certified=certified: b"".join(bytes(part) for part in certified.payload.chunks())),  # type: ignore[misc]
            group=name.split("/")[2],
        )
        for certified, name in built.members
    ]


def _renderer(read: Callable[[], bytes]) -> Renderer:
    def draw(*, frame: int, full_range: bool, size: int) -> bytes:
        return render(read(), frame=frame, full_range=full_range, size=size)

    return draw


def refused_kinds(prepared: Prepared) -> Counter[Reason]:
    """Return what is left out or held already, by reason."""
    return Counter(rejection.reason for rejection in prepared.select(Choices()).rejections)


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
    return json.dumps(dict(settings.contributor)).encode() if settings.contributor else b""


def profile_for(settings: Settings, name: str | None) -> Profile:
    """Return the profile."""
    return wiring.profile(settings, name)
