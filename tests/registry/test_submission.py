from __future__ import annotations

import base64
import hashlib

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.registry.conftest import CHUNK, TUS, Sender
from tests.support.package import Package, attestation


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(sender: Sender, receipt: dict) -> None:
    keys = {key["kid"]: key for key in sender.http.get("/.well-known/bsti-registry").json()["keys"]}
    unsigned = {name: value for name, value in receipt.items() if name != "signature"}
    public = Ed25519PublicKey.from_public_bytes(unb64(keys[receipt["signature"]["kid"]]["public"]))
    public.verify(unb64(receipt["signature"]["value"]), rfc8785.dumps(unsigned))


def test_whole_submission(sender: Sender, package: Package):
    put = sender.put(package)
    assert put.status_code == 201
    assert put.json() == {
        "id": package.case_id,
        "state": "draft",
        "upload": None,
        "etag": put.headers["etag"],
    }
    created = sender.create(package)
    assert created.status_code == 201
    address = created.headers["location"]
    assert sender.create(package).headers["location"] == address
    assert sender.put(package).json()["upload"] == address
    half = len(package.data) // 2
    assert sender.patch(address, 0, package.data[:half]).headers["upload-offset"] == str(half)
    assert sender.submit(package).json()["type"] == "/problems/objects-missing"
    assert sender.offset(address) == half
    assert sender.patch(address, half, package.data[half:]).status_code == 204
    answer = sender.submit(package, **{"Idempotency-Key": "k" * 20})
    assert answer.status_code == 202, answer.text
    receipt = answer.json()["receipt"]
    assert receipt["case_id"] == package.case_id
    assert receipt["package_sha256"] == package.sha256
    assert receipt["objects"] == 3
    verify(sender, receipt)
    replayed = sender.submit(package, **{"Idempotency-Key": "k" * 20})
    assert replayed.headers["idempotency-replayed"] == "true"
    assert replayed.json() == answer.json()
    assert sender.submit(package).json()["receipt"] == receipt
    assert sender.http.get(f"/v1/cases/{package.case_id}/receipt").json() == receipt
    case = sender.settled(package)
    assert case["state"] == "in_review", case
    assert [one["state"] for one in case["history"]] == [
        "draft",
        "uploading",
        "received",
        "validating",
        "in_review",
    ]
    assert sender.put(package).status_code == 200
    assert sender.http.head(address, headers=TUS).status_code == 410
    assert sender.create(package).json()["type"] == "/problems/bad-state"


def test_another_body_needs_if_match_and_is_sealed_after_receipt(sender: Sender, package: Package):
    sender.put(package)
    changed = {**package.clinical, "age": {"value": 68}}
    assert sender.put(package, clinical=changed).status_code == 428
    assert sender.put(package, {"If-Match": '"999"'}, clinical=changed).status_code == 412
    assert sender.put(package, {"If-None-Match": "*"}, clinical=changed).status_code == 412
    etag = sender.http.get(f"/v1/cases/{package.case_id}").headers["etag"]
    assert sender.put(package, {"If-Match": etag}, clinical=changed).status_code == 200
    etag = sender.http.get(f"/v1/cases/{package.case_id}").headers["etag"]
    assert sender.put(package, {"If-Match": etag}).status_code == 200
    address = sender.create(package).headers["location"]
    sender.patch(address, 0, package.data)
    assert sender.submit(package).status_code == 202
    assert sender.put(package, {"If-Match": "*"}, clinical=changed).json()["type"] == "/problems/case-sealed"


