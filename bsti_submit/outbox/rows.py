"""The outbox's rows: read by anybody, and each change committed together with the event that tells of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bsti_submit.errors import BstiError, InputError, NotDeliveredError
from bsti_submit.model import normalise_case_id
from bsti_submit.outbox.case import OutboxCase, State
from bsti_submit.outbox.database import LOCAL
from bsti_submit.outbox.journal import Journal
from bsti_submit.outbox.origin import Origin
from bsti_submit.outbox.records import COLUMNS, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bsti_submit.audit import AuditLog

SENDING: Final = "sending"
DROPPED: Final = "dropped"
LOST: Final = "package lost; to be built again"
FULL: Final = "Is the disk full, or read-only? Free some space, then give the same command again."


class Rows:
    """The cases, events, receipts and kept answers of one database.

    Parameters
    ----------
    packages
        The folder that the packages are in.
    log
        Where each event is told as well.
    """

    def __init__(self, database: sqlite3.Connection, packages: Path, log: AuditLog) -> None:
        self._database = database
        self._packages = packages
        self._journal = Journal(database, log)
        self._told = False

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # -- looking -----------------------------------------------------------------------------------

    def get(self, case_id: str) -> OutboxCase:
        """Return a case.

        Raises
        ------
        InputError
            If there is none of that id.
        """
        found = self._select("WHERE case_id = ?", (normalise_case_id(case_id) or "",))
        if not found:
            raise no_case()
        return found[0]

    def find(self, study_set: str) -> OutboxCase | None:
        """Return the newest case of some studies that went further than a draft."""
        found = self._select("WHERE study_set = ? AND state != 'draft' ORDER BY number DESC LIMIT 1", (study_set,))
        return found[0] if found else None

    def list(self) -> tuple[OutboxCase, ...]:
        """Return every case, oldest first."""
        return self._select("ORDER BY number", ())

    def pending(self) -> tuple[OutboxCase, ...]:
        """Return the cases that are approved and not delivered, oldest first."""
        return self._select("WHERE state IN ('ready', 'sending') ORDER BY number", ())

    def events(self, case_id: str) -> tuple[tuple[str, str], ...]:
        """Return time and text of what happened to a case, in order. They stay when the case is dropped."""
        rows = self._rows("SELECT at, what FROM events WHERE case_id = ? ORDER BY number", (case_id,))
        return tuple((str(at), str(what)) for at, what in rows)

    def was_sent(self, case_id: str) -> bool:
        """Whether sending it ever began, so that its destination may have it, whatever is known here."""
        return any(what == SENDING for _, what in self.events(case_id))

    def lost(self) -> tuple[OutboxCase, ...]:
        """Return the cases whose package has gone from the disk, and that were not built again yet."""
        return tuple(
            case for case in self.list() if case.state is State.DRAFT and self._last_event(case.case_id) == LOST
        )

    def _last_event(self, case_id: str) -> str:
        told = self.events(case_id)
        return told[-1][1] if told else ""

    def receipts(self, case_id: str) -> tuple[bytes, ...]:
        """Return every receipt of a case: of its submission, amendments and withdrawal, in order."""
        rows = self._rows("SELECT document FROM receipts WHERE case_id = ? ORDER BY number", (case_id,))
        return tuple(bytes(document) for (document,) in rows)

    # -- answers of an interrupted dialogue --------------------------------------------------------

    def save_draft(self, study_set: str, answers: bytes) -> None:
        """Keep de-identified answers, so that an interrupted dialogue can go on."""
        with self._transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO drafts (study_set, answers, at) VALUES (?, ?, ?)",
                (study_set, answers, now()),
            )

    def draft(self, study_set: str) -> bytes | None:
        """Return kept answers."""
        rows = self._rows("SELECT answers FROM drafts WHERE study_set = ?", (study_set,))
        return bytes(rows[0][0]) if rows else None

    def forget_draft(self, study_set: str) -> None:
        """Remove kept answers."""
        with self._transaction():
            self._database.execute("DELETE FROM drafts WHERE study_set = ?", (study_set,))

    # -- the database ------------------------------------------------------------------------------

    def _rows(self, query: str, values: tuple[str, ...]) -> tuple[tuple[Any, ...], ...]:
        try:
            with closing(self._database.execute(query, values)) as rows:
                return tuple(rows)
        except sqlite3.Error:
            raise NotDeliveredError("The outbox cannot be read.", hint=LOCAL) from None

    def _select(self, where: str, values: tuple[str, ...]) -> tuple[OutboxCase, ...]:
        columns = (
            "number, case_id, study_set, state, destination, package_sha256, manifest_sha256, size, objects,"
            " case_json, clinical_json, attestation, contributor, upload_url, receipt, created, registry, origin,"
            " revision"
        )
        query = f"SELECT {columns} FROM cases {where}"  # noqa: S608 - texts of ours
        found = []
        for row in self._rows(query, values):
            named = dict(zip(columns.split(", "), row, strict=True))
            named["state"] = State(named["state"])
            named["origin"] = Origin.parse(named["origin"])
            found.append(OutboxCase(**named, path=self._packages / f"{named['case_id']}.zip"))
        return tuple(found)

    def _set(self, case_id: str, what: str, new_receipt: bytes = b"", **values: object) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self._transaction():
            done = self._database.execute(
                f"UPDATE cases SET {assignments}, revision = revision + 1 WHERE case_id = ?",  # noqa: S608 - names of ours
                (*(value if isinstance(value, bytes) else str(value) for value in values.values()), case_id),
            )
            if done.rowcount != 1:
                raise no_case()
            if new_receipt:
                self._database.execute(
                    "INSERT OR IGNORE INTO receipts (case_id, document) VALUES (?, ?)", (case_id, new_receipt)
                )
            self._event(case_id, what)

    def _event(self, case_id: str, what: str) -> None:
        self._database.execute("INSERT INTO events (case_id, at, what) VALUES (?, ?, ?)", (case_id, now(), what))
        self._told = True

    def _tell(self) -> None:
        """Bring the audit log up to the events. Where that fails now, it is done when the outbox is opened next."""
        self._told = False
        with suppress(BstiError, sqlite3.Error):
            self._journal.catch_up()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except BaseException as fault:
            with suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            if isinstance(fault, sqlite3.Error):
                raise NotDeliveredError("The outbox cannot be written to.", hint=FULL) from None
            raise
        if self._told:
            self._tell()


def restore(database: sqlite3.Connection, record: Record) -> None:
    """Write a case again as its file has it: one that a damaged database lost, or of which it lost the newest changes."""
    values = {name: getattr(record, name) for name in COLUMNS} | {"state": str(record.state), "upload_url": ""}
    taken = database.execute(
        "SELECT 1 FROM cases WHERE number = ? AND case_id != ?", (record.number, record.case_id)
    ).fetchone()
    if taken:
        values["number"] = None  # the next free one
    database.execute("DELETE FROM cases WHERE case_id = ?", (record.case_id,))
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    database.execute(f"INSERT INTO cases ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608 - names of ours
    for receipt in record.receipts:
        database.execute("INSERT OR IGNORE INTO receipts (case_id, document) VALUES (?, ?)", (record.case_id, receipt))
    database.execute(
        "INSERT INTO events (case_id, at, what) VALUES (?, ?, 'rebuilt from its record')", (record.case_id, now())
    )


def no_case() -> InputError:
    """Return the error for an id that no case has."""
    return InputError("There is no case of that id in the outbox.", hint="See: bsti-submit outbox list")


def now() -> str:
    """Return the time for an event. Nothing is ordered by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
