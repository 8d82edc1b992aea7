"""Refusals on the wire: problem details (RFC 9457) with stable types that `docs/registry-api.yaml` lists."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong: where (RFC 6901, or a path in the package) and what, without values."""

    pointer: str
    detail: str


_KINDS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be read."),
    "invalid-json": (400, "The body is not strict JSON."),
    "unauthorized": (401, "A valid token is needed."),
    "token-expired": (401, "The token has expired."),
    "forbidden": (403, "The token's role may not do this."),
    "not-found": (404, "There is nothing here."),
    "method-not-allowed": (405, "This address does not take that method."),
    "bad-state": (409, "The case's state does not allow this."),
    "case-sealed": (409, "The case is received and can no longer be replaced."),
    "objects-missing": (409, "The package is not here yet."),
    "offset-conflict": (409, "The upload is at another offset."),
    "upload-expired": (410, "The upload has ended."),
    "etag-mismatch": (412, "The case has changed meanwhile."),
    "tus-version": (412, "Only tus 1.0.0 is spoken here."),
    "timeout": (408, "The body took too long to arrive."),
    "too-large": (413, "That is more than is taken here."),
    "unsupported-media-type": (415, "That media type is not taken here."),
    "invalid-request": (422, "The body does not have the agreed shape."),
    "invalid-clinical": (422, "The clinical record is not valid."),
    "invalid-attestation": (422, "The attestation is not valid for this case."),
    "unknown-profile": (422, "The profile is not known to this registry."),
    "upload-mismatch": (422, "The upload is not what the case announced."),
    "digest-mismatch": (422, "A digest does not agree."),
    "invalid-package": (422, "The package is not a valid case package."),
    "case-mismatch": (422, "The packaged case.json does not agree with the announced case."),
    "clinical-mismatch": (422, "The packaged clinical.json is not the announced record."),
    "not-de-identified": (422, "An instance is not marked as de-identified."),
    "sop-class": (422, "An instance is of a kind that is not taken here."),
    "idempotency-key-reused": (422, "The Idempotency-Key was used for something else."),
    "upload-locked": (423, "Another request is writing to this upload."),
    "if-match-required": (428, "The case exists with another body."),
    "rate-limited": (429, "Too many requests."),
    "quota-exceeded": (429, "Too many unfinished uploads."),
    "checksum-mismatch": (460, "What was sent was damaged on its way."),
    "internal": (500, "The registry made a mistake."),
    "busy": (503, "The case is being worked on."),
    "storage-full": (503, "The registry has no room at the moment."),
}


class Problem(Exception):  # noqa: N818 - the name RFC 9457 gives it
    """A refusal that becomes a problem document.

    Parameters
    ----------
    kind
        The last part of its ``type``; decides status and title.
    detail
        One sentence for the person at the other end. Never a value from the request.
    errors
        What is wrong, where.
    headers
        Further response headers.
    """

    def __init__(
        self,
        kind: str,
        detail: str = "",
        *,
        errors: Iterable[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status, self.title = _KINDS[kind]
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the problem document."""
        document: dict[str, object] = {
            "type": f"/problems/{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in self.errors]
        return Response(
            json.dumps(document, ensure_ascii=False).encode(),
            self.status,
            self.headers,
            "application/problem+json",
        )


def kinds() -> Mapping[str, tuple[int, str]]:
    """Return every kind of problem with its status and title, for the documentation's test."""
    return _KINDS


def for_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem for a bare HTTP status, as the router raises it."""
    kind = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(status, "internal")
    return Problem(kind, headers=headers)
