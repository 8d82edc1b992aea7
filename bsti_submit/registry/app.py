"""The registry put together: routes of `docs/registry-api.yaml` onto what does the work."""

from __future__ import annotations

import re
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from bsti_submit.registry import bodies, catalogue, uploads
from bsti_submit.registry.cases import Answer, Cases
from bsti_submit.registry.limits import Rates
from bsti_submit.registry.logs import Logs
from bsti_submit.registry.patching import Patch
from bsti_submit.registry.problems import Fault, Problem
from bsti_submit.registry.records import State
from bsti_submit.registry.review import Decision, Review
from bsti_submit.registry.settings import Settings, utc
from bsti_submit.registry.signing import Signer
from bsti_submit.registry.store import Store
from bsti_submit.registry.tokens import Role, Tokens
from bsti_submit.registry.uploads import ALGORITHMS, EXTENSIONS, VERSION, Uploads
from bsti_submit.registry.wire import Call, Gate, Outer
from bsti_submit.registry.worker import Worker

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from bsti_submit.registry.folder import Folder
    from bsti_submit.registry.strictjson import Object

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(:[0-9]{1,5})?")
_KINDS = ("submission", "amendment", "withdrawal")
_PAGE_MOST, _PAGE = 200, 100
_CHUNK = "application/offset+octet-stream"


