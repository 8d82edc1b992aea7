"""`manifest init|join|check`: the sheet for many cases."""

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
    """Write the first line of an empty manifest.

    It goes to standard output; keep it with `> manifest.csv`.
    """
    from bsti_submit.cli import output
    from bsti_submit.clinical.sources.manifest import manifest_header

    output.write_document(manifest_header())


@app.command()
def join(
    studies: Annotated[
        Path,
        typer.Argument(
            metavar="STUDIES", help="A folder with the studies of any number of patients.", show_default=False
        ),
    ],
    sheet: Annotated[
        Path,
        typer.Argument(
            metavar="SHEET.csv",
            help="A CSV of the clinical metrics with a column patient_id (the hospital number) or accession_number, and "
            "study_date where it is needed.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the manifest to this new file. Without it, it goes to standard output and belongs into STUDIES.",
            show_default=False,
        ),
    ] = None,
    skip_unmatched: Annotated[
        bool, typer.Option("--skip-unmatched", help="Leave rows out that fit no study, instead of stopping.")
    ] = False,
) -> None:
    """Make a manifest from a clinical sheet and a folder.

    Each row is matched with the headers, in memory. The manifest then names the study by its folder and keeps the last three
    characters of the hospital number; hospital number, accession number and date are left out. The exit code is 2 if a row fits no study.
    """
    from bsti_submit.cli import output
    from bsti_submit.clinical.sources.sheet import read_bytes
    from bsti_submit.errors import InputError
    from bsti_submit.pipeline.join import join as match
    from bsti_submit.report.events import Progress, Step

    if out is not None and out.exists():
        raise InputError("The file to write exists already, and nothing is ever overwritten.")
    with output.reporter(json_mode=False) as emit:
        joined = match(
            studies,
            read_bytes(sheet),
            out.parent if out is not None else studies,
            lambda done, total: emit(Progress(Step.SURVEY, done, total)),
        )
    if skip_unmatched:
        for problem in joined.problems:
            output.say(f"Left out: {problem}")
    else:
        joined.require_all()
    if out is None:
        output.write_document(joined.manifest)
    else:
        output.create_private(out, joined.manifest)
    output.say(f"{joined.rows} rows are matched; {joined.unused} studies in the folder have no row.")
    output.say("Check it: bsti-submit manifest check MANIFEST.csv")


@app.command()
def check(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A manifest: a CSV file with one row for each case.", show_default=False),
    ],
    as_json: Json = False,
) -> None:
    """Check every row of a manifest.

    No image is opened, and the network is not used. The exit code is 2 if anything is wrong.
    """
    from bsti_submit.cli import output, wiring
    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.sources.manifest import read
    from bsti_submit.settings import load_settings

    output.set_json(as_json)
    rows = read(file, Context(find_identifiers=wiring.identifier_search(load_settings()))).require_valid()
    notes = [(row.number, note) for row in rows for note in row.record.notes]
    if as_json:
        told = [{"row": row, "level": note.level, "path": note.path, "message": note.text} for row, note in notes]
        output.write_json({"valid": True, "rows": len(rows), "notes": told})
        return
    for row, note in notes:
        output.say(f"Row {row}: {note}")
    output.write("The one row is in order." if len(rows) == 1 else f"All {len(rows)} rows are in order.")
