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

    output.write_lines(statements().rstrip())


@app.command()
def template(
    days: Annotated[int, typer.Option(help="For how many days it is valid.", min=1, max=366, metavar="DAYS")] = 90,
    profile: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="The profile that it covers.", show_default=False)
    ] = None,
    registry: Annotated[
        str, typer.Option(metavar="ID", help="The registry's id, or dir for folders; without it the registry is asked.")
    ] = "",
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write one that covers exactly this manifest of a batch instead, wherever its cases go.",
            show_default=False,
        ),
    ] = None,
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
    """Write a standing attestation for a person to complete.

    It goes to standard output; keep it with `> attestation.json`. Each `false` in it must be set to `true` by the person who
    answers for it.
    """
    from dataclasses import replace
    from datetime import UTC, datetime, timedelta
    from hashlib import sha256

    from bsti_submit import attestation as attesting
    from bsti_submit.cli import flow, output, wiring
    from bsti_submit.clinical.sources.manifest import read_bytes

    settings = wiring.start()
    if clinical is not None:
        digest = flow.read_record(clinical, None, case_id=None).sha256
        output.write_json(attesting.record_template(digest, basis=settings.basis, opt_out=settings.opt_out))
        return
    found = wiring.profile(settings, profile)
    if manifest is not None:
        release = replace(wiring.release(found, "", ""), manifest_sha256=sha256(read_bytes(manifest)).hexdigest())
        output.write_json(
            attesting.template("manifest", release, basis=settings.basis, opt_out=settings.opt_out),
        )
        return
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
