"""The durable seam: cases with their packages and what happened to them, safe against `kill -9` at any point.

SQLite in WAL mode with ``synchronous=FULL`` on a local disk, packages beside it. Only de-identified bytes and records
come here. A package is moved in and its row written so that after a crash at any point either nothing of it is there or
all of it: the row names the file before the move, and opening the outbox finishes or undoes what was under way.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from filelock import FileLock, Timeout

from bsti_submit.bundle import CASE_RECORD, CLINICAL_RECORD, LARGEST_RECORD, PackageReader, file_sha256
from bsti_submit.errors import InputError, NotDeliveredError, SettingsError
from bsti_submit.model import new_case_id, normalise_case_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from bsti_submit.bundle import Package

NETWORK_FILE_SYSTEMS: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "ncpfs", "webdav", "davfs")
)
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
  created TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_study_set ON cases (study_set);
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY AUTOINCREMENT, case_id TEXT NOT NULL, at TEXT NOT NULL, what TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS drafts (study_set TEXT PRIMARY KEY, answers BLOB NOT NULL, at TEXT NOT NULL);
"""


class State(StrEnum):
    """Where a case stands on this machine."""

    DRAFT = "draft"
    PACKAGED = "packaged"
    READY = "ready"
    SENDING = "sending"
    DELIVERED = "delivered"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


UNDELIVERED: Final = (State.DRAFT, State.PACKAGED, State.READY, State.SENDING)


@dataclass(frozen=True, slots=True)
class OutboxCase:
    """One case as the outbox knows it. ``path`` is its package, which is gone once a signed receipt is stored."""

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
    upload_url: str
    receipt: bytes
    created: str
    path: Path

    def record(self) -> dict[str, object]:
        """Return the packaged case record."""
        return dict(json.loads(self.case_json)) if self.case_json else {}


