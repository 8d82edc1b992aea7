from __future__ import annotations

import json
import os
import socket
import sqlite3
import ssl
import stat
import time
import warnings
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bsti_submit.registry import audit, strictjson
from bsti_submit.registry.app import Registry
from bsti_submit.registry.catalogue import openapi
from bsti_submit.registry.folder import Folder
from bsti_submit.registry.problems import kinds
from bsti_submit.registry.tls import Authority
from tests.registry.conftest import Sender, client_for
from tests.registry.test_refusals import kind
from tests.registry.test_submission import unb64, verify
from tests.support.openapi import SOURCE, TARGET, generated
from tests.support.package import Package, write_profile
from tests.support.registry import RunningRegistry, running_registry

pytestmark = pytest.mark.measured


def handshake(registry: RunningRegistry, newest: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cafile=str(registry.ca_bundle))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", registry.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.version()


def test_tls_1_2_at_least(registry: RunningRegistry):
    assert handshake(registry, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert handshake(registry, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(registry, ssl.TLSVersion.TLSv1_1)


def test_certificate_is_not_trusted_without_the_ca(registry: RunningRegistry):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(registry.url + "/.well-known/bsti-registry", trust_env=False)


def test_certificates_are_renewed_in_time(tmp_path):
    folder = Folder(tmp_path / "d").create()
    authority = Authority(folder)
    assert authority.ensure()
    assert not authority.ensure()
    ca = authority.ca_file.read_bytes()
    later = datetime.now(UTC) + timedelta(days=380)
    assert authority.ensure(later)
    assert authority.ca_file.read_bytes() == ca
    certificate = x509.load_pem_x509_certificate((folder.tls / "server.pem").read_bytes())
    assert certificate.not_valid_after_utc > later + timedelta(days=300)
    assert Authority(folder, ("registry.example",)).ensure(later)
    assert authority.ensure(datetime.now(UTC) + timedelta(days=3640))
    assert authority.ca_file.read_bytes() != ca


def test_tokens(registry: RunningRegistry, sender: Sender):
    assert sender.http.get("/v1/site").json()["roles"] == ["site"]
    for header in ({}, {"Authorization": "Basic eA=="}, {"Authorization": "Bearer wrong"}):
        with client_for(registry) as http:
            answer = http.get("/v1/site", headers=header)
        assert kind(answer) == "unauthorized"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    token = registry.token("short-lived")
    with client_for(registry, token) as http:
        assert http.get("/v1/site").json()["site"] == "short-lived"
        listed = json.loads(registry.run("token", "list", "--json").stdout)["tokens"]
        token_id = next(one["id"] for one in listed if one["site"] == "short-lived")
        with sqlite3.connect(registry.data / "registry.sqlite3") as db:
            db.execute("UPDATE token SET expires = 1 WHERE id = ?", (token_id,))
        db.close()
        assert kind(http.get("/v1/site")) == "token-expired"
        registry.run("token", "revoke", token_id)
        assert kind(http.get("/v1/site")) == "unauthorized"


def test_the_access_log_keeps_no_method_that_a_client_made_up(registry: RunningRegistry):
    with client_for(registry) as http:
        for method in ("SMITHSON", "get", "GET"):
            http.request(method, "/v1/site")
    log = registry.data / "logs" / "access.jsonl"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and len(log.read_text("utf-8").splitlines()) < 3:
        time.sleep(0.05)
    methods = {json.loads(line)["method"] for line in log.read_text("utf-8").splitlines()}
    assert {"?", "GET"} <= methods
    assert "SMITHSON" not in log.read_text("utf-8")


def test_no_secret_on_disk(registry: RunningRegistry, sender: Sender, tokens: dict[str, str], package: Package):
    sender.put(package)
    address = sender.create(package).headers["location"]
    sender.patch(address, 0, package.data[:100])
    deadline = time.monotonic() + 10  # the log line of an answer is written after the answer
    while time.monotonic() < deadline and not any(
        b"/v1/uploads/{uid}" in path.read_bytes() for path in (registry.data / "logs").glob("*")
    ):
        time.sleep(0.05)
    kept = {path: path.read_bytes() for path in registry.data.rglob("*") if path.is_file()}
    for token in tokens.values():
        assert not [path.name for path, data in kept.items() if token.encode() in data]
    uid = address.rpartition("/")[2].encode()
    logs = b"".join(data for path, data in kept.items() if path.parent.name == "logs")
    assert uid not in logs
    assert b"/v1/uploads/{uid}" in logs
    assert package.case_id.encode() in logs


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_everything_is_for_the_owner_alone(registry: RunningRegistry, sender: Sender, package: Package):
    sender.send(package)
    for path in [registry.data, *registry.data.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path.name} {mode:o}"


def test_one_process_a_folder(registry: RunningRegistry):
    second = registry.run("serve", "--port", "0", check=False)
    assert second.returncode == 7
    assert "already serves" in second.stderr


def test_unknown_addresses_and_methods(sender: Sender, package: Package):
    assert kind(sender.http.get("/nothing/here")) == "not-found"
    assert kind(sender.http.get("/v1/cases/")) == "not-found"
    wrong = sender.http.delete(f"/v1/cases/{package.case_id}")
    assert kind(wrong) == "method-not-allowed"
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT"}
    offered = sender.http.options(f"/v1/cases/{package.case_id}")
    assert offered.status_code == 204
    assert "PUT" in offered.headers["allow"]
    head = sender.http.head("/v1/site")
    assert (head.status_code, head.content) == (200, b"")
    assert sender.http.head("/nothing").status_code == 404


def test_discovery_follows_the_host(registry: RunningRegistry):
    with client_for(registry) as http:
        document = http.get("/.well-known/bsti-registry").json()
        assert document["base"] == f"{registry.url}/v1"
        named = http.get("/.well-known/bsti-registry", headers={"Host": "proxy.example:8443"}).json()
        assert named["base"] == "https://proxy.example:8443/v1"
        assert http.get("/.well-known/bsti-registry", headers={"Host": "evil/@x"}).status_code == 400


def test_rates(tmp_path):
    with (
        running_registry(tmp_path, "--rate", "0.5", "--burst", "3") as registry,
        client_for(registry, registry.token()) as http,
    ):
        answers = [http.get("/v1/site") for _ in range(5)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 2
        assert kind(answers[-1]) == "rate-limited"


def test_guessing_tokens_is_slowed(tmp_path):
    with running_registry(tmp_path) as registry, client_for(registry, "wrong") as http:
        answers = {http.get("/v1/site").status_code for _ in range(80)}
        assert answers == {401, 429}


def test_key_rotation_is_endorsed(tmp_path):
    with (
        running_registry(tmp_path, profiles=write_profile(tmp_path)) as registry,
        client_for(registry, registry.token()) as http,
    ):
        sender = Sender(http, registry)
        first = Package().seal()
        old = sender.send(first)
        kid = registry.run("key", "rotate").stdout.strip()
        second = Package().seal()
        new = sender.send(second)
        assert new["signature"]["kid"] == kid != old["signature"]["kid"]
        verify(sender, old)
        verify(sender, new)
        keys = http.get("/.well-known/bsti-registry").json()["keys"]
        assert keys[0]["kid"] == kid
        signed = {name: keys[0][name] for name in ("alg", "kid", "public")}
        endorsement = keys[0]["endorsement"]
        assert endorsement["kid"] == keys[1]["kid"]
        Ed25519PublicKey.from_public_bytes(unb64(keys[1]["public"])).verify(
            unb64(endorsement["value"]), strictjson.canonical(signed)
        )


def test_review_at_the_terminal(registry: RunningRegistry, sender: Sender, package: Package):
    sender.send(package)
    sender.settled(package)
    listed = json.loads(registry.run("review", "list", "--state", "in_review", "--json").stdout)["cases"]
    assert package.case_id in [one["id"] for one in listed]
    shown = json.loads(registry.run("review", "show", package.case_id).stdout)
    assert shown["clinical"] == package.clinical
    registry.run("review", "query", package.case_id, "Why?")
    assert sender.case(package)["query"]["text"] == "Why?"
    registry.run("review", "approve", package.case_id)
    registry.run("review", "publish", package.case_id)
    assert sender.case(package)["state"] == "published"
    again = registry.run("review", "reject", package.case_id, check=False)
    assert again.returncode == 6
    assert registry.run("review", "show", "AAAA-AAAA-AAAA", check=False).returncode == 2


def test_reads_are_audited_in_a_chain(registry: RunningRegistry, sender: Sender, package: Package):
    sender.put(package)
    sender.case(package)
    db = sqlite3.connect(registry.data / "registry.sqlite3")
    db.row_factory = sqlite3.Row
    try:
        actions = [
            row["action"] for row in db.execute("SELECT action FROM audit WHERE case_id = ?", (package.case_id,))
        ]
        assert actions == ["case-announced", "case-read"]
        assert audit.verify(db) is None
        middle = db.execute("SELECT max(seq) FROM audit").fetchone()[0] - 1
        db.execute("UPDATE audit SET actor = 'somebody' WHERE seq = ?", (middle,))
        assert audit.verify(db) == middle
        db.rollback()
    finally:
        db.close()


def test_every_answer_with_case_data_is_in_the_audit(
    registry: RunningRegistry, sender: Sender, package: Package, panel
):
    sender.put(package)
    sender.put(package)
    address = sender.create(package).headers["location"]
    sender.patch(address, 0, package.data)
    key = {"Idempotency-Key": "k" * 32}
    assert sender.submit(package, **key).status_code == 202
    assert sender.submit(package, **key).headers["idempotency-replayed"] == "true"
    sender.http.get(f"/v1/cases/{package.case_id}/receipt")
    sender.http.get(f"/v1/cases/{package.case_id}/events")
    etag = sender.http.get(f"/v1/cases/{package.case_id}").headers["etag"]
    assert sender.http.get(f"/v1/cases/{package.case_id}", headers={"If-None-Match": etag}).status_code in {200, 304}
    panel.get(f"/v1/cases/{package.case_id}")
    registry.run("review", "show", package.case_id)
    told = json.loads(registry.run("audit", "--case", package.case_id, "--json").stdout)["entries"]
    actions = [entry["action"] for entry in told]
    assert actions.count("answer-replayed") == 1
    assert actions.count("receipt-read") == actions.count("events-read") == 1
    assert actions.count("case-read") == 5
    assert {entry["role"] for entry in told} >= {"site", "panel"}
    assert all("bsti_" not in str(entry) for entry in told)


def test_a_changed_audit_entry_is_told_at_the_terminal(tmp_path):
    with running_registry(tmp_path) as registry:
        registry.token("site-a")
        assert registry.run("audit").returncode == 0
        registry.stop()
        db = sqlite3.connect(registry.data / "registry.sqlite3")
        db.execute("UPDATE audit SET action = 'nothing' WHERE seq = 1")
        db.commit()
        db.close()
        told = registry.run("audit", check=False)
        assert told.returncode == 3
        assert "entry 1" in told.stderr


def test_description_is_generated_from_the_yaml():
    assert TARGET.read_bytes() == generated(), "run python -m tests.support.openapi"


def test_routes_are_those_described(tmp_path):
    registry = Registry(Folder(tmp_path / "d"))
    try:
        served = {
            (route.path, method)
            for route in registry.app()._router.routes
            for method in route.methods
            if not (method == "HEAD" and "GET" in route.methods)
        }
    finally:
        registry.close()
    described = {
        (path, method.upper())
        for path, operations in openapi()["paths"].items()
        for method in operations
        if method not in {"parameters", "options"}
    }
    assert served == described


def test_every_problem_is_described():
    text = SOURCE.read_text("utf-8")
    assert [name for name in kinds() if f"`{name}`" not in text] == []


def test_openapi_and_schemas_are_served(sender: Sender):
    assert sender.http.get("/v1/openapi.json").json() == openapi()
    for name in ("clinical", "case", "case-package", "receipt"):
        answer = sender.http.get(f"/v1/schemas/{name}/1.0")
        assert answer.headers["content-type"] == "application/schema+json"
    assert kind(sender.http.get("/v1/schemas/nothing/1.0")) == "not-found"
