"""Case rows and the one place that moves a case from state to state."""

from __future__ import annotations

import base64
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from bsti_submit.registry import strictjson
from bsti_submit.registry.problems import Problem
from bsti_submit.registry.settings import utc

if TYPE_CHECKING:
    import sqlite3

    from bsti_submit.registry.signing import Signer
    from bsti_submit.registry.strictjson import Object


class State(StrEnum):
    """Where a case is; see docs/registry-api.yaml."""

    DRAFT = "draft"
    UPLOADING = "uploading"
    RECEIVED = "received"
    VALIDATING = "validating"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    PUBLISHED = "published"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


OPEN = frozenset({State.DRAFT, State.UPLOADING})
"""The body may still be replaced, and bytes may come."""

_MOVES: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.UPLOADING}),
    State.UPLOADING: frozenset({State.DRAFT, State.RECEIVED}),
    State.RECEIVED: frozenset({State.VALIDATING}),
    State.VALIDATING: frozenset({State.IN_REVIEW, State.QUARANTINED, State.REJECTED}),
    State.IN_REVIEW: frozenset({State.APPROVED, State.REJECTED}),
    State.APPROVED: frozenset({State.PUBLISHED, State.IN_REVIEW}),
    State.PUBLISHED: frozenset({State.IN_REVIEW}),
    State.QUARANTINED: frozenset({State.REJECTED}),
    State.REJECTED: frozenset(),
    State.WITHDRAWN: frozenset(),
}


def may_move(old: State, new: State) -> bool:
    """Tell whether the states allow it. Anything but a withdrawn case can be withdrawn."""
    return new in _MOVES[old] or (new is State.WITHDRAWN and old is not State.WITHDRAWN)


def find(db: sqlite3.Connection, case_id: str) -> sqlite3.Row | None:
    """Return a case's row."""
    return cast("sqlite3.Row | None", db.execute("SELECT * FROM cases WHERE id = ?", (case_id,)).fetchone())


def state_of(row: sqlite3.Row) -> State:
    """Return a row's state."""
    return State(row["state"])


def etag(row: sqlite3.Row) -> str:
    """Return a row's entity tag (RFC 9110 8.8.3), which changes with everything a reader can see."""
    return f'"{row["version"]}"'


def touch(db: sqlite3.Connection, case_id: str, at: int) -> None:
    """Give a case a new version."""
    db.execute("UPDATE cases SET version = version + 1, updated = ? WHERE id = ?", (at, case_id))


def enter(db: sqlite3.Connection, case_id: str, state: State, at: int) -> None:
    """Note a state in the history."""
    db.execute("INSERT INTO history (case_id, state, at) VALUES (?, ?, ?)", (case_id, state.value, at))


def event(db: sqlite3.Connection, case_id: str, name: str, actor: str, at: int) -> None:
    """Note an event. ``actor`` is a role or ``registry``."""
    db.execute("INSERT INTO event (case_id, event, actor, at) VALUES (?, ?, ?, ?)", (case_id, name, actor, at))


def move(db: sqlite3.Connection, row: sqlite3.Row, state: State, at: int) -> None:
    """Move a case on, in the caller's transaction.

    Raises
    ------
    Problem
        ``bad-state`` if its present state does not lead there.
    """
    old = state_of(row)
    if not may_move(old, state):
        raise Problem("bad-state", f"A case that is {old} cannot become {state}.")
    db.execute("UPDATE cases SET state = ? WHERE id = ?", (state.value, row["id"]))
    touch(db, row["id"], at)
    enter(db, row["id"], state, at)


def clinical(db: sqlite3.Connection, case_id: str) -> sqlite3.Row:
    """Return the current clinical revision's row."""
    query = "SELECT * FROM clinical WHERE case_id = ? ORDER BY revision DESC LIMIT 1"
    return cast("sqlite3.Row", db.execute(query, (case_id,)).fetchone())


def receipt(db: sqlite3.Connection, case_id: str, kind: str) -> sqlite3.Row | None:
    """Return the newest receipt of a kind."""
    query = "SELECT * FROM receipt WHERE case_id = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
    return cast("sqlite3.Row | None", db.execute(query, (case_id, kind)).fetchone())


def sign_receipt(
    db: sqlite3.Connection, signer: Signer, registry_id: str, row: sqlite3.Row, kind: str, at: int
) -> Object:
    """Make, sign and store a receipt for the case as it is, in the caller's transaction."""
    revision = clinical(db, row["id"])
    document: Object = {
        "schema": "receipt/1.0",
        "kind": kind,
        "id": "R-" + base64.b32encode(secrets.token_bytes(5)).decode(),
        "registry": registry_id,
        "case_id": row["id"],
        "package_sha256": row["package_sha256"],
        "manifest_sha256": row["manifest_sha256"],
        "clinical_sha256": revision["sha256"],
        "profile": row["profile"],
        "profile_version": row["profile_version"],
        "recipe_sha256": row["recipe_sha256"],
        "objects": row["objects"],
        "received": utc(at),
    }
    signed = signer.sign(document)
    db.execute(
        "INSERT INTO receipt (id, case_id, kind, revision, document) VALUES (?, ?, ?, ?, ?)",
        (document["id"], row["id"], kind, revision["revision"], strictjson.canonical(signed).decode()),
    )
    return signed


def document(row: sqlite3.Row) -> Object:
    """Return a stored receipt."""
    return cast("Object", strictjson.loads(row["document"].encode()))


def describe(db: sqlite3.Connection, row: sqlite3.Row) -> Object:
    """Return the case as the API shows it."""
    case_id = row["id"]
    history = db.execute("SELECT state, at FROM history WHERE case_id = ? ORDER BY seq", (case_id,))
    findings = db.execute("SELECT object, rule, detail FROM finding WHERE case_id = ? ORDER BY seq", (case_id,))
    query: Object | None = None
    if row["query_text"] is not None:
        query = {"text": row["query_text"], "at": utc(row["query_at"])}
    return {
        "id": case_id,
        "state": row["state"],
        "history": [{"state": one["state"], "at": utc(one["at"])} for one in history],
        "findings": [dict(one) for one in findings],
        "query": query,
        "clinical_revision": clinical(db, case_id)["revision"],
        "reason": row["reason"],
        "purge_by": None if row["purge_by"] is None else utc(row["purge_by"]),
        "retain_until": None if row["retain_until"] is None else utc(row["retain_until"]),
    }