class Outbox:
    """The outbox of this machine. Use it as a context manager.

    Raises
    ------
    SettingsError
        If it lies on a network share, or cannot be opened.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "outbox"
        self._staging = self._folder / "staging"
        try:
            for folder in (self._folder, self._staging, self._folder / "packages"):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            raise SettingsError("The outbox cannot be made in the home folder.", hint=_LOCAL) from None
        if is_network_share(self._folder):
            raise SettingsError(
                "The home folder is on a network share, where a crash could lose a case.", hint=_LOCAL
            )
        self._database = self._open(self._folder / "outbox.sqlite")
        self._recover()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def _open(self, path: Path) -> sqlite3.Connection:
        try:
            return _connected(path)
        except sqlite3.DatabaseError as fault:
            if isinstance(fault, sqlite3.OperationalError) and "malformed" not in str(fault):
                raise SettingsError("The outbox cannot be opened.", hint=_LOCAL) from None
        except OSError:
            raise SettingsError("The outbox cannot be opened.", hint=_LOCAL) from None
        return self._rebuilt(path)

    def _rebuilt(self, path: Path) -> sqlite3.Connection:
        """Put a damaged database aside and build another from the packages' own records."""
        stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{path}{suffix}").replace(f"{path}{suffix}.damaged-{stamp}")
        database = _connected(path)
        for package in sorted((self._folder / "packages").glob("*.zip")):
            with suppress(InputError, OSError), PackageReader(package) as reader:
                if reader.problems():
                    continue
                database.execute(
                    "INSERT INTO cases (case_id, study_set, state, package_sha256, manifest_sha256, size, objects,"
                    " case_json, clinical_json, created) VALUES (?, '', ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        reader.case_id,
                        State.PACKAGED,
                        file_sha256(package),
                        reader.manifest_sha256(),
                        package.stat().st_size,
                        len(reader.images()),
                        reader.read(CASE_RECORD, largest=LARGEST_RECORD),
                        reader.read(CLINICAL_RECORD, largest=LARGEST_RECORD),
                        _now(),
                    ),
                )
                database.execute(
                    "INSERT INTO events (case_id, at, what) VALUES (?, ?, 'rebuilt from its package')",
                    (reader.case_id, _now()),
                )
        return database

    def _recover(self) -> None:
        """Finish or undo what a crash left half done."""
        for case in self.list():
            staged = self._staging / case.path.name
            if case.package_sha256 and case.receipt and _is_signed(case.receipt):
                with suppress(OSError):
                    case.path.unlink()
            elif case.package_sha256 and not case.path.exists() and case.state in UNDELIVERED:
                if staged.exists() and file_sha256(staged) == case.package_sha256:
                    self._move_in(staged, case.path)
                elif case.state is State.PACKAGED:
                    self._reset(case.case_id)
        named = {case.path.name for case in self.list() if case.package_sha256}
        for path in (self._folder / "packages").glob("*.zip"):
            if path.name not in named:
                with suppress(OSError):
                    path.unlink()

    def clear_staging(self) -> None:
        """Remove packages that were never finished. Only while no other process builds one."""
        with suppress(Timeout), self._lock("build").acquire(timeout=0):
            for path in self._staging.glob("*.zip"):
                with suppress(OSError):
                    path.unlink()

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._folder / f"{name}.lock", mode=0o600)

    @contextmanager
    def building(self, study_set: str) -> Iterator[None]:
        """Hold the studies for the time of building, so that two runs do not make two cases of them.

        Raises
        ------
        NotDeliveredError
            If another run has them.
        """
        lock = self._lock(f"studies-{study_set[:32]}")
        try:
            with lock.acquire(timeout=0):
                yield
        except Timeout:
            raise NotDeliveredError(
                "Another run is working on these very studies.", hint="Wait for it, then try again."
            ) from None
        finally:
            with suppress(OSError):
                Path(lock.lock_file).unlink()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Be the one sender of this machine.

        Raises
        ------
        NotDeliveredError
            If another process is sending.
        """
        try:
            with self._lock("sender").acquire(timeout=0):
                yield
        except Timeout:
            raise NotDeliveredError(
                "Another bsti-submit on this machine is sending; the case is safe in the outbox.",
                hint="It will be sent by: bsti-submit outbox send",
            ) from None

    def reserve(self, study_set: str) -> str:
        """Return the case id for some studies: the same one again until a package of them is made."""
        with self._transaction():
            row = self._database.execute(
                "SELECT case_id FROM cases WHERE study_set = ? AND state = ?", (study_set, State.DRAFT)
            ).fetchone()
            if row:
                return str(row[0])
            case_id = new_case_id()
            self._database.execute(
                "INSERT INTO cases (case_id, study_set, state, created) VALUES (?, ?, ?, ?)",
                (case_id, study_set, State.DRAFT, _now()),
            )
            self._event(case_id, "begun")
        return case_id

    def staging(self, case_id: str) -> Path:
        """Return where to build a package."""
        return self._staging / f"{case_id}.zip"

    def store(self, package: Package, case_json: bytes, clinical_json: bytes, *, contributor: bytes = b"") -> None:
        """Take a finished package in: its row first, then the file by one rename.

        Raises
        ------
        NotDeliveredError
            If the disk is full or fails.
        """
        if package.path is None:
            raise ValueError("a counted package cannot be stored")
        try:
            with self._transaction():
                self._database.execute(
                    "UPDATE cases SET state = ?, package_sha256 = ?, manifest_sha256 = ?, size = ?, objects = ?,"
                    " case_json = ?, clinical_json = ?, contributor = ?, upload_url = '' WHERE case_id = ?",
                    (
                        State.PACKAGED,
                        package.sha256,
                        package.manifest_sha256,
                        package.size,
                        package.objects,
                        case_json,
                        clinical_json,
                        contributor,
                        package.case_id,
                    ),
                )
                self._event(package.case_id, "packaged")
            self._move_in(package.path, self.get(package.case_id).path)
        except (OSError, sqlite3.Error):
            raise NotDeliveredError("The outbox cannot be written to.", hint="Is the disk full?") from None

    @staticmethod
    def _move_in(staged: Path, path: Path) -> None:
        try:
            os.replace(staged, path)
        except FileNotFoundError:
            if not path.exists():  # unless another process, opening the outbox, has finished this very move
                raise
        if os.name == "posix":
            for folder in {path.parent, staged.parent}:
                descriptor = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def approve(self, case_id: str, attestation: bytes, destination: str) -> None:
        """Release a package for sending, under an attestation."""
        self._set(case_id, "approved", state=State.READY, attestation=attestation, destination=destination)

    def mark_sending(self, case_id: str) -> None:
        """Note that sending began."""
        self._set(case_id, "sending", state=State.SENDING)

    def note(self, case_id: str, what: str) -> None:
        """Append an event; a fixed text without any value."""
        with self._transaction():
            self._event(case_id, what)

    def record_upload(self, case_id: str, url: str) -> None:
        """Keep the address of the upload, which is a secret; empty to forget it."""
        self._set(case_id, "upload opened" if url else "upload closed", upload_url=url)

    def delivered(self, case_id: str, receipt: bytes) -> None:
        """Store the receipt, then delete the package if the receipt is signed."""
        self._set(case_id, "delivered", state=State.DELIVERED, receipt=receipt, upload_url="")
        if _is_signed(receipt):
            with suppress(OSError):
                self.get(case_id).path.unlink()

    def refused(self, case_id: str) -> None:
        """Note that the registry refused the case. The package stays."""
        self._set(case_id, "refused", state=State.REFUSED, upload_url="")

    def withdrawn(self, case_id: str, receipt: bytes) -> None:
        """Note that a case was taken back."""
        self._set(case_id, "withdrawn", state=State.WITHDRAWN, receipt=receipt)
        with suppress(OSError):
            self.get(case_id).path.unlink()

    def amended(self, case_id: str, clinical_json: bytes, receipt: bytes) -> None:
        """Keep the record that supersedes the first, and its receipt as an event's companion."""
        self._set(case_id, "amended", clinical_json=clinical_json, receipt=receipt)

    def drop(self, case_id: str) -> None:
        """Remove a case that was not delivered, with its package.

        Raises
        ------
        InputError
            If it was delivered: what was sent is taken back by `withdraw`.
        """
        case = self.get(case_id)
        if case.state not in {*UNDELIVERED, State.REFUSED}:
            raise InputError(
                "That case was delivered, so it is not dropped.", hint=f"Take it back with: bsti-submit withdraw {case_id}"
            )
        with self._transaction():
            self._event(case_id, "dropped")
            self._database.execute("DELETE FROM cases WHERE case_id = ?", (case_id,))
        with suppress(OSError):
            case.path.unlink()

    def _reset(self, case_id: str) -> None:
        self._set(case_id, "the package was lost and is built again", state=State.DRAFT, package_sha256="")

    def get(self, case_id: str) -> OutboxCase:
        """Return a case.

        Raises
        ------
        InputError
            If there is none of that id.
        """
        found = self._select("WHERE case_id = ?", (normalise_case_id(case_id) or "",))
        if not found:
            raise InputError("There is no case of that id in the outbox.", hint="See: bsti-submit outbox list")
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
        """Return time and text of what happened to a case."""
        rows = self._database.execute("SELECT at, what FROM events WHERE case_id = ? ORDER BY number", (case_id,))
        return tuple((str(at), str(what)) for at, what in rows)

    def save_draft(self, study_set: str, answers: bytes) -> None:
        """Keep de-identified answers, so that an interrupted dialogue can go on."""
        with self._transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO drafts (study_set, answers, at) VALUES (?, ?, ?)", (study_set, answers, _now())
            )

    def draft(self, study_set: str) -> bytes | None:
        """Return kept answers."""
        row = self._database.execute("SELECT answers FROM drafts WHERE study_set = ?", (study_set,)).fetchone()
        return bytes(row[0]) if row else None

    def forget_draft(self, study_set: str) -> None:
        """Remove kept answers."""
        with self._transaction():
            self._database.execute("DELETE FROM drafts WHERE study_set = ?", (study_set,))

    def _select(self, where: str, values: tuple[str, ...]) -> tuple[OutboxCase, ...]:
        columns = (
            "number, case_id, study_set, state, destination, package_sha256, manifest_sha256, size, objects, case_json,"
            " clinical_json, attestation, contributor, upload_url, receipt, created"
        )
        with closing(self._database.execute(f"SELECT {columns} FROM cases {where}", values)) as rows:  # noqa: S608
            return tuple(
                OutboxCase(
                    row[0],
                    row[1],
                    row[2],
                    State(row[3]),
                    *row[4:],
                    path=self._folder / "packages" / f"{row[1]}.zip",
                )
                for row in rows
            )

    def _set(self, case_id: str, what: str, **values: object) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self._transaction():
            done = self._database.execute(
                f"UPDATE cases SET {assignments} WHERE case_id = ?",  # noqa: S608 - names of ours
                (*(value if isinstance(value, bytes) else str(value) for value in values.values()), case_id),
            )
            if done.rowcount != 1:
                raise InputError("There is no case of that id in the outbox.", hint="See: bsti-submit outbox list")
            self._event(case_id, what)

    def _event(self, case_id: str, what: str) -> None:
        self._database.execute("INSERT INTO events (case_id, at, what) VALUES (?, ?, ?)", (case_id, _now(), what))

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
                raise NotDeliveredError(
                    "The outbox cannot be written to.", hint="Is the disk full, or read-only?"
                ) from None
            raise


_LOCAL: Final = "Set BSTI_HOME to a folder on a local disk that you can write to."


def _connected(path: Path) -> sqlite3.Connection:
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    database = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("malformed")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _is_signed(receipt: bytes) -> bool:
    try:
        return bool(json.loads(receipt).get("signature"))
    except (ValueError, AttributeError):
        return False


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_network_share(folder: Path) -> bool:
    """Whether a folder lies on a network share, as far as this system tells."""
    whole = folder.resolve()
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415

        if str(whole).startswith("\\\\"):
            return True
        return int(ctypes.windll.kernel32.GetDriveTypeW(f"{whole.drive}\\")) == 4  # noqa: PLR2004 - DRIVE_REMOTE
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for line in mounts:
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004
            continue
        point = fields[1].replace("\\040", " ")
        if (str(whole) == point or str(whole).startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind in NETWORK_FILE_SYSTEMS
