"""`clinical template|check|schema`, and `attestation template|text`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Work with the clinical metrics as a file.", no_args_is_help=True, rich_markup_mode=None)


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="clinical")


@app.command()
def template() -> None:
    """Write a clinical file to fill in.

    It goes to standard output; keep it with `> clinical.json`.
    """
    from bsti_submit.cli import output
    from bsti_submit.clinical.record import template_json

    output.write(template_json().rstrip("\n"))


@app.command()
def schema() -> None:
    """Write the schema of the clinical file."""
    from bsti_submit.cli import output
    from bsti_submit.clinical.record import schema as found

    output.write_json(found())


@app.command()
def check(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A clinical file, as `clinical template` writes it.", show_default=False),
    ],
) -> None:
    """Check a clinical file by itself, without images.

    The exit code is 2 if anything is wrong.
    """
    from bsti_submit.cli import flow, output

    flow.read_record(file, None)
    output.write("The clinical file is in order.")
