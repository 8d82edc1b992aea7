"""`manifest init|check`: the sheet for many cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bsti_submit.cli.output import Json

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
def check(
    file: Annotated[Path, typer.Argument(help="A manifest CSV.", show_default=False)], as_json: Json = False
) -> None:
    """Check every row of a manifest, without images and without the network. Exit 2 if anything is wrong."""
    from bsti_submit.cli import output
    from bsti_submit.clinical.sources.manifest import read

    output.set_json(as_json)
    rows = read(file).require_valid()
    notes = [(row.number, note) for row in rows for note in row.record.notes]
    if as_json:
        told = [{"row": row, "level": note.level, "path": note.path, "message": note.text} for row, note in notes]
        output.write_json({"valid": True, "rows": len(rows), "notes": told})
        return
    for row, note in notes:
        output.say(f"Row {row}: {note}")
    output.write(f"All {len(rows)} rows are in order.")
