from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from datetime import UTC, datetime

import pytest
import trustme

from bsti_submit.errors import NotDeliveredError, SettingsError
from bsti_submit.transport.answers import TransientError
from bsti_submit.transport.http import Connection
from tests.delivery.faulty import Fault, TusServer, ca_file, server_context, serving

pytestmark = pytest.mark.server


@pytest.fixture
def server():
    with serving(TusServer()) as running:
        yield running


@pytest.fixture
def connection(server, tmp_path):
    with Connection(server.url, lambda: "token", ca_file(tmp_path), read_seconds=5) as found:
        yield found


class Relay(threading.Thread):
    """A proxy that knows CONNECT alone, as hospitals have them."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        super().__init__(daemon=True)
        self.answer = answer
        self.asked: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.socket.accept()
                threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(4096)
            self.asked.append(head)
            near.sendall(self.answer)
            if b" 200 " not in self.answer:
                return
            host, _, port = head.split(b" ")[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                back = threading.Thread(target=_pour, args=(far, near), daemon=True)
                back.start()
                _pour(near, far)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def relay():
    found = Relay()
    found.start()
    yield found
    found.socket.close()


def test_a_proxy_of_the_environment_is_used_and_learns_the_host_alone(connection, relay, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", relay.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert connection.request("HEAD", "/files/1").status == 412
    assert relay.asked[0].startswith(b"CONNECT localhost:")
    assert b"token" not in b"".join(relay.asked)


def test_a_host_can_be_kept_from_the_proxy(connection, relay, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", relay.url)
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert connection.request("HEAD", "/files/1").status == 412
    assert relay.asked == []


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "401 Unauthorized", "403 Forbidden"])
def test_a_proxy_that_refuses_is_named(connection, relay, monkeypatch, status):
    relay.answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    monkeypatch.setenv("HTTPS_PROXY", relay.url)
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(TransientError, match="proxy"):
        connection.request("HEAD", "/files/1")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_is_said_without_quoting_it(connection, monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(SettingsError, match="proxy") as caught:
        connection.request("HEAD", "/files/1")
    assert proxy not in str(caught.value)


def test_a_server_that_does_not_answer_is_given_up(connection, server):
    connection.read_seconds = 0.3
    real = server.work
    server.work = lambda handler, body: (time.sleep(1.5), real(handler, body))[1]
    start = time.monotonic()
    with pytest.raises(TransientError):
        connection.request("HEAD", "/files/1")
    assert time.monotonic() - start < 1.4


class Dripping(threading.Thread):
    """A server whose answer comes in drips for so many seconds, each well within any timeout of a single read."""

    def __init__(self, begun: bytes, drip: bytes, seconds: float) -> None:
        super().__init__(daemon=True)
        self.begun, self.drip, self.seconds = begun, drip, seconds
        self.socket = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"https://localhost:{self.socket.getsockname()[1]}"

    def run(self) -> None:
        near, _ = self.socket.accept()
        with contextlib.suppress(OSError), server_context().wrap_socket(near, server_side=True) as line:
            while b"\r\n\r\n" not in line.recv(65536):
                pass
            line.sendall(self.begun)
            until = time.monotonic() + self.seconds
            while time.monotonic() < until:
                line.sendall(self.drip)
                time.sleep(0.1)


@pytest.mark.parametrize(
    ("begun", "drip"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
    ],
    ids=["status line", "headers", "on the way", "body"],
)
def test_an_answer_that_only_drips_is_given_up(tmp_path, begun, drip):
    server = Dripping(begun, drip, 6.0)
    server.start()
    start = time.monotonic()
    with Connection(server.url, lambda: "token", ca_file(tmp_path), read_seconds=0.8) as connection:
        with pytest.raises(TransientError):
            connection.request("GET", "/")
        assert time.monotonic() - start < 3
    server.socket.close()


def test_an_answer_over_a_connection_that_is_used_again_has_its_own_time(connection, server, relay, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", relay.url)
    monkeypatch.setenv("NO_PROXY", "")
    connection.read_seconds = 0.6
    for _ in range(4):
        connection.request("HEAD", "/files/1")
        time.sleep(0.3)
    assert len(relay.asked) == 1
    real = server.work
    server.work = lambda handler, body: (time.sleep(1.5), real(handler, body))[1]
    with pytest.raises(TransientError):
        connection.request("HEAD", "/files/1")


@pytest.mark.parametrize("names", [("other.example",), ("10.0.0.1",)])
def test_a_certificate_of_another_host_is_not_trusted(tmp_path, names):
    _refused(tmp_path, trustme.CA(), names)


def test_an_expired_certificate_is_not_trusted(tmp_path):
    past = datetime(2020, 1, 1, tzinfo=UTC)
    _refused(tmp_path, trustme.CA(), ("localhost",), not_after=past)


def _refused(tmp_path, ca, names, **options):
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **options).configure_cert(context)
    server = TusServer(context)
    with serving(server), Connection(server.url, lambda: "token", tmp_path / "ca.pem") as connection:
        with pytest.raises(SettingsError, match="cannot be trusted") as caught:
            connection.request("HEAD", "/files/1")
        assert server.seen == []
        assert "never turned off" in caught.value.hint
        assert any("issued by" in line for line in caught.value.details)


def test_old_tls_is_refused(tmp_path):
    server = TusServer()
    context = server.socket.context
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    connection = Connection(server.url, lambda: "token", ca_file(tmp_path))
    with serving(server), connection, pytest.raises(SettingsError, match=r"TLS 1\.2"):
        connection.request("HEAD", "/files/1")


@pytest.mark.parametrize("content", [None, b"not a certificate"])
def test_a_bundle_that_is_none_is_said(server, tmp_path, content):
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    with (
        Connection(server.url, lambda: "token", path) as connection,
        pytest.raises(SettingsError, match="CA bundle"),
    ):
        connection.request("HEAD", "/")


def test_an_endless_answer_is_cut(connection, server):
    server.faults.append(Fault("GET", answer=(200, {"Content-Type": "application/json"}), body=b" " * (5 << 20)))
    with pytest.raises(NotDeliveredError, match="too long"):
        connection.request("GET", "/")


def test_names_of_the_same_server_are_the_same(connection):
    port = connection.url.rpartition(":")[2]
    assert connection.is_here(f"https://LOCALHOST:{port}/x")
    assert connection.is_here("/x")
    assert connection.is_here("x?y=1")
    for other in (
        f"https://localhost.evil:{port}/",
        f"http://localhost:{port}/",
        "https://localhost/",
        "//x/",
        f"https://a@localhost:{port}/",
        "https://[x",
    ):
        assert not connection.is_here(other), other


def test_the_token_is_asked_for_at_each_request(connection, server):
    tokens = iter("abc")
    connection.token = lambda: next(tokens)
    for _ in range(3):
        connection.request("HEAD", "/files/1")
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer a", "Bearer b", "Bearer c"]


def test_the_token_is_not_in_the_repr(connection):
    assert "lambda" not in repr(connection)
