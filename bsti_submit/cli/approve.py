"""`approve`: release exactly the package that was built."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import AttestationFile, Destination

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.cli.person import Person
    from bsti_submit.outbox import OutboxCase
    from bsti_submit.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("approve")(approve)


def approve(
    case: Annotated[str, typer.Argument(metavar="CASE", help="The case id, XXXX-XXXX-XXXX.")],
    attestation: AttestationFile = None,
    to: Destination = "registry",
) -> None:
    """Approve a package in the outbox. `bsti-submit outbox send` then sends exactly that file."""
    from bsti_submit import attestation as attesting
    from bsti_submit.attestation import Release
    from bsti_submit.cli import output, wiring
    from bsti_submit.cli.person import Person
    from bsti_submit.errors import ApprovalError

    settings = wiring.start()
    with wiring.outbox(settings) as outbox:
        kept = outbox.get(case)
        wiring.verdicts(settings).require_digest(recipe_of(kept))
        if attestation is not None:
            document: Mapping[str, object] = attesting.read(attestation)
            attesting.check(document, Release(kept.package_sha256, "", "", "", ""))
        elif output.has_terminal():
            document = confirmed(Person(output.console()), settings, kept)
        else:
            raise ApprovalError(
                "Without a terminal an attestation of this very package is needed.", hint="--attestation FILE"
            )
        outbox.approve(kept.case_id, json.dumps(document, sort_keys=True).encode(), to)
    output.write(f"Case {kept.case_id} is approved. Send it with: bsti-submit outbox send")


def recipe_of(kept: OutboxCase) -> str:
    """Return the digest of the recipe under which a package was made."""
    profile = kept.record().get("profile")
    return str(profile.get("recipe_sha256", "")) if isinstance(profile, dict) else ""


def confirmed(person: Person, settings: Settings, kept: OutboxCase) -> Mapping[str, object]:
    """Have a person confirm a package that is in the outbox, after a look at its images.

    Raises
    ------
    ApprovalError
        If it is not confirmed.
    """
    from functools import partial

    from bsti_submit import attestation as attesting
    from bsti_submit.bundle import PackageReader
    from bsti_submit.deid.pixels.render import render
    from bsti_submit.deid.pixels.review import ReviewItem
    from bsti_submit.errors import ApprovalError
    from bsti_submit.model import InstanceRef
    from bsti_submit.report.console import readable

    with PackageReader(kept.path) as reader:

        def draw(name: str, *, frame: int, full_range: bool, size: int) -> bytes:
            return render(reader.read(name), frame=frame, full_range=full_range, size=size)

        items = [
            ReviewItem(InstanceRef(number), name, partial(draw, name), group=name.split("/")[2])
            for number, name in enumerate(reader.images(), 1)
        ]
        person.say(f"Case {kept.case_id}: {kept.objects} images, {readable(kept.size)}, SHA-256 {kept.package_sha256}")
        person.look(items, None, notes=(f"Case {kept.case_id}",))
    for line in attesting.text().splitlines():
        person.say(f"  {line}")
    if person.ask(f"Type {attesting.CONFIRMATION} to approve: ") != attesting.CONFIRMATION:
        raise ApprovalError("Not confirmed, so nothing was approved.")
    stated = attesting.facts(basis=settings.basis, opt_out=settings.opt_out, looked_at=True)
    return attesting.for_package(kept.package_sha256, stated)
