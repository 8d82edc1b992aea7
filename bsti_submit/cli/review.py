"""`review`: look at pictures that are held, on a page served from memory on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsti_submit.cli.options import ProfileName, SourcePath

if TYPE_CHECKING:
    import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("review")(review)


def review(path: SourcePath, profile: ProfileName = None) -> None:
    """Look at held pictures, and clear or reject each.

    All radiographs are held until somebody has looked for writing in the picture. The page is served from memory to this machine alone, by a link that works once. What you decide holds for exactly these
    pictures.
    """
    from bsti_submit.cli import flow, held, output, wiring
    from bsti_submit.cli.person import Person
    from bsti_submit.pipeline.prepared import Choices, prepare

    settings = wiring.start(path)
    rules = wiring.profile(settings, profile)
    key = wiring.site_key(settings, person=output.has_terminal(), must=True).key
    with (
        output.reporter(json_mode=False) as emit,
        prepare(path, rules, key, emit) as prepared,
        wiring.decisions(settings) as decided,
    ):
        prepared.require_images()
        work = flow.work_for(prepared, key, decided)
        shown = held.review_held(prepared, work, Choices(), Person(output.console()), emit, everything=True).shown
    output.write(
        "Nothing has to be looked at." if not shown else "What you decided is kept for exactly these pictures."
    )
