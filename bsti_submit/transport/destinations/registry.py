"""The registry: discovery, case, upload, submission, and a receipt that is checked before it is believed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote, urlencode

from bsti_submit import __version__
from bsti_submit.bundle import MEDIA_TYPE
from bsti_submit.errors import HeldError, NotDeliveredError, RefusedError, SettingsError
from bsti_submit.receipt import Receipt
from bsti_submit.transport.address import origin
from bsti_submit.transport.answers import Answer, TransientError, is_busy, plain, refusal
from bsti_submit.transport.interface import CaseStatus, Site
from bsti_submit.transport.retry import patiently
from bsti_submit.transport.tus import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from bsti_submit.transport.http import Connection
    from bsti_submit.transport.interface import Progress, Shipment
    from bsti_submit.transport.pins import Pins

DISCOVERY: Final = "/.well-known/bsti-registry"
CHUNK: Final = 8 << 20
FIRST_CONTACT_SECONDS: Final = 20.0
"""Patience with a registry that was not reached yet in this run: then it is rather the network than the
registry."""
MOST_ROUNDS: Final = 3
"""How often a package is brought up again whose bytes the registry did not find whole."""
_OPEN: Final = frozenset(("draft", "uploading"))
_NOT_FOUND, _CONFLICT, _PRECONDITION_FAILED, _INVALID, _PRECONDITION_REQUIRED = 404, 409, 412, 422, 428


class RegistryDestination:
    """One registry, over one connection.

    Parameters
    ----------
    give_up
        Seconds without progress after which a case is left for later.
    pace
        Called with the bytes of each block before it is sent, to limit the rate (`transport.pace.Rate`).
    before_piece
        Called before each piece of an upload, to wait for the hours of sending
        (`transport.pace.Window.wait`).
    on_first_contact
        Called when the registry's key is pinned for the first time.
    on_wait
        Called with one fixed sentence when a request is tried again.
    largest_chunk
        Bytes a request at most, whatever the registry prefers.
    """

    name = "registry"

    def __init__(
        self,
        connection: Connection,
        pins: Pins,
        *,
        give_up: float = 300.0,
        pace: Callable[[int], None] | None = None,
        before_piece: Callable[[], None] | None = None,
        on_first_contact: Callable[[], None] | None = None,
        on_wait: Callable[[str], None] | None = None,
        largest_chunk: int = 16 << 20,
    ) -> None:
        self._connection = connection
        self._pins = pins
        self._give_up = give_up
        self._pace = pace
        self._before_piece = before_piece
        self._on_first_contact = on_first_contact
        self._on_wait = on_wait
        self._largest_chunk = largest_chunk
        self._found: Mapping[str, object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def origin(self) -> str:
        """The registry's address, in the one form in which approvals and pins name it."""
        return origin(self._connection.url)

    def identity(self) -> str:
        """Return the registry's own id."""
        return plain(self._discovery().get("registry_id"))

    def whoami(self) -> Site:
        """Return whose token this is."""
        answer = self._ask("GET", "/site")
        roles = answer.json.get("roles")
        return Site(
            plain(answer.json.get("site")),
            tuple(plain(role) for role in roles) if isinstance(roles, list) else (),
            plain(answer.json.get("token_expires")),
        )

    def deliver(self, shipment: Shipment, progress: Progress, keep: Callable[[str], None]) -> Receipt:
        """Deliver a case and return its checked receipt.

        Each step may have happened before: saying it again is safe.

        Raises
        ------
        NotDeliveredError
            If the registry could not be reached or is busy for longer than the patience set.
        RefusedError
            If the registry looked at the case and refused it.
        SettingsError
            If the token, the certificate or the registry's key is not accepted.
        HeldError
            If the receipt does not verify, or is about something else.
        """
        if shipment.path is None:
            raise SettingsError("There is no package to send.")
        offer = self._tus_offer()
        _require_fit(shipment, offer, self._discovery().get("limits"))
        if (receipt := self._announce(shipment)) is not None:
            return receipt
        upload = Upload(
            self._connection,
            self._path("/uploads"),
            shipment.path,
            shipment.size,
            {
                "case": shipment.case_id,
                "sha256": shipment.package_sha256,
                "filename": f"{shipment.case_id}.zip",
                "filetype": MEDIA_TYPE,
            },
            chunk=min(_chunk(offer), self._largest_chunk),
            checksum="sha256" in _words(offer.get("checksum")) and "checksum" in _words(offer.get("extensions")),
            give_up=self._give_up,
            pace=self._pace,
            before_piece=self._before_piece,
            told=self._told,
        )
        resume = shipment.resume
        for _ in range(MOST_ROUNDS):
            resume = upload.run(resume, progress, keep)
            answer = self._submit(shipment)
            if answer.is_done:
                return self._checked(answer.json.get("receipt"), "submission", _expected(shipment))
            if answer.problem in {"digest-mismatch", "objects-missing"}:
                continue  # the upload says at which offset to go on
            if answer.status == _CONFLICT and (receipt := self._earlier(shipment)) is not None:
                return receipt
            raise refusal(answer)
        raise NotDeliveredError(
            "The package did not arrive whole, several times over.",
            hint="Something on the way may change what is sent: ask IT. The case is safe.",
        )

    def abandon(self, upload_url: str) -> None:
        """Let the registry drop the bytes of an upload that will not go on."""
        if self._connection.is_here(upload_url):
            headers = {"Tus-Resumable": "1.0.0"}
            patiently(
                lambda: _welcome(self._connection.request("DELETE", upload_url, headers=headers)),
                self._give_up,
                self._told,
            )

    def cases(self, state: str = "") -> tuple[tuple[str, str], ...]:
        """Return id and state of the site's cases as the registry has them, oldest first."""
        found: list[tuple[str, str]] = []
        after = ""
        while True:
            query = urlencode({name: value for name, value in (("state", state), ("after", after)) if value})
            page = self._ask("GET", f"/cases?{query}" if query else "/cases").json
            entries = page.get("cases")
            found += [
                (plain(entry.get("id")), plain(entry.get("state")))
                for entry in (entries if isinstance(entries, list) else [])
                if isinstance(entry, dict)
            ]
            last, after = after, plain(page.get("next"))
            if not after or after == last or not entries:
                return tuple(found)

    def status(self, case_id: str) -> CaseStatus | None:
        """Return what the registry says of a case; None if it does not know it."""
        answer = self._try("GET", f"/cases/{quote(case_id)}")
        if answer.status == _NOT_FOUND:
            return None
        if not answer.is_done:
            raise refusal(answer)
        found = answer.json
        history = found.get("history")
        findings = found.get("findings")
        query = found.get("query")
        return CaseStatus(
            case_id,
            plain(found.get("state")),
            tuple(
                (plain(entry.get("at")), plain(entry.get("state")))
                for entry in (history if isinstance(history, list) else [])
                if isinstance(entry, dict)
            ),
            tuple(
                {plain(name): plain(value) for name, value in entry.items()}
                for entry in (findings if isinstance(findings, list) else [])
                if isinstance(entry, dict)
            ),
            plain(query.get("text")) if isinstance(query, dict) else "",
            plain(found.get("reason")),
            plain(found.get("purge_by")),
        )

    def receipt(self, case_id: str, kind: str = "submission") -> Receipt:
        """Return a receipt that the registry signed before, checked by its signature."""
        answer = self._ask("GET", f"/cases/{quote(case_id)}/receipt?kind={quote(kind)}")
        return self._checked(answer.json, kind, {"case_id": case_id})

    def withdraw(self, case_id: str, reason: str, *, urgent: bool) -> tuple[Receipt, str]:
        """Take a case back; return the receipt and by when its bytes are gone."""
        answer = self._post(f"/cases/{quote(case_id)}/withdrawal", {"reason": reason, "urgent": urgent})
        receipt = self._checked(answer.json.get("receipt"), "withdrawal", {"case_id": case_id})
        return receipt, plain(answer.json.get("purge_by"))

    def amend(
        self,
        case_id: str,
        clinical: Mapping[str, object],
        clinical_sha256: str,
        attestation: Mapping[str, object],
        *,
        answers: str = "",
    ) -> Receipt:
        """Send a clinical record that supersedes the first.

        Parameters
        ----------
        answers
            The panel's open question, if there is one: the same record again then is a new answer.
        """
        answer = self._post(
            f"/cases/{quote(case_id)}/amendments",
            {
                "clinical": dict(clinical),
                "clinical_sha256": clinical_sha256,
                "attestation": dict(attestation),
            },
            answers,
        )
        expected = {"case_id": case_id, "clinical_sha256": clinical_sha256}
        return self._checked(answer.json.get("receipt"), "amendment", expected)

    def _announce(self, shipment: Shipment) -> Receipt | None:
        """Announce a case. Return its receipt if the registry has it already and the answer was lost."""
        path = f"/cases/{quote(shipment.case_id)}"
        body = _announcement(shipment)
        answer = self._try("PUT", path, body)
        if answer.status in {_PRECONDITION_REQUIRED, _PRECONDITION_FAILED}:
            # Announced before with another body (such as an earlier approval) and still open.
            answer = self._try("PUT", path, body, headers={"If-Match": "*"})
        if answer.is_done:
            return None if answer.json.get("state") in _OPEN else self._earlier(shipment)
        if answer.status == _CONFLICT and (receipt := self._earlier(shipment)) is not None:
            return receipt
        raise refusal(answer)

    def _submit(self, shipment: Shipment) -> Answer:
        document = {"package_sha256": shipment.package_sha256}
        path = f"/cases/{quote(shipment.case_id)}/submission"
        return self._try("POST", path, document, headers={"Idempotency-Key": _key(path, document)})

    def _earlier(self, shipment: Shipment) -> Receipt | None:
        """Return the receipt of a submission whose answer was lost."""
        answer = self._try("GET", f"/cases/{quote(shipment.case_id)}/receipt")
        if answer.status == _NOT_FOUND:
            return None
        if not answer.is_done:
            raise refusal(answer)
        return self._checked(answer.json, "submission", _expected(shipment))

    def _checked(self, document: object, kind: str, expected: Mapping[str, object]) -> Receipt:
        if not isinstance(document, dict):
            raise HeldError("The registry gave no receipt, so the case does not count as delivered.")
        receipt = Receipt(document)
        receipt.verify(self._pins.keys(self._connection.url))
        receipt.require({"schema": "receipt/1.0", "kind": kind, "registry": self.identity(), **expected})
        return receipt

    def _discovery(self) -> Mapping[str, object]:
        if self._found is None:
            answer = patiently(
                lambda: _welcome(
                    self._connection.request("GET", DISCOVERY, signed_in=False, seconds=FIRST_CONTACT_SECONDS)
                ),
                min(self._give_up, FIRST_CONTACT_SECONDS),
                self._told,
            )
            versions = answer.json.get("api")
            if not answer.is_done or not isinstance(versions, list) or "1" not in versions:
                raise SettingsError(
                    "That address is not a registry that this version speaks to.",
                    hint="Check BSTI_REGISTRY. A sign-in page of this network may stand between.",
                )
            if self._pins.trust(self._connection.url, answer.json.get("keys")) and self._on_first_contact:
                self._on_first_contact()
            self._found = answer.json
        return self._found

    def _path(self, path: str) -> str:
        """Return the whole address of a resource of the API, on the very server that was set."""
        base = self._discovery().get("base")
        return self._connection.address(f"{base if isinstance(base, str) else '/v1'}".rstrip("/") + path)

    def _tus_offer(self) -> Mapping[str, object]:
        uploads = self._discovery().get("uploads")
        offer = uploads.get("tus") if isinstance(uploads, dict) else None
        if not isinstance(offer, dict):
            raise SettingsError("The registry offers no way to upload that this version knows.")
        return offer

    def _post(self, path: str, document: Mapping[str, object], occasion: str = "") -> Answer:
        return self._ask("POST", path, document, headers={"Idempotency-Key": _key(path, document, occasion)})

    def _ask(
        self,
        method: str,
        path: str,
        document: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        answer = self._try(method, path, document, headers=headers)
        if not answer.is_done:
            raise refusal(answer)
        return answer

    def _try(
        self,
        method: str,
        path: str,
        document: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request that is safe to repeat, until it is answered by anything but "busy"."""
        url = self._path(path)
        answer = patiently(
            lambda: _welcome(self._connection.request(method, url, document=document, headers=headers)),
            self._give_up,
            self._told,
        )
        if answer.is_done and not answer.json:
            raise refusal(answer)  # a page that says "yes" to anything
        return answer

    def _told(self, fault: TransientError) -> None:
        if self._on_wait is not None:
            self._on_wait(fault.message)


def _welcome(answer: Answer) -> Answer:
    """Return an answer that the registry's own rules explain, or raise."""
    if is_busy(answer) or answer.status in {401, 403} or (not answer.is_done and not answer.problem):
        raise refusal(answer)
    return answer


def _key(path: str, document: Mapping[str, object], occasion: str = "") -> str:
    """Return an idempotency key: the same for the same request on the same occasion, in any later run."""
    whole = json.dumps([path, document, occasion], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _require_fit(shipment: Shipment, offer: Mapping[str, object], limits: object) -> None:
    """Refuse what the registry would refuse after hours of upload.

    Raises
    ------
    RefusedError
        If the package is larger, or holds more images, than the registry takes.
    """
    taken = limits if isinstance(limits, dict) else {}
    for size in (offer.get("max_size"), taken.get("case_bytes")):
        if isinstance(size, int) and shipment.size > size:
            raise RefusedError(f"The registry takes packages of up to {size} bytes; this one has {shipment.size}.")
    objects = taken.get("objects")
    if isinstance(objects, int) and shipment.objects > objects:
        raise RefusedError(f"The registry takes up to {objects} images a case; this one has {shipment.objects}.")


def _announcement(shipment: Shipment) -> dict[str, object]:
    profile = shipment.case.get("profile")
    profile = profile if isinstance(profile, dict) else {}
    tool = shipment.case.get("tool")
    tool = tool if isinstance(tool, dict) else {}
    body: dict[str, object] = {
        "schema": "case/1.0",
        "clinical": dict(shipment.clinical),
        "deid": {
            "profile": profile.get("name", ""),
            "profile_version": profile.get("version", ""),
            "recipe_sha256": profile.get("recipe_sha256", ""),
            "tool": f"{tool.get('name', 'bsti-submit')}/{tool.get('version', __version__)}",
            "key_id": shipment.case.get("key_id", ""),
        },
        "package": {"sha256": shipment.package_sha256, "size": shipment.size, "media_type": MEDIA_TYPE},
        "manifest_sha256": shipment.manifest_sha256,
        "objects": shipment.objects,
        "attestation": dict(shipment.attestation),
    }
    if shipment.contributor:
        body["contributor"] = dict(shipment.contributor)
    return body


def _expected(shipment: Shipment) -> dict[str, object]:
    profile = shipment.case.get("profile")
    profile = profile if isinstance(profile, dict) else {}
    return {
        "case_id": shipment.case_id,
        "package_sha256": shipment.package_sha256,
        "manifest_sha256": shipment.manifest_sha256,
        "clinical_sha256": shipment.clinical_sha256,
        "profile": profile.get("name"),
        "profile_version": profile.get("version"),
        "recipe_sha256": profile.get("recipe_sha256"),
        "objects": shipment.objects,
    }


def _chunk(offer: Mapping[str, object]) -> int:
    chunk = offer.get("chunk")
    limits = chunk if isinstance(chunk, dict) else {}
    preferred = limits.get("preferred")
    largest = limits.get("max")
    found = preferred if isinstance(preferred, int) and 64 << 10 <= preferred <= 64 << 20 else CHUNK
    return min(found, largest) if isinstance(largest, int) and largest > 0 else found


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(word) for word in value) if isinstance(value, list) else ()
