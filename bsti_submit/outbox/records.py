"""One small file for each case beside the database, from which a damaged database is built again.

Without it a database that is lost, or has lost its newest changes, would forget what was delivered, and the same studies
would be sent a second time.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from bsti_submit.model import normalise_case_id
from bsti_submit.outbox.case import State
from bsti_submit.outbox.disk import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bsti_submit.outbox.case import OutboxCase

_TEXTS: Final = ("case_json", "clinical_json", "attestation", "contributor", "receipt")
_PLAIN: Final = (
    "number",
    "case_id",
    "study_set",
    "destination",
    "package_sha256",
    "manifest_sha256",
    "size",
    "objects",
    "created",
)


@dataclass(frozen=True, slots=True)
class Record:
    """A case as its file has it. The address of the upload is a secret and is not in it."""

    number: int
    case_id: str
    study_set: str
    state: State
    destination: str
    package_sha256: str
    manifest_sha256: str
    size: int
    objects: int
    case_json: bytes
    clinical_json: bytes
    attestation: bytes
    contributor: bytes
    receipt: bytes
    created: str
    registry: str
    origin: str
    revision: int
    """Counts a case's changes: a database that knows of fewer has lost some."""
    receipts: tuple[bytes, ...]


COLUMNS: Final = tuple(column.name for column in fields(Record) if column.name != "receipts")


class Records:
    """The files, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, case: OutboxCase, receipts: Sequence[bytes]) -> None:
        """Write a case's file.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        document: dict[str, object] = {name: getattr(case, name) for name in _PLAIN}
        document |= {name: getattr(case, name).decode("utf-8") for name in _TEXTS}
        document |= {"registry": case.registry, "origin": case.origin.text(), "revision": case.revision}
        document |= {"state": str(case.state), "receipts": [receipt.decode("utf-8") for receipt in receipts]}
        data = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        write_whole(self._folder / f"{case.case_id}.json", data.encode())

    def forget(self, case_id: str) -> None:
        """Remove a case's file."""
        with suppress(OSError):
            (self._folder / f"{case_id}.json").unlink()

    def all(self) -> Iterator[Record]:
        """Yield what can be read, in the order in which the cases were made."""
        found = []
        for path in self._folder.glob("*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                document = json.loads(path.read_text("utf-8"))
                if normalise_case_id(document["case_id"]) != path.stem:
                    continue
                found.append(
                    Record(
                        state=State(document["state"]),
                        registry=str(document.get("registry", "")),
                        origin=str(document.get("origin", "")),
                        receipts=tuple(receipt.encode() for receipt in document["receipts"]),
                        revision=int(document.get("revision", 0)),
                        **{name: document[name] for name in _PLAIN},
                        **{name: document[name].encode() for name in _TEXTS},
                    )
                )
        yield from sorted(found, key=lambda record: record.number)
