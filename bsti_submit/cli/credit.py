"""`credit export`: who is to be named for the cases that this machine delivered."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bsti_submit.clinical.credit import Contributor
    from bsti_submit.outbox import Outbox

app = typer.Typer(help="Credit for those who contribute.", no_args_is_help=True, rich_markup_mode=None)


class Format(StrEnum):
    """How the list is written."""

    CFF = "cff"
    CSV = "csv"


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="credit")


@app.command()
def export(
    how: Annotated[
        Format, typer.Option("--format", help="`cff` writes a CITATION.cff, `csv` a sheet for a spreadsheet.")
    ] = Format.CFF,
) -> None:
    """Write who wants to be named for the delivered cases.

    It goes to standard output. Each name stands there once, as its owner gave it, and beside no case. Who chose to be
    anonymous is counted in the sheet and named nowhere. Cases that were taken back do not count.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.clinical.credit import citation_cff, contributors_csv

    with wiring.outbox(wiring.start()) as outbox:
        people = _contributors(outbox)
    output.write_document(citation_cff(people) if how is Format.CFF else contributors_csv(people))


def _contributors(outbox: Outbox) -> list[Contributor]:
    """Return the contributor of each delivered case, oldest first; a case without one is anonymous."""
    from bsti_submit.clinical.credit import Contributor, read_contributor
    from bsti_submit.outbox import State

    delivered = [case for case in outbox.list() if case.state is State.DELIVERED]
    return [
        read_contributor(json.loads(case.contributor)) if case.contributor else Contributor("anonymous")
        for case in sorted(delivered, key=lambda case: case.number)
    ]
