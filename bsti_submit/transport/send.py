"""Approved cases of the outbox → a destination, one after another, and the receipts back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.bundle import file_sha256
from bsti_submit.errors import BstiError, HeldError, NotDeliveredError, RefusedError, SettingsError
from bsti_submit.outbox import State
from bsti_submit.receipt import Receipt
from bsti_submit.transport.interface import Shipment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bsti_submit.outbox import Outbox, OutboxCase
    from bsti_submit.transport.interface import Destination, Progress


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one case: a receipt, or why there is none."""

    case_id: str
    receipt: Receipt | None
    error: BstiError | None


def shipment_of(case: OutboxCase) -> Shipment:
    """Return a case of the outbox as it is delivered."""
    return Shipment(
        case_id=case.case_id,
        path=case.path,
        size=case.size,
        package_sha256=case.package_sha256,
        manifest_sha256=case.manifest_sha256,
        clinical_sha256=hashlib.sha256(case.clinical_json).hexdigest(),
        objects=case.objects,
        clinical=json.loads(case.clinical_json),
        case=case.record(),
        attestation=json.loads(case.attestation),
        contributor=json.loads(case.contributor) if case.contributor else {},
        resume=case.upload_url,
    )


def send_case(outbox: Outbox, case_id: str, destination: Destination, progress: Progress) -> Receipt:
    """Send one approved case, store its receipt, and return it. A case that was delivered is not sent again.

    Raises
    ------
    ApprovalError
        If nobody approved it.
    HeldError
        If the package on the disk is not the one that was approved, or the receipt does not verify.
    NotDeliveredError, RefusedError, SettingsError
        As the destination says. The case stays in the outbox.
    """
    with outbox.sending():
        return _send(outbox, case_id, destination, progress)


def send_all(
    outbox: Outbox,
    destination_for: Callable[[str], Destination],
    progress: Progress,
    told: Callable[[Sent], None] | None = None,
) -> tuple[Sent, ...]:
    """Send every approved case, oldest first. One that fails stops no other, unless all would fail alike.

    Parameters
    ----------
    destination_for
        Returns the destination of the name with which a case was approved; it is not closed here.
    told
        Called with each result as it is there.

    Raises
    ------
    NotDeliveredError
        If another process is sending.
    """
    results = []
    with outbox.sending():
        for result in _each(outbox, destination_for, progress):
            results.append(result)
            if told is not None:
                told(result)
    return tuple(results)


def _each(outbox: Outbox, destination_for: Callable[[str], Destination], progress: Progress) -> Iterator[Sent]:
    failed: set[str] = set()
    """Destinations that cannot be used now: the cases for them wait."""
    for case in outbox.pending():
        if case.destination in failed:
            continue
        try:
            receipt = _send(outbox, case.case_id, destination_for(case.destination), progress)
        except (NotDeliveredError, SettingsError) as fault:
            failed.add(case.destination)
            yield Sent(case.case_id, None, fault)
        except BstiError as fault:
            yield Sent(case.case_id, None, fault)
        else:
            yield Sent(case.case_id, receipt, None)


def _send(outbox: Outbox, case_id: str, destination: Destination, progress: Progress) -> Receipt:
    with outbox.holding(case_id):
        return _send_held(outbox, case_id, destination, progress)


def _send_held(outbox: Outbox, case_id: str, destination: Destination, progress: Progress) -> Receipt:
    case = outbox.get(case_id)
    if case.state is State.DELIVERED:
        return Receipt.parse(case.receipt)
    outbox.mark_sending(case.case_id)
    try:
        _require_whole(case)
        receipt = destination.deliver(shipment_of(case), progress, lambda url: outbox.record_upload(case.case_id, url))
    except RefusedError:
        outbox.refused(case.case_id)
        raise
    except BstiError as fault:
        outbox.note(case.case_id, f"not delivered: {_KINDS.get(fault.exit_code, 'fault')}")
        raise
    outbox.delivered(case.case_id, receipt.canonical())
    return receipt


_KINDS = {
    NotDeliveredError.exit_code: "not reached or busy",
    SettingsError.exit_code: "sign-in or settings",
    HeldError.exit_code: "a check failed",
}


def _require_whole(case: OutboxCase) -> None:
    """Check that the bytes about to leave are those that were certified and approved.

    Raises
    ------
    HeldError
        If they are not: the disk is failing, or somebody changed the file.
    """
    try:
        whole = case.path.stat().st_size == case.size and file_sha256(case.path) == case.package_sha256
    except OSError:
        whole = False
    if not whole:
        raise HeldError(
            "The package on the disk is missing or not the one that was approved, so it is not sent.",
            hint=f"Drop it and build it again: bsti-submit outbox drop {case.case_id}",
        )
