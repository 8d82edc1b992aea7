"""A TLS line before a real registry that breaks on demand, at any point of a connection or an exchange.

It speaks TLS to both sides, so that it can count and change what goes through as an inspecting proxy could. Only
sockets and threads; the client at one end and the registry at the other are the real ones.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.delivery.faulty import server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STEPS = {
    "discovery": ("GET", "/.well-known"),
    "announcement": ("PUT", "/v1/cases/"),
    "creation": ("POST", "/v1/uploads"),
    "offset": ("HEAD", "/v1/uploads/"),
    "piece": ("PATCH", "/v1/uploads/"),
    "submission": ("POST", "/submission"),
}
SILENCE = 1.0
"""Seconds for which a dropped line says nothing before it ends."""
CONNECTING = ("accept", "handshake")
ASKING = ("head", "body", "forwarded")
ANSWERING = ("answer head", "answer body", "idle")
PHASES = (*CONNECTING, *ASKING, *ANSWERING)


@dataclass
class Fault:
    """What befalls one exchange, once.

    Attributes
    ----------
    kind
        ``drop`` (silence, then the end), ``reset``, ``close``, ``delay`` (then it goes on), ``swap`` (one bit),
        ``twice`` (the request reaches the registry twice), ``answer`` (a status of the line's own),
        ``gone`` (the upload is ended at the registry).
    phase
        Where: one of `PHASES`.
    step
        One of `STEPS`; "" for any.
    skip
        How many exchanges of that step go well before.
    at
        How far into the phase's bytes, from 0 to 1.
    """

    kind: str
    phase: str
    step: str = ""
    skip: int = 0
    at: float = 0.5
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)

    def fits(self, phase_of: tuple[str, ...], method: str, path: str) -> bool:
        if self.phase not in phase_of:
            return False
        wanted, part = STEPS.get(self.step, ("", ""))
        if wanted and not (method == wanted and part in path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        return True


class _Cut(Exception):  # noqa: N818 - the end of a connection, not an error
    pass


class Line:
    """The line. ``fault`` is what happens next; ``happened`` what did."""

    def __init__(self, port: int, ca_bundle: Path) -> None:
        self._upstream = port
        self._trust = ssl.create_default_context(cafile=str(ca_bundle))
        self._context = server_context()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self.faults: list[Fault] = []
        self.happened: list[Fault] = []
        self.asked: list[tuple[str, str, int]] = []
        """Method, path and announced length of each request."""
        self.raw: list[bytes] = []
        """Every request as it came, if ``keep``."""
        self.keep = False
        self.before: Callable[[str, str], None] | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.getsockname()[1]}"

    def sent(self) -> int:
        """Bytes that the client began to send as pieces of an upload."""
        return sum(length for method, _, length in self.asked if method == "PATCH")

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(raw,), daemon=True).start()

    def _take(self, phases: tuple[str, ...], method: str = "", path: str = "") -> Fault | None:
        with self._lock:
            for number, fault in enumerate(self.faults):
                if fault.fits(phases, method, path):
                    self.happened.append(self.faults.pop(number))
                    return fault
        return None

    def _connection(self, raw: socket.socket) -> None:
        raw.settimeout(60)
        line = raw
        with contextlib.suppress(OSError, _Cut, http.client.HTTPException):
            fault = self._take(CONNECTING)
            if fault is not None:
                if fault.phase == "handshake":
                    raw.recv(64)
                self._end(fault, raw)
            line = self._context.wrap_socket(raw, server_side=True)
            rest = b""
            while True:
                rest = self._exchange(line, rest)
        with contextlib.suppress(OSError):
            line.close()

    def _exchange(self, line: ssl.SSLSocket, rest: bytes) -> bytes:
        head, rest = _until_blank(line, rest)
        request, *fields = head.decode("latin-1").split("\r\n")
        method, path, _ = request.split(" ")
        headers = dict(entry.split(": ", 1) for entry in fields if entry)
        length = int(headers.get("Content-Length", "0"))
        with self._lock:
            self.asked.append((method, path, length))
        if self.before is not None:
            self.before(method, path)
        fault = self._take(ASKING + ANSWERING, method, path) or Fault("none", "")
        if fault.phase == "head":
            if fault.kind == "answer":
                line.sendall(_answer(fault.status, {**fault.headers, "Connection": "close"}, b"<html>no</html>"))
                raise _Cut
            self._end(fault, line)
        if fault.phase == "body" and length:
            part = _read(line, rest, int(length * fault.at))
            if fault.kind != "delay":
                self._pass_part(head, part)
            self._end(fault, line)
            rest = part
        body = _read(line, rest, length)
        if self.keep:
            self.raw.append(head + b"\r\n\r\n" + body)
        if fault.phase in {"forwarded", "body"}:
            body = self._before(fault, method, path, headers, body, line)
        answer = self._forward(method, path, headers, body)
        if fault.kind == "twice":
            answer = self._forward(method, path, headers, body)
        self._back(fault, method, answer, line)
        return b""

    def _before(
        self, fault: Fault, method: str, path: str, headers: dict[str, str], body: bytes, line: socket.socket
    ) -> bytes:
        match fault.kind:
            case "answer":
                line.sendall(_answer(fault.status, fault.headers, b"<html>no</html>"))
                raise _Cut
            case "gone":
                own = {
                    name: value for name, value in headers.items() if name in {"Authorization", "Tus-Resumable", "Host"}
                }
                self._forward("DELETE", path, own, b"")
            case "swap" if body:
                at = int((len(body) - 1) * fault.at)
                return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            case "drop" | "reset" | "close" | "delay":
                self._end(fault, line)
            case _:
                pass
        return body

    def _back(self, fault: Fault, method: str, answer: tuple[int, dict[str, str], bytes], line: ssl.SSLSocket) -> None:
        status, headers, body = answer
        if fault.phase not in ANSWERING:
            line.sendall(_answer(status, headers, body, head_only=method == "HEAD"))
            return
        if fault.kind == "answer":
            line.sendall(_answer(fault.status, fault.headers, b"<html>no</html>", head_only=method == "HEAD"))
            return
        if fault.kind == "swap" and body:
            at = int((len(body) - 1) * fault.at)
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        whole = _answer(status, headers, body, head_only=method == "HEAD")
        top = whole.index(b"\r\n\r\n") + 4
        if fault.kind in {"swap", "twice", "gone"}:
            line.sendall(whole)
            return
        match fault.phase:
            case "answer head":
                cut = int(top * fault.at)
            case "answer body":
                cut = top + int((len(whole) - top) * fault.at)
            case _:
                cut = len(whole)
        line.sendall(whole[:cut])
        self._end(fault, line)
        line.sendall(whole[cut:])

    def _end(self, fault: Fault, line: socket.socket) -> None:
        match fault.kind:
            case "delay":
                time.sleep(SILENCE * fault.at)
                return
            case "drop":
                time.sleep(SILENCE)
            case "reset":
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case "close":
                pass
            case _:
                return
        socket.socket.close(line)  # without TLS's own goodbye, as a line that breaks
        raise _Cut

    def _pass_part(self, head: bytes, part: bytes) -> None:
        """Let the registry see the request up to where it broke off."""
        with contextlib.suppress(OSError):
            raw = socket.create_connection(("127.0.0.1", self._upstream), timeout=10)
            with self._trust.wrap_socket(raw, server_hostname="127.0.0.1") as line:
                line.sendall(head + b"\r\n\r\n" + part)

    def _forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        line = http.client.HTTPSConnection("127.0.0.1", self._upstream, context=self._trust, timeout=60)
        try:
            sent = {
                name: value for name, value in headers.items() if name.lower() not in {"connection", "content-length"}
            }
            line.request(method, path, body, {**sent, "Content-Length": str(len(body))})
            answer = line.getresponse()
            data = answer.read()
            own = {"connection", "transfer-encoding", "keep-alive", "content-length"}
            return answer.status, {name: value for name, value in answer.getheaders() if name.lower() not in own}, data
        except (OSError, http.client.HTTPException):
            return 502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"
        finally:
            line.close()


def _until_blank(line: ssl.SSLSocket, data: bytes) -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in data:
        block = line.recv(65536)
        if not block:
            raise _Cut
        data += block
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _read(line: ssl.SSLSocket, begun: bytes, length: int) -> bytes:
    data = bytearray(begun)
    while len(data) < length:
        block = line.recv(65536)
        if not block:
            raise _Cut
        data += block
    return bytes(data)


def _answer(status: int, headers: dict[str, str], body: bytes, *, head_only: bool = False) -> bytes:
    own = dict(headers)
    if status not in {204, 304}:
        own["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in own.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + (b"" if head_only or status in {204, 304} else body)


@contextlib.contextmanager
def line_before(port: int, ca_bundle: Path) -> Iterator[Line]:
    line = Line(port, ca_bundle)
    try:
        yield line
    finally:
        line.close()
