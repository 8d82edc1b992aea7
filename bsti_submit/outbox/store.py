"""The durable seam: cases, their packages and what happened to them, safe against `kill -9`.

SQLite in WAL mode with ``synchronous=FULL`` on a local disk, packages beside it. Only de-identified bytes and
records come here. A package is moved in and its row written so that after a crash at any point either nothing
of it is there or all of it: the row names the file before the move, and opening the outbox finishes or undoes what
was under way. Nothing is ordered by the clock, so it may jump.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from bsti_submit.audit import AuditLog
from bsti_submit.bundle import CASE_RECORD, CLINICAL_RECORD, LARGEST_RECORD, PackageReader, file_sha256
from bsti_submit.errors import ApprovalError, InputError, NotDeliveredError, SettingsError
from bsti_submit.model import new_case_id
from bsti_submit.outbox.case import HAS_PACKAGE, UNDELIVERED, OutboxCase, State
from bsti_submit.outbox.database import LOCAL, DamagedError, connected, put_aside
from bsti_submit.outbox.disk import is_network_share, sync_folder
from bsti_submit.outbox.locks import Locks
from bsti_submit.outbox.origin import Origin
from bsti_submit.outbox.records import Records
from bsti_submit.outbox.rows import DROPPED, FULL, LOST, SENDING, Rows, no_case, now, restore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from bsti_submit.bundle import Package
    from bsti_submit.outbox.records import Record


class Outbox(Rows):
    """The outbox of this machine. Use it as a context manager.

    Raises
    ------
    SettingsError
        If it lies on a network share, or cannot be opened.
    NotDeliveredError
        If another process holds it for long.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "outbox"
        self._staging = self._folder / "staging"
        self._records = Records(self._folder / "records")
        self._locks = Locks(self._folder / "locks")
        folders = [self._folder / name for name in ("staging", "packages", "records", "locks")]
        try:
            for folder in (self._folder, *folders):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            raise SettingsError("The outbox cannot be made in the home folder.", hint=LOCAL) from None
        if any(is_network_share(folder) for folder in (self._folder, *folders)):
            raise SettingsError("The home folder is on a network share, where a crash could lose a case.", hint=LOCAL)
        with self._locks.alone():
            database = self._open(self._folder / "outbox.sqlite")
            super().__init__(database, self._folder / "packages", AuditLog(home / "audit"))
            try:
                self._reconcile()
                self._recover()
                self._tell()
            except (OSError, sqlite3.Error):
                self._database.close()
                raise SettingsError("The outbox cannot be read or written to.", hint=LOCAL) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- opening, recovering, rebuilding -----------------------------------------------------------

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        try:
            return connected(path)
        except DamagedError:
            put_aside(path)
        try:
            return connected(path)
        except DamagedError:
            raise SettingsError("The outbox cannot be opened.", hint=LOCAL) from None

    def _reconcile(self) -> None:
        """Have database and records say the same.

        The database may be new, or have lost its newest changes with its write-ahead log; a record may have been lost, or not
        written while the disk was full.
        """
        records = tuple(self._records.all())
        # Read after them: another process may be at work, and it writes the database first.
        known = {case.case_id: case.revision for case in self.list()}
        behind = []
        for record in records:
            if known.get(record.case_id, -1) >= record.revision:
                continue
            if record.case_id not in known and self._last_event(record.case_id) == DROPPED:
                self._records.forget(record.case_id)
            else:
                behind.append(record)
        if behind:
            self._restore(behind)
        kept = {record.case_id: record.revision for record in records}
        for case in self.list():
            if case.state not in {State.DRAFT, State.SENDING} and kept.get(case.case_id, -1) < case.revision:
                self._keep(case.case_id)

    def _restore(self, records: Sequence[Record]) -> None:
        self._journal.catch_up()
        with self._transaction():
            self._journal.begin_anew()
            for record in records:
                restore(self._database, record)
            self._told = True

    def _recover(self) -> None:
        """Finish or undo what a crash left half done. One process does it at a time, and none moves then."""
        for case in self.list():
            staged = self._staging / case.path.name
            if case.state is State.WITHDRAWN or (case.state is State.DELIVERED and case.is_signed_for):
                _remove(case.path)
            elif case.state in HAS_PACKAGE and (staged.exists() or not case.path.exists()):
                if _is_package(staged, case):
                    self._move_in(staged, case.path)
                elif not case.path.exists() and self._is_unchanged(case):
                    self._set(case.case_id, LOST, state=State.DRAFT, package_sha256="")
        known = {case.path.name for case in self.list() if case.state is not State.DRAFT}
        for path in self._packages.glob("*.zip"):
            if path.name not in known:
                self._adopt(path)
        for path in self._staging.iterdir():
            self._clear(path)

    def _is_unchanged(self, case: OutboxCase) -> bool:
        """Whether a case is as it was read; a sender writes down that it is delivered, then removes the package."""
        return [found.revision for found in self._select("WHERE case_id = ?", (case.case_id,))] == [case.revision]

    def _adopt(self, path: Path) -> None:
        """Take in a package that no row names, as after a restored database; or finish a drop."""
        if self._last_event(path.stem) == DROPPED:
            _remove(path)
            return
        try:
            with PackageReader(path) as reader:
                whole = not reader.problems() and f"{reader.case_id}.zip" == path.name
                found = (
                    State.PACKAGED,
                    file_sha256(path),
                    reader.manifest_sha256(),
                    path.stat().st_size,
                    len(reader.images()),
                    reader.read(CASE_RECORD, largest=LARGEST_RECORD),
                    reader.read(CLINICAL_RECORD, largest=LARGEST_RECORD),
                    reader.case_id,
                )
        except InputError:
            whole = False
        if not whole:
            aside = self._folder / "damaged"
            aside.mkdir(mode=0o700, exist_ok=True)
            path.replace(aside / path.name)
            return
        with self._transaction():
            self._database.execute(
                "INSERT OR IGNORE INTO cases (case_id, study_set, state, created) VALUES (?, '', ?, ?)",
                (path.stem, State.DRAFT, now()),
            )
            self._database.execute(
                "UPDATE cases SET state = ?, package_sha256 = ?, manifest_sha256 = ?, size = ?, objects = ?,"
                " case_json = ?, clinical_json = ?, revision = revision + 1 WHERE case_id = ?",
                found,
            )
            self._event(path.stem, "rebuilt from its package; to be approved again")
        self._keep(path.stem)

    def _clear(self, path: Path) -> None:
        """Remove what a crashed run was building, unless a run is building it now."""
        found = self._select("WHERE case_id = ?", (path.stem,))
        if not found:
            _remove(path)
            return
        with self._locks.if_not_building(found[0].study_set) as free:
            if free:
                _remove(path)

    # -- locks -------------------------------------------------------------------------------------

    def building(self, study_set: str) -> AbstractContextManager[None]:
        """Hold the studies for the time of building, so that two runs do not make two cases of them.

        Raises
        ------
        NotDeliveredError
            If another run has them.
        """
        return self._locks.building(study_set)

    def holding(self, case_id: str) -> AbstractContextManager[None]:
        """Hold one case: what is being sent is not withdrawn, amended or dropped at the same time.

        Raises
        ------
        NotDeliveredError
            If another process has it.
        """
        return self._locks.holding(case_id)

    def sending(self) -> AbstractContextManager[None]:
        """Be the one sender of this machine.

        Raises
        ------
        NotDeliveredError
            If another process is sending.
        """
        return self._locks.sending()

    # -- a case's way through ----------------------------------------------------------------------

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
                (case_id, study_set, State.DRAFT, now()),
            )
            self._event(case_id, "begun")
        return case_id

    def staging(self, case_id: str) -> Path:
        """Return where to build a package."""
        return self._staging / f"{case_id}.zip"

    def store(
        self,
        package: Package,
        case_json: bytes,
        clinical_json: bytes,
        contributor: bytes = b"",
        origin: Origin = Origin(),  # noqa: B008 - it cannot be changed
    ) -> None:
        """Take in a finished package, which was built at `staging`. It then waits for approval.

        It takes the place of one of the same case that nobody approved yet.

        Raises
        ------
        InputError
            If there is no draft of that case.
        NotDeliveredError
            If the disk is full or fails.
        """
        if package.path is None:
            raise ValueError("a counted package cannot be stored")
        try:
            with self._locks.alone():
                with self._transaction():
                    done = self._database.execute(
                        "UPDATE cases SET state = ?, package_sha256 = ?, manifest_sha256 = ?, size = ?,"
                        " objects = ?, case_json = ?, clinical_json = ?, contributor = ?, origin = ?,"
                        " attestation = x'', upload_url = '', revision = revision + 1"
                        " WHERE case_id = ? AND state IN ('draft', 'packaged')",
                        (
                            State.PACKAGED,
                            package.sha256,
                            package.manifest_sha256,
                            package.size,
                            package.objects,
                            case_json,
                            clinical_json,
                            contributor,
                            origin.text(),
                            package.case_id,
                        ),
                    )
                    if done.rowcount != 1:
                        raise no_case()
                    self._event(package.case_id, "packaged")
                self._move_in(package.path, self.get(package.case_id).path)
        except OSError:
            raise NotDeliveredError("The outbox cannot be written to.", hint=FULL) from None
        self._keep(package.case_id)

    @staticmethod
    def _move_in(staged: Path, path: Path) -> None:
        staged.replace(path)
        sync_folder(path.parent)
        sync_folder(staged.parent)

    def approve(self, case_id: str, attestation: bytes, destination: str, registry: str = "") -> None:
        """Release a package for sending, under an attestation.

        Parameters
        ----------
        destination
            As ``--to`` names it.
        registry
            The origin of the registry that it is approved for; empty for a folder.

        Raises
        ------
        ApprovalError
            If the attestation is for another package.
        InputError
            If the case is not one that waits.
        """
        case = self.get(case_id)
        same = (case.attestation, case.destination, case.registry) == (attestation, destination, registry)
        if same and case.state in {State.READY, State.SENDING}:
            return
        if case.state is State.SENDING:
            # A sender was interrupted, unless it is at work this moment: then the lock is not free.
            with self.holding(case_id):
                self._approve(self.get(case_id), attestation, destination, registry)
            return
        self._approve(case, attestation, destination, registry)

    def _approve(self, case: OutboxCase, attestation: bytes, destination: str, registry: str) -> None:
        unsigned = case.state is State.DELIVERED and not case.is_signed_for
        if case.state not in {State.PACKAGED, State.READY, State.SENDING, State.REFUSED} and not unsigned:
            raise InputError(f"That case is {case.state}, so there is nothing to approve.")
        _require_tied(attestation, case)
        self._set(
            case.case_id,
            "approved",
            state=State.READY,
            attestation=attestation,
            destination=destination,
            registry=registry,
        )
        self._keep(case.case_id)

    def mark_sending(self, case_id: str) -> None:
        """Note that sending began.

        Raises
        ------
        ApprovalError
            If nobody approved it, or the approval is for another package.
        InputError
            If it was delivered, refused or withdrawn already.
        NotDeliveredError
            If it cannot be written down, in the outbox or in the audit log.
        """
        self.require_released(self.get(case_id))
        self._set(case_id, SENDING, state=State.SENDING)
        try:
            self._journal.catch_up()  # what cannot be logged is not sent
        except sqlite3.Error:
            raise NotDeliveredError("The outbox cannot be written to.", hint=FULL) from None

    @staticmethod
    def require_released(case: OutboxCase) -> None:
        """See that a case is approved and waits.

        Raises
        ------
        ApprovalError
            If nobody approved it, or the approval is for another package.
        InputError
            If it was delivered, refused or withdrawn already.
        """
        if case.state in {State.DRAFT, State.PACKAGED} or not case.attestation:
            raise ApprovalError(
                "That case was not approved yet, so it is not sent.",
                hint=f"Type: bsti-submit approve {case.case_id}",
            )
        if case.state not in {State.READY, State.SENDING}:
            raise InputError(f"That case is {case.state}, so it is not sent again.")
        _require_tied(case.attestation, case)

    def note(self, case_id: str, what: str) -> None:
        """Append an event; a fixed text without any value."""
        with self._transaction():
            self._event(case_id, what)

    def record_upload(self, case_id: str, url: str) -> None:
        """Keep the address of the upload, which is a secret; empty to forget it."""
        self._set(case_id, "upload opened" if url else "upload closed", upload_url=url)

    def delivered(self, case_id: str, receipt: bytes) -> None:
        """Store the receipt, which was checked, then delete the package if the receipt is signed."""
        self._set(case_id, "delivered", receipt, state=State.DELIVERED, receipt=receipt, upload_url="")
        self._keep(case_id)
        case = self.get(case_id)
        if case.is_signed_for:
            _remove(case.path)

    def refused(self, case_id: str) -> None:
        """Note that the registry refused the case. The package stays."""
        self._set(case_id, "refused", state=State.REFUSED, upload_url="")
        self._keep(case_id)

    def withdrawn(self, case_id: str, receipt: bytes) -> None:
        """Note that a case was taken back."""
        self._set(case_id, "withdrawn", receipt, state=State.WITHDRAWN, receipt=receipt, upload_url="")
        self._keep(case_id)
        _remove(self.get(case_id).path)

    def amended(self, case_id: str, clinical_json: bytes, receipt: bytes) -> None:
        """Keep the record that supersedes the first, and its receipt beside the first one."""
        self._set(case_id, "amended", receipt, clinical_json=clinical_json, receipt=receipt)
        self._keep(case_id)

    def drop(self, case_id: str, last_check: Callable[[OutboxCase], None] = lambda _case: None) -> None:
        """Remove a case that was not delivered, with its package.

        Parameters
        ----------
        last_check
            Raises where it may not go: its destination may have it though nobody here knows.

        Raises
        ------
        InputError
            If it was delivered: what was sent is taken back by `withdraw`.
        NotDeliveredError
            If it is being sent at this moment.
        """
        with self.holding(self.get(case_id).case_id):
            case = self.get(case_id)
            if case.state not in {*UNDELIVERED, State.REFUSED}:
                raise InputError(
                    f"That case is {case.state}, so it is not dropped.",
                    hint=f"Take it back with: bsti-submit withdraw {case_id} --reason CODE"
                    if case.state is State.DELIVERED
                    else "",
                )
            last_check(case)
            with self._transaction():
                self._event(case.case_id, DROPPED)
                self._database.execute("DELETE FROM cases WHERE case_id = ?", (case.case_id,))
            self._records.forget(case.case_id)
            _remove(case.path)

    def _keep(self, case_id: str) -> None:
        """Write the file from which the database could be built again; the database is written already."""
        with suppress(OSError):
            self._records.keep(self.get(case_id), self.receipts(case_id))


def _require_tied(attestation: bytes, case: OutboxCase) -> None:
    """Check that an attestation of one package is of this one; the rest is checked where it is read.

    Raises
    ------
    ApprovalError
        If not.
    """
    try:
        document = json.loads(attestation)
    except ValueError:
        document = None
    if not isinstance(document, dict) or (
        document.get("scope") == "package" and document.get("package_sha256") != case.package_sha256
    ):
        raise ApprovalError(
            "The approval is for another package, so it is void.",
            hint=f"Look at this one and approve it: bsti-submit approve {case.case_id}",
        )


def _is_package(path: Path, case: OutboxCase) -> bool:
    """Whether a file is the package that a case names; it is read only if it has the right size."""
    try:
        return path.stat().st_size == case.size and file_sha256(path) == case.package_sha256
    except OSError:
        return False


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
