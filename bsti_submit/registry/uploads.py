"""Resumable uploads (tus 1.0.0: creation, expiration, termination, checksum): bytes in, durable offsets out.

The stored offset counts only bytes that are on disk for certain: data are flushed before the offset is
committed, so after a crash the file may be longer than the offset but never shorter; the rest is cut off.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, cast

from bsti_submit.registry import audit, records
from bsti_submit.registry.problems import Fault, Problem
from bsti_submit.registry.records import OPEN, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from bsti_submit.registry.settings import Settings
    from bsti_submit.registry.store import Store
    from bsti_submit.registry.tokens import Principal

VERSION = "1.0.0"
EXTENSIONS = ("creation", "expiration", "termination", "checksum")
ALGORITHMS = ("sha1", "sha256")
_KEY = re.compile(r"[!-+\--~]{1,64}")
_METADATA_BYTES = 2048
_FULL_RETRY = {"Retry-After": "300"}
_LOCKED_RETRY = {"Retry-After": "1"}


@dataclass
class Holder:
    """Who writes to an upload. ``wanted`` says that another request waits for it."""

    wanted: bool = field(default=False)


class Uploads:
    """The uploads of one registry: their rows, files and locks."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self._holders: dict[str, Holder] = {}
        self._guard = threading.Lock()

    # -- what tus asks for ------------------------------------------------------------------------

    def create(self, principal: Principal, length: str | None, metadata: str | None, request_id: str) -> sqlite3.Row:
        """Open an upload for an announced case, or return the one that is open."""
        size = _number(length, "Upload-Length")
        values = _metadata(metadata)
        case_id, sha256 = values.get("case", ""), values.get("sha256", "")
        if size > self.settings.max_package:
            raise Problem("too-large", "The package is larger than this registry takes.")
        now = self.store.now()
        with self.store.transaction() as db:
            row = records.find(db, case_id)
            if row is None or row["site"] != principal.site:
                raise Problem("not-found", "There is no such case; announce it first.")
            if records.state_of(row) not in OPEN:
                raise Problem("bad-state", f"A case that is {row['state']} takes no upload.")
            if (sha256, size) != (row["package_sha256"], row["package_size"]):
                raise Problem("upload-mismatch", errors=[Fault("", "digest or length is not the announced one")])
            known = self._open_row(db, case_id, now)
            if known is not None:
                return known
            self._check_room(db, principal.site, size)
            uid = secrets.token_urlsafe(32)
            db.execute(
                "INSERT INTO upload VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, NULL)",
                (
                    uid,
                    case_id,
                    principal.site,
                    sha256,
                    metadata or "",
                    size,
                    secrets.token_hex(16),
                    now + self.settings.upload_expires,
                ),
            )
            if records.state_of(row) is State.DRAFT:
                records.move(db, row, State.UPLOADING, now)
            actor = f"{principal.site}/{principal.token_id}"
            audit.record(db, now, actor, principal.role.value, "upload-opened", case_id, request_id)
            return _row(db, uid)

    def find(self, principal: Principal, uid: str) -> sqlite3.Row:
        """Return one of the site's uploads.

        Raises
        ------
        Problem
            ``not-found``, also for another site's; ``upload-expired``.
        """
        with self.store.reading() as db:
            row = db.execute("SELECT * FROM upload WHERE uid = ?", (uid,)).fetchone()
        if row is None or row["site"] != principal.site:
            raise Problem("not-found")
        if row["ended"] is not None or row["expires"] <= self.store.now():
            raise Problem("upload-expired")
        return cast("sqlite3.Row", row)

    def advance(self, uid: str, offset: int) -> sqlite3.Row:
        """Commit a new offset; the bytes up to it must be on disk. Moves the expiry on."""
        now = self.store.now()
        with self.store.transaction() as db:
            changed = db.execute(
                "UPDATE upload SET offset = ?, expires = ? WHERE uid = ? AND ended IS NULL",
                (offset, now + self.settings.upload_expires, uid),
            ).rowcount
            if not changed:
                raise Problem("upload-expired")
            return _row(db, uid)

    def terminate(self, principal: Principal, uid: str) -> None:
        """Give an upload up; the case is a draft again."""
        row = self.find(principal, uid)
        with self.writing(uid):
            now = self.store.now()
            with self.store.transaction() as db:
                self.end_all(db, row["case_id"], now)
                self._back_to_draft(db, row["case_id"], now)

    @contextmanager
    def writing(self, uid: str) -> Iterator[Holder]:
        """Hold an upload against every other writer.

        Raises
        ------
        Problem
            ``upload-locked``; the present writer is told that it is waited for.
        """
        with self._guard:
            other = self._holders.get(uid)
            if other is not None:
                other.wanted = True
                raise Problem("upload-locked", headers=_LOCKED_RETRY)
            holder = self._holders[uid] = Holder()
        try:
            yield holder
        finally:
            with self._guard:
                del self._holders[uid]

    # -- what the cases ask for -------------------------------------------------------------------

    def open_address(self, db: sqlite3.Connection, case_id: str) -> str | None:
        """Return the address of a case's open upload."""
        row = self._open_row(db, case_id, self.store.now())
        return None if row is None else address(row)

    @contextmanager
    def complete(self, case_id: str) -> Iterator[str]:
        """Hold a case's complete upload and return its file's id.

        Raises
        ------
        Problem
            ``objects-missing`` if bytes are still to come.
        """
        with self.store.reading() as db:
            row = self._open_row(db, case_id, self.store.now())
        if row is None:
            raise Problem("objects-missing")
        with self.writing(row["uid"]):
            with self.store.reading() as db:
                row = _row(db, row["uid"])
            if self.durable(row) != row["length"] or row["ended"] is not None:
                raise Problem("objects-missing")
            yield str(row["file_id"])

    def durable(self, row: sqlite3.Row) -> int:
        """Return the offset, moved back if the file lost bytes after all."""
        path = self.store.folder.package(row["file_id"])
        size = path.stat().st_size if path.exists() else 0
        if size < row["offset"]:
            return int(self.advance(row["uid"], size)["offset"])
        return int(row["offset"])

    def restart(self, db: sqlite3.Connection, file_id: str) -> None:
        """Start an upload again at offset 0."""
        db.execute("UPDATE upload SET offset = 0 WHERE file_id = ?", (file_id,))

    def hand_over(self, db: sqlite3.Connection, file_id: str, now: int) -> None:
        """End an upload whose file now belongs to the case."""
        db.execute("UPDATE upload SET ended = ? WHERE file_id = ?", (now, file_id))

    def end_all(self, db: sqlite3.Connection, case_id: str, now: int) -> None:
        """End every upload of a case; `collect` removes the bytes."""
        db.execute("UPDATE upload SET ended = ? WHERE case_id = ? AND ended IS NULL", (now, case_id))

    # -- housekeeping -----------------------------------------------------------------------------

    def expire(self) -> None:
        """End abandoned uploads, and forget those that ended a while ago."""
        now = self.store.now()
        with self.store.transaction() as db:
            rows = db.execute("SELECT * FROM upload WHERE ended IS NULL AND expires <= ?", (now,)).fetchall()
            for row in rows:
                self.end_all(db, row["case_id"], now)
                self._back_to_draft(db, row["case_id"], now)
                records.event(db, row["case_id"], "upload-expired", "registry", now)
            db.execute("DELETE FROM upload WHERE ended <= ?", (now - self.settings.upload_expires,))

    def collect(self) -> int:
        """Remove files that belong to no live upload and no case. Return how many."""
        files = list(self.store.folder.packages.glob("*.zip"))
        with self.store.reading() as db:
            wanted = {row[0] for row in db.execute("SELECT file_id FROM upload WHERE ended IS NULL")}
            wanted |= {row[0] for row in db.execute("SELECT file_id FROM cases WHERE file_id IS NOT NULL")}
        gone = 0
        for file in files:
            if file.stem not in wanted:
                try:
                    file.unlink(missing_ok=True)
                except PermissionError:
                    continue  # a writer still has it open on Windows; the next round takes it
                gone += 1
        return gone

    def _open_row(self, db: sqlite3.Connection, case_id: str, now: int) -> sqlite3.Row | None:
        query = "SELECT * FROM upload WHERE case_id = ? AND ended IS NULL AND expires > ?"
        return cast("sqlite3.Row | None", db.execute(query, (case_id, now)).fetchone())

    def _back_to_draft(self, db: sqlite3.Connection, case_id: str, now: int) -> None:
        row = records.find(db, case_id)
        if row is not None and records.state_of(row) is State.UPLOADING:
            records.move(db, row, State.DRAFT, now)

    def _check_room(self, db: sqlite3.Connection, site: str, size: int) -> None:
        query = "SELECT count(*), coalesce(sum(length), 0) FROM upload WHERE site = ? AND ended IS NULL"
        count, total = db.execute(query, (site,)).fetchone()
        if count >= self.settings.open_uploads or total + size > self.settings.open_bytes:
            raise Problem("quota-exceeded", headers=_FULL_RETRY)
        if shutil.disk_usage(self.store.folder.root).free < size + self.settings.free_reserve:
            raise Problem("storage-full", headers=_FULL_RETRY)


