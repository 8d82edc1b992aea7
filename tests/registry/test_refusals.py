from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from typing import TYPE_CHECKING

import pytest
from pydicom.dataset import Dataset

from tests.support.package import CLINICAL, DEID, Package, attestation, instance, zipped

if TYPE_CHECKING:
    from tests.registry.conftest import Sender


def kind(answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    document = answer.json()
    assert document["status"] == answer.status_code
    return document["type"].removeprefix("/problems/")


def with_clinical(**changes):
    return {**CLINICAL, **changes}


@pytest.mark.parametrize(
    ("changes", "expected", "pointer"),
    [
        ({"surname": "ZZPHI"}, "invalid-request", ""),
        ({"objects": 0}, "invalid-request", "/objects"),
        ({"objects": 10**6}, "invalid-request", "/objects"),
        ({"manifest_sha256": "ab" * 32 + "\n"}, "invalid-request", "/manifest_sha256"),
        ({"clinical": with_clinical(age={"value": 93})}, "invalid-clinical", "/clinical/age/value"),
        ({"clinical": with_clinical(patient_name="ZZPHI")}, "invalid-clinical", "/clinical"),
        (
            {"clinical": with_clinical(case_id="AAAA-AAAA-AAAA")},
            "invalid-clinical",
            "/clinical/case_id",
        ),
        (
            {"clinical": with_clinical(po2={"value": 62, "unit": "kPa", "sample": "arterial", "fio2": 0.28})},
            "invalid-clinical",
            "/clinical/po2/value",
        ),
        (
            {"clinical": with_clinical(rt_pcr={"status": "negative", "tests": [{"result": "positive", "day": 0}]})},
            "invalid-clinical",
            "/clinical/rt_pcr/status",
        ),
        (
            {"clinical": with_clinical(indication={"code": "other", "text": "NHS 943 476 5919"})},
            "invalid-clinical",
            "/clinical/indication/text",
        ),
        ({"deid": {**DEID, "profile": "no-such"}}, "unknown-profile", "/deid/profile"),
        ({"deid": {**DEID, "recipe_sha256": "00" * 32}}, "unknown-profile", "/deid/profile"),
        ({"attestation": attestation(package_sha256="00" * 32)}, "invalid-attestation", "/attestation"),
        ({"attestation": attestation()}, "invalid-attestation", "/attestation"),
        ({"attestation": attestation(scope="manifest")}, "invalid-attestation", "/attestation"),
        (
            {"attestation": {"schema": "attestation/1.0", "scope": "other"}},
            "invalid-request",
            "/attestation/scope",
        ),
        ({"contributor": {"credit": "named", "orcid": "x"}}, "invalid-request", "/contributor/orcid"),
    ],
)
def test_put_is_refused(sender: Sender, package: Package, changes: dict, expected: str, pointer: str):
    answer = sender.put(package, **changes)
    assert answer.status_code == 422
    assert kind(answer) == expected
    assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]
    assert "ZZPHI" not in answer.text
    assert "5919" not in answer.text
    assert sender.http.get(f"/v1/cases/{package.case_id}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a":1,"a":1}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"[" * 5000,
        b"9" * 5000,
    ],
    ids=["cut", "twice", "nan", "huge", "latin", "surrogate", "deep", "digits"],
)
def test_json_is_strict(sender: Sender, package: Package, body: bytes):
    answer = sender.http.put(f"/v1/cases/{package.case_id}", content=body, headers={"Content-Type": "application/json"})
    assert kind(answer) == "invalid-json"


def test_json_body_is_bounded_and_typed(sender: Sender, package: Package):
    url = f"/v1/cases/{package.case_id}"
    big = sender.http.put(url, content=b" " * (2 << 20), headers={"Content-Type": "application/json"})
    assert kind(big) == "too-large"
    assert kind(sender.http.put(url, content=b"{}", headers={"Content-Type": "text/plain"})) == "unsupported-media-type"

    def stream():
        for _ in range(40):
            yield b" " * 65536

    chunked = sender.http.put(url, content=stream(), headers={"Content-Type": "application/json"})
    assert kind(chunked) == "too-large"


