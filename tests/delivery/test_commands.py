"""What a person types after a case was sent, by the real command line against a real registry."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import signal
import subprocess
import time
import unicodedata

import pytest

from bsti_submit.audit import AuditLog
from bsti_submit.outbox import Outbox, State
from bsti_submit.sample import find_markers, make_sample
from tests.delivery.cases import put_in
from tests.delivery.faulty import ca_file
from tests.delivery.hospital import CHUNK, Hospital
from tests.delivery.line import Fault, line_before
from tests.support.package import CLINICAL, instance, write_profile
from tests.support.registry import running_registry
from tests.support.site import clinical, completed

pytestmark = [pytest.mark.server, pytest.mark.measured]
NOWHERE = {"BSTI_REGISTRY": "https://127.0.0.1:9", "BSTI_GIVE_UP_AFTER": "1"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    options = ("--rate", "5000", "--burst", "5000", "--chunk", str(CHUNK))
    with running_registry(folder, *options, profiles=write_profile(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample") / "study", slices=3, radiograph=False)


class Sent:
    """A hospital that sent one case, and the files that it sent it with."""

    def __init__(self, folder, registry, study):
        self.folder, self.registry, self.study, self.revisions = folder, registry, study, 0
        self.hospital = Hospital(folder / "home", registry, registry.url, registry.ca_bundle)
        self.attestation = completed(self.hospital.environment, folder)
        self.record = clinical(folder / "clinical.json", study)
        self.case_id = str(self.case()["case_id"])

    def case(self, *more):
        return self.hospital.result(
            "case", self.study.folder, "--clinical", self.record, "--attestation", self.attestation, *more
        )

    def revised(self, **changes):
        self.revisions += 1
        path = self.folder / f"revised-{self.revisions}.json"
        path.write_text(json.dumps({**json.loads(self.record.read_text("utf-8")), **changes}), "utf-8")
        return path

    def attested(self, record, *options):
        made = self.hospital.run("attestation", "template", "--clinical", record, *options)
        assert made.returncode == 0, made.stderr
        document = json.loads(made.stdout)
        document["facts"] = {name: True if value is False else value for name, value in document["facts"].items()}
        path = self.folder / "record-attestation.json"
        path.write_text(json.dumps(document), "utf-8")
        return path

    def amend(self, record, *more, attestation=None):
        return self.hospital.run(
            "amend", self.case_id, "--clinical", record, "--attestation", attestation or self.attested(record), *more
        )

    def settled(self):
        return self.registry.wait_for(
            lambda: (self.hospital.at_registry()[-1]["state"] not in {"received", "validating"}) or None, 60
        )


@pytest.fixture(scope="module")
def sent(tmp_path_factory, registry, study):
    return Sent(tmp_path_factory.mktemp("site"), registry, study)


@pytest.fixture
def own(tmp_path, registry, study):
    return Sent(tmp_path, registry, study)


# -- receipts --------------------------------------------------------------------------------------------------------


def test_a_receipt_is_shown_and_verifies_without_a_network(sent, tmp_path):
    shown = sent.hospital.run("receipt", "show", sent.case_id, **NOWHERE)
    assert shown.returncode == 0
    document = json.loads(shown.stdout)
    assert document["case_id"] == sent.case_id
    assert document["kind"] == "submission"
    verified = sent.hospital.run("receipt", "verify", sent.case_id, **NOWHERE)
    assert verified.returncode == 0
    assert b"valid: signed by key" in verified.stdout

    file = tmp_path / "receipt.json"
    file.write_bytes(shown.stdout)
    assert sent.hospital.result("receipt", "verify", file, **NOWHERE)["receipts"][0]["valid"] is True
    for name, value in (("objects", 99), ("case_id", "AAAA-AAAA-AAAA"), ("received", "2020-01-01T00:00:00Z")):
        file.write_text(json.dumps({**document, name: value}), "utf-8")
        wrong = sent.hospital.run("receipt", "verify", file, **NOWHERE)
        assert wrong.returncode == 3, name
        assert b"signature is wrong" in wrong.stderr
    assert sent.hospital.run("receipt", "verify", sent.record, **NOWHERE).returncode == 3
    assert sent.hospital.run("receipt", "verify", tmp_path / "none", **NOWHERE).returncode == 2


def test_a_receipt_of_a_registry_that_was_never_pinned_does_not_verify(sent, tmp_path):
    file = tmp_path / "receipt.json"
    file.write_bytes(sent.hospital.run("receipt", "show", sent.case_id).stdout)
    stranger = sent.hospital.run("receipt", "verify", file, BSTI_HOME=str(tmp_path / "other"))
    assert stranger.returncode == 3
    assert b"key that is not the registry's" in stranger.stderr


# -- the audit log ---------------------------------------------------------------------------------------------------


def test_every_step_is_in_the_audit_log_and_nobody_is(own):
    lines = list(AuditLog(own.hospital.home / "audit").lines())
    steps = [line["event"] for line in lines if line.get("case_id") == own.case_id]
    assert [step for step in steps if step != "upload"] == ["begin", "package", "attest", "send", "deliver"]
    packaged = next(line for line in lines if line["event"] == "package")
    assert packaged["certified"] == 3
    assert packaged["profile"] == "bsti-default"
    assert packaged["reasons"]
    delivered = next(line for line in lines if line["event"] == "deliver")
    assert delivered["receipt_id"] == json.loads(own.hospital.run("receipt", "show", own.case_id).stdout)["id"]
    assert [(line["command"], line["exit_status"]) for line in lines if line["event"] == "command"] == [("case", 0)]

    verified = own.hospital.run("audit", "verify")
    assert verified.returncode == 0
    assert f"{len(lines)} lines".encode() in verified.stdout
    exported = own.hospital.run("audit", "export", "--csv")
    rows = list(csv.DictReader(io.StringIO(exported.stdout.decode())))
    assert [row["event"] for row in rows] == [line["event"] for line in lines]
    assert find_markers(exported.stdout, own.study.markers) == []
    assert str(own.folder).encode() not in exported.stdout

    path = own.hospital.home / "audit" / "audit.jsonl"
    whole = path.read_bytes()
    for at in range(10, len(whole), max(1, len(whole) // 12)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        changed = own.hospital.run("audit", "verify", "--json")
        assert changed.returncode == 3, at
        assert json.loads(changed.stdout)["line"] == whole[:at].count(b"\n") + 1
    assert own.hospital.run("audit", "export", "--csv").returncode == 3
    path.write_bytes(whole)
    assert own.hospital.run("audit", "verify").returncode == 0


def test_what_cannot_be_logged_is_not_sent(tmp_path, registry):
    hospital = Hospital(tmp_path / "home", registry, registry.url, registry.ca_bundle)
    hospital.contact()
    case_id = hospital.approved(7, images=1)
    log = hospital.home / "audit" / "audit.jsonl"
    kept = log.read_bytes()
    log.unlink()
    log.mkdir()
    done = hospital.run("outbox", "send")
    assert done.returncode == 5, done.stderr
    assert hospital.at_registry() == []
    log.rmdir()
    log.write_bytes(kept)
    assert hospital.run("outbox", "send").returncode == 0
    hospital.assert_there_once(case_id)


# -- status, amend, withdraw -----------------------------------------------------------------------------------------


def test_a_case_is_found_by_its_images(sent, study, tmp_path):
    found = sent.hospital.result("status", "--from", study.folder)
    assert [case["case_id"] for case in found["cases"]] == [sent.case_id]
    other = make_sample(tmp_path / "other", slices=1, radiograph=False, seed=77)
    unknown = sent.hospital.run("status", "--from", other.folder)
    assert unknown.returncode == 2
    assert find_markers(unknown.stdout + unknown.stderr, other.markers) == []


def test_a_question_of_the_panel_is_shown_and_answered_by_an_amendment(own):
    own.settled()
    own.registry.run("review", "query", own.case_id, "Was the CRP really 148?")
    asked = own.hospital.run("status", own.case_id)
    assert b"the panel asks: Was the CRP really 148?" in asked.stdout
    assert f"amend {own.case_id} --clinical FILE".encode() in asked.stdout

    revised = own.revised(crp={"value": 14.8, "unit": "mg/L", "day": 0})
    unattested = own.hospital.run("amend", own.case_id, "--clinical", revised)
    assert unattested.returncode == 4
    wrong = own.amend(revised, attestation=own.attested(own.record))
    assert wrong.returncode == 4
    done = own.amend(revised, "--json")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)["receipt"]
    assert receipt["kind"] == "amendment"
    assert own.hospital.result("status", own.case_id)["cases"][0]["query"] is None
    assert len(own.hospital.result("receipt", "verify", own.case_id, **NOWHERE)["receipts"]) == 2
    assert own.amend(revised).returncode == 2, "the record as it stands is no amendment"

    own.registry.run("review", "query", own.case_id, "Really?")
    assert own.amend(revised).returncode == 0, "the same record answers a new question"
    assert own.hospital.result("status", own.case_id)["cases"][0]["query"] is None
    assert own.case("--again", "--dry-run")["state"] == "dry-run"


def test_an_amendment_that_needs_the_images_is_not_taken_without_them(own):
    text = own.revised(indication={"code": "other", "text": "Persistent cough after travel"})
    assert own.amend(text).returncode == 2
    assert b"--from PATH" in own.amend(text).stderr
    older = own.revised(age={"value": own.study.age + 1, "source": "entered"})
    assert own.amend(older).returncode == 2
    assert own.amend(text, "--from", own.study.folder).returncode == 0
    name = find_words(own)
    named = own.revised(indication={"code": "other", "text": f"Cough of {name}"})
    held = own.amend(named, "--from", own.study.folder)
    assert held.returncode in {2, 3}
    assert name.encode() not in held.stdout + held.stderr
    assert len(own.hospital.result("receipt", "show", own.case_id)["receipts"]) == 2


def find_words(own):
    """Return a part of the patient's name as a person would type it."""
    import pydicom

    for path in sorted(own.study.folder.rglob("*")):
        if path.is_file():
            try:
                name = pydicom.dcmread(path, stop_before_pixels=True).PatientName
                plain = unicodedata.normalize("NFKD", f"{name.family_name} {name.given_name}").encode("ascii", "ignore")
                parts = re.findall(r"[A-Za-z]{4,}", plain.decode())
                return str(parts[0]).capitalize()
            except (pydicom.errors.InvalidDicomError, AttributeError, IndexError):
                continue
    raise AssertionError("no image")


