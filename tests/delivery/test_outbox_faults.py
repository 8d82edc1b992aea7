"""What a machine does to the outbox, seen at the command line: a full or read-only disk, a share, damage, a wrong clock.

Disks are real ones: small, read-only or named as a share, in a mount namespace of the test's own (Linux).
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsti_submit.audit import AuditLog
from bsti_submit.outbox import Outbox, State
from bsti_submit.sample import make_sample
from tests.delivery.hospital import CHUNK, ROOT, Hospital
from tests.support.package import write_profile
from tests.support.registry import running_registry
from tests.support.site import clinical, completed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.registry import RunningRegistry

pytestmark = pytest.mark.server
OWN = (sys.executable, "-m", "bsti_submit")


@functools.cache
def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = ("unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt")
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


mounts = pytest.mark.skipif(not can_mount(), reason="no mount namespace of one's own here (unshare -rm)")


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Iterator[RunningRegistry]:
    folder = tmp_path_factory.mktemp("registry")
    options = ("--rate", "5000", "--burst", "5000", "--chunk", str(CHUNK))
    with running_registry(folder, *options, profiles=write_profile(folder)) as running:
        yield running


@pytest.fixture
def hospital(tmp_path, registry) -> Hospital:
    made = Hospital(tmp_path / "home", registry, registry.url, registry.ca_bundle)
    made.contact()
    return made


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample") / "study", slices=3, radiograph=False)


def in_namespace(hospital: Hospital, script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a shell script with mounts of its own; ``$0`` is the home folder, ``$@`` the command."""
    return subprocess.run(
        ["unshare", "-rm", "sh", "-uc", script, str(hospital.home), *OWN, *map(str, arguments)],
        env=hospital.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=120,
    )


FILL = """
kept=$(mktemp -d)
cp -a "$0/." "$kept/"
used=$(du -sk "$kept" | cut -f1)
mount -t tmpfs -o size=$((used + FREE + 64))k none "$0"
cp -a "$kept/." "$0/"
fill=$(( $(df -k --output=avail "$0" | tail -1) - FREE ))
[ $fill -gt 0 ] && dd if=/dev/zero of="$0/fill" bs=1024 count=$fill 2>/dev/null
"$@"
echo "first=$?"
rm -f "$0/fill"
mount -o remount,size=200m "$0"
"$@" 2>&1
echo "second=$?"
rm -rf "$kept"/*
cp -a "$0/." "$kept/"
umount "$0"
cp -a "$kept/." "$0/"
rm -rf "$kept"
"""
"""A disk with FREE KiB left; then one with room; then the home back where it was."""


def full_disk(hospital: Hospital, study, folder: Path, free: int) -> str:
    """Submit a case on a disk with so many KiB free, then again with room; return what was said at first."""
    attestation, record = completed(hospital.environment, folder), clinical(folder / "clinical.json", study)
    command = ("case", study.folder, "--clinical", record, "--attestation", attestation)
    done = in_namespace(hospital, FILL.replace("FREE", str(free)), *command)
    codes = dict(line.split("=") for line in done.stdout.splitlines() if line.startswith(("first=", "second=")))
    assert codes["first"] in {"0", "5", "7"}, done.stderr + done.stdout
    assert codes["second"] == "0", done.stderr + done.stdout
    with Outbox(hospital.home) as outbox:
        (case,) = outbox.list()
    hospital.assert_there_once(case.case_id)
    return f"{codes['first']} {done.stderr}"


@mounts
@pytest.mark.parametrize("free", [0, 300])
def test_a_full_disk_is_said_and_the_case_is_sent_once_there_is_room(hospital, study, tmp_path, free):
    said = full_disk(hospital, study, tmp_path, free)
    assert said[0] != "0"
    assert "full" in said or "cannot be" in said
    assert "fault of its own" not in said


@mounts
@pytest.mark.nightly
@pytest.mark.parametrize("free", [4, 16, 32, 64, 100, 150, 200, 400, 450, 480, 500, 520, 560, 600, 700, 900])
def test_a_disk_full_at_any_point(hospital, study, tmp_path, free):
    assert "fault of its own" not in full_disk(hospital, study, tmp_path, free)


@mounts
@pytest.mark.parametrize("command", [("outbox", "send"), ("outbox", "list")])
def test_a_read_only_home_is_said_and_nothing_is_sent(hospital, command):
    case_id = hospital.approved(1, images=1)
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    done = in_namespace(hospital, script, *command)
    assert done.returncode == 7, done.stderr
    assert "BSTI_HOME" in done.stderr
    assert hospital.at_registry() == []
    assert hospital.run("outbox", "send").returncode == 0
    hospital.assert_there_once(case_id)


