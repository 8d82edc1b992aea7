"""Our upload against other people's tus servers: `@tus/server` (npm) and `tuspyserver` (PyPI).

They are run where they are installed: the first in ``tests/delivery/foreign`` by ``npm install``, or in the folder that
TEST_TUS_NODE names; the second beside the tests, or in the environment of the interpreter that TEST_TUS_PYTHON names.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from bsti_submit.transport.http import Connection
from bsti_submit.transport.tus import Upload

HERE = Path(__file__).parent / "foreign"
SIZE = 3_000_000
CHUNK = 256 << 10
DATA = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(SIZE // 32 + 1))[:SIZE]

pytestmark = [pytest.mark.server, pytest.mark.nightly]


class Foreign:
    def __init__(self, folder: Path, command: list[str], port: int, create: str, ca: Path) -> None:
        self.folder, self.command, self.port, self.create, self.ca = folder, command, port, create, ca
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        if not self.port:
            assert self.process.stdout is not None
            self.port = int(self.process.stdout.readline())
        context = ssl.create_default_context(cafile=str(self.ca))
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as raw:
                context.wrap_socket(raw, server_hostname="localhost").close()
                return
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.1)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def stored(self) -> bytes:
        (found,) = (path for path in self.folder.iterdir() if path.is_file() and path.stat().st_size == SIZE)
        return found.read_bytes()


@pytest.fixture(params=["@tus/server", "tuspyserver"])
def server(request, tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    cert = ca.issue_cert("localhost")
    cert.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    cert.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    folder = tmp_path / "files"
    folder.mkdir()
    tls = [str(folder), str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")]
    if request.param == "@tus/server":
        modules = Path(os.environ.get("TEST_TUS_NODE", HERE))
        if shutil.which("node") is None or not (modules / "node_modules" / "@tus" / "server").is_dir():
            pytest.skip("Node or @tus/server is not installed: npm install in tests/delivery/foreign")
        found = Foreign(
            folder, ["node", str(HERE / "server.mjs"), *tls, str(modules)], 0, "/files", tmp_path / "ca.pem"
        )
    else:
        python = os.environ.get("TEST_TUS_PYTHON", sys.executable)
        if python == sys.executable and importlib.util.find_spec("tuspyserver") is None:
            pytest.skip("tuspyserver is not installed: pip install tuspyserver")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [python, str(HERE / "server.py"), *tls, str(port)]
        found = Foreign(folder, command, port, "/files/", tmp_path / "ca.pem")
    found.start()
    yield found
    found.kill()


def _upload(server, tmp_path, **options):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    connection = Connection(f"https://localhost:{server.port}", lambda: "token", server.ca, read_seconds=20)
    metadata = {"filename": "case.zip", "filetype": "application/zip"}
    return Upload(connection, server.create, path, SIZE, metadata, chunk=CHUNK, give_up=20, **options)


def test_a_file_arrives_whole(server, tmp_path):
    upload = _upload(server, tmp_path)
    with upload.connection:
        upload.run("", lambda *_: None, lambda _: None)
    assert server.stored() == DATA


def test_an_interrupted_upload_goes_on(server, tmp_path):
    upload = _upload(server, tmp_path)
    urls = []

    def stop(done, _):
        if done > 5.5 * CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), upload.connection:
        upload.run("", stop, urls.append)
    offsets = []
    with upload.connection:
        upload.run(urls[-1], lambda done, _: offsets.append(done), urls.append)
    assert offsets[0] >= 4 * CHUNK
    assert len(urls) == 1
    assert server.stored() == DATA


def test_a_server_killed_midway_goes_on(server, tmp_path):
    upload = _upload(server, tmp_path)
    killed = []

    def kill():
        pieces.append(1)
        if len(pieces) == 6 and not killed:
            killed.append(1)
            server.kill()
            if server.create == "/files":
                server.command.append(str(server.port))
            server.start()

    pieces = []
    upload.before_piece = kill
    with upload.connection:
        upload.run("", lambda *_: None, lambda _: None)
    assert killed
    assert server.stored() == DATA
