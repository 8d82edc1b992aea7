from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import threading
import time

import httpx
import pytest

from tests.registry.conftest import CHUNK, TUS, Sender, b64, client_for
from tests.registry.test_refusals import kind
from tests.support.package import Package, instance, write_profile
from tests.support.registry import running_registry


@pytest.fixture
def address(sender: Sender, package: Package) -> str:
    sender.put(package)
    return sender.create(package).headers["location"]


def test_options_tells_what_is_offered(sender: Sender):
    answer = sender.http.options("/v1/uploads", headers={"Authorization": ""})
    assert answer.status_code == 204
    assert answer.headers["tus-extension"] == "creation,expiration,termination,checksum"
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"
    assert int(answer.headers["tus-max-size"]) > 1 << 30
    assert "POST" in answer.headers["allow"]


def test_every_tus_answer_is_versioned(sender: Sender, address: str):
    for answer in (sender.http.head(address, headers=TUS), sender.http.head(address)):
        assert answer.headers["tus-resumable"] == "1.0.0"
    assert sender.http.head(address).status_code == 412
    assert kind(sender.http.delete(address, headers={"Tus-Resumable": "0.2.2"})) == "tus-version"
    assert sender.http.head(address, headers=TUS).headers["cache-control"] == "no-store"


def test_offsets_and_lengths(sender: Sender, package: Package, address: str):
    conflict = sender.patch(address, 5, b"x")
    assert kind(conflict) == "offset-conflict"
    assert conflict.headers["upload-offset"] == "0"
    assert kind(sender.patch(address, 0, package.data + b"x")) == "too-large"
    assert sender.offset(address) == 0
    assert sender.patch(address, 0, b"").status_code == 204
    wrong = sender.http.patch(address, content=b"x", headers={**TUS, "Upload-Offset": "0"})
    assert kind(wrong) == "unsupported-media-type"
    assert kind(sender.http.patch(address, content=b"x", headers=CHUNK)) == "bad-request"
    assert kind(sender.patch(address, -1, b"x")) == "bad-request"

    def longer():
        for _ in range(32):
            yield b"z" * 65536

    long = sender.http.patch(address, content=longer(), headers={**CHUNK, "Upload-Offset": "0"})
    assert kind(long) == "too-large"
    assert sender.offset(address) == 0


def test_endless_body_is_cut_off(sender: Sender, address: str):
    def endless():
        while True:
            yield b"z" * 65536

    # The answer is 413, but a sender that never stops may be cut off before it reads it.
    with contextlib.suppress(httpx.TransportError):
        answer = sender.http.patch(address, content=endless(), headers={**CHUNK, "Upload-Offset": "0"})
        assert kind(answer) == "too-large"
    assert sender.offset(address) == 0


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_checksum(sender: Sender, package: Package, address: str, algorithm: str):
    data = package.data[:1000]
    good = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    bad = base64.b64encode(hashlib.new(algorithm, b"other").digest()).decode()
    damaged = sender.patch(address, 0, data, **{"Upload-Checksum": f"{algorithm} {bad}"})
    assert damaged.status_code == 460
    assert kind(damaged) == "checksum-mismatch"
    assert sender.offset(address) == 0
    assert sender.patch(address, 0, data, **{"Upload-Checksum": f"{algorithm} {good}"}).status_code == 204
    assert sender.offset(address) == 1000
    assert kind(sender.patch(address, 1000, data, **{"Upload-Checksum": "md5 AAAA"})) == "bad-request"


def test_termination(sender: Sender, package: Package, address: str):
    sender.patch(address, 0, package.data[:10])
    assert sender.http.delete(address, headers=TUS).status_code == 204
    assert sender.http.head(address, headers=TUS).status_code == 410
    assert kind(sender.patch(address, 10, b"x")) == "upload-expired"
    assert sender.create(package).headers["location"] != address


def test_creation_is_checked(sender: Sender, package: Package):
    sender.put(package)
    assert kind(sender.create(package, **{"Upload-Length": "5"})) == "upload-mismatch"
    assert kind(sender.create(package, **{"Upload-Length": "x"})) == "bad-request"
    assert kind(sender.create(package, **{"Upload-Length": str(1 << 50)})) == "too-large"
    assert kind(sender.create(package, **{"Upload-Metadata": "case !!"})) == "bad-request"
    assert kind(sender.create(package, **{"Upload-Metadata": f"case {b64('x')}"})) == "not-found"
    assert kind(sender.create(Package().seal())) == "not-found"


