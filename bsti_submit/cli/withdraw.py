"""`withdraw`: take a case back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import FromPath
from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from bsti_submit.outbox import OutboxCase

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
    reason: Annotated[str, typer.Option("--reason", metavar="CODE", help=f"One of: {', '.join(REASONS)}.")],
    case: Annotated[
        str | None, typer.Argument(metavar="[CASE]", help="The case id, XXXX-XXXX-XXXX.", show_default=False)
    ] = None,
    source: FromPath = None,
    phi: Annotated[
        bool, typer.Option("--phi", help="An identifier was found: urgent, and what to do next is printed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take a delivered case back from the registry.

    This is final. Copies of a case that was published already cannot all be recalled.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.errors import InputError, NotDeliveredError

    output.set_json(as_json)
    if reason not in REASONS:
        raise InputError(f"The reason must be one of: {', '.join(REASONS)}.")
    if (case is None) == (source is None):
        raise InputError("Name the case by its id, or by its images with --from PATH.")
    for line in RUNBOOK if phi else ():
        output.say(line)  # first: it holds all the more where the registry is not reached
    settings = wiring.start(source)
    with wiring.outbox(settings) as outbox:
        kept = _only(wiring.recognised(settings, source, outbox)) if source is not None else outbox.get(case or "")
        with outbox.holding(kept.case_id):
            kept = outbox.get(kept.case_id)
            _require_withdrawable(kept, began=outbox.was_sent(kept.case_id))
            try:
                with wiring.registry(settings) as destination:
                    receipt, purge_by = destination.withdraw(kept.case_id, reason, urgent=phi)
            except NotDeliveredError as fault:
                raise NotDeliveredError(
                    f"{fault.message} Case {kept.case_id} is NOT withdrawn.",
                    hint="Give the same command again until it says so. If it is urgent, telephone the registry.",
                ) from None
            outbox.withdrawn(kept.case_id, receipt.canonical())
    if as_json:
        output.write_json({"case_id": kept.case_id, "receipt": dict(receipt.document), "purge_by": purge_by or None})
        return
    output.write(f"Case {kept.case_id} is withdrawn. Receipt {receipt.id}.")
    if purge_by:
        output.write(f"The registry removes its bytes by {purge_by}.")


def _only(cases: tuple[OutboxCase, ...]) -> OutboxCase:
    """Return the one case of some images that can be taken back.

    Raises
    ------
    InputError
        If there are several: which one is for a person to say.
    """
    from bsti_submit.errors import InputError
    from bsti_submit.outbox import State

    delivered = [case for case in cases if case.state is State.DELIVERED] or list(cases[-1:])
    if len(delivered) > 1:
        raise InputError(
            "Several cases were made of those images.",
            details=tuple(f"{case.case_id}  {case.created}" for case in delivered),
            hint="Name the one to take back by its id.",
        )
    return delivered[0]


def _require_withdrawable(case: OutboxCase, *, began: bool) -> None:
    from bsti_submit.errors import InputError
    from bsti_submit.outbox import State

    if case.state not in {State.DELIVERED, State.WITHDRAWN} and not began:
        raise InputError(
            "That case was not delivered, so there is nothing to take back.",
            hint=f"Remove it from this machine with: bsti-submit outbox drop {case.case_id}",
        )
    if case.destination != "registry":
        raise InputError("That case went to a folder. Remove the file there by hand.")
