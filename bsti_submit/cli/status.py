"""`status`: what the registry says of a case."""

from __future__ import annotations

from typing import Annotated

import typer

from bsti_submit.cli.output import Json


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
    as_json: Json = False,
) -> None:
    """Show where a case stands at the registry."""
    from bsti_submit.cli import output, wiring
    from bsti_submit.outbox import State

    output.set_json(as_json)
    settings = wiring.start()
    with wiring.outbox(settings) as outbox:
        cases = [outbox.get(case)] if case else list(outbox.list())
    answers = []
    sent = [
        found
        for found in cases
        if found.state in {State.DELIVERED, State.WITHDRAWN} and found.destination == "registry"
    ]
    if sent:
        with wiring.registry(settings) as destination:
            answers = [destination.status(found.case_id) for found in sent]
    known = {answer.case_id: answer for answer in answers}
    if as_json:
        output.write_json(
            {
                "cases": [
                    {
                        "case_id": found.case_id,
                        "here": str(found.state),
                        "registry": known[found.case_id].state if found.case_id in known else None,
                    }
                    for found in cases
                ]
            }
        )
        return
    for found in cases:
        answer = known.get(found.case_id)
        output.write(f"{found.case_id}  here: {found.state}  registry: {answer.state if answer else 'nothing sent'}")
        for finding in answer.findings if answer else ():
            output.write(f"  finding: {', '.join(finding.values())}")
        if answer and answer.query:
            output.write(f"  the panel asks: {answer.query}")
    if not cases:
        output.write("No case was made on this machine yet.")