class Registry:
    """Everything behind one data folder. ``app`` serves it; ``close`` it at the end."""

    def __init__(
        self,
        folder: Folder,
        settings: Settings | None = None,
        renew_certificate: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings or Settings()
        self.folder = folder.create()
        self.store = Store(folder)
        self.logs = Logs(folder)
        self.tokens = Tokens(self.store)
        self.signer = Signer(folder)
        self.signer.ensure()
        self.profiles = catalogue.Profiles(self.settings.profiles)
        self.registry_id = self.store.meta("registry_id", f"registry-{secrets.token_hex(8)}")
        self.uploads = Uploads(self.store, self.settings)
        self.review = Review(self.store)
        self.worker = Worker(
            store=self.store,
            uploads=self.uploads,
            profiles=self.profiles,
            settings=self.settings,
            logs=self.logs,
            renew_certificate=renew_certificate,
        )
        self.cases = Cases(
            store=self.store,
            uploads=self.uploads,
            signer=self.signer,
            profiles=self.profiles,
            settings=self.settings,
            registry_id=self.registry_id,
            on_received=self.worker.validate,
        )

    def app(self) -> ASGIApp:
        """Return the application."""
        return Outer(
            Router(_Routes(self).routes(), redirect_slashes=False, lifespan=self._lifespan),
            self.logs,
            self.settings,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        self.worker.start()
        try:
            yield
        finally:
            await run_in_threadpool(self.worker.stop)

    def close(self) -> None:
        """Close the database and the logs."""
        self.store.close()
        self.logs.close()


class _Routes:
    """The handlers, one for each operation."""

    def __init__(self, registry: Registry) -> None:
        settings = registry.settings
        self._registry = registry
        self._cases = registry.cases
        self._uploads = registry.uploads
        self._gate = Gate(
            registry.store,
            registry.tokens,
            Rates(settings.rate, settings.burst),
            Rates(1.0, settings.failures_burst),
            settings,
        )

    def routes(self) -> list[Route]:
        """Return every route."""
        gate = self._gate
        case = "/v1/cases/{id}"
        reads, posts = gate.endpoint, self._posts
        return [
            Route("/.well-known/bsti-registry", self._discover, methods=["GET"]),
            Route("/v1/site", reads(self._site), methods=["GET"]),
            Route("/v1/cases", reads(self._list), methods=["GET"]),
            Route(case, self._case, methods=["GET", "PUT"]),
            Route(f"{case}/submission", posts(self._submit), methods=["POST"]),
            Route(f"{case}/receipt", reads(self._receipt), methods=["GET"]),
            Route(f"{case}/events", reads(self._events), methods=["GET"]),
            Route(f"{case}/amendments", posts(self._amend), methods=["POST"]),
            Route(f"{case}/withdrawal", posts(self._withdraw), methods=["POST"]),
            Route(f"{case}/review", posts(self._decide), methods=["POST"]),
            Route("/v1/uploads", self._create_upload, methods=["POST"]),
            Route("/v1/uploads/{uid}", self._upload, methods=["HEAD", "PATCH", "DELETE"]),
            Route("/v1/schemas/{name}/{version}", self._schema, methods=["GET"]),
            Route("/v1/openapi.json", reads(self._openapi), methods=["GET"]),
        ]

    def _posts(self, handler: Callable[[Call], Answer]) -> Callable[[Request], object]:
        return self._gate.endpoint(handler, reads_json=True, once=True)

    # -- discovery --------------------------------------------------------------------------------

    async def _discover(self, request: Request) -> Response:
        host = request.headers.get("host", "")
        if not _HOST.fullmatch(host):
            raise Problem("bad-request", "The Host header cannot be read.")
        return JSONResponse(await run_in_threadpool(self._discovery, host))

    def _discovery(self, host: str) -> Object:
        registry, settings = self._registry, self._registry.settings
        return {
            "name": registry.store.meta("name", settings.name),
            "registry_id": registry.registry_id,
            "api": ["1"],
            "base": f"https://{host}/v1",
            "auth": {"bearer": True},
            "uploads": {
                "tus": {
                    "version": VERSION,
                    "extensions": list(EXTENSIONS),
                    "checksum": list(ALGORITHMS),
                    "max_size": settings.max_package,
                    "chunk": {"preferred": settings.chunk_preferred, "max": settings.chunk_max},
                    "expires_s": settings.upload_expires,
                }
            },
            "limits": {"case_bytes": settings.max_package, "objects": settings.max_objects},
            "schemas": {"clinical": ["1.0"], "case": ["1.0"]},
            "profiles": list(registry.profiles.listed()),
            "keys": list(registry.signer.keys()),
            "retention": {"purge_days": settings.purge_days, "retention_days": settings.retention_days},
            "contact": settings.contact,
        }

    def _site(self, call: Call) -> Answer:
        principal = call.asked.principal
        return Answer(
            200,
            {
                "site": principal.site,
                "roles": [principal.role.value],
                "token_expires": utc(principal.expires),
            },
        )

    async def _schema(self, request: Request) -> Response:
        await run_in_threadpool(self._gate.sign_in, request)
        found = catalogue.schema(request.path_params["name"], request.path_params["version"])
        if found is None:
            raise Problem("not-found")
        return JSONResponse(found, media_type="application/schema+json")

    def _openapi(self, _call: Call) -> Answer:
        return Answer(200, catalogue.openapi())

    # -- cases ------------------------------------------------------------------------------------

    async def _case(self, request: Request) -> Response:
        if request.method == "PUT":
            return await self._gate.endpoint(self._put, reads_json=True)(request)
        return await self._gate.endpoint(self._get)(request)

    def _put(self, call: Call) -> Answer:
        headers = call.headers
        if_none_match = headers.get("if-none-match")
        if if_none_match not in {None, "*"}:
            raise Problem("bad-request", "If-None-Match is * here.")
        return self._cases.put(call.asked, call.path["id"], call.body, headers.get("if-match"), if_none_match)

    def _get(self, call: Call) -> Answer:
        return self._cases.get(call.asked, call.path["id"])

    def _list(self, call: Call) -> Answer:
        state, after, limit = (call.query.get(name) for name in ("state", "after", "limit"))
        faults = []
        if state is not None and state not in set(State):
            faults.append(Fault("/state", "is not a state"))
        if after is not None and not re.fullmatch(r"[0-9]{1,15}", after):
            faults.append(Fault("/after", "is not the next of a page"))
        if limit is not None and not (re.fullmatch(r"[0-9]{1,3}", limit) and 0 < int(limit) <= _PAGE_MOST):
            faults.append(Fault("/limit", f"is not between 1 and {_PAGE_MOST}"))
        if faults:
            raise Problem("invalid-request", errors=faults)
        return self._cases.list(call.asked, state, int(after or 0), int(limit or _PAGE))

    def _submit(self, call: Call) -> Answer:
        return self._cases.submit(call.asked, call.path["id"], call.body)

    def _receipt(self, call: Call) -> Answer:
        kind = call.query.get("kind", _KINDS[0])
        if kind not in _KINDS:
            raise Problem("invalid-request", errors=[Fault("/kind", "is not a kind of receipt")])
        return self._cases.receipt(call.asked, call.path["id"], kind)

    def _events(self, call: Call) -> Answer:
        return self._cases.events(call.asked, call.path["id"])

    def _amend(self, call: Call) -> Answer:
        return self._cases.amend(call.asked, call.path["id"], call.body)

    def _withdraw(self, call: Call) -> Answer:
        answer = self._cases.withdraw(call.asked, call.path["id"], call.body)
        self._registry.worker.tidy()
        return answer

    def _decide(self, call: Call) -> Answer:
        principal = call.asked.principal
        if principal.role is Role.SITE:
            raise Problem("forbidden")
        body = bodies.parse(call.body, "ReviewPost")
        shown, etag = self._registry.review.decide(
            call.path["id"],
            Decision(str(body["decision"])),
            str(body.get("text", "")),
            actor=f"{principal.role}:{principal.site}/{principal.token_id}",
            request_id=call.asked.request_id,
        )
        return Answer(200, shown, etag)

    # -- uploads ----------------------------------------------------------------------------------

    async def _create_upload(self, request: Request) -> Response:
        asked = await run_in_threadpool(self._gate.sign_in, request)
        _check_tus(request)
        async for part in request.stream():
            if part:
                raise Problem("bad-request", "The body is empty here; send the bytes with PATCH.")
        row = await run_in_threadpool(
            self._uploads.create,
            asked.principal,
            request.headers.get("upload-length"),
            request.headers.get("upload-metadata"),
            asked.request_id,
        )
        return Response(status_code=201, headers={"Location": uploads.address(row), **uploads.headers(row)})

    async def _upload(self, request: Request) -> Response:
        asked = await run_in_threadpool(self._gate.sign_in, request)
        _check_tus(request)
        uid = request.path_params["uid"]
        if request.method == "DELETE":
            await run_in_threadpool(self._uploads.terminate, asked.principal, uid)
            self._registry.worker.tidy()
            return Response(status_code=204)
        row = await run_in_threadpool(self._uploads.find, asked.principal, uid)
        if request.method == "PATCH":
            return await self._patch(request, row)
        headers = {
            "Upload-Length": str(row["length"]),
            "Upload-Metadata": row["metadata"],
            **uploads.headers(row),
        }
        return Response(status_code=200, headers=headers)

    async def _patch(self, request: Request, row: sqlite3.Row) -> Response:
        headers = request.headers
        if headers.get("content-type", "").strip().lower() != _CHUNK:
            raise Problem("unsupported-media-type", f"Send {_CHUNK}.")
        offset = uploads.parse_offset(headers.get("upload-offset"))
        checksum = uploads.parse_checksum(headers.get("upload-checksum"))
        with self._uploads.writing(row["uid"]) as holder:
            # Read again: only the holder of the lock knows the offset.
            row = await run_in_threadpool(self._again, row["uid"])
            if offset != row["offset"]:
                raise Problem("offset-conflict", headers={"Upload-Offset": str(row["offset"])})
            told = headers.get("content-length", "0")
            size = int(told) if told.isascii() and told.isdigit() else 0
            if size > self._registry.settings.chunk_max:
                raise Problem("too-large", "The chunk is larger than this registry takes.")
            if size > row["length"] - row["offset"]:
                raise Problem("too-large", "More bytes would come than Upload-Length promised.")
            row = await Patch(self._uploads, row, holder, checksum).store(request.receive)
        return Response(status_code=204, headers=uploads.headers(row))

    def _again(self, uid: str) -> sqlite3.Row:
        with self._registry.store.reading() as db:
            row = db.execute("SELECT * FROM upload WHERE uid = ?", (uid,)).fetchone()
        if row is None or row["ended"] is not None:
            raise Problem("upload-expired")
        self._uploads.durable(row)
        with self._registry.store.reading() as db:
            return cast("sqlite3.Row", db.execute("SELECT * FROM upload WHERE uid = ?", (uid,)).fetchone())


def _check_tus(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise Problem("tus-version", headers={"Tus-Version": VERSION})
