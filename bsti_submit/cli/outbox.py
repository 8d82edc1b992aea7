"""`outbox list|send|show|drop`."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from bsti_submit.transport.interface import Destination

app = typer.Typer(help="See and send what waits on this machine.", no_args_is_help=True, rich_markup_mode=None)
CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The case id, XXXX-XXXX-XXXX.")]


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="outbox")


@app.command("list")
def list_cases(as_json: Json = False) -> None:
    """List the cases of this machine and where each stands."""
    from bsti_submit.cli import output, wiring

    output.set_json(as_json)
    with wiring.outbox(wiring.start()) as outbox:
        cases = outbox.list()
    if as_json:
        output.write_json(
            {
                "cases": [
                    {"case_id": case.case_id, "state": str(case.state), "objects": case.objects, "size": case.size}
                    for case in cases
                ]
            }
        )
        return
    for case in cases:
        output.write(f"{case.case_id}  {case.state:<10} {case.objects:>6} images  {case.created}")
    if not cases:
        output.write("The outbox is empty.")


@app.command()
def send() -> None:
    """Send every approved case, oldest first.

    It is safe to run this again at any time: nothing that was received is sent twice.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.report.events import Delivered, Progress, Step
    from bsti_submit.transport.send import Sent, send_all

    settings = wiring.start()
    with (
        output.reporter(json_mode=False) as emit,
        wiring.outbox(settings) as outbox,
        contextlib.ExitStack() as opened,
    ):

        def told(sent: Sent) -> None:
            if sent.receipt is not None:
                emit(Delivered(sent.case_id, sent.receipt.id))
            output.write(
                f"{sent.case_id}  delivered  {sent.receipt.id}"
                if sent.receipt is not None
                else f"{sent.case_id}  not delivered: {sent.error.message if sent.error else ''}"
            )

        @functools.cache
        def destination_for(name: str) -> Destination:
            return opened.enter_context(wiring.destination(settings, name))

        waiting = bool(outbox.pending())
        results = send_all(
            outbox, destination_for, lambda done, total: emit(Progress(Step.UPLOAD, done, total, "bytes")), told
        )
    if not waiting:
        output.write("Nothing is waiting to be sent.")
    failed = [sent.error for sent in results if sent.error is not None]
    if failed:
        raise min(failed, key=lambda error: _GRAVEST.index(int(error.exit_code)))


_GRAVEST = (1, 6, 3, 4, 7, 5, 2, 0, 130)


@app.command()
def show(case: CaseId) -> None:
    """Show what happened to a case on this machine."""
    from bsti_submit.cli import output, wiring

    with wiring.outbox(wiring.start()) as outbox:
        found = outbox.get(case)
        output.write(f"{found.case_id}  {found.state}  {found.objects} images  SHA-256 {found.package_sha256}")
        for at, what in outbox.events(found.case_id):
            output.write(f"  {at}  {what}")


@app.command()
def drop(case: CaseId) -> None:
    """Remove a case that was not delivered, with its package."""
    from bsti_submit.cli import output, wiring

    with wiring.outbox(wiring.start()) as outbox:
        outbox.drop(outbox.get(case).case_id)
    output.write("The case was removed from this machine.")
