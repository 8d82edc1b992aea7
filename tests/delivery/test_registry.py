from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stamina import set_testing

from bsti_submit.errors import HeldError, InputError, NotDeliveredError, RefusedError, SettingsError
from bsti_submit.outbox import State
from bsti_submit.receipt import Receipt
from bsti_submit.transport.pins import Pins
from bsti_submit.transport.send import send_all, shipment_of
from tests.delivery.cases import padded, put_in
from tests.delivery.conftest import Site
from tests.delivery.faulty import Fault, Proxy, TusServer, ca_file, serving
from tests.support import package as registry_side
from tests.support.package import write_profile
from tests.support.registry import running_registry

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]
PIECE = 64 << 10
PROBLEM = {"Content-Type": "application/problem+json"}


@pytest.fixture
def quick():
    with set_testing(True, attempts=8):
        yield


def large(count: int = 8, seed: int = 0) -> list[bytes]:
    """Images of about 100 kB each: together more than ten pieces."""
    return [padded(seed * 100 + number, 100_000) for number in range(1, count + 1)]


def assert_delivered_once(site, case_id, *, sent=None, size=None, again=PIECE):
    with site.outbox() as outbox, site.destination() as destination:
        case = outbox.get(case_id)
        assert case.state is State.DELIVERED
        assert not case.path.exists()
        receipt = Receipt.parse(case.receipt)
        receipt.verify(Pins(site.home).keys(site.url))
        assert receipt.text("package_sha256") == case.package_sha256
        assert receipt.text("manifest_sha256") == case.manifest_sha256
        assert [found for found, _ in destination.cases()].count(case_id) == 1
        assert destination.receipt(case_id).document == receipt.document
        assert destination.status(case_id).state in {"received", "validating", "in_review", "quarantined"}
    if sent is not None:
        assert sent <= size + again


def test_a_case_is_delivered_and_signed_for(site):
    firsts = []
    case_id = site.put_in()
    receipt = site.send(case_id, on_first_contact=lambda: firsts.append(1))
    assert receipt.is_signed
    assert firsts == [1]
    assert_delivered_once(site, case_id)
    assert site.send(case_id).document == receipt.document


def test_a_large_case_goes_in_many_pieces(behind, proxy):
    case_id = behind.put_in(large())
    with behind.outbox() as outbox:
        size = outbox.get(case_id).size
    assert size > 10 * PIECE
    behind.send(case_id)
    assert_delivered_once(behind, case_id, sent=proxy.sent(), size=size, again=0)


EVERY_STEP = {
    "discovery": ("GET", "well-known"),
    "announcement": ("PUT", "/v1/cases/"),
    "creation": ("POST", "/v1/uploads"),
    "offset": ("HEAD", "/v1/uploads/"),
    "first piece": ("PATCH", "/v1/uploads/"),
    "submission": ("POST", "/submission"),
}
EVERY_FAULT = {
    "reset": Fault(reset=0),
    "reset in the body": Fault(reset=700),
    "lost answer": Fault(swallow=True),
    "twice": Fault(twice=True),
    "502": Fault(answer=(502, {"Content-Type": "text/html"}), body=b"<html>"),
    "429": Fault(answer=(429, {"Retry-After": "0"})),
    "503": Fault(answer=(503, {"Retry-After": "0"})),
    "cut answer": Fault(answer=(200, {"Content-Length": "5000"}), body=b'{"part'),
}


