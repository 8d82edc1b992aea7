"""The attestation: what a person confirms before a case leaves, tied to digests; any change voids it.

One document, three scopes. *package*: this very package (or, for an amendment, this very clinical record).
*manifest*: this very batch manifest. *standing*: this profile, recipe, tool version and registry, until it
expires; for unattended sites. The document holds enums and digests only: no name, no reference number.
The schema is `docs/attestation.schema.json`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from bsti_submit import __version__
from bsti_submit.errors import ApprovalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TEXT_VERSION = "1.0"
CONFIRMATION = "I CONFIRM"
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Release:
    """What is about to leave, as the attestation must name it."""

    package_sha256: str
    profile: str
    profile_version: str
    recipe_sha256: str
    registry: str
    manifest_sha256: str = ""


@cache
def text() -> str:
    """Return the statements that a person confirms."""
    return (files("bsti_submit") / "schemas" / f"attestation-{TEXT_VERSION}.txt").read_text("utf-8")


def text_sha256() -> str:
    r"""Return the SHA-256 of the statements, with line ends as ``\n``."""
    return hashlib.sha256(text().replace("\r\n", "\n").encode()).hexdigest()


def schema() -> dict[str, object]:
    """Return the JSON Schema of the document."""
    found = json.loads((files("bsti_submit") / "schemas" / "attestation-1.0.schema.json").read_text("utf-8"))
    if not isinstance(found, dict):
        raise TypeError("the attestation schema is not an object")
    return found


def facts(*, basis: str, opt_out: str, looked_at: bool) -> dict[str, object]:
    """Return the facts that typing the confirmation states."""
    return {
        "legitimate_access": True,
        "organisation_permits": True,
        "basis": basis,
        "opt_out": opt_out,
        "no_known_objection": True,
        "images": "looked-at" if looked_at else "unseen-kinds-only",
        "metrics_correct": True,
        "publication_understood": True,
        "key_kept": "approved-storage",
    }


def for_package(package_sha256: str, stated: Mapping[str, object]) -> dict[str, object]:
    """Return the attestation of one package, made at the last look or by `approve`."""
    return _head("package", stated) | {"package_sha256": package_sha256}


def for_record(clinical_sha256: str, stated: Mapping[str, object]) -> dict[str, object]:
    """Return the attestation of an amended clinical record."""
    return _head("package", stated) | {"clinical_sha256": clinical_sha256}


def record_template(clinical_sha256: str, *, basis: str, opt_out: str) -> dict[str, object]:
    """Return the attestation of an amended record, to be completed."""
    return _head("package", _open(basis, opt_out)) | {"clinical_sha256": clinical_sha256}


def template(scope: str, release: Release, *, basis: str, opt_out: str, expires: str = "") -> dict[str, object]:
    """Return a document to be completed: every confirmation is still ``false`` and must be set by a person."""
    document = _head(scope, _open(basis, opt_out))
    if scope == "standing":
        return document | {
            "profile": release.profile,
            "profile_version": release.profile_version,
            "recipe_sha256": release.recipe_sha256,
            "tool_version": __version__,
            "registry": release.registry,
            "expires": expires,
        }
    if scope == "manifest":
        return document | {"manifest_sha256": release.manifest_sha256}
    return document | {"package_sha256": release.package_sha256}


def _open(basis: str, opt_out: str) -> dict[str, object]:
    stated = facts(basis=basis, opt_out=opt_out, looked_at=False)
    return {name: False if value is True else value for name, value in stated.items()}


def _head(scope: str, stated: Mapping[str, object]) -> dict[str, object]:
    return {
        "schema": "attestation/1.0",
        "scope": scope,
        "text_version": TEXT_VERSION,
        "text_sha256": text_sha256(),
        "facts": dict(stated),
    }


def read(path: Path) -> dict[str, object]:
    """Read an attestation file.

    Raises
    ------
    ApprovalError
        If it cannot be read, is not JSON, or does not follow the schema. Never quotes what it holds.
    """
    from jsonschema import Draft202012Validator

    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        document = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_unique)
    except OSError:
        raise ApprovalError("There is no attestation file at that path, or it may not be read.", hint=_HINT) from None
    except (ValueError, RecursionError):
        raise ApprovalError("The attestation file cannot be read as JSON.", hint=_HINT) from None
    if len(raw) > MAX_BYTES:
        raise ApprovalError("The attestation file is too large to be one.", hint=_HINT)
    errors = sorted(Draft202012Validator(schema()).iter_errors(document), key=lambda error: list(error.path))
    if errors:
        places = {".".join(str(part) for part in error.path) or "the document" for error in errors}
        raise ApprovalError(
            "The attestation does not follow its schema: every fact must be stated, and nothing else.",
            details=tuple(
                f"{place}: missing, not confirmed, or not one of the allowed values" for place in sorted(places)
            ),
            hint=_HINT,
        )
    if document["text_version"] != TEXT_VERSION or document["text_sha256"] != text_sha256():
        raise ApprovalError("The attestation was given for another version of the statements.", hint=_HINT)
    assert isinstance(document, dict)  # noqa: S101 - the schema says so
    return document


_HINT = "Make one with: bsti-submit attestation template"


def check(document: Mapping[str, object], release: Release, *, today: date | None = None) -> None:
    """Check that an attestation covers what is about to leave.

    Raises
    ------
    ApprovalError
        If it is void: for other bytes, another profile, recipe, tool version or registry, or expired.
    """
    match document["scope"]:
        case "package":
            wanted = {"package_sha256": release.package_sha256}
        case "manifest":
            wanted = {"manifest_sha256": release.manifest_sha256}
        case _:
            wanted = {
                "profile": release.profile,
                "profile_version": release.profile_version,
                "recipe_sha256": release.recipe_sha256,
                "tool_version": __version__,
                "registry": release.registry,
            }
    void = tuple(f"{name}: not the one attested" for name, value in wanted.items() if document.get(name) != value)
    if document["scope"] == "standing":
        today = today or datetime.now(UTC).date()
        try:
            expired = date.fromisoformat(str(document["expires"])) < today
        except ValueError:
            expired = True
        if expired:
            void += ("expires: the date has passed or is no date",)
    if void:
        raise ApprovalError("The attestation is void for this case.", details=void, hint=_HINT)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)
