"""Everything that the client writes to the network during a case, read in the clear at the other end of its TLS."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile

import pytest

from bsti_submit.sample import find_markers, make_sample
from tests.delivery.faulty import ca_file
from tests.delivery.hospital import CHUNK, Hospital
from tests.delivery.line import Line, line_before
from tests.support.registry import running_registry
from tests.support.site import clinical, completed

pytestmark = pytest.mark.server
_CONNECTIONS = """
import os, sys
def told(event, arguments):
    if event in {{"socket.connect", "socket.sendto", "socket.getaddrinfo"}}:
        descriptor = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, (event + " " + repr(arguments[1:] if event == "socket.connect" else arguments) + "\\n").encode())
        os.close(descriptor)
sys.addaudithook(told)
"""
HEADERS = frozenset(
    """
    host accept accept-encoding connection user-agent authorization content-length content-type content-digest
    x-request-id idempotency-key if-match tus-resumable upload-length upload-metadata upload-offset upload-checksum
    """.split()
)


class Capture:
    def __init__(self, line: Line) -> None:
        self.requests = [request.partition(b"\r\n\r\n")[::2] for request in line.raw]

    def bodies(self, method: bytes) -> bytes:
        return b"".join(body for head, body in self.requests if head.startswith(method + b" "))


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture")
    sample = make_sample(folder / "study", slices=4, prior=True, radiograph=False)
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_CONNECTIONS.format(log=str(folder / "connections")), "utf-8")
    options = ("--rate", "5000", "--burst", "5000", "--chunk", str(CHUNK))
    with (
        running_registry(folder, *options) as registry,
        line_before(registry.port, registry.ca_bundle) as line,
    ):
        line.keep = True
        hospital = Hospital(folder / "home", registry, line.url, ca_file(folder))
        hospital.environment["PYTHONPATH"] = str(hook)
        attestation, record = completed(hospital.environment, folder), clinical(folder / "clinical.json", sample)
        case = hospital.result("case", sample.folder, "--clinical", record, "--attestation", attestation)
        case_id = str(case["case_id"])
        for command in (("status", "--from", sample.folder), ("whoami",), ("outbox", "send")):
            assert hospital.run(*command).returncode == 0
        revised = folder / "revised.json"
        text = {"code": "other", "text": "Cough after travel"}
        revised.write_text(json.dumps({**json.loads(record.read_text("utf-8")), "indication": text}), "utf-8")
        approval = json.loads(hospital.run("attestation", "template", "--clinical", revised).stdout)
        approval["facts"] = {name: True if value is False else value for name, value in approval["facts"].items()}
        (folder / "approval.json").write_text(json.dumps(approval), "utf-8")
        amended = hospital.run(
            *("amend", case_id, "--clinical", revised, "--from", sample.folder),
            *("--attestation", folder / "approval.json"),
        )
        assert amended.returncode == 0, amended.stderr
        withdrawn = hospital.run("withdraw", case_id, "--reason", "identifier-found", "--phi")
        assert withdrawn.returncode == 0, withdrawn.stderr
        yield Capture(line), sample, hospital, case, (folder / "connections").read_text("utf-8")


def test_the_capture_holds_the_whole_case(captured):
    capture, _, _, case, _ = captured
    package = capture.bodies(b"PATCH")
    assert len(package) == case["package"]["size"] > 4 * CHUNK
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        images = [name for name in archive.namelist() if name.endswith(".dcm")]
        assert len(images) == case["package"]["objects"]
        assert archive.testzip() is None
    heads = b"\n".join(head for head, _ in capture.requests)
    for part in (b"PUT /v1/cases/", b"/submission", b"/amendments", b"/withdrawal", b"GET /v1/site"):
        assert part in heads


def test_no_planted_marker_is_in_anything_that_was_written(captured):
    capture, sample, _, _, _ = captured
    whole = b"\n".join(head + b"\r\n\r\n" + body for head, body in capture.requests)
    assert find_markers((sample.folder / "README.txt").read_bytes() + _one_image(sample), sample.markers) != []
    assert find_markers(whole, sample.markers) == []
    package = capture.bodies(b"PATCH")
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        for name in archive.namelist():
            assert find_markers(name.encode() + b"\n" + archive.read(name), sample.markers) == []
    for head, _ in capture.requests:
        for value in re.findall(rb"(?:Upload-Metadata): (.*)", head, re.IGNORECASE):
            decoded = b"\n".join(base64.b64decode(pair.split(b" ")[1]) for pair in value.split(b","))
            assert find_markers(decoded, sample.markers) == []


def _one_image(sample):
    return max(
        (path for path in sample.folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    ).read_bytes()


def test_the_token_is_in_the_authorization_header_and_nowhere_else(captured):
    capture, _, hospital, _, _ = captured
    token = hospital.token.encode()
    signed_in = 0
    for head, body in capture.requests:
        lines = head.split(b"\r\n")
        bearing = [line for line in lines if token in line]
        assert bearing in ([], [b"Authorization: Bearer " + token])
        signed_in += bool(bearing)
        for form in (token, base64.b64encode(token), token.hex().encode()):
            assert form not in body
            assert all(form not in line for line in lines if not line.startswith(b"Authorization: "))
    assert signed_in > 10
    assert all(b"Authorization" not in head for head, _ in capture.requests if b"/.well-known/" in head)


def test_every_header_is_one_that_is_known(captured):
    capture, _, hospital, _, _ = captured
    for head, _ in capture.requests:
        names = {line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n")[1:]}
        assert names <= HEADERS
        agent = re.search(rb"(?i)user-agent: (.*)", head)[1]
        assert re.fullmatch(rb"bsti-submit/[0-9.]+[a-z0-9.+]*\r?", agent), "no word of the machine"
        path = head.split(b" ")[1]
        assert re.fullmatch(rb"/[A-Za-z0-9/._~?=&-]*", path)
    told = b"\n".join(head for head, _ in capture.requests)
    assert str(hospital.home).encode() not in told


def test_nobody_else_is_called(captured):
    capture, _, hospital, _, connections = captured
    port = hospital.url.rpartition(":")[2]
    for line in connections.splitlines():
        event, _, arguments = line.partition(" ")
        if event == "socket.connect":
            assert port in arguments, line
        else:
            assert "localhost" in arguments, line
    assert len(capture.requests) > 20