_ALL = [(step, fault) for step in EVERY_STEP for fault in EVERY_FAULT if (step, fault) != ("offset", "cut answer")]


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        # a Latin square: each fault and each step in the quick set, each pair in the long one
        pytest.param(*pair, marks=() if number % 5 == 0 else pytest.mark.nightly)
        for number, pair in enumerate(_ALL)
    ],
)
def test_one_fault_at_any_step_is_got_over_within_the_run(behind, proxy, quick, step, fault):
    case_id = behind.put_in([padded(1, 150_000)])
    found = copy.copy(EVERY_FAULT[fault])
    found.method, found.path = EVERY_STEP[step]
    proxy.faults.append(found)
    if fault == "cut answer":
        found.early = True
    behind.send(case_id)
    with behind.outbox() as outbox:
        size = outbox.get(case_id).size
    assert proxy.faults == []
    assert_delivered_once(behind, case_id, sent=proxy.sent(), size=size)


@pytest.mark.parametrize("step", EVERY_STEP)
def test_a_fault_that_lasts_leaves_the_case_and_the_next_run_delivers_it(behind, proxy, quick, step):
    case_id = behind.put_in([padded(1, 150_000)])
    for _ in range(9):
        method, path = EVERY_STEP[step]
        proxy.faults.append(Fault(method, path=path, answer=(503, {"Retry-After": "0"})))
    with pytest.raises(NotDeliveredError):
        behind.send(case_id)
    with behind.outbox() as outbox:
        assert outbox.get(case_id).state is State.SENDING
        assert [case.case_id for case in outbox.pending()] == [case_id]
    proxy.faults.clear()
    behind.send(case_id)
    assert_delivered_once(behind, case_id)


def test_a_swapped_byte_is_found_by_the_checksum_and_costs_a_piece(behind, proxy, quick):
    case_id = behind.put_in(large())
    proxy.faults.append(Fault(swap=True))
    behind.send(case_id)
    with behind.outbox() as outbox:
        assert_delivered_once(behind, case_id, sent=proxy.sent(), size=outbox.get(case_id).size)


def test_a_package_that_arrives_changed_is_brought_up_again(behind, proxy, quick, monkeypatch):
    """Without checksums of pieces, only the whole digest at the submission finds a swapped byte."""
    monkeypatch.setattr("bsti_submit.transport.destinations.registry._words", lambda _: ())
    case_id = behind.put_in([padded(1, 150_000)])
    proxy.faults.append(Fault(swap=True))
    behind.send(case_id)
    assert_delivered_once(behind, case_id)


def test_a_proxy_that_always_changes_bytes_is_named_and_nothing_is_lost(behind, proxy, quick, monkeypatch):
    monkeypatch.setattr("bsti_submit.transport.destinations.registry._words", lambda _: ())
    case_id = behind.put_in([padded(1, 30_000)])
    proxy.faults += [Fault(swap=True) for _ in range(20)]
    with pytest.raises(NotDeliveredError, match="did not arrive whole"):
        behind.send(case_id)
    proxy.faults.clear()
    behind.send(case_id)
    assert_delivered_once(behind, case_id)


@pytest.mark.parametrize("seed", range(30))
def test_seeded_faults(behind, proxy, quick, seed):
    _seeded(behind, proxy, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 300))
def test_seeded_faults_at_length(behind, proxy, quick, seed):
    _seeded(behind, proxy, seed)


