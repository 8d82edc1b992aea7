"""`approve`: release exactly the package that was built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.options import AttestationFile, Destination

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.bundle import PackageReader
    from bsti_submit.cli.person import Person
    from bsti_submit.deid.pixels.review_items import ReviewItem
    from bsti_submit.model import InstanceRef
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
    """Approve a package in the outbox for sending.

    At a terminal you take a last look at its images and confirm. `bsti-submit outbox send` then sends exactly that file, to the
    registry that is set up now and to no other.
    """
    from bsti_submit import attestation as attesting
    from bsti_submit.attestation import Release
    from bsti_submit.cli import output, wiring
    from bsti_submit.cli.person import Person
    from bsti_submit.errors import ApprovalError
    from bsti_submit.pipeline.last_check import require_cleared
    from bsti_submit.pipeline.submission import release

    settings = wiring.start()
    with (
        wiring.outbox(settings) as outbox,
        wiring.destination(settings, to) as destination,
        wiring.decisions(settings) as decided,
    ):
        kept = outbox.get(case)
        require_cleared(kept, decided)
        wiring.verdicts(settings).require_digest(recipe_of(kept))
        if attestation is not None:
            document: Mapping[str, object] = attesting.read(attestation)
            attesting.check(document, Release(kept.package_sha256, "", "", "", ""))
        elif output.has_terminal():
            document = confirmed(Person(output.console()), settings, kept, to, verb="approve")
        else:
            raise ApprovalError(
                "Without a terminal an attestation of this very package is needed.", hint="--attestation FILE"
            )
        release(outbox, kept.case_id, document, to, destination)
    output.write(f"Case {kept.case_id} is approved. Send it with: bsti-submit outbox send")


def recipe_of(kept: OutboxCase) -> str:
    """Return the digest of the recipe under which a package was made."""
    profile = kept.record().get("profile")
    return str(profile.get("recipe_sha256", "")) if isinstance(profile, dict) else ""


def confirmed(
    person: Person,
    settings: Settings,
    kept: OutboxCase,
    to: str,
    *,
    verb: str,
    refs: Mapping[str, InstanceRef] | None = None,
) -> Mapping[str, object]:
    """Have a person confirm a package that is in the outbox, after a look at the images that are in it.

    Parameters
    ----------
    verb
        What the confirmation does: ``send`` or ``approve``.
    refs
        The source's reference of each image in the package, while that is known.

    Raises
    ------
    ApprovalError
        If it is not confirmed.
    StoppedError
        If they stop.
    """
    from bsti_submit import attestation as attesting
    from bsti_submit.bundle import PackageReader
    from bsti_submit.cli import flow, wiring
    from bsti_submit.cli.person import Leaving

    with PackageReader(kept.path) as reader:
        items = package_items(reader, refs)
        leaving = Leaving(
            kept.case_id,
            wiring.place(settings, to),
            kept.objects,
            kept.size,
            kept.package_sha256,
            "" if refs else "The # numbers are of this package now, not of the source folder.",
        )
        looked = person.last_look(leaving, items, flow.terms(settings), verb=verb)
    stated = attesting.facts(basis=settings.basis, opt_out=settings.opt_out, looked_at=looked)
    return attesting.for_package(kept.package_sha256, stated)


def package_items(reader: PackageReader, refs: Mapping[str, InstanceRef] | None = None) -> list[ReviewItem]:
    """Return the images of a package for the page, series by series in the order of the source.

    Parameters
    ----------
    refs
        The source's reference of each image, while that is known; else they are numbered anew.
    """
    from functools import partial

    from bsti_submit.deid.pixels.review_items import ReviewItem, drawn_from
    from bsti_submit.model import InstanceRef

    known = refs or {name: InstanceRef(number) for number, name in enumerate(reader.images(), 1)}
    # In the order of the source, in which a stack of slices can be looked through; the package has that of the UIDs.
    names = sorted(reader.images(), key=lambda name: (name.split("/")[2], known[name]))
    return [
        ReviewItem(
            known[name],
            f"{number} of {len(names)}",
            drawn_from(partial(reader.read, name)),
            group=f"Series {name.split('/')[2].lstrip('0')}",
        )
        for number, name in enumerate(names, 1)
    ]
