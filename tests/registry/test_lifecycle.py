from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from bsti_submit.registry import audit, records
from bsti_submit.registry.app import Registry
from bsti_submit.registry.cases import Asked
from bsti_submit.registry.folder import Folder
from bsti_submit.registry.problems import Problem
from bsti_submit.registry.review import Decision, purge_due
from bsti_submit.registry.settings import DAY, Settings
from bsti_submit.registry.tokens import Principal, Role
from tests.registry.conftest import b64
from tests.support.package import Package, write_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


SITE = Asked(Principal("t1", "site-a", Role.SITE, 0), "r1")


class House:
    """A registry without a network, and the steps of a submission."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.registry = Registry(Folder(folder), settings)
        self.clock = Clock()
        self.registry.store._clock = self.clock

    def put(self, package: Package, **changes: object) -> dict:
        data = json.dumps(package.body(**changes)).encode()
        return self.registry.cases.put(SITE, package.case_id, data, None, None).body

    def open(self, package: Package):
        metadata = f"case {b64(package.case_id)},sha256 {b64(package.sha256)}"
        return self.registry.uploads.create(SITE.principal, str(len(package.data)), metadata, "r1")

    def open_two(self) -> None:
        for one in (Package().seal(), Package().seal()):
            self.put(one)
            self.open(one)

    def upload(self, package: Package) -> str:
        self.put(package)
        row = self.open(package)
        self.registry.folder.package(row["file_id"]).write_bytes(package.data)
        self.registry.uploads.advance(row["uid"], len(package.data))
        return row["uid"]

    def submit(self, package: Package) -> dict:
        body = json.dumps({"package_sha256": package.sha256}).encode()
        return self.registry.cases.submit(SITE, package.case_id, body).body["receipt"]

    def send(self, package: Package) -> dict:
        self.upload(package)
        return self.submit(package)

    def withdraw(self, package: Package, *, urgent: bool = False) -> dict:
        body = json.dumps({"reason": "other", "urgent": urgent}).encode()
        return self.registry.cases.withdraw(SITE, package.case_id, body).body

    def state(self, package: Package) -> dict:
        return self.registry.cases.get(SITE, package.case_id).body

    def validate(self, package: Package) -> None:
        self.registry.worker._validate(package.case_id)

    def bytes_kept(self, needle: bytes) -> list[str]:
        self.registry.store.scrub()
        return [
            path.name for path in self.registry.folder.root.rglob("*") if path.is_file() and needle in path.read_bytes()
        ]


def build(folder: Path, **settings: object) -> House:
    known = write_profile(folder) if not (folder / "profiles").exists() else folder / "profiles"
    return House(folder / "registry", Settings(profiles=known, **settings))  # type: ignore[arg-type]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = build(tmp_path)
    yield made
    made.registry.close()


def kind(error: pytest.ExceptionInfo[Problem]) -> str:
    return error.value.kind


def test_abandoned_upload_expires_and_its_bytes_go(house: House):
    package = Package().seal()
    uid = house.upload(package)
    house.clock.now += 6 * DAY
    house.registry.uploads.expire()
    assert house.state(package)["state"] == "uploading"
    house.registry.uploads.advance(uid, 5)
    house.clock.now += 6 * DAY
    assert house.registry.uploads.find(SITE.principal, uid)["offset"] == 5
    house.clock.now += 2 * DAY
    with pytest.raises(Problem) as refused:
        house.registry.uploads.find(SITE.principal, uid)
    assert kind(refused) == "upload-expired"
    house.registry.uploads.expire()
    assert house.registry.uploads.collect() == 1
    assert house.state(package)["state"] == "draft"
    assert house.put(package)["upload"] is None
    assert house.open(package)["uid"] != uid
    house.clock.now += 30 * DAY
    house.registry.uploads.expire()
    with pytest.raises(Problem) as forgotten:
        house.registry.uploads.find(SITE.principal, uid)
    assert kind(forgotten) == "not-found"


def test_lost_bytes_move_the_offset_back(house: House):
    package = Package().seal()
    uid = house.upload(package)
    row = house.registry.uploads.find(SITE.principal, uid)
    path = house.registry.folder.package(row["file_id"])
    path.write_bytes(package.data[:100])
    with pytest.raises(Problem) as refused:
        house.submit(package)
    assert kind(refused) == "objects-missing"
    assert house.registry.uploads.find(SITE.principal, uid)["offset"] == 100


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"open_uploads": 1}, "quota-exceeded"),
        ({"open_bytes": 20_000}, "quota-exceeded"),
        ({"free_reserve": 1 << 60}, "storage-full"),
        ({"max_package": 10}, "too-large"),
    ],
)
def test_quotas(tmp_path: Path, settings: dict, expected: str):
    house = build(tmp_path, **settings)
    try:
        with pytest.raises(Problem) as refused:
            house.open_two()
        assert kind(refused) == expected
        assert expected == "too-large" or int(refused.value.headers["Retry-After"]) > 0
    finally:
        house.registry.close()


def test_purge_leaves_a_tombstone(house: House):
    package = Package().seal()
    package.clinical["indication"] = {"code": "other", "text": "Marker zzclinical"}
    package.seal()
    contributor = {"credit": "named", "name": "Zzcontributor"}
    house.put(package, contributor=contributor)
    row = house.open(package)
    path = house.registry.folder.package(row["file_id"])
    path.write_bytes(package.data)
    house.registry.uploads.advance(row["uid"], len(package.data))
    receipt = house.submit(package)
    house.validate(package)
    answer = house.withdraw(package)
    assert purge_due(house.registry.store) == []
    assert path.exists()
    house.clock.now += 31 * DAY
    assert purge_due(house.registry.store) == [package.case_id]
    assert purge_due(house.registry.store) == []
    assert not path.exists()
    assert house.bytes_kept(b"zzclinical") == []
    assert house.bytes_kept(b"Zzcontributor") == []
    assert house.state(package)["state"] == "withdrawn"
    assert house.registry.cases.receipt(SITE, package.case_id, "submission").body == receipt
    assert house.withdraw(package) == answer
    assert house.put(package, contributor=contributor)["state"] == "withdrawn"
    assert house.registry.review.show(package.case_id)["clinical"] is None


def test_a_case_that_never_arrived_is_forgotten(house: House):
    package = Package().seal()
    package.clinical["indication"] = {"code": "other", "text": "Marker zzdraft"}
    package.seal()
    kept = Package().seal()
    house.put(package)
    house.send(kept)
    house.clock.now += 29 * DAY
    house.registry.worker._sweep()
    assert house.state(package)["state"] == "draft"
    house.clock.now += 2 * DAY
    house.registry.worker._sweep()
    with pytest.raises(Problem) as gone:
        house.state(package)
    assert kind(gone) == "not-found"
    assert house.bytes_kept(b"zzdraft") == []
    assert house.state(kept)["state"] == "received"
    house.send(package)
    assert house.state(package)["state"] == "received"
    with house.registry.store.reading() as db:
        assert audit.verify(db) is None
        assert "draft-forgotten" in [entry["action"] for entry in audit.entries(db, package.case_id)]


def test_a_withdrawal_that_becomes_urgent_erases_at_once(house: House):
    package = Package().seal()
    house.send(package)
    first = house.withdraw(package)
    assert purge_due(house.registry.store) == []
    urgent = house.withdraw(package, urgent=True)
    assert urgent["receipt"] == first["receipt"]
    assert urgent["purge_by"] < first["purge_by"]
    assert house.withdraw(package) == urgent, "urgent stays urgent"
    assert purge_due(house.registry.store) == [package.case_id]
    assert house.withdraw(package, urgent=True) == urgent


def test_retention_ends_a_case(tmp_path: Path):
    house = build(tmp_path, retention_days=100)
    try:
        package = Package().seal()
        house.send(package)
        house.validate(package)
        assert house.state(package)["retain_until"] is not None
        house.clock.now += 101 * DAY
        assert purge_due(house.registry.store) == [package.case_id]
        assert house.state(package)["reason"] == "retention-ended"
        with pytest.raises(Problem) as refused:
            house.withdraw(package)
        assert kind(refused) == "bad-state"
    finally:
        house.registry.close()


def test_purge_survives_a_crash_after_the_bytes_went(house: House):
    package = Package().seal()
    house.send(package)
    house.withdraw(package, urgent=True)
    for path in house.registry.folder.packages.iterdir():
        path.unlink()
    assert purge_due(house.registry.store) == [package.case_id]


def wait_for_review(house, package):
    until = time.monotonic() + 10
    while house.state(package)["state"] != "in_review":
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_case_left_in_validation_is_taken_up_again(tmp_path: Path):
    house = build(tmp_path)
    package = Package().seal()
    house.send(package)
    assert house.state(package)["state"] == "received"
    house.registry.close()
    house = build(tmp_path)
    house.registry.worker.start()
    try:
        wait_for_review(house, package)
    finally:
        house.registry.worker.stop()
        house.registry.close()


def test_a_check_whose_end_could_not_be_written_is_done_again_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    house = build(tmp_path, sweep_seconds=0.05)
    real, full = records.move, [True, True]

    def move(*arguments: object) -> None:
        if full:
            full.pop()
            raise sqlite3.OperationalError("database or disk is full")
        real(*arguments)  # type: ignore[arg-type]

    package = Package().seal()
    house.send(package)
    monkeypatch.setattr(records, "move", move)
    house.registry.worker.start()
    try:
        wait_for_review(house, package)
        assert full == []
    finally:
        house.registry.worker.stop()
        house.registry.close()


def test_a_check_that_fails_is_a_doubt(house: House, monkeypatch: pytest.MonkeyPatch):
    package = Package().seal()
    house.send(package)

    def broken(*_arguments: object) -> None:
        raise RuntimeError("ZZPHI")

    monkeypatch.setattr("bsti_submit.registry.worker.check_privacy", broken)
    house.validate(package)
    case = house.state(package)
    assert (case["state"], case["findings"][0]["rule"]) == ("quarantined", "check-failed")
    assert house.bytes_kept(b"ZZPHI") == []


def test_withdrawn_while_it_was_checked(house: House, monkeypatch: pytest.MonkeyPatch):
    package = Package().seal()
    house.send(package)

    def meanwhile(*_arguments: object) -> list:
        house.withdraw(package)
        return []

    monkeypatch.setattr("bsti_submit.registry.worker.check_privacy", meanwhile)
    house.validate(package)
    assert house.state(package)["state"] == "withdrawn"


def test_the_panel_decides_only_where_the_states_allow(house: House):
    package = Package().seal()
    review = house.registry.review
    house.put(package)
    with pytest.raises(Problem) as hidden:
        review.show(package.case_id)
    assert kind(hidden) == "not-found"
    house.upload(package)
    house.submit(package)
    with pytest.raises(Problem) as early:
        review.decide(package.case_id, Decision.APPROVE)
    assert kind(early) == "bad-state"
    house.validate(package)
    with pytest.raises(Problem) as empty:
        review.decide(package.case_id, Decision.QUERY, " ")
    assert kind(empty) == "invalid-request"
    review.decide(package.case_id, Decision.REJECT, "Not a chest")
    review.decide(package.case_id, Decision.REJECT, "Not a chest")
    assert house.state(package)["reason"] == "Not a chest"
    with pytest.raises(Problem) as sealed:
        review.decide(package.case_id, Decision.APPROVE)
    assert kind(sealed) == "bad-state"
    with house.registry.store.reading() as db:
        assert audit.verify(db) is None