def address(row: sqlite3.Row) -> str:
    """Return an upload's address, relative to the origin."""
    return f"/v1/uploads/{row['uid']}"


def headers(row: sqlite3.Row) -> dict[str, str]:
    """Return where an upload stands, as tus says it."""
    return {"Upload-Offset": str(row["offset"]), "Upload-Expires": formatdate(row["expires"], usegmt=True)}


def parse_checksum(header: str | None) -> tuple[str, bytes] | None:
    """Return algorithm and digest of an ``Upload-Checksum`` header.

    Raises
    ------
    Problem
        ``bad-request`` if it cannot be read or the algorithm is not offered.
    """
    if header is None:
        return None
    algorithm, _, encoded = header.partition(" ")
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if algorithm not in ALGORITHMS or not digest:
        raise Problem("bad-request", "Upload-Checksum is sha1 or sha256, a space, and the digest in base64.")
    return algorithm, digest


def parse_offset(header: str | None) -> int:
    """Return the ``Upload-Offset`` header."""
    return _number(header, "Upload-Offset")


def _number(text: str | None, name: str) -> int:
    if text is None or not re.fullmatch(r"[0-9]{1,16}", text):
        raise Problem("bad-request", f"{name} is a whole number and is needed.")
    return int(text)


def _metadata(text: str | None) -> dict[str, str]:
    """Return an ``Upload-Metadata`` header as names and UTF-8 values."""
    values: dict[str, str] = {}
    if not text or len(text) > _METADATA_BYTES:
        raise Problem("bad-request", "Upload-Metadata is needed, and at most 2048 characters.")
    for pair in text.split(","):
        key, _, encoded = pair.strip().partition(" ")
        try:
            value = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            key = ""
            value = ""
        if not _KEY.fullmatch(key) or key in values:
            raise Problem("bad-request", "Upload-Metadata is pairs of a key and a value in base64.")
        values[key] = value
    return values


def _row(db: sqlite3.Connection, uid: str) -> sqlite3.Row:
    return cast("sqlite3.Row", db.execute("SELECT * FROM upload WHERE uid = ?", (uid,)).fetchone())
