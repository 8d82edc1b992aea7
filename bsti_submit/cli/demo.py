"""`demo`: the main job on a made-up study, every step by the command that a person would type."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="A new folder for everything that is made. Without it one is made among the temporary files.",
            show_default=False,
        ),
    ] = None,
    slices: Annotated[
        int, typer.Option(metavar="NUMBER", help="How many CT slices the made-up study has.", min=1, max=600)
    ] = 60,
) -> None:
    """Show the whole way of a made-up case on this machine.

    Every identifying part of the made-up study carries a marker. At the end all that the registry received is searched for
    them. Your settings and your outbox are not touched, nothing leaves this machine, and nothing is left running.
    """
    from bsti_submit.cli.demonstration import Demonstration
    from bsti_submit.errors import ExitCode

    if not Demonstration(folder, slices).run():
        raise typer.Exit(int(ExitCode.HELD))
