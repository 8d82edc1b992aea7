"""What goes on behind the requests: privacy re-checks, expiry, purging, certificate renewal."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, cast

from bsti_submit.registry import records, strictjson
from bsti_submit.registry.privacy_check import Finding, check_privacy
from bsti_submit.registry.records import State
from bsti_submit.registry.review import forget_drafts, purge_due

if TYPE_CHECKING:
    from collections.abc import Callable

    from bsti_submit.registry.catalogue import Profiles
    from bsti_submit.registry.logs import Logs
    from bsti_submit.registry.settings import Settings
    from bsti_submit.registry.store import Store
    from bsti_submit.registry.strictjson import Object
    from bsti_submit.registry.uploads import Uploads


class Worker:
    """One thread. What it does is safe to repeat: a case it was at when the process died is done again."""

    def __init__(
        self,
        *,
        store: Store,
        uploads: Uploads,
        profiles: Profiles,
        settings: Settings,
        logs: Logs,
        renew_certificate: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._profiles = profiles
        self._settings = settings
        self._logs = logs
        self._renew_certificate = renew_certificate
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="registry-worker", daemon=True)

    def start(self) -> None:
        """Take up what was left, and begin."""
        self._take_up()
        self._thread.start()

    def stop(self) -> None:
        """End after the case in hand."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def validate(self, case_id: str) -> None:
        """Have a received case re-checked."""
        self._queue.put(case_id)

    def tidy(self) -> None:
        """Have abandoned bytes removed soon."""
        self._queue.put("")

    def _take_up(self) -> None:
        """Have every case re-checked that was not: the process died at it, or the disk was full."""
        with self._store.reading() as db:
            rows = db.execute("SELECT id FROM cases WHERE state IN ('received', 'validating') ORDER BY seq").fetchall()
        for row in rows:
            self.validate(row["id"])

    def _run(self) -> None:
        self._guarded(self._sweep)
        while True:
            try:
                case_id = self._queue.get(timeout=self._settings.sweep_seconds)
            except queue.Empty:
                self._guarded(self._sweep)
                self._guarded(self._take_up)
                continue
            if case_id is None:
                return
            if case_id:
                self._guarded(lambda case_id=case_id: self._validate(case_id))  # type: ignore[misc]
            else:
                self._guarded(self._sweep)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the thread must live on; the fault is logged
            self._logs.fault("worker", error)

    def _sweep(self) -> None:
        self._uploads.expire()
        forget_drafts(self._store, self._settings.draft_expires)
        purge_due(self._store)
        with self._store.transaction() as db:
            limit = self._store.now() - self._settings.idempotency_seconds
            db.execute("DELETE FROM idempotency WHERE at <= ?", (limit,))
        self._uploads.collect()
        self._renew_certificate()

    def _validate(self, case_id: str) -> None:
        now = self._store.now()
        with self._store.transaction() as db:
            row = records.find(db, case_id)
            if row is None or records.state_of(row) not in {State.RECEIVED, State.VALIDATING}:
                return
            if records.state_of(row) is State.RECEIVED:
                records.move(db, row, State.VALIDATING, now)
        deid = cast("Object", strictjson.loads(row["deid"].encode()))
        findings = self._findings(row["file_id"], row["objects"], row["package_sha256"], deid)
        with self._store.transaction() as db:
            row = records.find(db, case_id)
            if row is None or records.state_of(row) is not State.VALIDATING:
                return
            db.execute("DELETE FROM finding WHERE case_id = ?", (case_id,))
            db.executemany(
                "INSERT INTO finding (case_id, object, rule, detail) VALUES (?, ?, ?, ?)",
                [(case_id, one.object, one.rule, one.detail) for one in findings],
            )
            now = self._store.now()
            records.move(db, row, State.QUARANTINED if findings else State.IN_REVIEW, now)
            records.event(db, case_id, "quarantined" if findings else "validated", "registry", now)

    def _findings(self, file_id: str, objects: int, package_sha256: str, deid: Object) -> list[Finding]:
        """Look through the package. A check that fails is a doubt, never a pass."""
        whole = f"sha256:{package_sha256}"
        known = self._profiles.get(str(deid["profile"]), str(deid["profile_version"]), str(deid["recipe_sha256"]))
        if known is None:
            return [Finding(whole, "profile-gone", "the profile's allow-list is no longer here")]
        try:
            path = self._store.folder.package(file_id)
            return check_privacy(path, known.allow_list, objects, self._store.now())
        except Exception as error:  # noqa: BLE001 - whatever it is, the case must not pass
            self._logs.fault("worker", error)
            return [Finding(whole, "check-failed", "the re-check did not come to its end")]