def test_etag_saves_a_read(sender: Sender, package: Package):
    sender.put(package)
    first = sender.http.get(f"/v1/cases/{package.case_id}")
    again = sender.http.get(f"/v1/cases/{package.case_id}", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_replacing_the_package_ends_the_old_upload(sender: Sender, package: Package):
    sender.put(package)
    old = sender.create(package).headers["location"]
    sender.patch(old, 0, package.data[:100])
    package.instances.pop()
    package.seal()
    etag = sender.http.get(f"/v1/cases/{package.case_id}").headers["etag"]
    assert sender.put(package, {"If-Match": etag}).json()["state"] == "draft"
    assert sender.http.head(old, headers=TUS).status_code == 410
    new = sender.create(package).headers["location"]
    assert sender.patch(new, 0, package.data).status_code == 204
    assert sender.submit(package).status_code == 202


def test_idempotency_key_with_another_body(sender: Sender, package: Package):
    sender.send(package)
    url, key = f"/v1/cases/{package.case_id}/withdrawal", {"Idempotency-Key": "same-key-123"}
    assert sender.http.post(url, json={"reason": "other"}, headers=key).status_code == 202
    again = sender.http.post(url, json={"reason": "duplicate"}, headers=key)
    assert again.status_code == 422
    assert again.json()["type"] == "/problems/idempotency-key-reused"


def amendment(clinical: dict, **changes: object) -> dict:
    digest = hashlib.sha256(rfc8785.dumps(clinical)).hexdigest()
    return {
        "clinical": clinical,
        "clinical_sha256": digest,
        "attestation": attestation(clinical_sha256=digest),
        **changes,
    }


def test_query_and_amendment(sender: Sender, package: Package, panel):
    sender.send(package)
    sender.settled(package)
    review = f"/v1/cases/{package.case_id}/review"
    asked = panel.post(review, json={"decision": "query", "text": "Is the CRP right?"})
    assert asked.json()["query"]["text"] == "Is the CRP right?"
    assert sender.case(package)["query"]["text"] == "Is the CRP right?"
    url = f"/v1/cases/{package.case_id}/amendments"
    changed = {**package.clinical, "crp": {"value": 14.8, "unit": "mg/L"}}
    wrong = sender.http.post(url, json=amendment(changed, clinical_sha256="00" * 32))
    assert wrong.json()["type"] == "/problems/digest-mismatch"
    wrong = sender.http.post(url, json=amendment(changed, attestation=attestation(package_sha256=package.sha256)))
    assert wrong.json()["type"] == "/problems/invalid-attestation"
    answer = sender.http.post(url, json=amendment(changed))
    assert answer.status_code == 200
    verify(sender, answer.json()["receipt"])
    assert sender.http.post(url, json=amendment(changed)).json() == answer.json()
    case = sender.case(package)
    assert (case["clinical_revision"], case["query"], case["state"]) == (2, None, "in_review")
    assert panel.post(review, json={"decision": "approve"}).json()["state"] == "approved"
    assert panel.post(review, json={"decision": "publish"}).json()["state"] == "published"
    back = sender.http.post(url, json=amendment(package.clinical))
    assert back.json()["state"] == "in_review"


def test_withdrawal_is_final_and_repeats(sender: Sender, package: Package):
    sender.send(package)
    url = f"/v1/cases/{package.case_id}/withdrawal"
    answer = sender.http.post(url, json={"reason": "consent-withdrawn"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "withdrawn"
    verify(sender, answer.json()["receipt"])
    assert sender.http.post(url, json={"reason": "other"}).json() == answer.json()
    assert sender.submit(package).json()["type"] == "/problems/bad-state"
    assert sender.case(package)["state"] == "withdrawn"
    events = sender.http.get(f"/v1/cases/{package.case_id}/events").json()["events"]
    assert [one["event"] for one in events][-1] in {"withdrawn", "validated"}


def test_urgent_withdrawal_purges_at_once(sender: Sender, package: Package):
    sender.send(package)
    packages = sender.registry.data / "packages"
    held = [file for file in packages.iterdir() if file.read_bytes() == package.data]
    assert len(held) == 1
    url = f"/v1/cases/{package.case_id}/withdrawal"
    sender.http.post(url, json={"reason": "identifier-found", "urgent": True})
    sender.registry.wait_for(lambda: not held[0].exists())
    assert sender.put(package).json()["state"] == "withdrawn"


def test_withdrawal_before_receipt(sender: Sender, package: Package):
    sender.put(package)
    address = sender.create(package).headers["location"]
    answer = sender.http.post(f"/v1/cases/{package.case_id}/withdrawal", json={"reason": "other"})
    assert answer.status_code == 202, answer.text
    assert sender.patch(address, 0, b"x").status_code == 410


def test_pages(sender: Sender):
    packages = [Package().seal() for _ in range(3)]
    for one in packages:
        sender.put(one)
    seen, after = [], None
    while True:
        query = {"limit": "2", **({"after": after} if after else {})}
        page = sender.http.get("/v1/cases", params=query).json()
        seen += [case["id"] for case in page["cases"]]
        after = page["next"]
        if after is None:
            break
    assert [one.case_id for one in packages] == seen[-3:]
    assert sender.http.get("/v1/cases", params={"state": "nonsense"}).status_code == 422
    assert all(
        case["state"] == "draft" for case in sender.http.get("/v1/cases", params={"state": "draft"}).json()["cases"]
    )


def test_method_override(sender: Sender, package: Package):
    sender.put(package)
    address = sender.create(package).headers["location"]
    sent = sender.http.post(
        address,
        content=package.data,
        headers={**CHUNK, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"},
    )
    assert sent.status_code == 204
    head = sender.http.post(address, headers={**TUS, "X-HTTP-Method-Override": "HEAD"})
    assert head.headers["upload-offset"] == str(len(package.data))
    assert sender.http.post(address, headers=TUS).status_code == 405
    gone = sender.http.post(address, headers={**TUS, "X-HTTP-Method-Override": "DELETE"})
    assert gone.status_code == 204
    assert sender.case(package)["state"] == "draft"
