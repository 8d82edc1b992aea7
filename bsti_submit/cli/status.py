"""`status`: what the registry says of a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import FromPath
from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsti_submit.outbox import OutboxCase
    from bsti_submit.settings import Settings
    from bsti_submit.transport.interface import CaseStatus


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    case: Annotated[
        str | None,
        typer.Argument(
            metavar="CASE",
            help="The case id, XXXX-XXXX-XXXX. Without it every case of this machine is shown.",
            show_default=False,
        ),
    ] = None,
    source: FromPath = None,
    as_json: Json = False,
) -> None:
    """Show where a case stands at the registry.

    What the registry found wrong is shown per image, and a question of its panel with how to answer it.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.errors import InputError

    output.set_json(as_json)
    if case and source is not None:
        raise InputError("Name the case by its id or by its images, not both.")
    settings = wiring.start(source)
    with wiring.outbox(settings) as outbox:
        if source is not None:
            cases = list(wiring.recognised(settings, source, outbox))
        else:
            cases = [outbox.get(case)] if case else list(outbox.list())
    known = _asked(settings, cases)
    if as_json:
        output.write_json({"cases": [_document(found, known.get(found.case_id)) for found in cases]})
        return
    for found in cases:
        for line in _lines(found, known.get(found.case_id)):
            output.write(line)
    if not cases:
        output.write("No case was made on this machine yet.")


def _asked(settings: Settings, cases: Iterable[OutboxCase]) -> dict[str, CaseStatus]:
    from bsti_submit.cli import wiring
    from bsti_submit.outbox import State

    sent = [
        case for case in cases if case.state in {State.DELIVERED, State.WITHDRAWN} and case.destination == "registry"
    ]
    if not sent:
        return {}
    with wiring.registry(settings) as destination:
        return {case.case_id: destination.status(case.case_id) for case in sent}


def _document(case: OutboxCase, answer: CaseStatus | None) -> dict[str, object]:
    told: dict[str, object] = {
        "case_id": case.case_id,
        "here": str(case.state),
        "registry": answer.state if answer else None,
    }
    if answer is not None:
        told["history"] = [{"at": at, "state": state} for at, state in answer.history]
        told["findings"] = [dict(finding) for finding in answer.findings]
        told["query"] = answer.query or None
        told["reason"] = answer.reason or None
        told["purge_by"] = answer.purge_by or None
    return told


def _lines(case: OutboxCase, answer: CaseStatus | None) -> Iterable[str]:
    yield f"{case.case_id}  here: {case.state}  registry: {answer.state if answer else 'nothing sent'}"
    if answer is None:
        return
    if answer.reason:
        yield f"  reason: {answer.reason}"
    if answer.purge_by:
        yield f"  its bytes are gone from the registry by {answer.purge_by}"
    for finding in answer.findings:
        yield f"  finding: {finding.get('object', '')}  {finding.get('rule', '')}: {finding.get('detail', '')}"
    if answer.query:
        yield f"  the panel asks: {answer.query}"
        yield f"  answer with: bsti-submit amend {case.case_id} --clinical FILE"