def _seeded(site, proxy, seed):
    dice = random.Random(seed)
    case_id = site.put_in(large(8, seed))
    for _ in range(dice.randrange(1, 9)):
        fault = copy.copy(dice.choice([f for name, f in EVERY_FAULT.items() if name != "cut answer"]))
        fault.method, fault.path = dice.choice(list(EVERY_STEP.values()))
        if fault.reset:
            fault.reset = dice.randrange(1, 3 * PIECE // 2)
        proxy.faults.append(fault)
    for _ in range(4):
        try:
            site.send(case_id)
            break
        except NotDeliveredError:
            continue
    assert_delivered_once(site, case_id)


# -- kill -9 ---------------------------------------------------------------------------------------------------------

_SENDER = """
import sys
from pathlib import Path
from tests.delivery.conftest import Site
home, url, ca, token, case_id = sys.argv[1:]
Site(Path(home), url, Path(ca), token, largest_chunk=65536).send(case_id)
"""


def _start_sender(site, case_id) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SENDER, str(site.home), site.url, str(site.ca_bundle), site.token, case_id],
        cwd=ROOT,
    )


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["announcement", "creation", "fifth piece", "submission"])
def test_a_client_killed_at_a_step_goes_on(behind, proxy, step, after):
    case_id = behind.put_in(large())
    sent = 0

    def kill():
        child.kill()
        child.wait()

    method, path = EVERY_STEP.get(step, EVERY_STEP["first piece"])
    wanted = 5 if step == "fifth piece" else 1
    real = proxy.work
    count = 0

    def work(handler, body):
        nonlocal count
        hit = handler.command == method and path in handler.path
        count += hit
        if hit and count == wanted and not after:
            kill()
            raise OSError
        answer = real(handler, body)
        if hit and count == wanted and after:
            kill()
            raise OSError
        return answer

    proxy.work = work
    child = _start_sender(behind, case_id)
    assert child.wait(timeout=60) == -signal.SIGKILL
    proxy.work = real
    sent = proxy.sent()
    with behind.outbox() as outbox:
        assert outbox.get(case_id).state is State.SENDING
        size = outbox.get(case_id).size
    behind.send(case_id)
    assert sent <= size
    assert_delivered_once(behind, case_id, sent=proxy.sent(), size=size)


def test_a_registry_killed_at_a_step_goes_on(tmp_path, token_of_its_own):
    """The proxy kills the registry behind it in the middle of each step in turn, and starts it again."""
    registry, token = token_of_its_own
    for number, (step, (method, path)) in enumerate(EVERY_STEP.items()):
        if step == "discovery":
            continue
        with serving(Proxy(registry.port, registry.ca_bundle)) as proxy:
            site = Site(tmp_path / step, proxy.url, ca_file(tmp_path), token, largest_chunk=PIECE)
            case_id = site.put_in(large(3, number), study_set=f"{number:064d}")
            pending = [True]

            def before(command, where, method=method, path=path, pending=pending):
                if pending and command == method and path in where:
                    pending.clear()
                    registry.kill()
                    registry.start()

            proxy.before = before
            site.send(case_id)
            assert pending == []
            assert_delivered_once(site, case_id)


