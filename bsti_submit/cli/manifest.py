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
    """Write the header of an empty manifest, on stdout."""
    from bsti_submit.cli import output
    from bsti_submit.clinical.sources.manifest import manifest_header

    output.write_document(manifest_header())


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A manifest CSV.", show_default=False)]) -> None:
    """Check every row of a manifest, without images and without the network. Exit 2 if anything is wrong."""
    from bsti_submit.cli import output
    from bsti_submit.clinical.sources.manifest import read

    rows = read(file).require_valid()
    output.write(f"All {len(rows)} rows are in order.")
