"""Who read or changed which case, when: a hash-chained table that shows a changed or missing row."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bsti_submit.registry import strictjson

if TYPE_CHECKING:
    import sqlite3

_START = "0" * 64


def record(
    db: sqlite3.Connection, at: int, actor: str, role: str, action: str, case_id: str = "", request: str = ""
) -> None:
    """Append one entry inside the caller's transaction.

    ``actor`` is a site's name or ``terminal``; ``action`` is a word such as ``case-read``; never a token.
    """
    row = db.execute("SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, before = (row["seq"] + 1, row["chain"]) if row else (1, _START)
    chain = _link(before, seq, at, actor, role, action, case_id, request)
    db.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, at, actor, role, action, case_id, request, chain),
    )


def verify(db: sqlite3.Connection) -> int | None:
    """Return the number of the first entry that was changed or follows a missing one; None if all is well."""
    before, expected = _START, 1
    for row in db.execute("SELECT * FROM audit ORDER BY seq"):
        chain = _link(
            before,
            row["seq"],
            row["at"],
            row["actor"],
            row["role"],
            row["action"],
            row["case_id"],
            row["request"],
        )
        if row["seq"] != expected or row["chain"] != chain:
            return int(row["seq"])
        before, expected = chain, expected + 1
    return None


def entries(db: sqlite3.Connection, case_id: str = "") -> list[dict[str, object]]:
    """Return the entries in order, those of one case if it is named."""
    query = "SELECT seq, at, actor, role, action, case_id, request FROM audit WHERE ? IN ('', case_id) ORDER BY seq"
    return [dict(row) for row in db.execute(query, (case_id,))]


def _link(before: str, *fields: str | int) -> str:
    return hashlib.sha256(strictjson.canonical([before, *fields])).hexdigest()