@pytest.fixture
def token_of_its_own(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    options = ("--rate", "5000", "--burst", "5000")
    with running_registry(folder, *options, profiles=write_profile(folder)) as running:
        yield running, running.token("site-a")


# -- what the registry says ------------------------------------------------------------------------------------------


def test_a_case_that_is_refused_says_why_and_stays(site):
    case_id = site.put_in([registry_side.instance(1, change=lambda d: setattr(d, "PatientIdentityRemoved", "NO"))])
    with pytest.raises(RefusedError) as caught:
        site.send(case_id)
    assert caught.value.details
    with site.outbox() as outbox:
        assert outbox.get(case_id).state is State.REFUSED
        assert outbox.get(case_id).path.exists()
        assert outbox.pending() == ()


def test_a_new_approval_before_the_submission_replaces_the_announcement(site, proxy, behind, quick):
    case_id = behind.put_in()
    proxy.faults += [Fault("POST", path="/v1/uploads", answer=(503, {"Retry-After": "0"})) for _ in range(9)]
    with pytest.raises(NotDeliveredError):
        behind.send(case_id)
    proxy.faults.clear()
    with behind.outbox() as outbox:
        changed = json.loads(outbox.get(case_id).attestation)
        changed["facts"]["images"] = "unseen-kinds-only"
        outbox._set(case_id, "approved", attestation=json.dumps(changed).encode())
    behind.send(case_id)
    assert_delivered_once(behind, case_id)


def test_a_new_approval_after_a_lost_receipt_still_finds_the_receipt(behind, proxy, quick):
    case_id = behind.put_in()
    proxy.faults += [Fault("POST", path="/submission", swallow=True) for _ in range(9)]
    with pytest.raises(NotDeliveredError):
        behind.send(case_id)
    proxy.faults.clear()
    with behind.outbox() as outbox:
        changed = json.loads(outbox.get(case_id).attestation)
        changed["facts"]["images"] = "unseen-kinds-only"
        outbox._set(case_id, "approved", attestation=json.dumps(changed).encode())
    sent = proxy.sent()
    behind.send(case_id)
    assert proxy.sent() == sent
    assert_delivered_once(behind, case_id)


def test_status_amendment_withdrawal(site):
    case_id = site.put_in()
    site.send(case_id)
    clinical = json.loads(json.dumps(registry_side.CLINICAL)) | {"crp": {"value": 12, "unit": "mg/L"}}
    digest = hashlib.sha256(rfc8785.dumps(clinical)).hexdigest()
    with site.destination() as destination:
        assert destination.whoami().site == "site-a"
        attestation = registry_side.attestation(clinical_sha256=digest)
        first = destination.amend(case_id, clinical, digest, attestation)
        assert first.text("kind") == "amendment"
        assert destination.amend(case_id, clinical, digest, attestation).document == first.document
        receipt, purge_by = destination.withdraw(case_id, "duplicate", urgent=False)
        assert receipt.text("kind") == "withdrawal"
        assert purge_by
        again, _ = destination.withdraw(case_id, "wrong-patient", urgent=True)
        assert again.document == receipt.document
        assert destination.status(case_id).state == "withdrawn"
        assert (case_id, "withdrawn") in destination.cases("withdrawn")


def test_the_same_amendment_of_two_cases_is_two_amendments(site):
    """One idempotency key for both would be refused by the registry."""
    clinical = json.loads(json.dumps(registry_side.CLINICAL)) | {"crp": {"value": 13, "unit": "mg/L"}}
    digest = hashlib.sha256(rfc8785.dumps(clinical)).hexdigest()
    for number in (1, 2):
        case_id = site.put_in([registry_side.instance(number)], study_set=f"{number:064d}")
        site.send(case_id)
        with site.destination() as destination:
            attestation = registry_side.attestation(clinical_sha256=digest)
            assert destination.amend(case_id, clinical, digest, attestation).text("case_id") == case_id


def test_everything_pending_is_sent_and_one_refusal_stops_no_other(site):
    bad = registry_side.instance(1, change=lambda d: setattr(d, "PatientIdentityRemoved", "NO"))
    with site.outbox() as outbox, site.destination() as destination:
        ids = [
            put_in(outbox, [data], study_set=f"{number:064d}")
            for number, data in enumerate([registry_side.instance(1), bad, registry_side.instance(3)])
        ]
        told = []
        results = send_all(outbox, lambda _: destination, lambda *_: None, lambda done, total: None, told.append)
        assert [result.case_id for result in results] == ids
        assert list(results) == told
        assert [type(result.error) for result in results] == [type(None), RefusedError, type(None)]
        assert send_all(outbox, lambda _: destination, lambda *_: None, lambda done, total: None) == ()


def test_an_unreachable_registry_is_asked_once_for_all_cases(site, quick):
    site.url = "https://127.0.0.1:9"
    with site.outbox() as outbox, site.destination() as destination:
        for number in range(3):
            put_in(outbox, study_set=f"{number:064d}")
        results = send_all(outbox, lambda _: destination, lambda *_: None, lambda done, total: None)
        assert len(results) == 1
        assert isinstance(results[0].error, NotDeliveredError)
        assert len(outbox.pending()) == 3


def test_a_package_that_was_changed_on_the_disk_is_not_sent(site):
    case_id = site.put_in()
    with site.outbox() as outbox:
        path = outbox.get(case_id).path
        data = bytearray(path.read_bytes())
        data[1000] ^= 1
        path.write_bytes(data)
    with pytest.raises(HeldError, match="not the one that was approved"):
        site.send(case_id)


def test_a_package_over_the_registrys_limit_is_not_uploaded(behind, proxy):
    real = proxy.work

    def work(handler, body):
        status, headers, data = real(handler, body)
        if "well-known" in handler.path:
            document = json.loads(data)
            document["uploads"]["tus"]["max_size"] = 1000
            data = json.dumps(document).encode()
        return status, headers, data

    proxy.work = work
    case_id = behind.put_in()
    with pytest.raises(RefusedError, match="1000 bytes"):
        behind.send(case_id)
    assert proxy.sent() == 0


# -- trust -----------------------------------------------------------------------------------------------------------


def test_a_receipt_that_was_changed_on_the_way_does_not_count(behind, proxy, quick):
    for name, value in (("package_sha256", "0" * 64), ("objects", 99), ("registry", "another")):
        case_id = behind.put_in(study_set=name.ljust(64, "0"))
        real = proxy.work

        def work(handler, body, real=real, name=name, value=value):
            status, headers, data = real(handler, body)
            if "/submission" in handler.path or "/receipt" in handler.path:
                document = json.loads(data)
                document.get("receipt", document)[name] = value
                data = json.dumps(document).encode()
                headers = {key: text for key, text in headers.items() if key.lower() != "content-length"}
            return status, headers, data

        proxy.work = work
        with pytest.raises(HeldError):
            behind.send(case_id)
        with behind.outbox() as outbox:
            assert outbox.get(case_id).state is State.SENDING
            assert outbox.get(case_id).path.exists()
        proxy.work = real
        behind.send(case_id)
        assert_delivered_once(behind, case_id)


@pytest.mark.parametrize("replayed", ["of another case", "of the withdrawal"])
def test_a_receipt_that_was_signed_for_something_else_does_not_count(behind, proxy, quick, replayed):
    """Its signature is right; what it is for is not."""
    first = behind.put_in(study_set="11" * 32)
    signed = behind.send(first)
    case_id = first if replayed == "of the withdrawal" else behind.put_in([padded(7, 1000)], study_set="22" * 32)
    if replayed == "of the withdrawal":
        with behind.outbox() as outbox, behind.destination() as destination:
            signed, _ = destination.withdraw(first, "duplicate", urgent=False)
            case = outbox.get(first)
        shipment = replace(shipment_of(case), path=case.path)
    else:
        with behind.outbox() as outbox:
            shipment = shipment_of(outbox.get(case_id))
    real = proxy.work

    def work(handler, body):
        status, headers, data = real(handler, body)
        if "/submission" in handler.path or "/receipt" in handler.path:
            document = dict(signed.document)
            data = json.dumps({"receipt": document} if "/submission" in handler.path else document).encode()
            headers = {
                name: text for name, text in headers.items() if name.lower() not in {"content-length", "content-digest"}
            }
            status = 200
        return status, headers, data

    proxy.work = work
    with behind.destination() as destination, pytest.raises(HeldError, match="something else"):
        destination.deliver(shipment, lambda *_: None, lambda _url: None)


def test_an_imposter_with_a_trusted_certificate_but_another_key_gets_nothing(behind, proxy):
    case_id = behind.put_in()
    behind.send(case_id)
    key = Ed25519PrivateKey.generate()
    public = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    real = proxy.work

    def work(handler, body):
        status, headers, data = real(handler, body)
        if "well-known" in handler.path:
            document = json.loads(data)
            document["keys"] = [{"kid": "new", "alg": "EdDSA", "public": public}]
            data = json.dumps(document).encode()
        return status, headers, data

    proxy.work = work
    other = behind.put_in(study_set="cd" * 32)
    before = len(proxy.seen)
    with pytest.raises(SettingsError, match="no known key vouches"):
        behind.send(other)
    assert [seen.path for seen in proxy.seen[before:]] == ["/.well-known/bsti-registry"]


def test_a_registry_that_is_not_trusted_gets_nothing(tmp_path, site, proxy):
    site.url = proxy.url  # its certificate is by another authority than the site knows
    case_id = site.put_in()
    with pytest.raises(SettingsError, match="cannot be trusted") as caught:
        site.send(case_id)
    assert any("issued by" in line and "trustme" in line for line in caught.value.details)
    assert "BSTI_CA_BUNDLE" in caught.value.hint
    assert proxy.seen == []


def test_a_wrong_token_is_a_matter_of_settings_and_the_case_waits(site):
    case_id = site.put_in()
    good, site.token = site.token, "wrong-token"
    with pytest.raises(SettingsError, match="token"):
        site.send(case_id)
    site.token = good
    site.send(case_id)
    assert_delivered_once(site, case_id)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:1", "https://", "ftp://x", "https://user:word@localhost", "localhost", "https://[x"],
)
def test_an_address_without_tls_is_never_called(site, url):
    site.url = url
    case_id = site.put_in()
    with pytest.raises(SettingsError):
        site.send(case_id)


