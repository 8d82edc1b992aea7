"""The registry: discovery, case, upload, submission, and a receipt that is checked before it is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from bsti_submit import __version__
from bsti_submit.bundle import MEDIA_TYPE
from bsti_submit.errors import RefusedError, SettingsError
from bsti_submit.receipt import Receipt
from bsti_submit.transport.http import Answer, TransientError, refusal
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
_DONE: Final = frozenset((200, 201, 202))


class RegistryDestination:
    """One registry, over one connection.

    Parameters
    ----------
    give_up
        Seconds without progress after which a case is left for later.
    on_first_contact
        Called when the registry's key is pinned for the first time.
    """

    name = "registry"

    def __init__(
        self,
        connection: Connection,
        pins: Pins,
        *,
        give_up: float = 300.0,
        pace: Callable[[int], None] | None = None,
        on_first_contact: Callable[[], None] | None = None,
    ) -> None:
        self._connection = connection
        self._pins = pins
        self._give_up = give_up
        self._pace = pace
        self._on_first_contact = on_first_contact
        self._found: Mapping[str, object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def identity(self) -> str:
        """Return the registry's own id."""
        return str(self._discovery().get("registry_id", ""))

    def whoami(self) -> Site:
        """Return whose token this is."""
        answer = self._ask("GET", "/v1/site")
        roles = answer.json.get("roles")
        return Site(
            str(answer.json.get("site", "")),
            tuple(str(role) for role in roles) if isinstance(roles, list) else (),
            str(answer.json.get("token_expires") or ""),
        )

    def deliver(self, shipment: Shipment, progress: Progress, keep: Callable[[str], None]) -> Receipt:
        """Deliver a case and return its checked receipt. Each step may have happened before: saying it again is safe."""
        if shipment.path is None:
            raise SettingsError("There is no package to send.")
        offer = self._tus_offer()
        self._announce(shipment)
        if (receipt := self._earlier(shipment)) is not None:
            return receipt
        upload = Upload(
            self._connection,
            "/v1/uploads",
            shipment.path,
            shipment.size,
            {
                "case": shipment.case_id,
                "sha256": shipment.package_sha256,
                "filename": f"{shipment.case_id}.zip",
                "filetype": MEDIA_TYPE,
            },
            chunk=_chunk(offer),
            checksum="sha256" in _words(offer.get("checksum")) and "checksum" in _words(offer.get("extensions")),
            give_up=self._give_up,
            pace=self._pace,
        )
        upload.run(shipment.resume, progress, keep)
        answer = self._ask(
            "POST",
            f"/v1/cases/{shipment.case_id}/submission",
            {"package_sha256": shipment.package_sha256},
            key=f"submit-{shipment.package_sha256[:32]}",
        )
        return self._checked(answer.json.get("receipt"), "submission", _expected(shipment))

    def status(self, case_id: str) -> CaseStatus:
        """Return what the registry says of a case."""
        found = self._ask("GET", f"/v1/cases/{case_id}").json
        history = found.get("history")
        findings = found.get("findings")
        query = found.get("query")
        return CaseStatus(
            case_id,
            str(found.get("state", "")),
            tuple(
                (str(entry.get("at", "")), str(entry.get("state", "")))
                for entry in (history if isinstance(history, list) else [])
                if isinstance(entry, dict)
            ),
            tuple(
                {str(name): str(value)[:200] for name, value in entry.items()}
                for entry in (findings if isinstance(findings, list) else [])
                if isinstance(entry, dict)
            ),
            str(query.get("text", "")) if isinstance(query, dict) else "",
        )

    def withdraw(self, case_id: str, reason: str, *, urgent: bool) -> tuple[Receipt, str]:
        """Take a case back; return the receipt and by when its bytes are gone."""
        answer = self._ask(
            "POST",
            f"/v1/cases/{case_id}/withdrawal",
            {"reason": reason, "urgent": urgent},
            key=f"withdraw-{case_id}",
        )
        receipt = self._checked(answer.json.get("receipt"), "withdrawal", {"case_id": case_id})
        return receipt, str(answer.json.get("purge_by", ""))

    def amend(
        self, case_id: str, clinical: Mapping[str, object], clinical_sha256: str, attestation: Mapping[str, object]
    ) -> Receipt:
        """Send a clinical record that supersedes the first."""
        answer = self._ask(
            "POST",
            f"/v1/cases/{case_id}/amendments",
            {"clinical": dict(clinical), "clinical_sha256": clinical_sha256, "attestation": dict(attestation)},
            key=f"amend-{clinical_sha256[:32]}",
        )
        expected = {"case_id": case_id, "clinical_sha256": clinical_sha256}
        return self._checked(answer.json.get("receipt"), "amendment", expected)

    def _announce(self, shipment: Shipment) -> None:
        profile = shipment.case.get("profile")
        profile = profile if isinstance(profile, dict) else {}
        body: dict[str, object] = {
            "schema": "case/1.0",
            "clinical": dict(shipment.clinical),
            "deid": {
                "profile": profile.get("name", ""),
                "profile_version": profile.get("version", ""),
                "recipe_sha256": profile.get("recipe_sha256", ""),
                "tool": f"bsti-submit/{__version__}",
                "key_id": shipment.case.get("key_id", ""),
            },
            "package": {"sha256": shipment.package_sha256, "size": shipment.size, "media_type": MEDIA_TYPE},
            "manifest_sha256": shipment.manifest_sha256,
            "objects": shipment.objects,
            "attestation": dict(shipment.attestation),
        }
        if shipment.contributor:
            body["contributor"] = dict(shipment.contributor)
        path = f"/v1/cases/{shipment.case_id}"
        answer = self._try("PUT", path, body)
        if answer.status == 428:  # noqa: PLR2004 - announced before with another body, and still open
            answer = self._try("PUT", path, body, headers={"If-Match": "*"})
        if answer.status not in _DONE:
            raise refusal(answer)

    def _earlier(self, shipment: Shipment) -> Receipt | None:
        """Return the receipt of a submission whose answer was lost."""
        answer = self._try("GET", f"/v1/cases/{shipment.case_id}/receipt")
        if answer.status == 404:  # noqa: PLR2004
            return None
        if answer.status not in _DONE:
            raise refusal(answer)
        return self._checked(answer.json, "submission", _expected(shipment))

    def _checked(self, document: object, kind: str, expected: Mapping[str, object]) -> Receipt:
        if not isinstance(document, dict):
            raise RefusedError("The registry gave no receipt.")
        receipt = Receipt(document)
        receipt.verify(self._pins.keys(self._connection.url))
        receipt.require({"schema": "receipt/1.0", "kind": kind, "registry": self.identity(), **expected})
        return receipt

    def _discovery(self) -> Mapping[str, object]:
        if self._found is None:
            answer = patiently(
                lambda: _welcome(self._connection.request("GET", DISCOVERY, signed_in=False)), self._give_up
            )
            versions = answer.json.get("api")
            if not isinstance(versions, list) or "1" not in versions:
                raise SettingsError("That address is not a registry that this version speaks to.")
            if self._pins.trust(self._connection.url, answer.json.get("keys")) and self._on_first_contact:
                self._on_first_contact()
            self._found = answer.json
        return self._found

    def _tus_offer(self) -> Mapping[str, object]:
        uploads = self._discovery().get("uploads")
        offer = uploads.get("tus") if isinstance(uploads, dict) else None
        if not isinstance(offer, dict):
            raise SettingsError("The registry offers no way to upload that this version knows.")
        return offer

    def _ask(
        self, method: str, path: str, document: Mapping[str, object] | None = None, *, key: str = ""
    ) -> Answer:
        self._discovery()
        answer = self._try(method, path, document, headers={"Idempotency-Key": key} if key else None)
        if answer.status not in _DONE:
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
        return patiently(
            lambda: _welcome(self._connection.request(method, path, document=document, headers=headers)),
            self._give_up,
        )


def _welcome(answer: Answer) -> Answer:
    """Return an answer, or raise if it says to try again."""
    fault = refusal(answer) if answer.status in {408, 423, 425, 429} or answer.status >= 500 else None  # noqa: PLR2004
    if isinstance(fault, TransientError):
        raise fault
    if answer.status in {401, 403}:
        raise refusal(answer)
    return answer


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

