"""Events of the outbox → lines of the audit log, each of them once.

An event is committed with the change that it tells of; the line follows. After a crash in between, the next process
that opens the outbox writes the line, with the time of the event.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bsti_submit.audit import fitting
from bsti_submit.errors import NotDeliveredError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.audit import AuditLog

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS journal (
  one INTEGER PRIMARY KEY CHECK (one = 1), generation TEXT NOT NULL, written INTEGER NOT NULL
);
INSERT OR IGNORE INTO journal VALUES (1, lower(hex(randomblob(6))), 0);
"""
"""``generation`` tells a database that was built again from the one before, whose events had the same numbers."""

_LINES: Final = {
    "begun": "begin",
    "packaged": "package",
    "approved": "attest",
    "sending": "send",
    "upload opened": "upload",
    "upload closed": "upload",
    "delivered": "deliver",
    "refused": "refuse",
    "amended": "amend",
    "withdrawn": "withdraw",
    "dropped": "drop",
}
_PAUSED: Final = "not delivered"
_SEALED: Final = ("package_sha256", "manifest_sha256", "size", "objects")


class Journal:
    """What of one outbox's events is in the log."""

    def __init__(self, database: sqlite3.Connection, log: AuditLog) -> None:
        self._database = database
        self._log = log
        self._unsure = True

    def catch_up(self) -> None:
        """Write what is not written yet.

        Raises
        ------
        NotDeliveredError
            If the log cannot be written to.
        sqlite3.Error
            If the database cannot be.
        """
        if not self._waiting():
            self._unsure = False
            return
        self._database.execute("BEGIN IMMEDIATE")
        # A process before this one may have died between a line and the note that it is written; on a full disk, so may
        # either of the two have failed in this one.
        unsure, self._unsure = self._unsure, True
        try:
            generation, _ = self._state()
            known = self._in_log(generation) if unsure else frozenset()
            for number, case_id, at, what in self._waiting():
                source = f"{generation}.{number}"
                if source not in known:
                    self._log.append(_event(what), at, **fitting(self._members(case_id, what)), source=source)
                self._database.execute("UPDATE journal SET written = ?", (number,))
        except BaseException:
            self._commit()  # what was written stays noted, even if a later line failed
            raise
        self._commit()
        self._unsure = False

    def begin_anew(self) -> None:
        """Go on under another name after the database lost events: the numbers that come now were given before."""
        self._database.execute(
            "UPDATE journal SET generation = lower(hex(randomblob(6))), written = (SELECT coalesce(max(number), 0) FROM events)"
        )

    def _commit(self) -> None:
        try:
            self._database.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise

    def _state(self) -> tuple[str, int]:
        generation, written = self._database.execute("SELECT generation, written FROM journal").fetchone()
        return str(generation), int(written)

    def _waiting(self) -> list[tuple[int, str, str, str]]:
        query = (
            "SELECT number, case_id, at, what FROM events WHERE number > (SELECT written FROM journal) ORDER BY number"
        )
        return self._database.execute(query).fetchall()

    def _in_log(self, generation: str) -> frozenset[str]:
        try:
            sources = {str(line.get("source", "")) for line in self._log.lines()}
        except OSError:
            raise NotDeliveredError("The audit log cannot be read.", hint="Check BSTI_HOME.") from None
        return frozenset(source for source in sources if source.startswith(f"{generation}."))

    def _members(self, case_id: str, what: str) -> dict[str, object]:
        members: dict[str, object] = {"case_id": case_id, "step": re.sub(r"[^a-z]+", "-", what).strip("-")}
        columns = "case_json, clinical_json, attestation, receipt, destination, " + ", ".join(_SEALED)
        query = f"SELECT {columns} FROM cases WHERE case_id = ?"  # noqa: S608 - names of ours
        row = self._database.execute(query, (case_id,)).fetchone()
        if row is None:
            return members
        case, clinical, attestation, receipt, destination, *sealed = row
        members["destination"] = destination.partition(":")[0]
        if row[0]:
            members |= dict(zip(_SEALED, sealed, strict=True))
            members["clinical_sha256"] = hashlib.sha256(clinical).hexdigest()
        match _event(what):
            case "package":
                members |= _packaged(_document(case))
            case "attest":
                stated = _document(attestation)
                members |= {name: stated.get(name, "") for name in ("scope", "text_version", "text_sha256")}
                members["attestation_sha256"] = hashlib.sha256(attestation).hexdigest()
            case "deliver" | "amend" | "withdraw":
                members["receipt_id"] = _document(receipt).get("id", "")
        return members


def _event(what: str) -> str:
    return "pause" if what.startswith(_PAUSED) else _LINES.get(what, "recovered")


def _document(data: bytes) -> Mapping[str, object]:
    with suppress(ValueError):
        found = json.loads(data)
        if isinstance(found, dict):
            return found
    return {}


def _packaged(case: Mapping[str, object]) -> dict[str, object]:
    profile, counts, left_out = (case.get(name) for name in ("profile", "counts", "left_out"))
    members: dict[str, object] = {name: case.get(name, "") for name in ("standard_edition", "key_id")}
    if isinstance(profile, dict):
        members |= {
            "profile": profile.get("name", ""),
            "profile_version": profile.get("version", ""),
            "recipe_sha256": profile.get("recipe_sha256", ""),
        }
    if isinstance(counts, dict):
        members |= {name: counts.get(name, 0) for name in ("certified", "left_out", "held")}
    if isinstance(left_out, list):
        members["reasons"] = {
            str(entry.get("reason", "")): entry.get("count", 0) for entry in left_out if isinstance(entry, dict)
        }
    return members
