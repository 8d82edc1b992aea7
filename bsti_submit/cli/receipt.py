"""`receipt show|verify`: what a registry signed, checked on this machine with its pinned key; no network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bsti_submit.cli.output import Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.outbox import OutboxCase
    from bsti_submit.receipt import Receipt

app = typer.Typer(
    help="See and check the receipts that registries signed.", no_args_is_help=True, rich_markup_mode=None
)
CaseOrFile = Annotated[
    str, typer.Argument(metavar="CASE|FILE", help="A case id of this machine, or a file with a receipt as JSON.")
]
_LARGEST = 1 << 20


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="receipt")


@app.command()
def show(what: CaseOrFile, as_json: Json = False) -> None:
    """Print the receipts of a case.

    Those of its submission, of its amendments and of its withdrawal.
    """
    from bsti_submit.cli import output
    from bsti_submit.printable import json_text

    output.set_json(as_json)
    receipts, _ = _receipts(what)
    if as_json:
        output.write_json({"receipts": [dict(receipt.document) for receipt in receipts]})
        return
    for receipt in receipts:
        output.write_lines(json_text(dict(receipt.document), indent=2, sort_keys=True))


@app.command()
def verify(
    what: CaseOrFile,
    package: Annotated[
        Path | None,
        typer.Option("--package", metavar="FILE", help="Also hold a package file against it.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check receipts by the pinned key and by what was kept.

    The network is not used. The exit code is 3 if a signature or a digest is wrong.
    """
    from bsti_submit.bundle import file_sha256
    from bsti_submit.cli import output, wiring
    from bsti_submit.errors import HeldError, InputError
    from bsti_submit.transport.pins import Pins

    output.set_json(as_json)
    receipts, case = _receipts(what)
    keys = Pins(wiring.start().home).every_key()
    digest = ""
    if package is not None:
        try:
            digest = file_sha256(package)
        except OSError:
            raise InputError("The package file cannot be read.") from None
    for receipt in receipts:
        receipt.verify(keys)
        if case is not None:
            receipt.require(_kept(case))
        if digest and receipt.text("package_sha256") != digest:
            raise HeldError("The receipt is for another package than that file.")
    if case is not None:
        newest = hashlib.sha256(case.clinical_json).hexdigest()  # an amendment supersedes the record before it
        receipts[-1].require({"clinical_sha256": newest})
    if as_json:
        output.write_json(
            {"receipts": [{"id": receipt.id, "kind": receipt.text("kind"), "valid": True} for receipt in receipts]}
        )
        return
    for receipt in receipts:
        output.write(
            f"{receipt.id}  {receipt.text('kind')}  {receipt.text('received')}  "
            f"valid: signed by key {receipt.kid} of {receipt.text('registry')}"
        )


def _receipts(what: str) -> tuple[tuple[Receipt, ...], OutboxCase | None]:
    """Return the receipts that a case id or a file names; the case where this machine knows it.

    Raises
    ------
    InputError
        If there is neither such a case nor such a file, or the case has no receipt yet.
    HeldError
        If the file holds no receipt.
    """
    from bsti_submit.cli import wiring
    from bsti_submit.errors import InputError
    from bsti_submit.model import normalise_case_id
    from bsti_submit.receipt import Receipt

    if normalise_case_id(what) is None:
        try:
            with Path(what).open("rb") as stream:
                return (Receipt.parse(stream.read(_LARGEST)),), None
        except OSError:
            raise InputError(
                "That is neither a case id nor a file that can be read.", hint="See: bsti-submit outbox list"
            ) from None
    with wiring.outbox(wiring.start()) as outbox:
        case = outbox.get(what)
        receipts = tuple(Receipt.parse(document) for document in outbox.receipts(case.case_id))
    if not receipts:
        raise InputError(f"Case {case.case_id} has no receipt yet: it is {case.state}.")
    return receipts, case


def _kept(case: OutboxCase) -> Mapping[str, object]:
    """Return what every receipt of a case must say."""
    return {
        "case_id": case.case_id,
        "package_sha256": case.package_sha256,
        "manifest_sha256": case.manifest_sha256,
        "objects": case.objects,
    }
