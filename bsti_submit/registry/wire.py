"""HTTP around the registry: request ids, sign-in, rates, bodies, idempotency, problems, the access log."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from bsti_submit.registry import audit
from bsti_submit.registry.cases import Answer, Asked, matches
from bsti_submit.registry.patching import BrokenConnectionError
from bsti_submit.registry.problems import Problem, for_status
from bsti_submit.registry.uploads import ALGORITHMS, EXTENSIONS, VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.routing import Router
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bsti_submit.registry.limits import Rates
    from bsti_submit.registry.logs import Logs
    from bsti_submit.registry.settings import Settings
    from bsti_submit.registry.store import Store
    from bsti_submit.registry.tokens import Principal, Tokens

_UPLOADS = "/v1/uploads"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""What the access log names; a client may choose any other word, such as a name."""
_OVERRIDE = "x-http-method-override"
_OVERRIDES = frozenset({"PATCH", "DELETE", "HEAD"})
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{8,128}")
_DRAIN_SECONDS = 10.0
_CONTENT_DIGEST = "Content-Digest"
_SHA256 = re.compile(r"sha-256=:([A-Za-z0-9+/]{1,64}={0,2}):")


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it."""

    asked: Asked
    headers: Headers
    path: dict[str, str]
    query: dict[str, str]
    body: bytes


class Gate:
    """What every request passes before its handler."""

    def __init__(self, store: Store, tokens: Tokens, rates: Rates, failures: Rates, settings: Settings) -> None:
        self._store = store
        self._tokens = tokens
        self._rates = rates
        self._failures = failures
        self.settings = settings

    def sign_in(self, request: Request) -> Asked:
        """Return who asks.

        Raises
        ------
        Problem
            ``unauthorized``, ``token-expired`` or ``rate-limited``.
        """
        try:
            principal = self._tokens.authenticate(request.headers.get("authorization"))
        except Problem:
            self._failures.take(request.client.host if request.client else "")
            raise
        self._rates.take(principal.token_id)
        request.scope["registry.principal"] = principal
        return Asked(principal, request.scope["registry.request_id"])

    def endpoint(
        self, handler: Callable[[Call], Answer], *, reads_json: bool = False, once: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        """Turn a handler that blocks into an endpoint: body, sign-in, handler, answer, in one thread.

        ``once`` keeps the answer to an ``Idempotency-Key``.
        """

        async def run(request: Request) -> Response:
            body = await read_body(request, self.settings.body_bytes) if reads_json else b""
            _check_digest(request.headers, body)
            return await run_in_threadpool(self._run, handler, request, body, reads_json=reads_json, once=once)

        return run

    def _run(
        self,
        handler: Callable[[Call], Answer],
        request: Request,
        body: bytes,
        *,
        reads_json: bool,
        once: bool,
    ) -> Response:
        asked = self.sign_in(request)
        if reads_json:
            _check_media_type(request.headers)
        call = Call(asked, request.headers, request.path_params, dict(request.query_params), body)
        key = request.headers.get("idempotency-key") if once else None
        if key is not None:
            return self._once(handler, call, request, key)
        return _response(handler(call), request)

    def _once(self, handler: Callable[[Call], Answer], call: Call, request: Request, key: str) -> Response:
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise Problem("bad-request", "An Idempotency-Key is 8 to 128 visible characters.")
        fingerprint = hashlib.sha256(
            b"\0".join((request.method.encode(), request.url.path.encode(), call.body))
        ).hexdigest()
        site = call.asked.principal.site
        since = self._store.now() - self.settings.idempotency_seconds
        with self._store.reading() as db:
            row = db.execute(
                "SELECT * FROM idempotency WHERE site = ? AND key = ? AND at > ?", (site, key, since)
            ).fetchone()
        if row is not None:
            if row["request"] != fingerprint:
                raise Problem("idempotency-key-reused")
            principal = call.asked.principal
            actor = f"{principal.site}/{principal.token_id}"
            with self._store.transaction() as db:
                now, role, case_id = self._store.now(), principal.role.value, call.path.get("id", "")
                audit.record(db, now, actor, role, "answer-replayed", case_id, call.asked.request_id)
            body = row["body"].encode()
            headers = {**json.loads(row["headers"]), "Idempotency-Replayed": "true", **_digest(body)}
            return Response(body, row["status"], headers, "application/json")
        answer = handler(call)
        response = _response(answer, request)
        # Only what went well is kept: a refusal may be put right and tried again under the same key.
        with self._store.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    site,
                    key,
                    fingerprint,
                    answer.status,
                    json.dumps({"ETag": answer.etag} if answer.etag else {}),
                    _json(answer),
                    self._store.now(),
                ),
            )
        return response


class Outer:
    """The outermost layer: nothing leaves that is not dressed as the API promises."""

    def __init__(self, router: Router, logs: Logs, settings: Settings) -> None:
        self._router = router
        self._logs = logs
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope["registry.request_id"] = request_id
        # The router raises its refusals only inside an application.
        scope["app"] = self
        sent = _Sent(send, request_id, tus=scope["path"].startswith(_UPLOADS))
        counted = _Counted(receive)
        started = time.monotonic()
        try:
            await self._serve(scope, counted, sent)
        finally:
            if self._settings.log_requests:
                self._log(scope, sent, counted, time.monotonic() - started)

    async def _serve(self, scope: Scope, receive: _Counted, send: _Sent) -> None:
        headers = Headers(scope=scope)
        try:
            _override_method(scope, headers)
            if scope["method"] == "OPTIONS":
                response: ASGIApp = self._options(scope)
                await response(scope, receive, send)
                return
            await self._router(scope, receive, send)
        except BrokenConnectionError:
            return
        except Problem as problem:
            await self._refuse(problem, scope, receive, send)
        except HTTPException as error:
            await self._refuse(for_status(error.status_code, error.headers), scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a fault of ours is told as such, without a word of it
            self._logs.fault(scope["registry.request_id"], error)
            await self._refuse(Problem("internal"), scope, receive, send)

    async def _refuse(self, problem: Problem, scope: Scope, receive: _Counted, send: _Sent) -> None:
        if send.started:
            return
        # A sender that is in the middle of its body would be cut off before it could read why.
        signed_in = "registry.principal" in scope
        most = self._settings.chunk_max if signed_in else 2 * self._settings.chunk_preferred
        await receive.drain(most)
        response = problem.response()
        response.headers.update(_digest(bytes(response.body)))
        if not receive.done:
            response.headers["Connection"] = "close"
        await response(scope, receive, send)

    def _options(self, scope: Scope) -> Response:
        methods: set[str] = set()
        for route in self._router.routes:
            match, _ = route.matches({**scope, "method": "OPTIONS"})
            if match is not Match.NONE:
                methods |= cast("set[str]", getattr(route, "methods", set()))
        if not methods:
            raise Problem("not-found")
        headers = {"Allow": ", ".join(sorted(methods | {"OPTIONS"}))}
        if scope["path"].startswith(_UPLOADS):
            headers |= {
                "Tus-Version": VERSION,
                "Tus-Extension": ",".join(EXTENSIONS),
                "Tus-Max-Size": str(self._settings.max_package),
                "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
            }
        return Response(status_code=204, headers=headers)

    def _template(self, scope: Scope) -> str:
        """Return the route's own path: an address may hold what nobody should find in a log."""
        for route in self._router.routes:
            if route.matches(scope)[0] is not Match.NONE:
                return str(getattr(route, "path", "-"))
        return "-"

    def _log(self, scope: Scope, sent: _Sent, received: _Counted, seconds: float) -> None:
        principal: Principal | None = scope.get("registry.principal")
        client = scope.get("client")
        self._logs.access(
            at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            request=scope["registry.request_id"],
            client=client[0] if client else "",
            method=scope["method"] if scope["method"] in _METHODS else "?",
            route=self._template(scope),
            case=_case_in(scope),
            status=sent.status,
            ms=int(seconds * 1000),
            received=received.count,
            site=principal.site if principal else "",
            token=principal.token_id if principal else "",
        )


