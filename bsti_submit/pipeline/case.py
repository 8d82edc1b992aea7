"""One case from a surveyed source to a receipt: build, approve, deliver.

The same code serves a person at a terminal, an unattended run, a check and a dry run. Who is asked, where the package goes
and who receives it are given; nothing here prompts or knows of a network.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rfc8785

from bsti_submit import __version__
from bsti_submit.bundle import PackageWriter
from bsti_submit.deid.table import EDITION
from bsti_submit.errors import HeldError, InputError
from bsti_submit.model import Certified, InstanceReport, Outcome
from bsti_submit.report.events import Delivered, Packaged, Progress, Step
from bsti_submit.transport.interface import Shipment
from bsti_submit.transport.send import send_case

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bsti_submit.bundle import Package
    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.outbox import Origin, Outbox
    from bsti_submit.pipeline.prepared import Choices, Prepared
    from bsti_submit.pipeline.stream import Work
    from bsti_submit.receipt import Receipt
    from bsti_submit.report.events import Event
    from bsti_submit.transport.interface import Destination
    from bsti_submit.transport.send import LastCheck


class CaseHeldError(HeldError):
    """A doubt holds the case. ``reports`` say about which instances."""

    def __init__(self, reports: tuple[InstanceReport, ...]) -> None:
        held = [report for report in reports if report.outcome is Outcome.HELD]
        counted = Counter(report.reason for report in held)
        super().__init__(
            f"{len(held)} {'image is' if len(held) == 1 else 'images are'} held, so nothing was packaged or sent.",
            details=tuple(
                f"{count} held: {reason.text} "
                + ", ".join(str(report.ref) for report in held if report.reason is reason)[:60]
                for reason, count in counted.items()
                if reason is not None
            ),
            hint="Look at pictures with bsti-submit review PATH, or go on without an image by --leave-out REF."
            if any(report.reason is not None and report.reason.clearable for report in held)
            else "Go on without such an image by --leave-out REF.",
        )
        self.reports = reports


@dataclass(frozen=True, slots=True)
class Built:
    """A sealed package and what went into it."""

    package: Package
    case_json: bytes
    clinical_json: bytes
    contributor: bytes = field(repr=False)
    origin: Origin = field(repr=False)
    reports: tuple[InstanceReport, ...]
    members: tuple[tuple[Certified, str], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Processed:
    """What became of every instance where no package is wanted."""

    reports: tuple[InstanceReport, ...]


def build(
    prepared: Prepared,
    work: Work,
    choices: Choices,
    index: int,
    record: ClinicalRecord | None,
    case_id: str,
    path: Path | None,
    key: SiteKey,
    emit: Callable[[Event], None],
    contributor: bytes = b"",
) -> Built:
    """De-identify, certify and package a case.

    Parameters
    ----------
    index
        The number of the index study.
    record
        The clinical record; None for a check without one, which then packages an empty record.
    path
        Where the package is written; None to count the very same bytes.
    contributor
        Whom the site wants credited: it goes beside the package, so it is searched like the records in it.

    Raises
    ------
    CaseHeldError
        If any instance is held, with the report of all.
    InputError
        If nothing is left to send.
    """
    selection = prepared.select(choices)
    reports = [rejection.report() for rejection in selection.rejections]
    with PackageWriter(path, case_id) as writer:
        for outcome in work.run(selection.instances, emit):
            reports.append(outcome.report())
            if isinstance(outcome, Certified):
                writer.add(outcome)
        done = tuple(sorted(reports, key=lambda report: report.ref))
        if any(report.outcome is Outcome.HELD for report in done):
            raise CaseHeldError(done)
        if not writer.names:
            raise InputError("Nothing is left to send.", hint="Everything was left out.")
        case_json = _case_record(prepared, choices, index, case_id, done, writer.names, key)
        clinical_json = record.canonical_json() if record is not None else b"{}"
        for name, data in (("case.json", case_json), ("clinical.json", clinical_json)):
            if work.gate.check_text(name, data):
                raise HeldError(
                    f"The final check found something in {name} that may identify the patient.",
                    hint="Write the indication in other words."
                    if name == "clinical.json"
                    else "Its only free words are the name and version of the profile: give the profile another name.",
                )
        if work.gate.check_credit(contributor):
            raise HeldError(
                "The final check found something in the contributor's credit that may identify the patient.",
                hint="Correct [contributor] in the site file. If a contributor only shares a name with this patient, let the "
                "organisation be credited for this case.",
            )
        package = writer.finish(case_json, clinical_json)
    emit(Packaged(case_id, package.objects, package.size, package.sha256))
    gone = {certified.ref for certified, _ in writer.names}
    origin = prepared.origin([instance for instance in selection.instances if instance.ref in gone], work)
    return Built(package, case_json, clinical_json, contributor, origin, done, tuple(writer.names))


def _case_record(
    prepared: Prepared,
    choices: Choices,
    index: int,
    case_id: str,
    reports: tuple[InstanceReport, ...],
    members: list[tuple[Certified, str]],
    key: SiteKey,
) -> bytes:
    counts = Counter(report.outcome for report in reports)
    left_out = Counter(report.reason for report in reports if report.outcome is Outcome.LEFT_OUT)
    study = prepared.study(index)
    scope = prepared.identity.scope(study.instances[0])
    index_uid = scope.uid(study.uid.reveal())
    studies: dict[str, list[Certified]] = {}
    for certified, _ in members:
        studies.setdefault(certified.study_instance_uid, []).append(certified)
    del choices
    record: dict[str, Any] = {
        "schema": "case-package/1.0",
        "case_id": case_id,
        "profile": {
            "name": prepared.profile.name,
            "version": prepared.profile.version,
            "recipe_sha256": prepared.profile.recipe_sha256,
        },
        "tool": {"name": "bsti-submit", "version": __version__},
        "key_id": key.key_id,
        "standard_edition": EDITION,
        "patient": scope.pseudonym,
        "counts": {str(outcome): counts[outcome] for outcome in Outcome},
        "left_out": [
            {"reason": str(reason), "count": count} for reason, count in sorted(left_out.items()) if reason is not None
        ],
        "studies": [
            {
                "study_instance_uid": uid,
                "role": "index" if uid == index_uid else "prior",
                "modality": _main_modality(found),
                "instances": len(found),
            }
            for uid, found in sorted(studies.items())
        ],
    }
    return rfc8785.dumps(record)


def _main_modality(found: list[Certified]) -> str:
    counted = Counter(certified.modality for certified in found if certified.modality)
    return counted.most_common(1)[0][0] if counted else "OT"


def counted_shipment(built: Built, attestation: Mapping[str, object]) -> Shipment:
    """Return a counted package as it would be delivered."""
    import hashlib

    return Shipment(
        case_id=built.package.case_id,
        path=None,
        size=built.package.size,
        package_sha256=built.package.sha256,
        manifest_sha256=built.package.manifest_sha256,
        clinical_sha256=hashlib.sha256(built.clinical_json).hexdigest(),
        objects=built.package.objects,
        clinical=json.loads(built.clinical_json),
        case=json.loads(built.case_json),
        attestation=attestation,
        contributor=json.loads(built.contributor) if built.contributor else {},
    )


def deliver(
    outbox: Outbox,
    case_id: str,
    destination: Destination,
    last_check: LastCheck,
    emit: Callable[[Event], None],
) -> Receipt:
    """Send one approved case and store its receipt.

    Raises
    ------
    ApprovalError, HeldError
        If nobody approved it, the approval does not hold any more, or the package on the disk is not the one that was
        approved.
    NotDeliveredError, RefusedError, SettingsError
        As the destination says; the case stays in the outbox.
    """
    receipt = send_case(
        outbox, case_id, destination, last_check, lambda done, total: emit(Progress(Step.UPLOAD, done, total, "bytes"))
    )
    emit(Delivered(case_id, receipt.id))
    return receipt
