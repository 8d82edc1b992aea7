"""A case into the outbox: built once and kept, known again in a later run, released for sending.

`case` and `batch` share it, so that a row of a manifest is treated like a case that somebody gives by hand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bsti_submit.attestation import Release
from bsti_submit.errors import NotDeliveredError
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
    from bsti_submit.transport.interface import Destination


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
    anew: bool = False,
) -> Built:
    """Build the package of some studies and keep it in the outbox, where it waits for approval.

    Parameters
    ----------
    tag
        The keyed tag of the studies: a run that was stopped goes on with the case id that it had.
    after
        The newest case of these studies when it was decided to build another.
    anew
        Whether the package of that case is made anew, in its place; the old one stays until the new one is whole.

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
        seen = (after.case_id, after.package_sha256) if after is not None else None
        if newest is not None and (newest.case_id, newest.package_sha256) != seen:
            raise NotDeliveredError(
                f"Another run has just made case {newest.case_id} of these very studies.",
                hint="Give the same command again; it goes on with that case.",
            )
        case_id = newest.case_id if anew and newest is not None else outbox.reserve(tag)
        path = outbox.staging(case_id)
        built = build(prepared, work, choices, index, record, case_id, path, key, emit, contributor)
        outbox.store(
            built.package,
            built.case_json,
            built.clinical_json,
            contributor=contributor,
            origin=built.origin,
        )
    outbox.forget_draft(tag)
    return built


def has_record(case: OutboxCase, record: ClinicalRecord | None) -> bool:
    """Whether a case was packaged with this clinical record; None stands for whichever it was."""
    return record is None or record.canonical_json() == case.clinical_json


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


def release(outbox: Outbox, case_id: str, attestation: Mapping[str, object], to: str, destination: Destination) -> None:
    """Release a kept case for sending under an attestation, which was checked, to a destination and no other.

    Parameters
    ----------
    to
        As ``--to`` names the destination.

    Raises
    ------
    ApprovalError
        If the attestation is for another package.
    """
    outbox.approve(case_id, json.dumps(attestation, sort_keys=True).encode(), to, destination.origin)
