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
    from bsti_submit.errors import ExitCode, InputError
    from bsti_submit.outbox import State

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
    else:
        for found in cases:
            for line in _lines(found, known.get(found.case_id)):
                output.write(line)
        if not cases:
            output.write("No case was made on this machine yet.")
    if any(found.state is State.DELIVERED and _is_forgotten(known.get(found.case_id)) for found in cases):
        output.say(
            "The registry signed for a case that it does not know now. Keep the receipt, which is the proof, and telephone it."
        )
        raise typer.Exit(int(ExitCode.HELD))


def _asked(settings: Settings, cases: Iterable[OutboxCase]) -> dict[str, CaseStatus]:
    """Return what the registry says of the cases that may be there; of one that it does not know the state is "unknown"."""
    from bsti_submit.cli import wiring
    from bsti_submit.outbox import State
    from bsti_submit.transport.address import origin
    from bsti_submit.transport.interface import CaseStatus

    sent = [
        case
        for case in cases
        if case.state in {State.SENDING, State.DELIVERED, State.WITHDRAWN}
        and case.destination == "registry"
        and case.registry in {"", origin(settings.registry)}
    ]
    if not sent:
        return {}
    with wiring.registry(settings) as destination:
        return {
            case.case_id: destination.status(case.case_id) or CaseStatus(case.case_id, _UNKNOWN, (), (), "")
            for case in sent
        }


_UNKNOWN = "unknown"


def _is_forgotten(answer: CaseStatus | None) -> bool:
    return answer is not None and answer.state == _UNKNOWN


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
    yield f"{case.case_id}  here: {case.state}  registry: {answer.state if answer else _unasked(case)}"
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


def _unasked(case: OutboxCase) -> str:
    """Return why the registry was not asked."""
    from bsti_submit.outbox import State

    if case.state not in {State.SENDING, State.DELIVERED, State.WITHDRAWN}:
        return "nothing sent"
    return f"another one, {case.registry}" if case.destination == "registry" else "none, it went to a folder"
