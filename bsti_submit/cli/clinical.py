"""`clinical template|check|schema`: the clinical metrics as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bsti_submit.cli.output import Json

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
    from bsti_submit.clinical.record import TEMPLATE_HINT, template_json

    output.write_document(template_json())
    output.say(TEMPLATE_HINT)


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
    as_json: Json = False,
) -> None:
    """Check a clinical file by itself, without images.

    The exit code is 2 if anything is wrong.

    What is merely out of the ordinary is told and stops nothing.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.record import accept
    from bsti_submit.clinical.sources.json_file import read
    from bsti_submit.settings import load_settings

    output.set_json(as_json)
    record = accept(read(file), Context(find_identifiers=wiring.identifier_search(load_settings())))
    if as_json:
        notes = [{"level": note.level, "path": note.path, "message": note.text} for note in record.notes]
        output.write_json({"valid": True, "sha256": record.sha256, "notes": notes})
        return
    for note in record.notes:
        output.say(f"{note.level.capitalize()} {note.path}: {note.text}")
    output.write("The clinical file is in order.")
