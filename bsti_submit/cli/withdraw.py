"""`withdraw`: take a case back."""

from __future__ import annotations

from typing import Annotated

import typer

REASONS = (
    "consent-withdrawn",
    "patient-objection",
    "identifier-found",
    "wrong-patient",
    "wrong-images",
    "duplicate",
    "contributor-request",
    "other",
)
RUNBOOK = (
    "An identifier was found after sending. Treat it as a personal data breach:",
    "  1. Stop sending from this machine until it is understood how it got through.",
    "  2. Tell your data protection officer and Caldicott Guardian now; the ICO may have to be told within 72 hours.",
    "  3. Telephone the registry with the case id, and ask for confirmation that every copy is gone.",
    "  4. Keep the receipt of the withdrawal. Do not send the identifier itself to anybody, not even in a report.",
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("withdraw")(withdraw)


def withdraw(
    case: Annotated[str, typer.Argument(metavar="CASE", help="The case id, XXXX-XXXX-XXXX.")],
    reason: Annotated[str, typer.Option("--reason", metavar="CODE", help=f"One of: {', '.join(REASONS)}.")],
    phi: Annotated[
        bool, typer.Option("--phi", help="An identifier was found: urgent, and what to do next is printed.")
    ] = False,
) -> None:
    """Take a delivered case back from the registry.

    This is final. Copies of a case that was published already cannot all be recalled.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.errors import InputError
    from bsti_submit.outbox import State

    if reason not in REASONS:
        raise InputError(f"The reason must be one of: {', '.join(REASONS)}.")
    settings = wiring.start()
    with wiring.outbox(settings) as outbox:
        kept = outbox.get(case)
        if kept.state not in {State.DELIVERED, State.WITHDRAWN}:
            raise InputError(
                "That case was not delivered, so there is nothing to take back.",
                hint=f"Remove it from this machine with: bsti-submit outbox drop {kept.case_id}",
            )
        if kept.destination != "registry":
            raise InputError("That case went to a folder. Remove the file there by hand.")
        with wiring.registry(settings) as destination:
            receipt, purge_by = destination.withdraw(kept.case_id, reason, urgent=phi)
        outbox.withdrawn(kept.case_id, receipt.canonical())
    output.write(f"Case {kept.case_id} is withdrawn. Receipt {receipt.id}.")
    if purge_by:
        output.write(f"The registry removes its bytes by {purge_by}.")
    for line in RUNBOOK if phi else ():
        output.say(line)
