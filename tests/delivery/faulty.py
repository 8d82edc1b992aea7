"""A tus server with faults on demand, and a TLS proxy with faults before a real registry. Real sockets, both."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CA = trustme.CA()
_CERT = _CA.issue_cert("localhost", "127.0.0.1")


def ca_file(folder: Path) -> Path:
    path = folder / "test-ca.pem"
    _CA.cert_pem.write_to_path(str(path))
    return path


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _CERT.configure_cert(context)
    return context


@dataclass
class Fault:
    """What to do with the next request that matches, once.

    ``reset`` cuts the connection after so many bytes of the body; ``answer`` is a status with headers, given after the
    body was read; ``swallow`` does the work and then cuts the connection; ``delay`` waits first.
    """

    method: str = "PATCH"
    answer: tuple[int, dict[str, str]] | None = None
    reset: int | None = None
    swallow: bool = False
    swap: bool = False
    twice: bool = False
    early: bool = False
    path: str = ""
    body: bytes = b""


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faulty

    def log_message(self, *arguments: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        fault = self.server.next_fault(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault is not None and fault.early:
            self._answer(*fault.answer, fault.body)  # type: ignore[misc]
            self.close_connection = True
            return
        wanted = length if fault is None or fault.reset is None else min(length, fault.reset)
        body = self._read(wanted)
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers.items()), body))
        if fault is not None and fault.reset is not None:
            self.server.partial(self, body)
            self._cut()
            return
        if fault is not None and fault.answer is not None:
            self._answer(*fault.answer, fault.body)
            return
        if fault is not None and fault.swap and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        status, headers, data = self.server.work(self, body)
        if fault is not None and fault.twice:
            status, headers, data = self.server.work(self, body)
        if fault is not None and fault.swallow:
            self._cut()
            return
        self._answer(status, headers, data)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _read(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            block = self.rfile.read(min(65536, length - len(data)))
            if not block:
                break
            data += block
        return bytes(data)

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            # Linger 0: the peer gets a reset, not a graceful end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.close(self.connection)

    def _answer(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204 and "content-length" not in {name.lower() for name in headers}:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class Faulty(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = context or server_context()
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.lock = threading.RLock()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for number, fault in enumerate(self.faults):
                if fault.method in {method, "*"} and fault.path in path:
                    return self.faults.pop(number)
        return None

    def partial(self, handler: _Handler, body: bytes) -> None:
        """Take in what came before a cut."""

    def work(self, handler: _Handler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError

    def sent(self, method: str = "PATCH") -> int:
        return sum(len(seen.body) for seen in self.seen if seen.method == method)


class TusServer(Faulty):
    """tus 1.0 in memory: strict about what the protocol demands, with a few of real servers' habits."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        checksum: bool = False,
        keep_partial: bool = True,
        cap: int = 0,
        methods: str = "",
    ) -> None:
        super().__init__(context)
        self.checksum = checksum
        self.keep_partial = keep_partial
        self.cap = cap
        self.blocked = methods.split()
        self.files: dict[str, bytearray] = {}
        self.lengths: dict[str, int] = {}
        self.metadata: list[str] = []
        self.gone: set[str] = set()

    def partial(self, handler: _Handler, body: bytes) -> None:
        with self.lock:
            store = self.files.get(handler.path)
            if self.keep_partial and store is not None and int(handler.headers["Upload-Offset"]) == len(store):
                store += body

    def work(self, handler: _Handler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.lock:
            return self._work(handler, body)

    def _work(self, handler: _Handler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        method = handler.command
        if method in self.blocked:
            return 405, {}, b"blocked here"
        method = handler.headers.get("X-HTTP-Method-Override", method)
        if handler.headers.get("Tus-Resumable") != "1.0.0":
            return 412, {}, b""
        if method == "POST" and handler.path == "/files/":
            url = f"/files/{len(self.files) + 1}"
            self.files[url] = bytearray()
            self.lengths[url] = int(handler.headers["Upload-Length"])
            self.metadata.append(handler.headers.get("Upload-Metadata", ""))
            return 201, {"Location": url.rpartition("/")[2] if len(self.files) % 2 else url}, b""
        if handler.path in self.gone:
            return 410, {}, b""
        if handler.path not in self.files:
            return 404, {}, b""
        store, length = self.files[handler.path], self.lengths[handler.path]
        if method == "HEAD":
            return 200, {"Upload-Offset": str(len(store)), "Upload-Length": str(length)}, b""
        if method == "DELETE":
            self.gone.add(handler.path)
            return 204, {}, b""
        if handler.headers.get("Content-Type") != "application/offset+octet-stream":
            return 415, {}, b""
        if self.cap and len(body) > self.cap:
            return 413, {"Content-Type": "text/html"}, b"<html>too large</html>"
        if int(handler.headers["Upload-Offset"]) != len(store):
            return 409, {}, b""
        if self.checksum and not _sums(handler.headers["Upload-Checksum"], body):
            return 460, {}, b""
        store += body
        return 204, {"Upload-Offset": str(len(store))}, b""


def _sums(header: str, body: bytes) -> bool:
    name, _, value = header.partition(" ")
    return base64.b64decode(value) == hashlib.new(name, body).digest()


class Proxy(Faulty):
    """A TLS proxy before a registry, as an inspecting hospital proxy is one. Faults between the two."""

    def __init__(self, port: int, ca_bundle: Path) -> None:
        super().__init__()
        self._port = port
        self._context = ssl.create_default_context(cafile=str(ca_bundle))
        self.before: Callable[[str, str], None] | None = None

    def partial(self, handler: _Handler, body: bytes) -> None:
        """Pass on the first part of a request, then cut that line too."""
        with contextlib.suppress(OSError):
            raw = socket.create_connection(("127.0.0.1", self._port), timeout=10)
            line = self._context.wrap_socket(raw, server_hostname="127.0.0.1")
            head = f"{handler.command} {handler.path} HTTP/1.1\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in self._headers(handler).items())
            line.sendall(head.encode() + b"\r\n" + body)
            line.close()

    def _headers(self, handler: _Handler) -> dict[str, str]:
        return {name: value for name, value in handler.headers.items() if name.lower() != "connection"}

    def work(self, handler: _Handler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.before is not None:
            self.before(handler.command, handler.path)
        line = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=60)
        try:
            line.request(handler.command, handler.path, body or None, self._headers(handler))
            answer = line.getresponse()
            data = answer.read()
            own = {"connection", "transfer-encoding", "keep-alive"}
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in own}
            headers = self._here(headers)
            if "well-known" in handler.path:
                data = data.replace(f":{self._port}".encode(), f":{self.server_address[1]}".encode())
                data = data.replace(b"https://127.0.0.1", b"https://localhost")
                headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        except OSError:
            return 502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"
        else:
            return answer.status, headers, data
        finally:
            line.close()

    def _here(self, headers: dict[str, str]) -> dict[str, str]:
        return {name: value.replace(f":{self._port}", f":{self.server_address[1]}") for name, value in headers.items()}


@contextlib.contextmanager
def serving(server: Faulty) -> Iterator[Faulty]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