def test_standing_attestation(sender: Sender, package: Package):
    registry_id = sender.http.get("/.well-known/bsti-registry").json()["registry_id"]
    standing = {
        **attestation(scope="standing"),
        "profile": DEID["profile"],
        "profile_version": "1.0",
        "recipe_sha256": DEID["recipe_sha256"],
        "tool_version": "0.1.0",
        "registry": registry_id,
        "expires": "2999-01-01",
    }
    for name, value in (
        ("expires", "2020-01-01"),
        ("registry", "other"),
        ("tool_version", "9"),
        ("profile", "x"),
    ):
        assert kind(sender.put(package, attestation={**standing, name: value})) == "invalid-attestation", name
    assert sender.put(package, attestation=standing).status_code == 201


def refused(sender: Sender, package: Package, expected: str, **body: object) -> dict:
    assert sender.put(package, **body).status_code == 201
    address = sender.create(package).headers["location"]
    assert sender.patch(address, 0, package.data).status_code == 204
    answer = sender.submit(package)
    assert answer.status_code == 422
    assert kind(answer) == expected, answer.text
    assert sender.http.get(f"/v1/cases/{package.case_id}/receipt").status_code == 404
    assert sender.offset(address) == 0
    assert sender.case(package)["state"] == "uploading"
    return answer.json()


def test_swapped_bytes(sender: Sender, package: Package):
    good = package.data
    sender.put(package)
    address = sender.create(package).headers["location"]
    sender.patch(address, 0, good[:-3] + b"xyz")
    assert kind(sender.submit(package)) == "digest-mismatch"
    assert sender.offset(address) == 0
    assert sender.patch(address, 0, good).status_code == 204
    assert sender.submit(package).status_code == 202


def no_flag(dataset: Dataset) -> None:
    del dataset.PatientIdentityRemoved


def report(dataset: Dataset) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([instance(1), instance(2, change=no_flag)], "not-de-identified"),
        ([instance(1, change=report)], "sop-class"),
        # The writer would put it right, so the bytes are changed: the first occurrence is in the file meta.
        ([instance(1).replace(b"2.25.1001", b"2.25.7777", 1)], "invalid-package"),
        ([instance(1), instance(1)], "invalid-package"),
        ([b"not DICOM at all" * 20], "invalid-package"),
        ([instance(1, study="2.25.12")], "case-mismatch"),
    ],
    ids=["no-flag", "report", "other-meta", "twice", "not-dicom", "other-study"],
)
def test_wrong_instances(sender: Sender, instances: list[bytes], expected: str):
    problem = refused(sender, Package(instances=instances).seal(), expected)
    assert problem["errors"][0]["pointer"].startswith("/data/")


def test_records_that_disagree(sender: Sender):
    package = Package().seal()
    clinical = {**package.clinical, "age": {"value": 66}}
    refused(sender, package, "clinical-mismatch", clinical=clinical)
    for changes in (
        {"key_id": "other"},
        {"case_id": "AAAA-AAAA-AAAA"},
        {"counts": {"certified": 9, "left_out": 0, "held": 0}},
        {"profile": {"name": "test-profile", "version": "2.0", "recipe_sha256": DEID["recipe_sha256"]}},
    ):
        refused(sender, Package(case_changes=changes).seal(), "case-mismatch")
    refused(sender, Package(case_changes={"operator": "ZZPHI"}).seal(), "invalid-package")
    refused(sender, Package().seal(), "case-mismatch", objects=2)
    refused(sender, Package().seal(), "digest-mismatch", manifest_sha256="00" * 32)


