"""What can be done with a case over the wire: announce, read, submit, amend, withdraw."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bsti_submit.model import normalise_case_id
from bsti_submit.registry import audit, bodies, records, strictjson
from bsti_submit.registry.package_check import Expected, check_package
from bsti_submit.registry.problems import Fault, Problem
from bsti_submit.registry.records import OPEN, State
from bsti_submit.registry.settings import DAY, utc
from bsti_submit.registry.tokens import Principal, Role

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from bsti_submit.registry.catalogue import KnownProfile, Profiles
    from bsti_submit.registry.settings import Settings
    from bsti_submit.registry.signing import Signer
    from bsti_submit.registry.store import Store
    from bsti_submit.registry.strictjson import Object
    from bsti_submit.registry.uploads import Uploads

_BUSY_SECONDS = 60.0
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, in which request."""

    principal: Principal
    request_id: str

    @property
    def actor(self) -> str:
        """The role, as events name it."""
        return self.principal.role.value


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: Object
    etag: str = ""


class Cases:
    """The cases of one registry."""

    def __init__(
        self,
        *,
        store: Store,
        uploads: Uploads,
        signer: Signer,
        profiles: Profiles,
        settings: Settings,
        registry_id: str,
        on_received: Callable[[str], None],
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._signer = signer
        self._profiles = profiles
        self._settings = settings
        self._registry_id = registry_id
        self._on_received = on_received
        self._locks: dict[str, _CaseLock] = {}
        self._locks_guard = threading.Lock()

    # -- announce ---------------------------------------------------------------------------------

    def put(self, asked: Asked, case_id: str, data: bytes, if_match: str | None, if_none_match: str | None) -> Answer:
        """Announce a case, say the same again, or replace what is not received yet."""
        self._only_sites(asked)
        if normalise_case_id(case_id) != case_id:
            raise Problem("not-found", "A case id has the form XXXX-XXXX-XXXX and a check character.")
        body = bodies.parse(data, "CasePut")
        digest = strictjson.digest(body)
        with self._store.reading() as db:
            row = records.find(db, case_id)
            self._check_put(asked, row, digest, if_match, if_none_match)
        if row is None or row["body_sha256"] != digest:
            self._check_body(case_id, body)
        now = self._store.now()
        with self._store.transaction() as db:
            row = records.find(db, case_id)
            self._check_put(asked, row, digest, if_match, if_none_match)
            created = row is None
            if row is None:
                self._insert(db, asked, case_id, body, digest, now)
            elif row["body_sha256"] != digest:
                self._replace(db, asked, row, body, digest, now)
            else:
                self._audit(db, asked, "case-read", case_id, now)  # the answer tells its state
            row = cast("sqlite3.Row", records.find(db, case_id))
            upload = self._uploads.open_address(db, case_id)
        answer: Object = {"id": case_id, "state": row["state"], "upload": upload, "etag": records.etag(row)}
        return Answer(201 if created else 200, answer, records.etag(row))

    def _check_put(
        self,
        asked: Asked,
        row: sqlite3.Row | None,
        digest: str,
        if_match: str | None,
        if_none_match: str | None,
    ) -> None:
        if row is None:
            if if_match is not None:
                raise Problem("etag-mismatch", "There is no such case yet.")
            return
        if row["site"] != asked.principal.site:
            raise Problem("not-found")
        if row["body_sha256"] == digest:
            return
        if records.state_of(row) not in OPEN:
            raise Problem("case-sealed")
        if if_none_match is not None:
            raise Problem("etag-mismatch", "The case exists with another body.")
        if if_match is None:
            raise Problem("if-match-required", "Send If-Match with the ETag that you have seen.")
        if if_match not in {"*", records.etag(row)}:
            raise Problem("etag-mismatch")

    def _check_body(self, case_id: str, body: Object) -> None:
        deid, package = cast("Object", body["deid"]), cast("Object", body["package"])
        if cast("int", package["size"]) > self._settings.max_package:
            raise Problem("too-large", "The package is larger than this registry takes.")
        if cast("int", body["objects"]) > self._settings.max_objects:
            raise Problem("invalid-request", errors=[Fault("/objects", "is more than this registry takes")])
        bodies.check_clinical(cast("Object", body["clinical"]), case_id)
        self._profile(deid)
        bodies.check_attestation(
            cast("Object", body["attestation"]),
            expected={
                "package_sha256": package["sha256"],
                "profile": deid["profile"],
                "profile_version": deid["profile_version"],
                "recipe_sha256": deid["recipe_sha256"],
                "tool": deid["tool"],
            },
            registry_id=self._registry_id,
            now=self._store.now(),
        )

    def _profile(self, deid: Object) -> KnownProfile:
        known = self._profiles.get(str(deid["profile"]), str(deid["profile_version"]), str(deid["recipe_sha256"]))
        if known is None:
            raise Problem(
                "unknown-profile",
                "This registry does not know exactly this version and recipe of the profile.",
                errors=[Fault("/deid/profile", "is not known in this version with this recipe")],
            )
        return known

    def _insert(self, db: sqlite3.Connection, asked: Asked, case_id: str, body: Object, digest: str, now: int) -> None:
        db.execute(
            "INSERT INTO cases (id, site, state, version, created, updated, body_sha256, package_sha256,"
            " package_size, manifest_sha256, objects, profile, profile_version, recipe_sha256)"
            " VALUES (?, ?, ?, 1, ?, ?, '', '', 0, '', 0, '', '', '')",
            (case_id, asked.principal.site, State.DRAFT.value, now, now),
        )
        records.enter(db, case_id, State.DRAFT, now)
        self._fill(db, asked, case_id, body, digest, now)
        records.event(db, case_id, "announced", asked.actor, now)
        self._audit(db, asked, "case-announced", case_id, now)

    def _replace(
        self, db: sqlite3.Connection, asked: Asked, row: sqlite3.Row, body: Object, digest: str, now: int
    ) -> None:
        case_id = row["id"]
        package = cast("Object", body["package"])
        if (row["package_sha256"], row["package_size"]) != (package["sha256"], package["size"]):
            self._uploads.end_all(db, case_id, now)
            if records.state_of(row) is State.UPLOADING:
                records.move(db, row, State.DRAFT, now)
        db.execute("DELETE FROM clinical WHERE case_id = ?", (case_id,))
        db.execute("DELETE FROM contributor WHERE case_id = ?", (case_id,))
        self._fill(db, asked, case_id, body, digest, now)
        records.touch(db, case_id, now)
        records.event(db, case_id, "replaced", asked.actor, now)
        self._audit(db, asked, "case-replaced", case_id, now)

    def _fill(self, db: sqlite3.Connection, asked: Asked, case_id: str, body: Object, digest: str, now: int) -> None:
        deid, package = cast("Object", body["deid"]), cast("Object", body["package"])
        db.execute(
            "UPDATE cases SET body_sha256 = ?, package_sha256 = ?, package_size = ?, manifest_sha256 = ?,"
            " objects = ?, deid = ?, attestation = ?, profile = ?, profile_version = ?, recipe_sha256 = ?"
            " WHERE id = ? AND site = ?",
            (
                digest,
                package["sha256"],
                package["size"],
                body["manifest_sha256"],
                body["objects"],
                strictjson.canonical(deid).decode(),
                strictjson.canonical(body["attestation"]).decode(),
                deid["profile"],
                deid["profile_version"],
                deid["recipe_sha256"],
                case_id,
                asked.principal.site,
            ),
        )
        clinical = strictjson.canonical(body["clinical"]).decode()
        db.execute(
            "INSERT INTO clinical VALUES (?, 1, ?, ?, ?, ?)",
            (
                case_id,
                clinical,
                strictjson.digest(body["clinical"]),
                strictjson.canonical(body["attestation"]).decode(),
                now,
            ),
        )
        if "contributor" in body:
            db.execute(
                "INSERT INTO contributor VALUES (?, ?)",
                (case_id, strictjson.canonical(body["contributor"]).decode()),
            )

    # -- read -------------------------------------------------------------------------------------

    def get(self, asked: Asked, case_id: str) -> Answer:
        """Return a case's state, history, findings and open question."""
        with self._store.transaction() as db:
            row = self._visible(db, asked, case_id)
            self._audit(db, asked, "case-read", case_id, self._store.now())
            return Answer(200, records.describe(db, row), records.etag(row))

    def events(self, asked: Asked, case_id: str) -> Answer:
        """Return what happened to a case."""
        with self._store.transaction() as db:
            self._visible(db, asked, case_id)
            self._audit(db, asked, "events-read", case_id, self._store.now())
            query = "SELECT at, event, actor FROM event WHERE case_id = ? ORDER BY seq"
            rows = db.execute(query, (case_id,)).fetchall()
        return Answer(200, {"events": [{**dict(row), "at": utc(row["at"])} for row in rows]})

    def receipt(self, asked: Asked, case_id: str, kind: str) -> Answer:
        """Return the newest receipt of a kind."""
        with self._store.transaction() as db:
            self._visible(db, asked, case_id)
            self._audit(db, asked, "receipt-read", case_id, self._store.now())
            row = records.receipt(db, case_id, kind)
            if row is None:
                raise Problem("not-found", "There is no such receipt.")
            return Answer(200, records.document(row))

    def list(self, asked: Asked, state: str | None, after: int, limit: int = _PAGE) -> Answer:
        """Return one page of the cases that the asker may see."""
        where, values = ["seq > ?"], [after]
        parameters: list[object] = list(values)
        if asked.principal.role is Role.SITE:
            where.append("site = ?")
            parameters.append(asked.principal.site)
        else:
            where.append("received IS NOT NULL")
        if state is not None:
            where.append("state = ?")
            parameters.append(state)
        # The conditions are constants; every value is bound.
        query = f"SELECT seq, id, state, updated FROM cases WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?"  # noqa: S608
        with self._store.transaction() as db:
            rows = db.execute(query, (*parameters, limit + 1)).fetchall()
            self._audit(db, asked, "cases-listed", "", self._store.now())
        page = rows[:limit]
        following = str(page[-1]["seq"]) if len(rows) > limit else None
        listed = [{"id": row["id"], "state": row["state"], "updated": utc(row["updated"])} for row in page]
        return Answer(200, {"cases": list(listed), "next": following})

    # -- submit -----------------------------------------------------------------------------------

    def submit(self, asked: Asked, case_id: str, data: bytes) -> Answer:
        """Check the package, sign for it, and hand the case on. The same again is the same receipt."""
        self._only_sites(asked)
        body = bodies.parse(data, "SubmissionPost")
        with self._alone(case_id):
            with self._store.reading() as db:
                row = self._visible(db, asked, case_id)
                done = records.receipt(db, case_id, "submission")
            if body["package_sha256"] != row["package_sha256"]:
                raise Problem(
                    "digest-mismatch",
                    "The case announced another package.",
                    errors=[Fault("/package_sha256", "is not the announced one")],
                )
            if done is not None:
                if records.state_of(row) is State.WITHDRAWN:
                    raise Problem("bad-state", "The case is withdrawn.")
                return Answer(202, {"state": row["state"], "receipt": records.document(done)})
            if records.state_of(row) is State.WITHDRAWN:
                raise Problem("bad-state", "The case is withdrawn.")
            with self._uploads.complete(case_id) as file_id:
                self._check_package(row, file_id)
                signed = self._receive(asked, case_id, row["body_sha256"], file_id)
        self._on_received(case_id)
        return Answer(202, {"state": State.RECEIVED.value, "receipt": signed})

    def _check_package(self, row: sqlite3.Row, file_id: str) -> None:
        """Check the package; if it is wrong the upload starts again from nothing."""
        with self._store.reading() as db:
            record = strictjson.loads(records.clinical(db, row["id"])["record"].encode())
        deid = cast("Object", strictjson.loads(row["deid"].encode()))
        expected = Expected(
            row["id"],
            row["package_sha256"],
            row["manifest_sha256"],
            row["objects"],
            cast("Object", record),
            deid,
            self._profile(deid).sop_classes,
        )
        try:
            check_package(self._store.folder.package(file_id), expected)
        except Problem as problem:
            now = self._store.now()
            with self._store.transaction() as db:
                self._uploads.restart(db, file_id)
                records.event(db, row["id"], problem.kind, "registry", now)
                records.touch(db, row["id"], now)
            raise

    def _receive(self, asked: Asked, case_id: str, body_sha256: str, file_id: str) -> Object:
        now = self._store.now()
        days = self._settings.retention_days
        with self._store.transaction() as db:
            row = self._visible(db, asked, case_id)
            if row["body_sha256"] != body_sha256:
                raise Problem("bad-state", "The case was replaced meanwhile.")
            records.move(db, row, State.RECEIVED, now)
            db.execute(
                "UPDATE cases SET file_id = ?, received = ?, retain_until = ? WHERE id = ?",
                (file_id, now, None if days is None else now + days * DAY, case_id),
            )
            self._uploads.hand_over(db, file_id, now)
            signed = records.sign_receipt(db, self._signer, self._registry_id, row, "submission", now)
            records.event(db, case_id, "received", "registry", now)
            self._audit(db, asked, "case-submitted", case_id, now)
        return signed

    # -- amend, withdraw --------------------------------------------------------------------------

    def amend(self, asked: Asked, case_id: str, data: bytes) -> Answer:
        """Supersede the clinical record."""
        self._only_sites(asked)
        body = bodies.parse(data, "AmendmentPost")
        clinical = cast("Object", body["clinical"])
        digest = strictjson.digest(clinical)
        with self._store.reading() as db:
            row = self._visible(db, asked, case_id)
        if digest != body["clinical_sha256"]:
            fault = Fault("/clinical_sha256", "is not the digest of the record's canonical form")
            raise Problem("digest-mismatch", errors=[fault])
        bodies.check_clinical(clinical, case_id)
        bodies.check_attestation(
            cast("Object", body["attestation"]),
            expected={
                "package_sha256": row["package_sha256"],
                "clinical_sha256": digest,
                "profile": row["profile"],
                "profile_version": row["profile_version"],
                "recipe_sha256": row["recipe_sha256"],
            },
            registry_id=self._registry_id,
            now=self._store.now(),
        )
        attestation = strictjson.canonical(body["attestation"]).decode()
        now = self._store.now()
        with self._alone(case_id), self._store.transaction() as db:
            row = self._visible(db, asked, case_id)
            state = records.state_of(row)
            if state in OPEN or state in {State.REJECTED, State.WITHDRAWN}:
                raise Problem("bad-state", f"A case that is {state} takes no amendment.")
            current = records.clinical(db, case_id)
            done = records.receipt(db, case_id, "amendment")
            same = current["sha256"] == digest and done is not None and done["revision"] == current["revision"]
            # An open question wants an answer, even if that is the same record.
            if done is not None and same and row["query_text"] is None:
                return Answer(200, {"state": row["state"], "receipt": records.document(done)})
            record = strictjson.canonical(clinical).decode()
            db.execute(
                "INSERT INTO clinical VALUES (?, ?, ?, ?, ?, ?)",
                (case_id, current["revision"] + 1, record, digest, attestation, now),
            )
            answered = row["query_text"] is not None
            db.execute("UPDATE cases SET query_text = NULL, query_at = NULL WHERE id = ?", (case_id,))
            if state in {State.APPROVED, State.PUBLISHED}:
                # The panel decided on another record.
                records.move(db, row, State.IN_REVIEW, now)
            else:
                records.touch(db, case_id, now)
            signed = records.sign_receipt(db, self._signer, self._registry_id, row, "amendment", now)
            records.event(db, case_id, "amended", asked.actor, now)
            if answered:
                records.event(db, case_id, "query-answered", asked.actor, now)
            self._audit(db, asked, "case-amended", case_id, now)
            row = cast("sqlite3.Row", records.find(db, case_id))
        return Answer(200, {"state": row["state"], "receipt": signed})

    def withdraw(self, asked: Asked, case_id: str, data: bytes) -> Answer:
        """Take a case back for good."""
        if asked.principal.role is Role.PANEL:
            raise Problem("forbidden")
        body = bodies.parse(data, "WithdrawalPost")
        urgent = bool(body.get("urgent", False))
        now = self._store.now()
        with self._alone(case_id), self._store.transaction() as db:
            row = self._visible(db, asked, case_id)
            if records.state_of(row) is not State.WITHDRAWN:
                self._withdraw(db, asked, row, str(body["reason"]), now, urgent=urgent)
            elif urgent and not row["urgent"] and row["purged"] is None:
                self._hurry(db, asked, case_id, now)
            row = cast("sqlite3.Row", records.find(db, case_id))
            receipt = records.receipt(db, case_id, "withdrawal")
            if receipt is None:
                raise Problem("bad-state", "The registry itself ended this case.")
            document = records.document(receipt)
        return Answer(202, {"state": row["state"], "purge_by": utc(row["purge_by"]), "receipt": document})

    def _withdraw(
        self, db: sqlite3.Connection, asked: Asked, row: sqlite3.Row, reason: str, now: int, *, urgent: bool
    ) -> None:
        case_id = row["id"]
        days = self._settings.urgent_purge_days if urgent else self._settings.purge_days
        if records.state_of(row) is State.PUBLISHED:
            records.event(db, case_id, "unpublished", "registry", now)
        self._uploads.end_all(db, case_id, now)
        records.move(db, row, State.WITHDRAWN, now)
        db.execute(
            "UPDATE cases SET reason = ?, urgent = ?, purge_by = ?, query_text = NULL, query_at = NULL WHERE id = ?",
            (reason, urgent, now + days * DAY, case_id),
        )
        records.sign_receipt(db, self._signer, self._registry_id, row, "withdrawal", now)
        records.event(db, case_id, "withdrawn", asked.actor, now)
        self._audit(db, asked, "case-withdrawn", case_id, now)

    def _hurry(self, db: sqlite3.Connection, asked: Asked, case_id: str, now: int) -> None:
        """Bring the erasure of a withdrawn case forward: something was found in it afterwards."""
        db.execute(
            "UPDATE cases SET urgent = 1, purge_by = ? WHERE id = ?",
            (now + self._settings.urgent_purge_days * DAY, case_id),
        )
        records.touch(db, case_id, now)
        records.event(db, case_id, "withdrawal-urgent", asked.actor, now)
        self._audit(db, asked, "withdrawal-urgent", case_id, now)

    # -- shared -----------------------------------------------------------------------------------

    def _only_sites(self, asked: Asked) -> None:
        if asked.principal.role is not Role.SITE:
            raise Problem("forbidden", "Only a site's token submits cases.")

    def _visible(self, db: sqlite3.Connection, asked: Asked, case_id: str) -> sqlite3.Row:
        """Return a case that the asker may know of; any other does not exist."""
        row = records.find(db, case_id)
        if row is None:
            raise Problem("not-found")
        if asked.principal.role is Role.SITE:
            if row["site"] != asked.principal.site:
                raise Problem("not-found")
        elif row["received"] is None:
            raise Problem("not-found")
        return row

    def _audit(self, db: sqlite3.Connection, asked: Asked, action: str, case_id: str, now: int) -> None:
        principal = asked.principal
        actor = f"{principal.site}/{principal.token_id}"
        audit.record(db, now, actor, principal.role.value, action, case_id, asked.request_id)

    @contextmanager
    def _alone(self, case_id: str) -> Iterator[None]:
        """Let one request at a time change a case."""
        with self._locks_guard:
            lock = self._locks.setdefault(case_id, _CaseLock())
            lock.users += 1
        try:
            if not lock.lock.acquire(timeout=_BUSY_SECONDS):
                raise Problem("busy", headers={"Retry-After": "10"})
            try:
                yield
            finally:
                lock.lock.release()
        finally:
            with self._locks_guard:
                lock.users -= 1
                if not lock.users:
                    self._locks.pop(case_id, None)


class _CaseLock:
    """A lock that is forgotten when nobody uses it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


def matches(if_none_match: str | None, etag: str) -> bool:
    """Compare weakly, as RFC 9110 13.1.2 asks of If-None-Match."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in re.findall(r'"[^"]*"', if_none_match)
