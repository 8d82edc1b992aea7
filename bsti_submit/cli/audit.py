"""`audit verify|export`: the local log of every step."""

from __future__ import annotations

import io
from typing import Annotated

import typer

from bsti_submit.cli.output import Json

app = typer.Typer(
    help="Check and export this machine's log of every step. It holds no identifier.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="audit")


@app.command()
def verify(as_json: Json = False) -> None:
    """Check every line and the chain that ties them. One changed byte, a missing or an added line is found: exit 3."""
    from bsti_submit.cli import output, wiring
    from bsti_submit.errors import ExitCode, HeldError

    output.set_json(as_json)
    checked = wiring.audit_log(wiring.start()).verify()
    if as_json:
        output.write_json(
            {
                "whole": checked.is_whole,
                "lines": checked.lines,
                "line": checked.line or None,
                "problem": checked.problem or None,
            }
        )
        if not checked.is_whole:
            raise typer.Exit(int(ExitCode.HELD))
        return
    if not checked.is_whole:
        raise HeldError(
            f"The audit log is not as it was written: line {checked.line}: {checked.problem}.",
            hint="Keep the file as it is. The receipts of each case are a second witness: bsti-submit receipt verify.",
        )
    output.write(f"The audit log is whole: {checked.lines} {'line' if checked.lines == 1 else 'lines'}.")


@app.command()
def export(
    as_csv: Annotated[
        bool, typer.Option("--csv", help="As a table for a spreadsheet; without it, as JSON Lines.")
    ] = False,
) -> None:
    """Write the whole log.

    It goes to standard output, after the same check as `audit verify`.
    """
    from bsti_submit.cli import output, wiring

    log = wiring.audit_log(wiring.start())
    table = io.StringIO(newline="")
    if as_csv:
        log.export_csv(table)
    else:
        log.export_lines(table)
    output.write_document(table.getvalue())
