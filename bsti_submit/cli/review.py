"""`review`: look at pictures that are held, or at those of a package, on a page served from memory on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import ProfileName

if TYPE_CHECKING:
    from bsti_submit.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("review")(review)


def review(
    what: Annotated[
        str,
        typer.Argument(
            metavar="CASE|PATH",
            help="A case in the outbox, XXXX-XXXX-XXXX; or a folder of any depth, one DICOM file, a DICOMDIR or a ZIP.",
            show_default=False,
        ),
    ],
    profile: ProfileName = None,
) -> None:
    """Look at held pictures, and clear or reject each.

    Writing that must not leave gets a box, by mouse or keys; a picture cleared with boxes may go once they are blanked.

    With a case, look through the package that would leave. The page is served from memory to this machine alone, by a link
    that works once. What you decide holds for exactly these pictures.
    """
    from bsti_submit.cli import wiring
    from bsti_submit.model import normalise_case_id

    path = Path(what)
    case_id = normalise_case_id(what)
    if case_id is not None and not path.exists():
        _package(wiring.start(), case_id)
    else:
        _source(path, profile)


def _source(path: Path, profile: str | None) -> None:
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
        looked = held.review_held(prepared, work, Choices(), Person(output.console()), emit, everything=True)
    output.write(
        "Nothing has to be looked at." if not looked.shown else "What you decided is kept for exactly these pictures."
    )
    if looked.unasked:
        # What went on without a person leaves no mark in a package by which it could be stopped.
        output.write(
            "A case of these images that was packaged before does not know of it: see bsti-submit outbox list, and remove "
            "it with bsti-submit outbox drop."
        )


def _package(settings: Settings, case_id: str) -> None:
    """Show the images of a package. It is sealed: an image is left out by building it again."""
    from bsti_submit.bundle import PackageReader
    from bsti_submit.cli import output, wiring
    from bsti_submit.cli.approve import package_items
    from bsti_submit.cli.person import Person
    from bsti_submit.errors import InputError

    with wiring.outbox(settings) as outbox:
        kept = outbox.get(case_id)
    if not kept.path.is_file():
        raise InputError(
            f"The package of case {kept.case_id} is no longer on this machine.",
            hint="A package is removed once the registry has signed for it.",
        )
    with PackageReader(kept.path) as reader:
        Person(output.console()).show_package(package_items(reader), kept.case_id)
    output.write(f"To release it: bsti-submit approve {kept.case_id}")
    output.write(f"To build it again without an image: bsti-submit outbox drop {kept.case_id}, then --leave-out.")
