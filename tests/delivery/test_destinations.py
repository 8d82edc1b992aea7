"""What any destination must pass. A new one is added to `DESTINATIONS`, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from pathlib import Path

import pytest
from stamina import set_testing

from bsti_submit.bundle import PackageReader, file_sha256
from bsti_submit.errors import HeldError, NotDeliveredError
from bsti_submit.outbox import State
from bsti_submit.receipt import Receipt
from bsti_submit.transport.destinations import dir as dir_module
from bsti_submit.transport.destinations.counting import CountingDestination
from bsti_submit.transport.destinations.dir import DirDestination
from bsti_submit.transport.send import send_case, shipment_of
from tests.delivery.faulty import Fault

DESTINATIONS = ["registry", "dir", "counting"]
pytestmark = pytest.mark.server


@pytest.fixture(params=DESTINATIONS)
def destination(request, site, tmp_path):
    match request.param:
        case "registry":
            found = site.destination()
        case "dir":
            found = DirDestination(tmp_path / "stick")
        case _:
            found = CountingDestination()
    with found as opened:
        yield opened


@pytest.fixture
def shipment(site):
    case_id = site.put_in()
    with site.outbox() as outbox:
        return shipment_of(outbox.get(case_id))


def test_it_gives_a_receipt_for_what_it_got(destination, shipment):
    steps = []
    receipt = destination.deliver(shipment, lambda done, total: steps.append((done, total)), lambda url: None)
    for name in ("case_id", "package_sha256", "manifest_sha256", "clinical_sha256", "objects"):
        assert receipt.document[name] == getattr(shipment, name), name
    assert steps[-1] == (shipment.size, shipment.size)
    assert Receipt.parse(receipt.canonical()).document == receipt.document


def test_delivering_again_is_the_same(destination, shipment):
    first = destination.deliver(shipment, lambda *_: None, lambda url: None)
    second = destination.deliver(shipment, lambda *_: None, lambda url: None)
    assert first.document == second.document


def test_it_says_who_it_is(destination):
    assert destination.identity()
    assert destination.name.partition(":")[0] in {"registry", "dir", "nowhere"}


def test_it_does_not_change_the_package(destination, shipment):
    before = file_sha256(shipment.path)
    destination.deliver(shipment, lambda *_: None, lambda url: None)
    assert file_sha256(shipment.path) == before


def test_only_a_signature_lets_the_outbox_forget_the_package(destination, site):
    case_id = site.put_in()
    with site.outbox() as outbox:
        receipt = send_case(outbox, case_id, destination, lambda *_: None, lambda *_: None)
        case = outbox.get(case_id)
        assert case.state is State.DELIVERED
        assert case.path.exists() is not receipt.is_signed


def test_a_changed_package_is_not_delivered(destination, site):
    case_id = site.put_in()
    with site.outbox() as outbox:
        path = outbox.get(case_id).path
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        with pytest.raises(HeldError):
            send_case(outbox, case_id, destination, lambda *_: None, lambda *_: None)
        assert outbox.get(case_id).state is State.SENDING


# -- a folder --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stick(tmp_path):
    return tmp_path / "stick"


def _deliver(stick, shipment):
    return DirDestination(stick).deliver(shipment, lambda *_: None, lambda url: None)


def test_a_copy_is_a_whole_package_and_nothing_else_is_left(stick, shipment):
    _deliver(stick, shipment)
    assert [path.name for path in stick.iterdir()] == [f"{shipment.case_id}.zip"]
    with PackageReader(stick / f"{shipment.case_id}.zip") as reader:
        assert reader.problems() == ()


def test_a_copy_that_was_cut_off_or_changed_is_made_again(stick, shipment):
    stick.mkdir()
    (stick / f"{shipment.case_id}.zip").write_bytes(b"half")
    (stick / f"{shipment.case_id}.part").write_bytes(b"older half")
    _deliver(stick, shipment)
    assert file_sha256(stick / f"{shipment.case_id}.zip") == shipment.package_sha256
    assert len(list(stick.iterdir())) == 1


def test_a_copy_that_is_whole_is_not_written_again(stick, shipment):
    _deliver(stick, shipment)
    before = (stick / f"{shipment.case_id}.zip").stat().st_mtime_ns
    _deliver(stick, shipment)
    assert (stick / f"{shipment.case_id}.zip").stat().st_mtime_ns == before


def test_a_medium_that_reads_back_other_bytes_is_named(stick, shipment, monkeypatch):
    monkeypatch.setattr(dir_module, "_read_back", lambda _: hashlib.sha256(b"other").hexdigest())
    with pytest.raises(NotDeliveredError, match="read back"):
        _deliver(stick, shipment)
    assert list(stick.iterdir()) == []


def test_a_stick_that_is_not_plugged_in_is_not_made_up(tmp_path, shipment):
    with pytest.raises(NotDeliveredError, match="not there"):
        _deliver(tmp_path / "media" / "stick", shipment)
    assert not (tmp_path / "media").exists()


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "fit"), (errno.EFBIG, "fit"), (errno.EIO, "cannot be copied")]
)
def test_a_medium_that_fails_is_said(stick, shipment, monkeypatch, code, said):
    def fails(_):
        raise OSError(code, "x")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(NotDeliveredError, match=said):
        _deliver(stick, shipment)
    assert list(stick.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs /proc")
def test_a_folder_that_is_a_file_is_said(tmp_path, shipment):
    (tmp_path / "stick").write_text("")
    with pytest.raises(NotDeliveredError):
        _deliver(tmp_path / "stick", shipment)
    assert isinstance(tmp_path, Path)


# -- a dry run -------------------------------------------------------------------------------------------------------


def test_a_dry_run_has_the_very_same_digests(shipment, stick):
    counted = CountingDestination().deliver(shipment, lambda *_: None, lambda url: None)
    copied = _deliver(stick, shipment)
    for name in ("package_sha256", "manifest_sha256", "clinical_sha256", "objects", "case_id"):
        assert counted.document[name] == copied.document[name]
    assert not counted.is_signed


def test_an_interrupted_registry_upload_can_be_given_up(behind, proxy):
    case_id = behind.put_in()
    proxy.faults += [Fault("POST", path="/submission", answer=(503, {"Retry-After": "0"})) for _ in range(9)]
    with set_testing(True, attempts=5), pytest.raises(NotDeliveredError):
        behind.send(case_id)
    proxy.faults.clear()
    with behind.outbox() as outbox, behind.destination() as destination:
        destination.abandon(outbox.get(case_id).upload_url)
        destination.abandon("https://elsewhere.example/x")
    behind.send(case_id)
