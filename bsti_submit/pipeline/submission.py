"""A case through the outbox: built once and kept, known again in a later run, released and delivered.

`case` and `batch` share it, so that a row of a manifest is treated like a case that somebody gives by hand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bsti_submit.attestation import Release
from bsti_submit.errors import InputError
from bsti_submit.outbox import State
from bsti_submit.pipeline.case import build, deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.outbox import Outbox, OutboxCase
    from bsti_submit.pipeline.case import Built
    from bsti_submit.pipeline.prepared import Choices, Prepared
    from bsti_submit.pipeline.stream import Work
    from bsti_submit.receipt import Receipt
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
) -> Built:
    """Build the package of some studies and keep it in the outbox, where it waits for approval.

    Parameters
    ----------
    tag
        The keyed tag of the studies: a run that was stopped goes on with the case id that it had.

    Raises
    ------
    CaseHeldError
        If any instance is held.
    InputError
        If nothing is left to send.
    NotDeliveredError
        If another run is working on the same studies, or the disk is full.
    """
    with outbox.building(tag):
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
            hint="To send the studies once more as a new case, with this record: bsti-submit case PATH --again.",
        )
    raise InputError(
        f"Case {case.case_id} of these studies waits in the outbox with other answers.",
        hint=f"Send it: bsti-submit outbox send. Or remove it: bsti-submit outbox drop {case.case_id}.",
    )


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


def release_and_deliver(
    outbox: Outbox,
    case_id: str,
    attestation: Mapping[str, object],
    to: str,
    destination: Destination,
    emit: Callable[[Event], None],
) -> Receipt:
    """Release a kept case under an attestation, which was checked, and deliver it.

    A case whose upload was interrupted was released before, and just goes on.

    Raises
    ------
    ApprovalError, HeldError
        If the attestation is for another package, or the package on the disk is not the one that was approved.
    NotDeliveredError, RefusedError, SettingsError
        As the destination says; the case stays in the outbox.
    """
    if outbox.get(case_id).state is not State.SENDING:
        outbox.approve(case_id, json.dumps(attestation, sort_keys=True).encode(), to)
    return deliver(outbox, case_id, destination, emit)