@pytest.mark.parametrize("token", ["a b", "a\nb", "ü", ""])
def test_a_token_that_is_none_is_not_sent(site, token):
    case_id = site.put_in()
    site.token = token
    with pytest.raises(SettingsError):
        site.send(case_id)


def test_a_redirect_is_not_followed(behind, proxy):
    case_id = behind.put_in()
    for status in (301, 302, 307, 308):
        proxy.faults.append(Fault("PUT", answer=(status, {"Location": "https://elsewhere.example/"})))
        with pytest.raises(SettingsError, match="leads elsewhere"):
            behind.send(case_id)


_PAGE = ({"Content-Type": "text/html"}, b"<html>please sign in</html>")
HOSTILE = {
    "a page": (200, *_PAGE),
    "created": (201, *_PAGE),
    "nothing": (204, {}, b""),
    "an object of nothing": (200, {"Content-Type": "application/json"}, b"{}"),
    "redirect": (307, {"Location": "{}"}, b""),
    "redirect of a page": (302, {"Location": "{}", **_PAGE[0]}, _PAGE[1]),
    "sign-in": (401, *_PAGE),
    "network sign-in": (511, *_PAGE),
}


QUICK = {"a page", "redirect", "sign-in"}


@pytest.mark.parametrize(
    "answer", [pytest.param(name, marks=() if name in QUICK else pytest.mark.nightly) for name in HOSTILE]
)
def test_what_answers_anything_decides_nothing_and_learns_nothing(behind, proxy, quick, answer):
    """At every step: the case stays, the next run delivers it, and nothing is sent to where a redirect points."""
    status, headers, body = HOSTILE[answer]
    with serving(TusServer()) as elsewhere:
        headers = {name: value.replace("{}", f"{elsewhere.url}/v1/uploads") for name, value in headers.items()}
        for number, (step, (method, path)) in enumerate(EVERY_STEP.items(), 1):
            case_id = behind.put_in([padded(number, 150_000)], study_set=f"{number:064d}")
            proxy.faults += [Fault(method, path=path, answer=(status, headers), body=body) for _ in range(40)]
            proxy.seen.clear()
            with pytest.raises((NotDeliveredError, SettingsError)):
                behind.send(case_id)
            with behind.outbox() as outbox:
                assert outbox.get(case_id).state is State.SENDING, step
                size = outbox.get(case_id).size
            proxy.faults.clear()
            behind.send(case_id)
            assert_delivered_once(behind, case_id)
            assert sum(len(seen.body) for seen in proxy.seen if seen.method == "PATCH") <= size + PIECE, step
        assert elsewhere.seen == []