def _case_in(scope: Scope) -> str:
    case_id = scope.get("path_params", {}).get("id", "")
    return case_id if re.fullmatch(r"[A-Z2-7]{4}(-[A-Z2-7]{4}){2}", case_id) else ""


class _Sent:
    """`send` with the headers that every response has."""

    def __init__(self, send: Send, request_id: str, *, tus: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._tus = tus
        self.started = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            headers["Cache-Control"] = "no-store"
            headers["X-Content-Type-Options"] = "nosniff"
            if self._tus:
                headers["Tus-Resumable"] = VERSION
        await self._send(message)


class _Counted:
    """`receive` that counts, and can swallow the rest of a body."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.done = False
        self.count = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.count += len(message.get("body", b""))
            self.done = not message.get("more_body", False)
        else:
            self.done = True
        return message

    async def drain(self, most: int) -> None:
        """Read on to the body's end, but not past ``most`` bytes or ten seconds."""
        limit = self.count + most
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self.done and self.count < limit:
                    await self()
        except TimeoutError:
            return


def _override_method(scope: Scope, headers: Headers) -> None:
    """Let POST stand for another method where something between blocks it (tus 1.0.0)."""
    method = headers.get(_OVERRIDE)
    if method is None or scope["method"] != "POST" or not scope["path"].startswith(_UPLOADS + "/"):
        return
    if method.upper() not in _OVERRIDES:
        raise Problem("bad-request", "X-HTTP-Method-Override is PATCH, DELETE or HEAD here.")
    scope["method"] = method.upper()


async def read_body(request: Request, limit: int) -> bytes:
    """Return a small body.

    Raises
    ------
    Problem
        ``too-large``, before it is read if its length is told.
    """
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and int(told) > limit:
        raise Problem("too-large", f"A JSON body is at most {limit} bytes.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise Problem("too-large", f"A JSON body is at most {limit} bytes.")
    return bytes(body)


def _check_media_type(headers: Headers) -> None:
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() != "application/json" or charset not in {"", "charset=utf-8"}:
        raise Problem("unsupported-media-type", "Send application/json in UTF-8.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported-media-type", "Send the body without a content coding.")


def _json(answer: Answer) -> str:
    return json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))


def _response(answer: Answer, request: Request) -> Response:
    headers = {"ETag": answer.etag} if answer.etag else {}
    if request.method in {"GET", "HEAD"} and answer.etag and matches(request.headers.get("if-none-match"), answer.etag):
        return Response(status_code=304, headers=headers)
    if answer.status == 201:
        headers["Location"] = request.url.path
    if answer.status == 202:
        headers["Retry-After"] = "2"
    body = _json(answer).encode()
    return Response(body, answer.status, {**headers, **_digest(body)}, "application/json")


def _digest(body: bytes) -> dict[str, str]:
    """Return the header by which the other end sees a body damaged on its way (RFC 9530)."""
    return {_CONTENT_DIGEST: f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"}


def _check_digest(headers: Headers, body: bytes) -> None:
    """Refuse a body that is not the one that was sent. Without such a header there is nothing to compare.

    Raises
    ------
    Problem
        ``checksum-mismatch``.
    """
    told = _SHA256.search(headers.get(_CONTENT_DIGEST, ""))
    if told is not None and f"sha-256=:{told[1]}:" != _digest(body)[_CONTENT_DIGEST]:
        raise Problem("checksum-mismatch")
