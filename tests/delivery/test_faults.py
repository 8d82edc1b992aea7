"""The real client and the real registry, in processes of their own, with a line between them that breaks.

After every fault the same command is given again; then there is one case, its digest is right, its receipt verifies,
and no fault cost more than one chunk.
"""

from __future__ import annotations

import contextlib
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.delivery.faulty import ca_file
from tests.delivery.hospital import CHUNK, Hospital
from tests.delivery.line import Fault, Line, line_before
from tests.support.package import write_profile
from tests.support.registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.registry import RunningRegistry

pytestmark = pytest.mark.server

BUSY = (
    (429, {"Retry-After": "1"}),
    (503, {"Retry-After": "1"}),
    (500, {}),
    (502, {"Content-Type": "text/html"}),
    (504, {}),
    (408, {}),
    (423, {"Retry-After": "1"}),
)
FIRST_STEPS = ("discovery", "announcement", "creation", "offset", "submission")


@pytest.fixture(scope="module")
def chunked(tmp_path_factory) -> Iterator[RunningRegistry]:
    """A registry that asks for chunks of 64 KiB."""
    folder = tmp_path_factory.mktemp("registry")
    options = ("--rate", "5000", "--burst", "5000", "--chunk", str(CHUNK))
    with running_registry(folder, *options, profiles=write_profile(folder)) as running:
        yield running


@pytest.fixture
def behind(tmp_path: Path, chunked: RunningRegistry) -> Iterator[Callable[[str], tuple[Hospital, Line]]]:
    """Make hospitals, each with a line of its own to the registry, whose key they have pinned."""
    bundle = ca_file(tmp_path)
    with contextlib.ExitStack() as lines:

        def make(name: str) -> tuple[Hospital, Line]:
            line = lines.enter_context(line_before(chunked.port, chunked.ca_bundle))
            hospital = Hospital(tmp_path / name, chunked, line.url, bundle)
            hospital.contact()
            return hospital, line

        yield make


def drawn(dice: random.Random) -> Fault:
    """Return one fault at any point of a submission."""
    step = dice.choice([*FIRST_STEPS, *["piece"] * 7])
    skip = dice.randrange(11) if step == "piece" else 0
    at = dice.random()
    match dice.randrange(6):
        case 0:
            return Fault(dice.choice(("close", "reset", "drop", "delay")), dice.choice(("accept", "handshake")))
        case 1 | 2:
            phase = dice.choice(("head", "body", "forwarded", "answer head", "answer body", "idle"))
            return Fault(dice.choice(("drop", "reset", "close", "delay")), phase, step, skip, at)
        case 3:
            status, headers = dice.choice(BUSY)
            phase = dice.choice(("head", "forwarded", "answer head"))
            return Fault("answer", phase, step, skip, at, status, dict(headers))
        case 4:
            phase = dice.choice(("forwarded", "answer body"))
            return Fault("swap", phase, step, skip, at)
        case _:
            return dice.choice(
                (
                    Fault("twice", "forwarded", step, skip),
                    Fault("gone", "forwarded", "piece", skip),
                    Fault("answer", "forwarded", "piece", skip, status=413, headers={"Content-Type": "text/html"}),
                )
            )


def submitted(hospital: Hospital, line: Line, faults: list[Fault], seed: int) -> None:
    case_id = hospital.approved(seed)
    size = hospital.size(case_id)
    assert size > 10 * CHUNK
    line.faults += faults
    line.asked.clear()
    codes = []
    for _ in range(1 + len(faults)):
        done = hospital.run("outbox", "send")
        codes.append(done.returncode)
        assert done.returncode in {0, 3, 5, 7}, done.stderr.decode()
        if done.returncode == 0:
            break
    assert codes[-1] == 0, (codes, line.happened)
    delivered = line.sent()
    again = hospital.run("outbox", "send")
    assert b"Nothing is waiting" in again.stdout
    assert line.sent() == delivered, "what was confirmed was sent again"
    hospital.assert_there_once(case_id)
    if not any(fault.kind == "gone" for fault in line.happened):
        assert delivered - size <= CHUNK * len(line.happened), line.happened


def test_without_a_fault_nothing_is_sent_twice(behind):
    hospital, line = behind("whole")
    submitted(hospital, line, [], 1)
    assert line.sent() == hospital.size(str(hospital.at_registry()[0]["id"]))
    assert sum(method == "PATCH" for method, _, _ in line.asked) > 10


@pytest.mark.parametrize("step", ["announcement", "submission"])
@pytest.mark.parametrize("phase", ["forwarded", "answer body"])
def test_a_bit_that_flips_in_a_record_is_seen_and_said_again(behind, step, phase):
    hospital, line = behind("flipped")
    case_id = hospital.approved(1, images=1)
    line.faults += [Fault("swap", phase, step, at=0.4), Fault("swap", phase, step, at=0.9)]
    done = hospital.run("outbox", "send")
    assert done.returncode == 0, done.stderr
    assert len(line.happened) == 2
    hospital.assert_there_once(case_id)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
@pytest.mark.parametrize("room", [0, 150, *(pytest.param(room, marks=pytest.mark.nightly) for room in (5, 40, 400))])
def test_a_registry_whose_disk_is_full_is_busy_and_goes_on_once_there_is_room(tmp_path, room):
    """No file of it may grow beyond so many kilobytes: at some point a commit or a piece fails, as on a full disk."""
    import resource

    options = ("--rate", "5000", "--burst", "5000", "--chunk", str(CHUNK))
    with running_registry(tmp_path, *options, profiles=write_profile(tmp_path)) as registry:
        hospital = Hospital(tmp_path / "home", registry, registry.url, registry.ca_bundle)
        hospital.contact()
        case_id = hospital.approved(1)
        limits = resource.prlimit(registry.pid, resource.RLIMIT_FSIZE)
        largest = max(path.stat().st_size for path in registry.data.glob("*.sqlite3*"))
        resource.prlimit(registry.pid, resource.RLIMIT_FSIZE, (largest + room * 1024, limits[1]))
        full = hospital.run("outbox", "send", BSTI_GIVE_UP_AFTER="1")
        assert full.returncode == 5, full.stderr
        resource.prlimit(registry.pid, resource.RLIMIT_FSIZE, limits)
        assert hospital.run("outbox", "send").returncode == 0
        hospital.assert_there_once(case_id)


def seeded(behind: Callable[[str], tuple[Hospital, Line]], seeds: range, most: int) -> None:
    """Run some seeds at the same time: what takes long is waiting."""

    def one(seed: int) -> int:
        dice = random.Random(seed)
        hospital, line = behind(str(seed))
        faults = [drawn(dice) for _ in range(dice.choice((1, 1, 2, most)))]
        submitted(hospital, line, faults, seed)
        return len(line.happened)

    with ThreadPoolExecutor(max_workers=8) as pool:
        happened = list(pool.map(one, seeds))
    assert sum(count > 0 for count in happened) > len(seeds) / 2, "too few faults came to pass"


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_any_fault_costs_at_most_a_chunk_and_never_the_case(behind, first):
    seeded(behind, range(first, first + 10), 3)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 1240, 20))
def test_any_fault_at_length(behind, first):
    seeded(behind, range(first, first + 20), 5)
