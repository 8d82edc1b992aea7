"""The panel's decisions, from the terminal or the wire; and purging what was withdrawn."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, cast

from bsti_submit.registry import audit, records, strictjson
from bsti_submit.registry.folder import sync_folder
from bsti_submit.registry.problems import Problem
from bsti_submit.registry.records import State
from bsti_submit.registry.settings import utc

if TYPE_CHECKING:
    import sqlite3

    from bsti_submit.registry.store import Store
    from bsti_submit.registry.strictjson import Object


class Decision(StrEnum):
    """What the panel can decide."""

    APPROVE = "approve"
    REJECT = "reject"
    QUERY = "query"
    PUBLISH = "publish"


_LEADS_TO = {
    Decision.APPROVE: State.APPROVED,
    Decision.REJECT: State.REJECTED,
    Decision.PUBLISH: State.PUBLISHED,
}
_DONE = {Decision.APPROVE: "approved", Decision.REJECT: "rejected", Decision.PUBLISH: "published"}


class Review:
    """Received cases as the panel sees them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, state: str | None = None) -> list[Object]:
        """Return all received cases, oldest first."""
        with self._store.transaction() as db:
            rows = db.execute(
                "SELECT * FROM cases WHERE received IS NOT NULL AND (? IS NULL OR state = ?) ORDER BY seq",
                (state, state),
            ).fetchall()
            audit.record(db, self._store.now(), "terminal", "panel", "cases-listed")
        return [
            {"id": row["id"], "site": row["site"], "state": row["state"], "received": utc(row["received"])}
            for row in rows
        ]

    def show(self, case_id: str) -> Object:
        """Return a received case with its clinical record and where its package is.

        Raises
        ------
        Problem
            ``not-found``.
        """
        with self._store.transaction() as db:
            row = self._row(db, case_id)
            audit.record(db, self._store.now(), "terminal", "panel", "case-read", case_id)
            shown = records.describe(db, row)
            record = records.clinical(db, case_id)["record"]
        shown["site"] = row["site"]
        shown["clinical"] = None if record is None else strictjson.loads(record.encode())
        shown["package"] = str(self._store.folder.package(row["file_id"])) if row["file_id"] else None
        return shown

    def decide(
        self,
        case_id: str,
        decision: Decision,
        text: str = "",
        *,
        actor: str = "terminal",
        request_id: str = "",
    ) -> tuple[Object, str]:
        """Decide on a case. The same decision again changes nothing.

        Returns
        -------
        tuple
            The case as the API shows it, and its entity tag.

        Raises
        ------
        Problem
            ``not-found``; ``bad-state``; ``invalid-request`` for a query without a text.
        """
        role = "panel" if actor == "terminal" else actor.partition(":")[0]
        now = self._store.now()
        with self._store.transaction() as db:
            row = self._row(db, case_id)
            if decision is Decision.QUERY:
                self._query(db, row, text, role, now)
            elif records.state_of(row) is not _LEADS_TO[decision]:
                records.move(db, row, _LEADS_TO[decision], now)
                records.event(db, case_id, _DONE[decision], role, now)
                if decision is Decision.REJECT:
                    db.execute(
                        "UPDATE cases SET reason = ?, query_text = NULL, query_at = NULL WHERE id = ?",
                        (text or "not given", case_id),
                    )
            audit.record(db, now, actor, role, f"case-{decision.value}", case_id, request_id)
            row = cast("sqlite3.Row", records.find(db, case_id))
            return records.describe(db, row), records.etag(row)

    def _query(self, db: sqlite3.Connection, row: sqlite3.Row, text: str, role: str, now: int) -> None:
        if not text.strip():
            raise Problem("invalid-request", "A query needs its text.")
        if records.state_of(row) is not State.IN_REVIEW:
            raise Problem("bad-state", f"A case that is {row['state']} takes no query.")
        if row["query_text"] != text:
            db.execute("UPDATE cases SET query_text = ?, query_at = ? WHERE id = ?", (text, now, row["id"]))
            records.touch(db, row["id"], now)
            records.event(db, row["id"], "query", role, now)

    def _row(self, db: sqlite3.Connection, case_id: str) -> sqlite3.Row:
        row = records.find(db, case_id)
        if row is None or row["received"] is None:
            raise Problem("not-found", "There is no such received case.")
        return row


def forget_drafts(store: Store, older_than: int) -> int:
    """Erase cases that were announced and never arrived: nobody signed for them, so no tombstone is owed.

    Their clinical records must not lie about for good. The sender may announce the same case again.
    """
    now = store.now()
    with store.transaction() as db:
        rows = db.execute(
            "SELECT id FROM cases WHERE state = ? AND received IS NULL AND updated <= ?",
            (State.DRAFT.value, now - older_than),
        ).fetchall()
        for row in rows:
            for table in ("clinical", "contributor", "history", "event", "upload"):
                db.execute(f"DELETE FROM {table} WHERE case_id = ?", (row["id"],))  # noqa: S608 - names of ours
            db.execute("DELETE FROM cases WHERE id = ?", (row["id"],))
            audit.record(db, now, "registry", "registry", "draft-forgotten", row["id"])
    if rows:
        store.scrub()
    return len(rows)


def purge_due(store: Store) -> list[str]:
    """Erase the bytes and records of every withdrawn case whose time has come; return the case ids.

    An urgent withdrawal is due at once. A case past its retention date is ended first. A tombstone stays: id,
    site, digests, times, the reason's code, the receipts. Safe to repeat after a crash at any point.
    """
    now = store.now()
    with store.transaction() as db:
        for row in db.execute(
            "SELECT * FROM cases WHERE retain_until <= ? AND state <> ?", (now, State.WITHDRAWN.value)
        ).fetchall():
            records.move(db, row, State.WITHDRAWN, now)
            db.execute(
                "UPDATE cases SET reason = 'retention-ended', purge_by = ?, query_text = NULL WHERE id = ?",
                (now, row["id"]),
            )
            records.event(db, row["id"], "retention-ended", "registry", now)
        due = db.execute(
            "SELECT * FROM cases WHERE purged IS NULL AND purge_by IS NOT NULL AND (urgent OR purge_by <= ?)",
            (now,),
        ).fetchall()
    for row in due:
        if row["file_id"] is not None:
            store.folder.package(row["file_id"]).unlink(missing_ok=True)
            sync_folder(store.folder.packages)
        with store.transaction() as db:
            case_id = row["id"]
            db.execute(
                "UPDATE cases SET purged = ?, deid = NULL, attestation = NULL, query_text = NULL WHERE id = ?",
                (now, case_id),
            )
            db.execute("UPDATE clinical SET record = NULL, attestation = NULL WHERE case_id = ?", (case_id,))
            db.execute("DELETE FROM contributor WHERE case_id = ?", (case_id,))
            db.execute("DELETE FROM finding WHERE case_id = ?", (case_id,))
            records.touch(db, case_id, now)
            records.event(db, case_id, "purged", "registry", now)
            audit.record(db, now, "registry", "registry", "case-purged", case_id)
    if due:
        store.scrub()
    return [row["id"] for row in due]