def raw_patch(sender: Sender, address: str, told: int, data: bytes) -> ssl.SSLSocket:
    """Begin a PATCH and leave it open."""
    context = ssl.create_default_context(cafile=str(sender.registry.ca_bundle))
    plain = socket.create_connection(("127.0.0.1", sender.registry.port), timeout=20)
    connection = context.wrap_socket(plain, server_hostname="127.0.0.1")
    lines = [
        f"PATCH {address} HTTP/1.1",
        "Host: localhost",
        f"Authorization: {sender.http.headers['authorization']}",
        "Tus-Resumable: 1.0.0",
        "Upload-Offset: 0",
        "Content-Type: application/offset+octet-stream",
        f"Content-Length: {told}",
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
    return connection


def test_second_writer_is_locked_out_and_takes_over_a_stalled_one(sender: Sender, package: Package, address: str):
    with raw_patch(sender, address, len(package.data), package.data[:1000]):
        time.sleep(0.3)
        locked = sender.patch(address, 0, package.data)
        assert kind(locked) == "upload-locked"
        assert locked.headers["retry-after"] == "1"
        assert sender.http.head(address, headers=TUS).status_code == 200
        assert kind(sender.http.delete(address, headers=TUS)) == "upload-locked"
        until = time.monotonic() + 15
        while kind(locked) == "upload-locked":
            assert time.monotonic() < until
            time.sleep(0.5)
            locked = sender.patch(address, 0, package.data)
            if locked.status_code == 204:
                break
    assert sender.offset(address) in {1000, len(package.data)}
    sender.patch(address, sender.offset(address), package.data[sender.offset(address) :])
    assert sender.submit(package).status_code == 202


def test_broken_connection_keeps_what_came(sender: Sender, package: Package, address: str):
    connection = raw_patch(sender, address, len(package.data), package.data[:3000])
    time.sleep(0.3)
    connection.close()
    sender.registry.wait_for(lambda: sender.offset(address) == 3000)
    assert sender.patch(address, 3000, package.data[3000:]).status_code == 204
    assert sender.submit(package).status_code == 202


def large_package() -> Package:
    """Return one of about 24 MiB."""

    def grow(dataset) -> None:
        dataset.Rows, dataset.Columns = 2048, 2048
        dataset.PixelData = bytes(range(256)) * (2048 * 2048 * 2 // 256)

    return Package(instances=[instance(number, change=grow) for number in range(1, 4)]).seal()


def test_kill_in_mid_patch_then_resume(tmp_path):
    with running_registry(tmp_path, profiles=write_profile(tmp_path)) as registry:
        token = registry.token()
        package = large_package()
        with client_for(registry, token) as http:
            sender = Sender(http, registry)
            sender.put(package)
            address = sender.create(package).headers["location"]

            killed = threading.Event()

            def slowly():
                for start in range(0, len(package.data), 1 << 20):
                    yield package.data[start : start + (1 << 20)]
                    if start > 20 << 20:
                        killed.wait(20)

            def send() -> None:
                with pytest.raises(httpx.HTTPError):
                    http.patch(address, content=slowly(), headers={**CHUNK, "Upload-Offset": "0"})

            thread = threading.Thread(target=send)
            thread.start()
            with client_for(registry, token) as watcher:
                registry.wait_for(lambda: int(watcher.head(address, headers=TUS).headers["upload-offset"]) > 0, 20)
            registry.kill()
            killed.set()
            thread.join()
            registry.start()
            offset = sender.offset(address)
            assert 0 < offset < len(package.data)
            step = 8 << 20
            while offset < len(package.data):
                answer = sender.patch(address, offset, package.data[offset : offset + step])
                assert answer.status_code == 204
                offset = int(answer.headers["upload-offset"])
            registry.kill()
            registry.start()
            receipt = sender.submit(package).json()["receipt"]
            registry.kill()
            registry.start()
            assert sender.submit(package).json()["receipt"] == receipt
            assert sender.settled(package)["state"] == "in_review"
            assert registry.stop() == 0


def test_another_site_sees_nothing(sender: Sender, other: Sender, panel: httpx.Client, package: Package, address: str):
    sender.patch(address, 0, package.data)
    case = f"/v1/cases/{package.case_id}"
    assert kind(other.http.get(case)) == "not-found"
    assert kind(other.put(package)) == "not-found"
    assert kind(other.submit(package)) == "not-found"
    assert kind(other.create(package)) == "not-found"
    assert other.http.head(address, headers=TUS).status_code == 404
    assert kind(other.patch(address, 0, b"x")) == "not-found"
    assert kind(other.http.delete(address, headers=TUS)) == "not-found"
    for part in ("receipt", "events"):
        assert kind(other.http.get(f"{case}/{part}")) == "not-found"
    assert kind(other.http.post(f"{case}/withdrawal", json={"reason": "other"})) == "not-found"
    assert other.http.get("/v1/cases").json()["cases"] == []
    assert kind(panel.get(case)) == "not-found"
    assert kind(sender.http.post(f"{case}/review", json={"decision": "approve"})) == "forbidden"
    assert sender.submit(package).status_code == 202
    assert panel.get(case).status_code == 200
    assert panel.put(case, json=package.body()).status_code == 403
    assert kind(other.http.get(case)) == "not-found"