def rezipped(package: Package, change) -> Package:
    with zipfile.ZipFile(io.BytesIO(package.data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files, package.case_id)
    package.data = zipped(files)
    return package


def drop_tagmanifest(files: dict, base: str) -> None:
    del files[f"{base}/tagmanifest-sha256.txt"]


def change_object(files: dict, base: str) -> None:
    files[f"{base}/data/images/0001/000001.dcm"] = instance(9)


def change_info(files: dict, base: str) -> None:
    files[f"{base}/bag-info.txt"] += b"Contact-Name: ZZPHI\n"


def drop_object(files: dict, base: str) -> None:
    del files[f"{base}/data/images/0001/000003.dcm"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop_tagmanifest, "invalid-package"),
        (change_object, "digest-mismatch"),
        (change_info, "digest-mismatch"),
        (drop_object, "case-mismatch"),
    ],
)
def test_broken_bags(sender: Sender, change, expected: str):
    refused(sender, rezipped(Package().seal(), change), expected)


def duplicate(package: Package) -> bytes:
    stream = io.BytesIO(package.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(stream, "a") as archive:
            archive.writestr(f"{package.case_id}/bagit.txt", b"x")
    return stream.getvalue()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: Package(p.case_id, extra={"../../evil.txt": b"x"}).seal().data,
        lambda p: Package(p.case_id, extra={"data/notes.txt": b"x"}).seal().data,
        lambda p: Package(p.case_id, compress=zipfile.ZIP_DEFLATED).seal().data,
        lambda p: b"hidden" + p.data,
        lambda p: p.data + b"hidden",
        lambda p: p.data[: len(p.data) // 2],
        duplicate,
        lambda _p: b"PK\x05\x06" + b"\0" * 18,
        lambda _p: b"PK\x05\x06" + b"\xff" * 18,
        lambda _p: b"not a zip",
    ],
    ids=[
        "traversal",
        "foreign",
        "deflated",
        "before",
        "after",
        "cut",
        "duplicate",
        "empty",
        "ones",
        "garbage",
    ],
)
def test_hostile_zips(sender: Sender, spoil):
    package = Package().seal()
    package.data = spoil(package)
    refused(sender, package, "invalid-package")
    assert hashlib.sha256(package.data).hexdigest() == package.sha256


def name_in(dataset: Dataset) -> None:
    dataset.PatientComments = "ZZPHI"


def nested_name(dataset: Dataset) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = "2.25.44"
    item.PersonName = "ZZPHI"
    dataset.ReferencedImageSequence = [item]


def private(dataset: Dataset) -> None:
    dataset.private_block(0x0009, "ZZPHI", create=True).add_new(1, "LO", "ZZPHI")


def burned_in(dataset: Dataset) -> None:
    dataset.BurnedInAnnotation = "YES"


def recent(dataset: Dataset) -> None:
    dataset.StudyDate = "20260301"


def health_number(dataset: Dataset) -> None:
    dataset.StudyDescription = "CT chest 943 476 5919"


def true_uid(dataset: Dataset) -> None:
    dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.2.1"


def name_kept(dataset: Dataset) -> None:
    dataset.PatientName = "ZZPHI^JOHN"


def referrer(dataset: Dataset) -> None:
    dataset.ReferringPhysicianName = "ZZPHI"


def after_pixels(dataset: Dataset) -> None:
    dataset.add_new(0xFFFCFFFC, "OB", b"ZZPHI!")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (name_in, "element-not-allowed"),
        (nested_name, "element-not-allowed"),
        (private, "private-element"),
        (burned_in, "burned-in-annotation"),
        (recent, "recent-date"),
        (health_number, "health-number"),
        (true_uid, "form"),
        (name_kept, "form"),
        (referrer, "form"),
        (after_pixels, "element-not-allowed"),
    ],
)
def test_privacy_doubts_quarantine_after_the_receipt(sender: Sender, panel, change, rule: str):
    data = instance(2, change=change)
    package = Package(instances=[instance(1), data]).seal()
    sender.send(package)
    case = sender.settled(package)
    assert case["state"] == "quarantined"
    assert {finding["object"] for finding in case["findings"]} == {"sha256:" + hashlib.sha256(data).hexdigest()}
    assert rule in {finding["rule"] for finding in case["findings"]}
    assert "ZZPHI" not in json.dumps(case)
    assert "5919" not in json.dumps(case["findings"])
    approve = panel.post(f"/v1/cases/{package.case_id}/review", json={"decision": "approve"})
    assert kind(approve) == "bad-state"
