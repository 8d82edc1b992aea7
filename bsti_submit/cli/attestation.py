"""`attestation template|text`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare an attestation for unattended runs.", no_args_is_help=True, rich_markup_mode=None)


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="attestation")


@app.command()
def text() -> None:
    """Show the statements that an attestation confirms."""
    from bsti_submit.attestation import text as statements
    from bsti_submit.cli import output

    output.write(statements().rstrip())


@app.command()
def template(
    days: Annotated[int, typer.Option(help="For how many days it is valid.", min=1, max=366)] = 90,
    profile: Annotated[str | None, typer.Option(help="The profile it covers.", show_default=False)] = None,
    registry: Annotated[
        str, typer.Option(help="The registry's id, or dir for folders; without it the registry is asked.")
    ] = "",
    clinical: Annotated[
        Path | None,
        typer.Option(
            "--clinical",
            metavar="FILE",
            help="For `amend`: an attestation of this very record instead of a standing one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a standing attestation on stdout, for a person to complete: each false must be set to true, knowingly."""
    from datetime import UTC, datetime, timedelta

    from bsti_submit import attestation as attesting
    from bsti_submit.cli import flow, output, wiring

    settings = wiring.start()
    if clinical is not None:
        digest = flow.read_record(clinical, None).sha256
        output.write_json(attesting.record_template(digest, basis=settings.basis, opt_out=settings.opt_out))
        return
    found = wiring.profile(settings, profile)
    identity = registry
    if not identity:
        with wiring.registry(settings) as destination:
            identity = destination.identity()
    expires = (datetime.now(UTC) + timedelta(days=days)).date().isoformat()
    output.write_json(
        attesting.template(
            "standing",
            wiring.release(found, "", identity),
            basis=settings.basis,
            opt_out=settings.opt_out,
            expires=expires,
        )
    )
