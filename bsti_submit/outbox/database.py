"""The outbox's database file: opening it so that what is committed stays, and putting a damaged one aside."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bsti_submit.errors import BstiError, NotDeliveredError, SettingsError
from bsti_submit.outbox.journal import SCHEMA as JOURNAL

VERSION: Final = 2
LOCAL: Final = "Set BSTI_HOME to a folder on a local disk that you can write to."
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS cases (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  case_id TEXT NOT NULL UNIQUE,
  study_set TEXT NOT NULL,
  state TEXT NOT NULL,
  destination TEXT NOT NULL DEFAULT '',
  package_sha256 TEXT NOT NULL DEFAULT '',
  manifest_sha256 TEXT NOT NULL DEFAULT '',
  size INTEGER NOT NULL DEFAULT 0,
  objects INTEGER NOT NULL DEFAULT 0,
  case_json BLOB NOT NULL DEFAULT x'',
  clinical_json BLOB NOT NULL DEFAULT x'',
  attestation BLOB NOT NULL DEFAULT x'',
  contributor BLOB NOT NULL DEFAULT x'',
  upload_url TEXT NOT NULL DEFAULT '',
  receipt BLOB NOT NULL DEFAULT x'',
  created TEXT NOT NULL,
  registry TEXT NOT NULL DEFAULT '',
  origin TEXT NOT NULL DEFAULT '',
  revision INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_study_set ON cases (study_set);
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY AUTOINCREMENT, case_id TEXT NOT NULL, at TEXT NOT NULL, what TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS events_stay BEFORE UPDATE ON events
  BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_remain BEFORE DELETE ON events
  BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TABLE IF NOT EXISTS receipts (
  number INTEGER PRIMARY KEY AUTOINCREMENT, case_id TEXT NOT NULL, document BLOB NOT NULL, UNIQUE (case_id,
  document)
);
CREATE TABLE IF NOT EXISTS drafts (study_set TEXT PRIMARY KEY, answers BLOB NOT NULL, at TEXT NOT NULL);
"""


_ADDED: Final = {
    "registry": "TEXT NOT NULL DEFAULT ''",
    "origin": "TEXT NOT NULL DEFAULT ''",
    "revision": "INTEGER NOT NULL DEFAULT 0",
}
"""Columns of `cases` that earlier versions did not have."""


class DamagedError(Exception):
    """The file is there but is no sound database."""


def connected(path: Path) -> sqlite3.Connection:
    """Open or make the database.

    Raises
    ------
    DamagedError
        If the file is damaged.
    NotDeliveredError
        If another process holds it for long.
    SettingsError
        If it cannot be opened or written to, or a newer version made it.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        database = sqlite3.connect(path, timeout=30, isolation_level=None)
    except (OSError, sqlite3.Error):
        raise SettingsError("The outbox cannot be opened.", hint=LOCAL) from None
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        _require_sound(database)
        database.executescript(_SCHEMA + JOURNAL)
        _complete(database)
        database.execute(f"PRAGMA user_version={VERSION}")
    except sqlite3.Error as fault:
        database.close()
        raise _meaning(fault) from None
    except BaseException:
        database.close()
        raise
    return database


def _require_sound(database: sqlite3.Connection) -> None:
    if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise DamagedError
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise SettingsError("The outbox was made by a newer version.", hint="Update bsti-submit on this machine.")


def _complete(database: sqlite3.Connection) -> None:
    """Bring the table of an earlier version up to date."""
    known = {str(row[1]) for row in database.execute("PRAGMA table_info(cases)")}
    for name, kind in _ADDED.items():
        if name not in known:
            database.execute(f"ALTER TABLE cases ADD COLUMN {name} {kind}")


def _meaning(fault: sqlite3.Error) -> BstiError | DamagedError:
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DamagedError()
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return NotDeliveredError("Another bsti-submit holds the outbox.", hint="Wait for it, then try again.")
    return SettingsError("The outbox cannot be opened or written to.", hint=f"Is the disk full? {LOCAL}")


def put_aside(path: Path) -> None:
    """Rename a damaged database and its companions, so that nobody loses what can still be read from them."""
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    number = 0
    while Path(f"{path}.damaged-{stamp}-{number}").exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{path}.damaged-{stamp}-{number}{suffix}")