def test_a_page_of_a_proxy_never_refuses_a_case(behind, proxy):
    case_id = behind.put_in()
    for status in (400, 403, 404, 407, 451):
        for method, path in (("PUT", ""), ("POST", "/submission")):
            proxy.faults.append(
                Fault(method, path=path, answer=(status, {"Content-Type": "text/html"}), body=b"<html>")
            )
            with pytest.raises(NotDeliveredError):
                behind.send(case_id)
            proxy.faults.clear()
            with behind.outbox() as outbox:
                assert outbox.get(case_id).state is State.SENDING
    behind.send(case_id)
    assert_delivered_once(behind, case_id)


def test_what_a_hostile_server_says_cannot_steer_the_terminal(behind, proxy):
    case_id = behind.put_in()
    body = json.dumps(
        {
            "type": "/problems/x",
            "title": "\x1b]0;x\x07" * 100,
            "detail": "a\r\nb",
            "errors": [{"pointer": 1}, 2],
        }
    )
    proxy.faults.append(Fault("PUT", answer=(422, PROBLEM), body=body.encode()))
    with pytest.raises(RefusedError) as caught:
        behind.send(case_id)
    text = caught.value.message + "".join(caught.value.details)
    assert text.isprintable()
    assert len(text) < 2000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'"x"',
        b'{"receipt":[]}',
        b'{"receipt":{}}',
        b"[" * 100_000,
        b'{"a":' + b"1" * 5000 + b"}",
    ],
    ids=["empty", "list", "null", "cut", "text", "no object", "no receipt", "deep", "huge number"],
)
def test_a_strange_answer_to_the_submission_is_no_receipt(behind, proxy, body):
    case_id = behind.put_in()
    proxy.faults.append(
        Fault("POST", path="/submission", answer=(202, {"Content-Type": "application/json"}), body=body)
    )
    with pytest.raises((HeldError, NotDeliveredError)):
        behind.send(case_id)
    behind.send(case_id)
    assert_delivered_once(behind, case_id)


