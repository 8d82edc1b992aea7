"""`manifest init|check`: the sheet for many cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare the sheet for many cases.", no_args_is_help=True, rich_markup_mode=None)


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="manifest")


@app.command()
def init() -> None:
    """Write the first line of an empty manifest.

    It goes to standard output; keep it with `> manifest.csv`.
    """
    from bsti_submit.cli import output
    from bsti_submit.clinical.sources.manifest import manifest_header

    output.write(manifest_header().rstrip("\r\n"))


@app.command()
def check(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A manifest: a CSV file with one row for each case.", show_default=False),
    ],
) -> None:
    """Check every row of a manifest.

    No image is opened, and the network is not used. The exit code is 2 if anything is wrong.
    """
    from bsti_submit.cli import output
    from bsti_submit.clinical.sources.manifest import read

    rows = read(file).require_valid()
    output.write(f"All {len(rows)} rows are in order.")
