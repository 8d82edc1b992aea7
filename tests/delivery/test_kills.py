"""Kill -9 of the client and of the registry at every step, then the same command again.

The steps are not listed by hand: a whole run is counted, and then killed at each of them in turn.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import rfc8785

from bsti_submit.attestation import facts, for_record
from bsti_submit.audit import AuditLog
from bsti_submit.outbox import Outbox
from bsti_submit.sample import make_sample
from bsti_submit.settings import BASES, OPT_OUTS
from tests.delivery.faulty import ca_file
from tests.delivery.hospital import CHUNK, Hospital
from tests.delivery.killing import kill_at, steps
from tests.delivery.line import Line, line_before
from tests.support.package import CLINICAL, write_profile
from tests.support.registry import RunningRegistry, running_registry
from tests.support.site import clinical, completed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.server, pytest.mark.skipif(os.name != "posix", reason="kill -9")]
OPTIONS = ("--rate", "5000", "--burst", "5000", "--chunk", str(CHUNK))
CLIENT, REGISTRY = "bsti_submit", "bsti_submit.registry"


@pytest.fixture(scope="module")
def chunked(tmp_path_factory) -> Iterator[RunningRegistry]:
    folder = tmp_path_factory.mktemp("registry")
    with running_registry(folder, *OPTIONS, profiles=write_profile(folder)) as running:
        yield running


@contextmanager
def a_hospital(folder: Path, registry: RunningRegistry) -> Iterator[tuple[Hospital, Line]]:
    folder.mkdir(parents=True)
    with line_before(registry.port, registry.ca_bundle) as line:
        yield Hospital(folder / "home", registry, line.url, ca_file(folder)), line


def spread(count: int, wanted: int) -> list[int]:
    """Return some steps, the first and the last among them."""
    return sorted({1 + round(part * (count - 1) / (wanted - 1)) for part in range(wanted)})


def settled(hospital: Hospital, line: Line, command: tuple[object, ...]) -> None:
    """Give the command again, and once more; then everything is there once."""
    done = hospital.run(*command)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    delivered = line.sent()
    assert hospital.run(*command).returncode == 0
    assert line.sent() == delivered, "what was confirmed was sent again"
    with Outbox(hospital.home) as outbox:
        (case,) = outbox.list()
    hospital.assert_there_once(case.case_id)
    assert delivered - case.size <= CHUNK
    assert not list((hospital.home / "outbox" / "staging").iterdir())
    assert not list((hospital.home / "outbox" / "packages").iterdir())


# -- the client, with a case that waits ------------------------------------------------------------------------------


def sending(folder: Path, registry: RunningRegistry, at: int) -> int:
    """Kill `outbox send` at a step, and settle; return how many steps there are if none was to be hit."""
    command = ("outbox", "send")
    with a_hospital(folder, registry) as (hospital, line):
        hospital.approved(at)
        hook = kill_at(folder / "hook", at, CLIENT)
        done = hospital.run(*command, **hook)
        assert done.returncode == (-signal.SIGKILL if at else 0), done.stderr
        settled(hospital, line, command)
    return 0 if at else len(steps(folder / "hook"))


def test_a_sender_killed_at_some_steps_loses_nothing(chunked, tmp_path):
    count = sending(tmp_path / "whole", chunked, 0)
    assert count > 60
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: sending(tmp_path / str(at), chunked, at), spread(count, 5)))


@pytest.mark.nightly
def test_a_sender_killed_at_any_step_loses_nothing(chunked, tmp_path):
    count = sending(tmp_path / "whole", chunked, 0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: sending(tmp_path / str(at), chunked, at), range(1, count + 1)))


# -- the client, from a folder of images to the receipt --------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample") / "study", slices=6, radiograph=False)


def submitting(folder: Path, registry: RunningRegistry, study, at: int) -> int:
    with a_hospital(folder, registry) as (hospital, line):
        attestation, record = completed(hospital.environment, folder), clinical(folder / "clinical.json", study)
        command = ("case", study.folder, "--clinical", record, "--attestation", attestation)
        hook = kill_at(folder / "hook", at, CLIENT)
        done = hospital.run(*command, **hook)
        assert done.returncode == (-signal.SIGKILL if at else 0), done.stderr
        settled(hospital, line, command)
    return 0 if at else len(steps(folder / "hook"))


def test_a_case_killed_at_some_steps_loses_nothing(chunked, tmp_path, study):
    count = submitting(tmp_path / "whole", chunked, study, 0)
    assert count > 80
    for at in spread(count, 4)[1:-1]:
        submitting(tmp_path / str(at), chunked, study, at)


@pytest.mark.nightly
def test_a_case_killed_at_any_step_loses_nothing(chunked, tmp_path, study):
    count = submitting(tmp_path / "whole", chunked, study, 0)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda at: submitting(tmp_path / str(at), chunked, study, at), range(1, count + 1)))


# -- the client, with an amendment and a withdrawal ------------------------------------------------------------------


def changing(folder: Path, registry: RunningRegistry, at: int, what: str) -> int:
    """Kill `amend` or `withdraw` at a step; afterwards it happened, and once."""
    with a_hospital(folder, registry) as (hospital, _):
        case_id = hospital.approved(at, images=1)
        assert hospital.run("outbox", "send").returncode == 0
        if what == "amendment":
            record = folder / "revised.json"
            data = rfc8785.dumps(CLINICAL | {"crp": {"value": 12, "unit": "mg/L"}})
            record.write_bytes(data)
            approval = for_record(
                hashlib.sha256(data).hexdigest(), facts(basis=BASES[0], opt_out=OPT_OUTS[0], looked_at=True)
            )
            (folder / "approval.json").write_text(json.dumps(approval), "utf-8")
            command = ("amend", case_id, "--clinical", record, "--attestation", folder / "approval.json")
        else:
            command = ("withdraw", case_id, "--reason", "duplicate")
        hook = kill_at(folder / "hook", at, CLIENT)
        assert hospital.run(*command, **hook).returncode == (-signal.SIGKILL if at else 0)
        again = hospital.run(*command)
        assert again.returncode in {0, 2}, again.stderr  # 2: it is the record as it stands
        receipts = hospital.result("receipt", "verify", case_id)["receipts"]
        assert [receipt["kind"] for receipt in receipts] == ["submission", what]
        assert hospital.receipts_signed(case_id, what) == 1
        assert AuditLog(hospital.home / "audit").verify().is_whole
    return 0 if at else len(steps(folder / "hook"))


@pytest.mark.parametrize("what", ["amendment", "withdrawal"])
def test_a_change_killed_at_some_steps_happens_once(chunked, tmp_path, what):
    count = changing(tmp_path / "whole", chunked, 0, what)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: changing(tmp_path / str(at), chunked, at, what), spread(count, 4)))


@pytest.mark.nightly
@pytest.mark.parametrize("what", ["amendment", "withdrawal"])
def test_a_change_killed_at_any_step_happens_once(chunked, tmp_path, what):
    count = changing(tmp_path / "whole", chunked, 0, what)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: changing(tmp_path / str(at), chunked, at, what), range(1, count + 1)))


# -- the registry ----------------------------------------------------------------------------------------------------


def serving_killed(folder: Path, at: int) -> int:
    """Kill the registry at a step from its start on, start it again at once, and settle."""
    folder.mkdir(parents=True)
    command = ("outbox", "send")
    with running_registry(folder, *OPTIONS, profiles=write_profile(folder)) as registry:
        assert registry.stop() == 0
        registry.environment = kill_at(folder / "hook", at, REGISTRY)
        over = threading.Event()

        def look_after() -> None:
            while not over.wait(0.05):
                if not registry.is_alive():
                    registry.environment = {}
                    registry.start()
                    return

        try:
            registry.start()
        except AssertionError:
            registry.environment = {}
            registry.start()
        with a_hospital(folder / "site", registry) as (hospital, line):
            hospital.approved(at)
            keeper = threading.Thread(target=look_after)
            keeper.start()
            try:
                done = hospital.run(*command)
                until = time.monotonic() + 20
                while registry.environment and at and time.monotonic() < until:
                    time.sleep(0.05)  # the last steps are those of the re-check behind the answer
            finally:
                over.set()
                keeper.join()
            assert done.returncode in {0, 5}, done.stderr
            assert (registry.environment == {}) == bool(at), "the registry was not killed"
            settled(hospital, line, command)
    return 0 if at else len(steps(folder / "hook"))


def test_a_registry_killed_at_some_steps_loses_nothing(tmp_path):
    count = serving_killed(tmp_path / "whole", 0)
    assert count > 60
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda at: serving_killed(tmp_path / str(at), at), spread(count - 8, 4)))


def test_a_registry_stopped_in_the_middle_ends_in_order_and_the_case_goes_on(tmp_path):
    with running_registry(tmp_path, *OPTIONS, profiles=write_profile(tmp_path)) as registry:
        codes = []

        def stop(method: str, _path: str) -> None:
            pieces.append(method) if method == "PATCH" else None
            if len(pieces) == 5 and not codes:
                codes.append(registry.stop())
                registry.start()

        pieces: list[str] = []
        with a_hospital(tmp_path / "site", registry) as (hospital, line):
            hospital.approved(1)
            line.before = stop
            assert hospital.run("outbox", "send").returncode == 0
            settled(hospital, line, ("outbox", "send"))
        assert codes == [0]


@pytest.mark.nightly
def test_a_registry_killed_at_any_step_loses_nothing(tmp_path):
    count = serving_killed(tmp_path / "whole", 0)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda at: serving_killed(tmp_path / str(at), at), range(1, count - 8)))