def test_cookies_are_not_kept(behind, proxy):
    case_id = behind.put_in()
    real = proxy.work

    def work(handler, body):
        status, headers, data = real(handler, body)
        return status, {**headers, "Set-Cookie": "a=b; Path=/"}, data

    proxy.work = work
    behind.send(case_id)
    assert all("Cookie" not in seen.headers for seen in proxy.seen)


def test_everything_on_the_wire_is_known(behind, proxy):
    """The token is in the Authorization header alone, and nothing but the package and its announcement leaves."""
    case_id = behind.put_in()
    with behind.outbox() as outbox:
        package = outbox.get(case_id).path.read_bytes()
    behind.send(case_id)
    assert b"".join(seen.body for seen in proxy.seen if seen.method == "PATCH") == package
    for seen in proxy.seen:
        authorisation = seen.headers.pop("Authorization", "")
        assert (authorisation == "") == ("well-known" in seen.path)
        assert behind.token not in repr(seen)
    assert [seen.method for seen in proxy.seen] == ["GET", "PUT", "POST", "HEAD", "PATCH", "POST"]


def test_a_broken_line_says_what_to_do(site, quick):
    site.url = "https://127.0.0.1:9"
    case_id = site.put_in()
    said = []
    with pytest.raises(NotDeliveredError) as caught:
        site.send(case_id, on_wait=said.append)
    assert "outbox send" in caught.value.hint
    assert set(said) == {"The registry could not be reached."}
    with site.outbox() as outbox:
        assert outbox.events(case_id)[-1][1] == "not delivered: not reached or busy"


def test_patience_with_a_registry_never_reached_is_short(site):
    site.url = "https://127.0.0.1:9"
    site.give_up = 1.0
    case_id = site.put_in()
    start = time.monotonic()
    with pytest.raises(NotDeliveredError):
        site.send(case_id)
    assert time.monotonic() - start < 15


def test_a_case_that_is_not_there(site):
    with pytest.raises(InputError):
        site.send("AAAA-AAAA-AAAA")
