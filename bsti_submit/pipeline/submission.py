"""A case into the outbox: built once and kept, known again in a later run, released for sending.

`case` and `batch` share it, so that a row of a manifest is treated like a case that somebody gives by hand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bsti_submit.attestation import Release
from bsti_submit.errors import InputError, NotDeliveredError
from bsti_submit.outbox import State
from bsti_submit.pipeline.case import build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.outbox import Outbox, OutboxCase
    from bsti_submit.pipeline.case import Built
    from bsti_submit.pipeline.prepared import Choices, Prepared
    from bsti_submit.pipeline.stream import Work
    from bsti_submit.report.events import Event


def build_and_keep(
    outbox: Outbox,
    tag: str,
    prepared: Prepared,
    work: Work,
    choices: Choices,
    index: int,
    record: ClinicalRecord | None,
    key: SiteKey,
    emit: Callable[[Event], None],
    contributor: bytes = b"",
    *,
    after: OutboxCase | None = None,
) -> Built:
    """Build the package of some studies and keep it in the outbox, where it waits for approval.

    Parameters
    ----------
    tag
        The keyed tag of the studies: a run that was stopped goes on with the case id that it had.
    after
        The newest case of these studies when it was decided to build another.

    Raises
    ------
    CaseHeldError
        If any instance is held.
    InputError
        If nothing is left to send.
    NotDeliveredError
        If another run is working on the same studies, or made a case of them meanwhile, or the disk is full.
    """
    with outbox.building(tag):
        newest = outbox.find(tag)
        if newest is not None and (after is None or newest.case_id != after.case_id):
            raise NotDeliveredError(
                f"Another run has just made case {newest.case_id} of these very studies.",
                hint="Give the same command again; it goes on with that case.",
            )
        case_id = outbox.reserve(tag)
        built = build(prepared, work, choices, index, record, case_id, outbox.staging(case_id), key, emit)
        outbox.store(built.package, built.case_json, built.clinical_json, contributor=contributor)
    outbox.forget_draft(tag)
    return built


def has_record(case: OutboxCase, record: ClinicalRecord | None) -> bool:
    """Whether a case was packaged with this clinical record; None stands for whichever it was."""
    return record is None or record.canonical_json() == case.clinical_json


def require_same_record(case: OutboxCase, record: ClinicalRecord | None) -> None:
    """Stop where the same studies now come with other answers.

    Raises
    ------
    InputError
        If they do: which answers are right is for a person to say.
    """
    if has_record(case, record):
        return
    if case.state is State.DELIVERED:
        raise InputError(
            f"These studies were sent before, as case {case.case_id}, with another clinical record.",
            hint=f"To correct the record: bsti-submit amend {case.case_id} --clinical FILE --from PATH. "
            "To send the studies once more as a new case: bsti-submit case PATH --again.",
        )
    raise InputError(
        f"Case {case.case_id} of these studies waits in the outbox with other answers.",
        hint=f"Send it: bsti-submit outbox send. Or remove it: bsti-submit outbox drop {case.case_id}.",
    )


def is_done(case: OutboxCase, to: str) -> bool:
    """Whether a case needs nothing more: it was signed for, or this very folder has its copy."""
    return case.state is State.DELIVERED and (case.is_signed_for or case.destination == to)


def release_of(case: OutboxCase, identity: str, manifest_sha256: str = "") -> Release:
    """Return what an attestation of a kept case has to cover: the rules that it was really packaged under."""
    profile = case.record().get("profile")
    names = profile if isinstance(profile, dict) else {}
    return Release(
        case.package_sha256,
        str(names.get("name", "")),
        str(names.get("version", "")),
        str(names.get("recipe_sha256", "")),
        identity,
        manifest_sha256,
    )


def release(outbox: Outbox, case_id: str, attestation: Mapping[str, object], to: str) -> None:
    """Release a kept case for sending under an attestation, which was checked.

    A case whose upload was interrupted was released before, and stays so.

    Raises
    ------
    ApprovalError
        If the attestation is for another package.
    """
    if outbox.get(case_id).state is not State.SENDING:
        outbox.approve(case_id, json.dumps(attestation, sort_keys=True).encode(), to)
