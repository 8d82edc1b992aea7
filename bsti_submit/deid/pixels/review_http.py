"""The review page's HTTP: who may ask, and what each path answers. Every answer is uncacheable."""

from __future__ import annotations

import contextlib
import json
import math
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.deid.pixels.regions import MOST_REGIONS, to_rows
from bsti_submit.deid.pixels.review_access import COOKIE, same

if TYPE_CHECKING:
    from bsti_submit.deid.pixels.review import ReviewServer

_STATIC: Final = {
    "/review.js": ("review.js", "text/javascript; charset=utf-8"),
    "/boxes.js": ("boxes.js", "text/javascript; charset=utf-8"),
    "/mouse.js": ("mouse.js", "text/javascript; charset=utf-8"),
    "/view.js": ("view.js", "text/javascript; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
}
_LONGEST_BODY: Final = 16_384
"""A decision with as many regions as there may be, each number as long as it can get, has about 8,000 bytes."""
_WIDEST: Final = 16.0
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), clipboard-write=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class DecisionRefused(Exception):  # noqa: N818 - said to the page, not to a caller
    """A decision that cannot be taken, with a sentence for the person."""


def handler(review: ReviewServer) -> type[BaseHTTPRequestHandler]:
    """Return the request handler of one review."""
    return type("BoundReviewHandler", (ReviewHandler,), {"review": review})


class ReviewHandler(BaseHTTPRequestHandler):
    """Answers the one browser that holds the session; everyone else gets a plain refusal."""

    review: ClassVar[ReviewServer]
    protocol_version = "HTTP/1.1"
    timeout = 60
    server_version = "review"
    sys_version = ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing: the path holds the token."""

    def handle(self) -> None:
        """Serve a connection; a browser that goes away is no fault."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a malformed request in plain text, without quoting it."""
        del message, explain
        self.close_connection = True
        self._text(HTTPStatus(code), "This request is not understood.")

    def do_GET(self) -> None:
        """Answer GET."""
        address = urlsplit(self.path)
        if not self._right_host():
            return
        if address.path.startswith("/open/"):
            self._open(address.path.removeprefix("/open/"))
        elif self._admitted():
            self._get(address.path, address.query)

    def do_POST(self) -> None:
        """Answer POST: a decision, or that the person is done."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _LONGEST_BODY:
            self.close_connection = True
            self._text(HTTPStatus.BAD_REQUEST, "This request is not understood.")
            return
        body = self.rfile.read(length)
        if not (self._right_host() and self._admitted()):
            return
        origin = self.headers.get("Origin")
        own = {f"http://{host}" for host in self.review.access.hosts}
        if (origin is not None and origin not in own) or not same(
            self.headers.get("X-Review-Token", ""), self.review.access.csrf
        ):
            self._text(HTTPStatus.FORBIDDEN, "This request does not come from the review page.")
            return
        self.review.touch()
        self._post(urlsplit(self.path).path, body)

    def _right_host(self) -> bool:
        # A page elsewhere that rebinds its name to this machine still sends its own name (DNS rebinding).
        if self.headers.get("Host", "") in self.review.access.hosts:
            return True
        self._text(HTTPStatus.MISDIRECTED_REQUEST, "This server answers for this machine only.")
        return False

    def _admitted(self) -> bool:
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site in {"none", "same-origin"} and self.review.access.admits(self.headers.get("Cookie", "")):
            return True
        self._text(
            HTTPStatus.FORBIDDEN,
            "Open the link that the terminal shows. It works once, in one browser.",
        )
        return False

    def _open(self, token: str) -> None:
        session = self.review.access.exchange(token)
        if session is None:
            self._text(
                HTTPStatus.FORBIDDEN,
                "This link is used up or wrong. For a new one press Ctrl-C in the terminal and run the command again.",
            )
            return
        self.review.touch()
        cookie = f"{COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/"
        self._send(HTTPStatus.SEE_OTHER, b"", "text/plain", {"Location": "/", "Set-Cookie": cookie})

    def _get(self, path: str, query: str) -> None:
        if path == "/":
            page = _static("review.html").replace(b"@TOKEN@", self.review.access.csrf.encode())
            self._send(HTTPStatus.OK, page, "text/html; charset=utf-8")
        elif path in _STATIC:
            name, kind = _STATIC[path]
            self._send(HTTPStatus.OK, _static(name), kind)
        elif path == "/favicon.ico":
            self._send(HTTPStatus.NO_CONTENT, b"", "image/png")
        elif path == "/state":
            self._json(self.review.state())
        elif path.startswith("/picture/"):
            self.review.touch()
            self._picture(path.removeprefix("/picture/"), parse_qs(query))
        elif path.startswith("/regions/"):
            self.review.touch()
            self._regions(path.removeprefix("/regions/"))
        else:
            self._text(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _picture(self, index: str, query: dict[str, list[str]]) -> None:
        try:
            number, frame = _index(index), _index(query.get("frame", ["0"])[0])
            level = _between(query.get("level", ["0"])[0], -_WIDEST, _WIDEST)
            width = _between(query.get("width", ["1"])[0], 1 / 256, _WIDEST)
        except ValueError:
            number, frame, level, width = len(self.review.items), 0, 0.0, 1.0
        if number >= len(self.review.items):
            self._text(HTTPStatus.NOT_FOUND, "There is no such image.")
            return
        try:
            png = self.review.picture(
                number,
                frame=frame,
                full_range=query.get("range") == ["full"],
                thumbnail=query.get("size") == ["small"],
                level=level,
                width=width,
            )
        except Exception:  # noqa: BLE001 - a renderer must not raise; if it does, nothing of it is shown
            self._text(HTTPStatus.INTERNAL_SERVER_ERROR, "This image cannot be shown.")
            return
        self._send(HTTPStatus.OK, png, "image/png")

    def _regions(self, index: str) -> None:
        try:
            found = self.review.suggestions(_index(index))
        except (ValueError, IndexError):
            self._text(HTTPStatus.NOT_FOUND, "There is no such image.")
            return
        if found is None:
            self._json({"error": "The search for text failed, so look with all the more care."})
        elif len(found) > MOST_REGIONS:
            self._json({"error": "Too much in it looks like text: leave it out, or reject it."})
        else:
            self._json({"regions": to_rows(found)})

    def _post(self, path: str, body: bytes) -> None:
        if path == "/done":
            self._json({"ended": True})
            self.review.done()
            return
        if path != "/decision":
            self._text(HTTPStatus.NOT_FOUND, "There is nothing here.")
            return
        try:
            asked = json.loads(body)
            index = _index(str(asked["index"]))
            verdict = Verdict(asked["verdict"]) if asked["verdict"] else None
            self.review.decide(index, verdict, asked.get("regions", []))
        except DecisionRefused as refused:
            self._json({"error": str(refused)}, HTTPStatus.CONFLICT)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            self._json({"error": "This request is not understood."}, HTTPStatus.BAD_REQUEST)
        except Exception:  # noqa: BLE001 - whatever the caller's store raised, its text stays here
            self._json({"error": "The decision could not be kept. Try again."}, HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            self._json({"index": index, "verdict": verdict or ""})

    def _json(self, value: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _text(self, status: HTTPStatus, text: str) -> None:
        self._send(status, text.encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in {**_HEADERS, **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _index(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ValueError("not an index")
    return int(text)


def _between(text: str, least: float, most: float) -> float:
    value = float(text)
    if not (math.isfinite(value) and least <= value <= most):
        raise ValueError("out of range")
    return value


def _static(name: str) -> bytes:
    return resources.files("bsti_submit.deid.pixels").joinpath("static", name).read_bytes()
