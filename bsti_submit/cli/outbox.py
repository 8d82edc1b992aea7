"""`outbox list|send|show|drop`."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import LimitRate, OnlyBetween
from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from bsti_submit.cli.wiring import Pace
    from bsti_submit.errors import BstiError, HeldError
    from bsti_submit.outbox import Outbox, OutboxCase
    from bsti_submit.report.events import Event
    from bsti_submit.settings import Settings
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
        lost = {case.case_id for case in outbox.lost()}
    if as_json:
        output.write_json(
            {
                "cases": [
                    {
                        "case_id": case.case_id,
                        "state": str(case.state),
                        "objects": case.objects,
                        "size": case.size,
                        "package_lost": case.case_id in lost,
                    }
                    for case in cases
                ]
            }
        )
        return
    for case in cases:
        gone = "  its package is gone: submit the same images again" if case.case_id in lost else ""
        output.write(f"{case.case_id}  {case.state:<10} {case.objects:>6} images  {case.created}{gone}")
    if not cases:
        output.write("The outbox is empty.")


@app.command()
def send(
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl-C, and send whatever is approved meanwhile.")
    ] = False,
    every: Annotated[int, typer.Option(help="With --watch: seconds between two looks.", min=1, max=3600)] = 60,
    limit_rate: LimitRate = "",
    only_between: OnlyBetween = "",
) -> None:
    """Send every approved case, oldest first.

    It is safe to run this again at any time: nothing that was received is sent twice.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.errors import NotDeliveredError, gravest

    settings = wiring.start()
    pace = wiring.Pace(limit_rate, only_between)
    pace.options()
    with output.reporter(json_mode=False) as emit, wiring.outbox(settings) as outbox:
        if not watch:
            failed = _round(settings, pace, outbox, emit, output.write)
            if failed is None:
                output.write("Nothing is waiting to be sent.")
            failed = [*(failed or ()), *_lost(outbox)]
            if failed:
                worst = gravest(error.exit_code for error in failed)
                raise next(error for error in failed if error.exit_code is worst)
            return
        output.say("Watching the outbox. Stop with Ctrl-C; nothing is lost by that.")
        told: set[str] = set()

        def tell_once(line: str) -> None:
            if line not in told:  # the same fault every minute would fill a log
                output.write(line)
            told.add(line)

        while True:
            try:
                _round(settings, pace, outbox, emit, tell_once)
                for error in _lost(outbox):
                    tell_once(f"{error.message} {error.hint}")
            except NotDeliveredError as busy:
                tell_once(busy.message)
            time.sleep(every)


def _lost(outbox: Outbox) -> list[HeldError]:
    """Return a fault for the cases whose package has gone from the disk: nothing can be sent, and somebody must know."""
    from bsti_submit.errors import HeldError

    cases = outbox.lost()
    if not cases:
        return []
    return [
        HeldError(
            f"The packages of these cases have gone from the disk: {', '.join(case.case_id for case in cases)}.",
            hint="Submit the same images again, and each keeps its id; or remove it: bsti-submit outbox drop CASE.",
        )
    ]


def _round(
    settings: Settings,
    pace: Pace,
    outbox: Outbox,
    emit: Callable[[Event], None],
    write: Callable[[str], None],
) -> list[BstiError] | None:
    """Send what waits once; return the faults, or None if nothing waited."""
    from bsti_submit.cli import wiring
    from bsti_submit.report.events import Delivered, Progress, Step
    from bsti_submit.transport.send import Sent, send_all

    if not outbox.pending():
        return None
    pace.wait()

    def told(sent: Sent) -> None:
        if sent.receipt is not None:
            emit(Delivered(sent.case_id, sent.receipt.id))
            write(f"{sent.case_id}  delivered  {sent.receipt.id}")
        else:
            write(f"{sent.case_id}  not delivered: {sent.error.message if sent.error else ''}")

    with contextlib.ExitStack() as opened:
        last_check = opened.enter_context(wiring.last_check(settings))

        @functools.cache
        def destination_for(name: str) -> Destination:
            return opened.enter_context(wiring.destination(settings, name, pace))

        results = send_all(
            outbox,
            destination_for,
            last_check,
            lambda done, total: emit(Progress(Step.UPLOAD, done, total, "bytes")),
            told,
        )
    return [sent.error for sent in results if sent.error is not None]


@app.command()
def show(case: CaseId, as_json: Json = False) -> None:
    """Show a case as this machine has it.

    Its digests, what happened to it, its receipts, and where its package is.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.receipt import Receipt
    from bsti_submit.report.console import readable

    output.set_json(as_json)
    with wiring.outbox(wiring.start()) as outbox:
        found = outbox.get(case)
        events = outbox.events(found.case_id)
        receipts = [Receipt.parse(document) for document in outbox.receipts(found.case_id)]
    package = str(found.path) if found.path.exists() else None
    if as_json:
        output.write_json(
            {
                "case_id": found.case_id,
                "state": str(found.state),
                "destination": found.destination or None,
                "created": found.created,
                "objects": found.objects,
                "size": found.size,
                "package_sha256": found.package_sha256 or None,
                "manifest_sha256": found.manifest_sha256 or None,
                "package": package,
                "receipts": [receipt.id for receipt in receipts],
                "events": [{"at": at, "what": what} for at, what in events],
            }
        )
        return
    output.write(f"{found.case_id}  {found.state}  {found.objects} images, {readable(found.size)}")
    output.write(f"  SHA-256   {found.package_sha256 or 'no package yet'}")
    output.write(f"  package   {package or 'not kept: ' + _why_gone(found)}")
    for receipt in receipts:
        output.write(f"  receipt   {receipt.id}  {receipt.text('kind')}")
    for at, what in events:
        output.write(f"  {at}  {what}")


def _why_gone(case: OutboxCase) -> str:
    return "the registry signed for it" if case.is_signed_for else f"the case is {case.state}"


@app.command()
def drop(case: CaseId) -> None:
    """Remove a case that was not delivered, with its package."""
    from bsti_submit.cli import output, wiring

    settings = wiring.start()
    with wiring.outbox(settings) as outbox:

        def last_check(found: OutboxCase) -> None:
            if found.destination == "registry" and outbox.was_sent(found.case_id):
                _require_not_there(settings, found)

        outbox.drop(case, last_check)
    output.write("The case was removed from this machine.")


def _require_not_there(settings: Settings, case: OutboxCase) -> None:
    """See that a case whose sending began did not arrive, and have its upload ended: nobody could take it back once it is forgotten here.

    Raises
    ------
    InputError
        If it did.
    NotDeliveredError
        If the registry cannot be asked.
    """
    from bsti_submit.cli import wiring
    from bsti_submit.errors import InputError, NotDeliveredError

    try:
        with wiring.registry(settings) as destination:
            there = destination.status(case.case_id)
            if there is not None and there.state not in {"draft", "uploading", "withdrawn"}:
                raise InputError(
                    "That case has arrived at the registry, so it is not dropped.",
                    hint="To have its receipt: bsti-submit outbox send. "
                    f"To take it back: bsti-submit withdraw {case.case_id} --reason CODE",
                )
            if case.upload_url:
                destination.abandon(case.upload_url)
    except NotDeliveredError as fault:
        raise NotDeliveredError(
            f"{fault.message} Sending this case had begun, so it may be there, and it is kept.",
            hint="Give the same command again when the registry is reached.",
        ) from None
