"""`amend`: send a revised clinical record for a case that was delivered. The package is not touched."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import AttestationFile, FromPath
from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bsti_submit.clinical.record import ClinicalRecord
    from bsti_submit.outbox import OutboxCase
    from bsti_submit.settings import Settings
    from bsti_submit.transport.destinations.registry import RegistryDestination


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("amend")(amend)


def amend(
    case: Annotated[str, typer.Argument(metavar="CASE", help="The case id, XXXX-XXXX-XXXX.")],
    clinical: Annotated[
        Path, typer.Option("--clinical", metavar="FILE", help="The whole revised clinical record, as a JSON file.")
    ],
    source: FromPath = None,
    attestation: AttestationFile = None,
    as_json: Json = False,
) -> None:
    """Send a revised clinical record that supersedes the first. The images stay as they are; a question of the panel is answered by it.

    With --from PATH the record is held against the images, as `case` does. Without them a record with a free text, or with another
    age or sex, is not taken: only the patient's own words and headers show what is wrong with those.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.errors import InputError, NotDeliveredError

    output.set_json(as_json)
    settings = wiring.start(source)
    with wiring.outbox(settings) as outbox:
        case_id = outbox.get(case).case_id
        with outbox.holding(case_id):
            kept = outbox.get(case_id)
            _require_amendable(kept)
            with _checked(settings, kept, clinical, source) as record, wiring.registry(settings) as destination:
                asked = _question(destination, kept)
                if record.canonical_json() == kept.clinical_json and not asked:
                    raise InputError("That is the record as it stands, so there is nothing to amend.")
                document = _attested(settings, kept, record, attestation, asked)
                try:
                    receipt = destination.amend(kept.case_id, record.data, record.sha256, document, answers=asked)
                except NotDeliveredError as fault:
                    raise NotDeliveredError(
                        f"{fault.message} The amendment may not have arrived.",
                        hint="Give the same command again; it is safe to repeat.",
                    ) from None
                outbox.amended(kept.case_id, record.canonical_json(), receipt.canonical())
    if as_json:
        output.write_json({"case_id": kept.case_id, "receipt": dict(receipt.document)})
        return
    output.write(f"Case:     {kept.case_id}")
    output.write(f"Receipt:  {receipt.id}")
    output.write(f"Record:   SHA-256 {record.sha256}")


def _question(destination: RegistryDestination, case: OutboxCase) -> str:
    """Return what the panel asks, or "".

    Raises
    ------
    RefusedError
        If the registry does not know the case.
    """
    from bsti_submit.errors import RefusedError

    found = destination.status(case.case_id)
    if found is None:
        raise RefusedError(
            "The registry does not know that case, so nothing was amended.",
            hint=f"Its receipt is the proof that it was there: bsti-submit receipt verify {case.case_id}. Telephone the registry.",
        )
    return found.query


def _require_amendable(case: OutboxCase) -> None:
    from bsti_submit.errors import InputError
    from bsti_submit.outbox import State

    if case.state is not State.DELIVERED:
        raise InputError(
            f"That case is {case.state}, so there is nothing to amend.",
            hint="Before it is sent, drop it and make it again with the right record: "
            f"bsti-submit outbox drop {case.case_id}"
            if case.state not in {State.WITHDRAWN, State.DELIVERED}
            else "",
        )
    if case.destination != "registry":
        raise InputError("That case went to a folder, which takes no amendment.")


@contextmanager
def _checked(settings: Settings, case: OutboxCase, clinical: Path, source: Path | None) -> Iterator[ClinicalRecord]:
    """Read the record and put it to the checks that its source allows."""
    from bsti_submit.cli import flow, wiring
    from bsti_submit.errors import HeldError
    from bsti_submit.pipeline.prepared import prepare
    from bsti_submit.pipeline.recognise import studies_of

    if source is None:
        record = flow.read_record(clinical, None, case_id=case.case_id)
        _require_structured(record, case)
        yield record
        return
    key = wiring.site_key(settings, person=False, must=True).key
    with (
        prepare(source, wiring.profile(settings, None), key, lambda _event: None) as prepared,
        wiring.decisions(settings) as decided,
    ):
        prepared.require_one_patient()
        index, numbers = studies_of(prepared, case)
        record = flow.read_record(clinical, prepared.context(index, included=numbers), case_id=case.case_id)
        if flow.work_for(prepared, key, decided).gate.check_text("clinical.json", record.canonical_json()):
            raise HeldError(
                "The final check found something in the record that may identify the patient.",
                hint="Write the indication in other words.",
            )
        yield record


def _require_structured(record: ClinicalRecord, case: OutboxCase) -> None:
    """Without the images, take only what needs none to be checked.

    Raises
    ------
    InputError
        If the record has a free text, or says something else about who the patient is.
    """
    from bsti_submit.errors import InputError

    told = record.data
    indication = told.get("indication")
    if isinstance(indication, dict) and "text" in indication:
        raise InputError(
            "The record has a free text, which can be checked only with the patient's own images.",
            hint="Name them: --from PATH. Or choose one of the listed indications.",
        )
    before = json.loads(case.clinical_json)
    if any(told.get(name) != before.get(name) for name in ("age", "sex", "index_imaging")):
        raise InputError(
            "The record changes the age, the sex or the kind of imaging, so it may be about another patient.",
            hint="Name the images, so that it can be held against them: --from PATH.",
        )


def _attested(
    settings: Settings, case: OutboxCase, record: ClinicalRecord, attestation: Path | None, asked: str
) -> Mapping[str, object]:
    """Return the attestation of this very record.

    Raises
    ------
    ApprovalError
        If there is none, or it is for something else.
    """
    from bsti_submit import attestation as attesting
    from bsti_submit.cli import output
    from bsti_submit.cli.person import Person
    from bsti_submit.errors import ApprovalError

    if attestation is not None:
        document = attesting.read(attestation)
        if document.get("clinical_sha256") != record.sha256:
            raise ApprovalError(
                "The attestation is not for this record.",
                hint="Make one with: bsti-submit attestation template --clinical FILE",
            )
        return document
    if not output.has_terminal():
        raise ApprovalError(
            "Without a terminal an attestation of this very record is needed.",
            hint="Give --attestation FILE; bsti-submit attestation template --clinical FILE writes one to complete.",
        )
    person = Person(output.console())
    if asked:
        person.say(f"The panel asks: {asked}")
    before = json.loads(case.clinical_json)
    for name, value in record.data.items():
        if before.get(name) != value:
            person.say(f"  {name}: {_short(before.get(name))}  becomes  {_short(value)}")
    for name in before.keys() - record.data.keys():
        person.say(f"  {name}: {_short(before[name])}  is taken out")
    person.say()
    for line in attesting.text().splitlines():
        person.say(f"  {line}")
    if (
        person.ask(f"Type {attesting.CONFIRMATION} to send this record; anything else sends nothing > ")
        != attesting.CONFIRMATION
    ):
        raise ApprovalError("Not confirmed, so nothing was sent.")
    stated = attesting.facts(basis=settings.basis, opt_out=settings.opt_out, looked_at=False)  # no image is shown
    return attesting.for_record(record.sha256, stated)


def _short(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