@mounts
@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuse.gvfsd-fuse", "vboxsf"])
def test_a_home_on_a_network_share_is_refused_with_advice(hospital, tmp_path, kind):
    case_id = hospital.approved(2, images=1)
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {hospital.home} {kind} rw 0 0\n", "utf-8")
    done = in_namespace(hospital, f'mount --bind "{table}" /proc/$$/mounts && exec "$@"', "outbox", "send")
    assert done.returncode == 7, done.stderr
    assert "network share" in done.stderr
    assert "local disk" in done.stderr
    assert hospital.at_registry() == []
    assert hospital.run("outbox", "send").returncode == 0
    hospital.assert_there_once(case_id)


# -- damage ----------------------------------------------------------------------------------------------------------


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes()
    for companion in ("-wal", "-shm"):
        Path(f"{path}{companion}").unlink(missing_ok=True)
    match how:
        case "text":
            path.write_bytes(b"no database" * 500)
        case "zeros":
            path.write_bytes(data[:100] + bytes(len(data) - 100))
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "gone":
            path.unlink()


@pytest.mark.parametrize("how", ["text", "zeros", "cut", "gone"])
def test_a_damaged_database_is_built_again_and_nothing_is_sent_twice(hospital, how):
    delivered = hospital.approved(3, images=1)
    assert hospital.run("outbox", "send").returncode == 0
    waiting = hospital.approved(4, images=1)
    damaged(hospital.home / "outbox" / "outbox.sqlite", how)
    states = {case["case_id"]: case["state"] for case in hospital.result("outbox", "list")["cases"]}
    assert states == {delivered: "delivered", waiting: "ready"}
    done = hospital.run("outbox", "send")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"delivered") == 1
    assert [case["id"] for case in hospital.at_registry()] == [delivered, waiting]
    assert hospital.receipts_signed(delivered) == hospital.receipts_signed(waiting) == 1
    assert len(hospital.result("receipt", "verify", delivered)["receipts"]) == 1
    kept = list((hospital.home / "outbox").glob("outbox.sqlite.damaged-*"))
    assert len(kept) == (how != "gone")
    assert hospital.run("audit", "verify").returncode == 0
    assert any(line["event"] == "recovered" for line in AuditLog(hospital.home / "audit").lines())


def test_without_database_and_records_a_package_is_found_by_its_manifest_and_wants_approval(hospital):
    case_id = hospital.approved(5, images=1)
    (hospital.home / "outbox" / "outbox.sqlite").unlink()
    shutil.rmtree(hospital.home / "outbox" / "records")
    assert hospital.result("outbox", "show", case_id)["state"] == "packaged"
    assert hospital.run("outbox", "send").stdout == b"Nothing is waiting to be sent.\n"
    assert hospital.at_registry() == []


# -- a clock that jumps ----------------------------------------------------------------------------------------------

_CLOCK = """
import datetime, sys, time
OFFSET = {offset}
real = time.time
time.time = lambda: real() + OFFSET
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=OFFSET)
if "bsti_submit" in sys.orig_argv:
    datetime.datetime = Shifted
"""
YEAR = 365 * 24 * 3600


def clock(folder: Path, offset: int) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_CLOCK.format(offset=offset), "utf-8")
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("offset", [-50 * YEAR, -3600, 3600, 30 * YEAR])
def test_a_clock_that_jumps_between_two_runs_loses_nothing(hospital, tmp_path, offset):
    case_id = hospital.approved(6, images=8)
    slow = hospital.start("outbox", "send", "--limit-rate", "40k")
    registered = hospital.registry.wait_for(
        lambda: [case for case in hospital.at_registry() if case["state"] == "uploading"], 90
    )
    assert registered
    slow.kill()
    slow.communicate()
    jumped = clock(tmp_path / "clock", offset)
    done = hospital.run("outbox", "send", **jumped)
    assert done.returncode == 0, done.stderr
    hospital.assert_there_once(case_id)
    shown = hospital.result("outbox", "show", case_id)
    order = [event["what"] for event in shown["events"]]
    assert order[:4] == ["begun", "packaged", "approved", "sending"]
    assert order[-1] == "delivered"
    years = {str(event["at"])[:4] for event in shown["events"]}
    assert len(years) == (2 if abs(offset) > YEAR else 1), "the clock did jump"
    assert hospital.run("audit", "verify", **jumped).returncode == 0
    assert json.loads(hospital.run("receipt", "verify", case_id, "--json", **jumped).stdout)["receipts"][0]["valid"]


def test_an_approval_that_stood_before_the_clock_jumped_still_stands(hospital, tmp_path):
    case_id = hospital.approved(7, images=1)
    jumped = clock(tmp_path / "clock", 40 * YEAR)
    assert hospital.run("outbox", "send", **jumped).returncode == 0
    with Outbox(hospital.home) as outbox:
        assert outbox.get(case_id).state is State.DELIVERED
    assert os.environ.get("PYTHONPATH", "") != jumped["PYTHONPATH"]
