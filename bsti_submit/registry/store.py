"""The registry's database: SQLite in WAL mode, every commit durable, for server and terminal at once."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bsti_submit.registry.folder import Folder

VERSION = 1

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE token (
  id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, site TEXT NOT NULL, role TEXT NOT NULL,
  created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER) STRICT;
CREATE TABLE cases (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, site TEXT NOT NULL, state TEXT NOT NULL,
  version INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,
  body_sha256 TEXT NOT NULL, package_sha256 TEXT NOT NULL, package_size INTEGER NOT NULL,
  manifest_sha256 TEXT NOT NULL, objects INTEGER NOT NULL, deid TEXT, attestation TEXT,
  profile TEXT NOT NULL, profile_version TEXT NOT NULL, recipe_sha256 TEXT NOT NULL,
  file_id TEXT, received INTEGER, retain_until INTEGER, query_text TEXT, query_at INTEGER,
  reason TEXT, urgent INTEGER NOT NULL DEFAULT 0, purge_by INTEGER, purged INTEGER) STRICT;
CREATE INDEX cases_by_site ON cases (site, seq);
CREATE TABLE clinical (
  case_id TEXT NOT NULL, revision INTEGER NOT NULL, record TEXT, sha256 TEXT NOT NULL, attestation TEXT,
  at INTEGER NOT NULL, PRIMARY KEY (case_id, revision)) STRICT;
CREATE TABLE contributor (case_id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE history (
  seq INTEGER PRIMARY KEY, case_id TEXT NOT NULL, state TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX history_by_case ON history (case_id, seq);
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, case_id TEXT NOT NULL, event TEXT NOT NULL, actor TEXT NOT NULL,
  at INTEGER NOT NULL) STRICT;
CREATE INDEX event_by_case ON event (case_id, seq);
CREATE TABLE finding (
  seq INTEGER PRIMARY KEY, case_id TEXT NOT NULL, object TEXT NOT NULL, rule TEXT NOT NULL,
  detail TEXT NOT NULL) STRICT;
CREATE INDEX finding_by_case ON finding (case_id, seq);
CREATE TABLE receipt (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, case_id TEXT NOT NULL, kind TEXT NOT NULL,
  revision INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
CREATE INDEX receipt_by_case ON receipt (case_id, kind, seq);
CREATE TABLE upload (
  uid TEXT PRIMARY KEY, case_id TEXT NOT NULL, site TEXT NOT NULL, sha256 TEXT NOT NULL,
  metadata TEXT NOT NULL, length INTEGER NOT NULL, offset INTEGER NOT NULL,
  file_id TEXT NOT NULL UNIQUE, expires INTEGER NOT NULL, ended INTEGER) STRICT;
CREATE INDEX upload_by_case ON upload (case_id);
CREATE TABLE idempotency (
  site TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, status INTEGER NOT NULL,
  headers TEXT NOT NULL, body TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (site, key)) STRICT;
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, role TEXT NOT NULL, action TEXT NOT NULL,
  case_id TEXT NOT NULL, request TEXT NOT NULL, chain TEXT NOT NULL) STRICT;
"""


class Store:
    """One connection, one writer at a time within the process; SQLite keeps processes apart.

    Parameters
    ----------
    folder
        The data folder.
    clock
        Seconds since the epoch; tests move it.
    """

    def __init__(self, folder: Folder, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._connection = self._connect()

    def now(self) -> int:
        """Return whole seconds since the epoch."""
        return int(self._clock())

    def close(self) -> None:
        """Close the database. The write-ahead log needs no closing to be safe."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run one atomic change: durable when this returns, undone if it raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # on a full disk SQLite may have undone it itself
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read one consistent view."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")

    def meta(self, name: str, default: str) -> str:
        """Return a stored setting, storing the default first if there is none."""
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, default))
            return str(db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    def set_meta(self, name: str, value: str) -> None:
        """Store a setting."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def scrub(self) -> None:
        """Push erased rows out of the write-ahead log too."""
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> sqlite3.Connection:
        path = self.folder.database
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=20, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Purged records are overwritten, not merely unlinked.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise RuntimeError("this data folder was made by another version")  # noqa: TRY301 - closed as after any fault
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.close()
            raise
        return connection