def test_other_images_amend_nothing(sent, tmp_path):
    other = make_sample(tmp_path / "other", slices=1, radiograph=False, seed=77)
    record = sent.revised(crp={"value": 15, "unit": "mg/L"})
    done = sent.amend(record, "--from", other.folder)
    assert done.returncode == 3
    assert b"not those that case" in done.stderr


def test_a_case_is_taken_back_by_its_images(own):
    assert own.hospital.run("withdraw", "--reason", "duplicate").returncode == 2
    both = own.hospital.run("withdraw", own.case_id, "--from", own.study.folder, "--reason", "duplicate")
    assert both.returncode == 2
    done = own.hospital.run("withdraw", "--from", own.study.folder, "--reason", "identifier-found", "--phi", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["case_id"] == own.case_id
    assert b"72 hours" in done.stderr
    own.registry.wait_for(lambda: own.hospital.at_registry()[-1]["purged"], 60)
    assert own.hospital.result("status", own.case_id)["cases"][0]["registry"] == "withdrawn"
    kinds = [entry["kind"] for entry in own.hospital.result("receipt", "verify", own.case_id)["receipts"]]
    assert kinds == ["submission", "withdrawal"]


def test_a_withdrawal_that_does_not_arrive_says_so_and_what_to_do(own):
    done = own.hospital.run(*("withdraw", own.case_id, "--reason", "identifier-found", "--phi"), **NOWHERE)
    assert done.returncode in {5, 7}, done.stderr
    assert b"NOT withdrawn" in done.stderr
    assert b"72 hours" in done.stderr
    assert own.hospital.result("outbox", "show", own.case_id)["state"] == "delivered"


# -- patients who object ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}", "number\n{}", "# list\n\n  {} ;note", "{lower}", "{spaced}"])
def test_a_patient_who_objects_is_not_sent(sent, tmp_path, form):
    number = sent.study.patient_id
    spaced = "-".join(number[at : at + 3] for at in range(0, len(number), 3))
    listed = tmp_path / "objections.txt"
    listed.write_text("Z999999\n" + form.format(number, lower=number.lower(), spaced=spaced), "utf-8")
    for command in (
        ("case", sent.study.folder, "--again", "--attestation", sent.attestation),
        ("package", sent.study.folder),
    ):
        done = sent.hospital.run(*command, "--clinical", sent.record, "--exclude-list", listed)
        if form.startswith("number"):
            assert done.returncode == 2, "a heading is the first line only"
            continue
        assert done.returncode == 3, done.stderr
        assert b"exclusion list" in done.stderr
        assert number.encode() not in done.stdout + done.stderr
    assert len(sent.hospital.at_registry()) == 1
    for path in sent.hospital.home.rglob("*"):
        assert not path.is_file() or b"Z999999" not in path.read_bytes()


def test_a_list_that_cannot_be_read_stops_everything_and_others_go_on(sent, tmp_path):
    command = ("case", sent.study.folder, "--clinical", sent.record, "--attestation", sent.attestation)
    assert sent.hospital.run(*command, "--exclude-list", tmp_path / "none").returncode == 2
    listed = tmp_path / "objections.csv"
    listed.write_bytes("hospital number,when\nZ999999,2020\n".encode("utf-16"))
    assert sent.hospital.run(*command, "--exclude-list", listed).returncode == 0
    listed.write_text("hospital number\nZ999999\nnobody\n", "utf-8")
    wrong = sent.hospital.run(*command, "--exclude-list", listed)
    assert wrong.returncode == 2
    assert b"line 3" in wrong.stderr
    assert b"nobody" not in wrong.stderr


# -- the outbox ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hospital(tmp_path, registry):
    made = Hospital(tmp_path / "home", registry, registry.url, registry.ca_bundle)
    made.contact()
    return made


def test_a_case_is_shown_and_dropped(hospital):
    case_id = hospital.approved(1, images=1)
    shown = hospital.result("outbox", "show", case_id)
    assert shown["state"] == "ready"
    assert [event["what"] for event in shown["events"]] == ["begun", "packaged", "approved"]
    assert str(shown["package"]).endswith(f"{case_id}.zip")
    assert hospital.run("outbox", "drop", case_id).returncode == 0
    assert hospital.run("outbox", "show", case_id).returncode == 2
    assert hospital.run("outbox", "send").stdout == b"Nothing is waiting to be sent.\n"
    assert hospital.at_registry() == []


def test_a_case_that_arrived_though_the_receipt_was_lost_is_not_forgotten(hospital, registry):
    """Dropped here and kept there, it could not be taken back by anybody."""
    with line_before(registry.port, registry.ca_bundle) as line:
        away = {"BSTI_REGISTRY": line.url, "BSTI_CA_BUNDLE": str(ca_file(hospital.home))}
        line.faults += [Fault("close", "answer head", "submission", at=0.0) for _ in range(30)]
        case_id = hospital.approved(20, images=1)
        with Outbox(hospital.home) as outbox:
            case = outbox.get(case_id)
            outbox.approve(case_id, case.attestation, "registry", line.url)
        slow = hospital.start("outbox", "send", **away)
        registry.wait_for(lambda: [case for case in hospital.at_registry() if case["received"]], 60)
        slow.kill()
        slow.communicate()
        line.faults.clear()
        arrived = hospital.run("outbox", "drop", case_id, **away)
        assert arrived.returncode == 2
        assert b"has arrived" in arrived.stderr
    unreached = hospital.run("outbox", "drop", case_id, **NOWHERE)
    assert unreached.returncode == 5
    assert b"it is kept" in unreached.stderr
    assert hospital.result("outbox", "show", case_id)["state"] == "sending"
    assert hospital.run("withdraw", case_id, "--reason", "duplicate").returncode == 0
    assert [case["state"] for case in hospital.at_registry()] == ["withdrawn"]


def test_an_upload_that_was_begun_is_ended_where_the_case_is_dropped(hospital, registry):
    case_id = hospital.approved(21, images=8)
    before = set((registry.data / "packages").iterdir())
    slow = hospital.start("outbox", "send", "--limit-rate", "40k")
    registry.wait_for(lambda: set((registry.data / "packages").iterdir()) - before, 90)
    slow.kill()
    slow.communicate()
    assert hospital.run("outbox", "drop", case_id).returncode == 0
    assert set((registry.data / "packages").iterdir()) == before
    assert hospital.run("outbox", "show", case_id).returncode == 2


def test_a_case_that_never_reached_the_registry_is_dropped_and_cannot_be_withdrawn(hospital):
    case_id = hospital.approved(22, images=1)
    with Outbox(hospital.home) as outbox:
        outbox.mark_sending(case_id)
    unknown = hospital.run("withdraw", case_id, "--reason", "duplicate")
    assert unknown.returncode == 6, unknown.stderr
    assert hospital.run("outbox", "drop", case_id).returncode == 0


def test_a_package_that_has_gone_is_told_and_built_again_under_its_id(hospital):
    case_id, other = hospital.approved(23, images=1), hospital.approved(24, images=1)
    (hospital.home / "outbox" / "packages" / f"{case_id}.zip").unlink()
    told = hospital.run("outbox", "send")
    assert told.returncode == 3, told.stdout
    assert case_id.encode() in told.stderr
    assert b"the same images again" in told.stderr
    assert [case["id"] for case in hospital.at_registry()] == [other]
    assert b"its package is gone" in hospital.run("outbox", "list").stdout
    assert hospital.approved(23, images=1) == case_id
    assert hospital.run("outbox", "send").returncode == 0
    assert b"gone" not in hospital.run("outbox", "list").stdout


def test_what_the_registry_found_is_shown_for_each_image(hospital, registry):
    def burned_in(dataset):
        dataset.BurnedInAnnotation = "YES"

    doubtful = [instance(number, change=burned_in) for number in (2, 3)]
    with Outbox(hospital.home) as outbox:
        case_id = put_in(outbox, [instance(1), *doubtful], url=hospital.url)
    assert hospital.run("outbox", "send").returncode == 0
    registry.wait_for(lambda: hospital.at_registry()[-1]["state"] == "quarantined", 60)
    (case,) = hospital.result("status", case_id)["cases"]
    assert case["registry"] == "quarantined"
    expected = {f"sha256:{hashlib.sha256(data).hexdigest()}" for data in doubtful}
    assert {finding["object"] for finding in case["findings"]} == expected
    shown = hospital.run("status", case_id).stdout.decode()
    for name in expected:
        assert f"finding: {name}  burned-in-annotation: " in shown


def test_a_case_that_the_registry_forgot_is_told_beside_the_others(hospital, registry, tmp_path):
    first = hospital.approved(25, images=1)
    assert hospital.run("outbox", "send").returncode == 0
    another = Hospital(tmp_path / "another", registry, registry.url, registry.ca_bundle)
    second = hospital.approved(26, images=1)
    # Under another site's token the registry knows neither.
    with Outbox(hospital.home) as outbox:
        outbox.mark_sending(second)
    there = {"BSTI_TOKEN_FILE": str(another.home / "token")}
    done = hospital.run("status", "--json", **there)
    assert done.returncode == 3, done.stderr
    assert b"receipt" in done.stderr
    found = {case["case_id"]: (case["here"], case["registry"]) for case in json.loads(done.stdout)["cases"]}
    assert found == {first: ("delivered", "unknown"), second: ("sending", "unknown")}
    amended = hospital.run("amend", first, "--clinical", _record(tmp_path), **there)
    assert amended.returncode == 6
    assert b"does not know" in amended.stderr


def test_a_case_that_went_to_another_registry_is_not_asked_about_here(hospital):
    case_id = hospital.approved(27, images=1)
    assert hospital.run("outbox", "send").returncode == 0
    done = hospital.run("status", case_id, **NOWHERE)
    assert done.returncode == 0, done.stderr
    assert f"another one, {hospital.url}".encode() in done.stdout


def _record(folder):
    path = folder / "record.json"
    path.write_text(json.dumps(CLINICAL | {"crp": {"value": 12, "unit": "mg/L"}}), "utf-8")
    return path


def test_a_delivered_case_is_not_dropped(hospital):
    case_id = hospital.approved(2, images=1)
    assert hospital.run("outbox", "send").returncode == 0
    refused = hospital.run("outbox", "drop", case_id)
    assert refused.returncode == 2
    assert b"withdraw" in refused.stderr
    shown = hospital.run("outbox", "show", case_id)
    assert b"the registry signed for it" in shown.stdout
    hospital.assert_there_once(case_id)


def test_a_workstation_watches_and_sends_what_is_approved_later(hospital):
    first = hospital.approved(3, images=1)
    watcher = hospital.start("outbox", "send", "--watch", "--every", "1")
    try:
        _until(hospital, first)
        second = hospital.approved(4, images=1)
        _until(hospital, second)
    finally:
        watcher.send_signal(signal.SIGINT)
        out, told = watcher.communicate(timeout=90)
    assert watcher.returncode == 130, told
    assert out.count(b"delivered") == 2
    assert len(hospital.at_registry()) == 2


def _until(hospital, case_id):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with Outbox(hospital.home) as outbox:
            if outbox.get(case_id).state is State.DELIVERED:
                return
        time.sleep(0.2)
    raise AssertionError("it was not sent in time")


def test_a_watch_outlives_a_registry_that_is_not_there(hospital):
    case_id = hospital.approved(5, images=1)
    watcher = hospital.start("outbox", "send", "--watch", "--every", "1", BSTI_TOKEN_FILE=str(hospital.home / "none"))
    with pytest.raises(subprocess.TimeoutExpired):
        watcher.wait(timeout=4)
    watcher.send_signal(signal.SIGINT)
    out, _ = watcher.communicate(timeout=90)
    assert out.count(b"not delivered") == 1, "told once, not each minute"
    assert hospital.run("outbox", "send").returncode == 0
    hospital.assert_there_once(case_id)


def test_what_is_being_sent_is_not_taken_back_or_dropped_at_the_same_time(hospital, registry):
    case_id = hospital.approved(11, images=8)
    slow = hospital.start("outbox", "send", "--limit-rate", "40k")
    try:
        registry.wait_for(lambda: [case for case in hospital.at_registry() if case["state"] == "uploading"], 90)
        for command in (("withdraw", case_id, "--reason", "duplicate"), ("outbox", "drop", case_id)):
            busy = hospital.run(*command)
            assert busy.returncode == 5, busy.stderr
            assert b"at work on that very case" in busy.stderr
    finally:
        slow.kill()
        slow.communicate()
    assert hospital.run("withdraw", case_id, "--reason", "duplicate").returncode == 0
    assert [case["state"] for case in hospital.at_registry()] == ["withdrawn"]
    assert hospital.run("outbox", "send").stdout == b"Nothing is waiting to be sent.\n"


def test_a_token_that_ends_midway_pauses_the_case_and_a_new_one_goes_on(hospital, registry):
    case_id = hospital.approved(10, images=8)
    slow = hospital.start("outbox", "send", "--limit-rate", "40k")
    registry.wait_for(lambda: [case for case in hospital.at_registry() if case["state"] == "uploading"], 90)
    listed = json.loads(registry.run("token", "list", "--json").stdout)["tokens"]
    (own_token,) = [token["id"] for token in listed if token["site"] == hospital.name]
    registry.run("token", "revoke", own_token)
    _, told = slow.communicate(timeout=90)
    assert slow.returncode == 7, told
    assert b"login" in told
    assert hospital.result("outbox", "show", case_id)["state"] == "sending"
    (hospital.home / "token").write_text(registry.token(hospital.name), "ascii")
    assert hospital.run("outbox", "send").returncode == 0
    hospital.assert_there_once(case_id)


def test_the_rate_is_kept(hospital):
    case_id = hospital.approved(6, images=4)
    size = hospital.size(case_id)
    started = time.monotonic()
    assert hospital.run("outbox", "send", "--limit-rate", "100k").returncode == 0
    assert time.monotonic() - started >= size / 100_000 * 0.9
    hospital.assert_there_once(case_id)


def test_outside_its_hours_nothing_is_sent(hospital):
    hospital.approved(8, images=1)
    hour = time.localtime(time.time() + 3 * 3600).tm_hour
    waiting = hospital.start("outbox", "send", "--only-between", f"{hour:02}:00-{hour:02}:30")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=5)
    spare = hospital.approved(12, images=1)
    assert hospital.run("outbox", "drop", spare).returncode == 0, "who waits holds nothing"
    waiting.kill()
    waiting.communicate()
    assert all(case["received"] is None for case in hospital.at_registry())
    hour = time.localtime().tm_hour
    window = f"{(hour - 1) % 24:02}:00-{(hour + 2) % 24:02}:00"
    assert hospital.run("outbox", "send", "--only-between", window).returncode == 0


@pytest.mark.parametrize("wrong", [("--limit-rate", "fast"), ("--only-between", "evening"), ("--every", "0")])
def test_what_cannot_be_read_is_said_before_anything_is_sent(hospital, wrong):
    hospital.approved(9, images=1)
    assert hospital.run("outbox", "send", *wrong).returncode == 2
    assert hospital.at_registry() == []
