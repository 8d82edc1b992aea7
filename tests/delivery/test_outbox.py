from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bsti_submit.audit import AuditLog
from bsti_submit.bundle import PackageReader
from bsti_submit.errors import ApprovalError, InputError, NotDeliveredError, SettingsError
from bsti_submit.outbox import Origin, Outbox, State, is_network_share
from bsti_submit.outbox.disk import file_system, of_mount_command
from bsti_submit.outbox.records import Records
from tests.delivery.cases import CLINICAL, attestation, padded, put_in, write

ROOT = Path(__file__).parents[2]
STUDIES = "ab" * 32
SIGNED = b'{"schema":"receipt/1.0","kind":"submission","signature":{"value":"x"}}'
UNSIGNED = b'{"schema":"receipt/1.0","kind":"submission"}'


@pytest.fixture
def home(tmp_path):
    return tmp_path


def test_a_case_goes_its_way_and_every_step_is_told(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox, ready=False)
        assert outbox.get(case_id).state is State.PACKAGED
        assert outbox.pending() == ()
        outbox.approve(case_id, attestation(outbox.get(case_id).package_sha256), "registry")
        assert [case.case_id for case in outbox.pending()] == [case_id]
        outbox.mark_sending(case_id)
        outbox.record_upload(case_id, "/v1/uploads/secret")
        outbox.delivered(case_id, SIGNED)
        assert not outbox.get(case_id).path.exists()
        assert outbox.get(case_id).clinical_json == CLINICAL
        assert outbox.get(case_id).upload_url == ""
        assert [what for _, what in outbox.events(case_id)] == [
            *("begun", "packaged", "approved", "sending", "upload opened", "delivered"),
        ]
        assert outbox.find(STUDIES).case_id == case_id
        outbox.amended(case_id, b"{}", SIGNED.replace(b"submission", b"amendment"))
        outbox.withdrawn(case_id, SIGNED.replace(b"submission", b"withdrawal"))
        kinds = [json.loads(receipt)["kind"] for receipt in outbox.receipts(case_id)]
        assert kinds == ["submission", "amendment", "withdrawal"]


def test_a_package_stays_where_nobody_signed_for_it(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        outbox.mark_sending(case_id)
        outbox.delivered(case_id, UNSIGNED)
        assert outbox.get(case_id).path.exists()
    with Outbox(home) as outbox:
        assert outbox.get(case_id).path.exists()
        outbox.approve(case_id, attestation(outbox.get(case_id).package_sha256), "registry")
        assert outbox.get(case_id).state is State.READY


def test_the_same_draft_has_the_same_id_until_it_is_packaged(home):
    with Outbox(home) as outbox:
        first = outbox.reserve(STUDIES)
        assert outbox.reserve(STUDIES) == first
        assert outbox.find(STUDIES) is None
        put_in(outbox)
        assert outbox.find(STUDIES).case_id == first
        assert outbox.reserve(STUDIES) != first


def test_what_is_not_approved_is_not_sent(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox, ready=False)
        with pytest.raises(ApprovalError):
            outbox.mark_sending(case_id)
        for wrong in (attestation("0" * 64), b"[]", b"nonsense"):
            with pytest.raises(ApprovalError):
                outbox.approve(case_id, wrong, "registry")
        assert outbox.get(case_id).state is State.PACKAGED


def test_a_new_package_voids_the_approval(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox, ready=False)
        package, record = write(outbox.staging(case_id), case_id, [b"other"])
        outbox.store(package, record, CLINICAL)
        assert outbox.get(case_id).attestation == b""
        with pytest.raises(ApprovalError):
            outbox.mark_sending(case_id)


def test_a_package_made_anew_survives_a_crash_before_it_is_moved_in(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox, ready=False)
        old = outbox.get(case_id)
        package, record = write(outbox.staging(case_id), case_id, [padded(5, 2_000)])
        staged = outbox.staging(case_id).read_bytes()
        first = old.path.read_bytes()
        outbox.store(package, record, CLINICAL)
        outbox.staging(case_id).write_bytes(staged)  # as it was between the row and the move
        old.path.write_bytes(first)
    with Outbox(home) as outbox:
        case = outbox.get(case_id)
        assert (case.state, case.package_sha256) == (State.PACKAGED, package.sha256)
        assert case.path.read_bytes() == staged
        assert not outbox.staging(case_id).exists()


def test_an_outbox_of_the_first_version_is_read(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
    database = sqlite3.connect(home / "outbox" / "outbox.sqlite")
    for column in ("origin", "registry"):
        database.execute(f"ALTER TABLE cases DROP COLUMN {column}")
    database.execute("PRAGMA user_version=1")
    database.commit()
    database.close()
    with Outbox(home) as outbox:
        case = outbox.get(case_id)
        assert (case.state, case.registry, case.origin) == (State.READY, "", Origin())


def test_nothing_confirmed_is_sent_or_packaged_or_dropped_again(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        outbox.mark_sending(case_id)
        outbox.delivered(case_id, SIGNED)
        with pytest.raises(InputError):
            outbox.mark_sending(case_id)
        with pytest.raises(InputError):
            outbox.approve(case_id, attestation(outbox.get(case_id).package_sha256), "registry")
        with pytest.raises(InputError):
            outbox.drop(case_id)
        package, record = write(outbox.staging(case_id), case_id)
        with pytest.raises(InputError):
            outbox.store(package, record, CLINICAL)


def test_drop_removes_the_package_and_keeps_what_happened(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        path = outbox.get(case_id).path
        outbox.drop(case_id.lower())
        assert not path.exists()
        assert outbox.list() == ()
        assert outbox.events(case_id)[-1][1] == "dropped"
        with pytest.raises(InputError):
            outbox.get(case_id)


def test_drop_waits_for_the_sender(home):
    with Outbox(home) as outbox, Outbox(home) as other:
        case_id = put_in(outbox)
        with other.holding(case_id), pytest.raises(NotDeliveredError):
            outbox.drop(case_id)


def test_there_is_one_sender_and_one_builder_of_the_same_studies(home):
    with Outbox(home) as outbox, Outbox(home) as other:
        with outbox.sending(), pytest.raises(NotDeliveredError), other.sending():
            pass
        with outbox.building(STUDIES):
            with pytest.raises(NotDeliveredError), other.building(STUDIES):
                pass
            with other.building("cd" * 32):
                pass
        with other.building(STUDIES), other.sending():
            pass


def test_what_another_run_is_building_is_not_cleared(home):
    with Outbox(home) as outbox:
        case_id = outbox.reserve(STUDIES)
        with outbox.building(STUDIES):
            write(outbox.staging(case_id), case_id)
            with Outbox(home):
                assert outbox.staging(case_id).exists()
        with Outbox(home):
            assert not outbox.staging(case_id).exists()


def test_events_cannot_be_changed(home):
    with Outbox(home) as outbox:
        put_in(outbox)
        for statement in ("UPDATE events SET what = 'x'", "DELETE FROM events"):
            with pytest.raises(sqlite3.IntegrityError):
                outbox._database.execute(statement)


def test_answers_survive(home):
    with Outbox(home) as outbox:
        outbox.save_draft(STUDIES, b'{"age":1}')
    with Outbox(home) as outbox:
        assert outbox.draft(STUDIES) == b'{"age":1}'
        outbox.forget_draft(STUDIES)
        assert outbox.draft(STUDIES) is None


def test_secrets_and_records_are_not_in_the_repr(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        outbox.record_upload(case_id, "/v1/uploads/secret")
        assert "secret" not in repr(outbox.get(case_id))
        assert "clinical" not in repr(outbox.get(case_id))
    records = "".join(path.read_text() for path in (home / "outbox" / "records").iterdir())
    assert "secret" not in records


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_only_the_owner_can_read_anything(home):
    with Outbox(home) as outbox:
        put_in(outbox)
        for path in (home / "outbox").rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path.name


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["text", "middle", "empty pages", "emptied", "gone"])
def test_a_damaged_database_is_put_aside_and_built_again(home, damage):
    with Outbox(home) as outbox:
        waiting = put_in(outbox, study_set="11" * 32, ready=False)
        ready = put_in(outbox, study_set="22" * 32)
        done = put_in(outbox, study_set="33" * 32)
        outbox.mark_sending(done)
        outbox.delivered(done, SIGNED)
        before = {case.case_id: case for case in outbox.list()}
        outbox._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = home / "outbox" / "outbox.sqlite"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {
                "text": b"not a database at all" * 100,
                "middle": data[:4096] + b"\xff" * 8192 + data[12288:],
                "empty pages": data[:100] + bytes(len(data) - 100),
                "emptied": b"",
            }[damage]
        )
    with Outbox(home) as outbox:
        after = {case.case_id: case for case in outbox.list()}
        assert after == before
        assert outbox.receipts(done) == (SIGNED,)
        assert outbox.find("33" * 32).state is State.DELIVERED
        assert after[waiting].state is State.PACKAGED
        assert after[ready].state is State.READY
        put_in(outbox, study_set="44" * 32)
    if damage not in {"gone", "emptied"}:
        assert len(list((home / "outbox").glob("outbox.sqlite.damaged-*"))) >= 1


_LOSING = """
import os, sys
from pathlib import Path
from bsti_submit.outbox import Outbox
from tests.delivery.cases import put_in
outbox = Outbox(Path(sys.argv[1]))
case_id = put_in(outbox)
outbox._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
outbox.mark_sending(case_id)
outbox.delivered(case_id, b'{"schema":"receipt/1.0","signature":{"value":"x"}}')
outbox.amended(case_id, b'{"age":2}', b'{"schema":"receipt/1.0","kind":"amendment","signature":{"value":"y"}}')
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
@pytest.mark.parametrize("log", ["zeroed", "cut", "gone"])
def test_a_database_that_lost_its_newest_changes_is_brought_up_from_the_records(home, log):
    """What SQLite has not yet moved out of its write-ahead log goes with the log, and the older state looks sound."""
    subprocess.run([sys.executable, "-c", _LOSING, str(home)], cwd=ROOT, check=False)
    path = home / "outbox" / "outbox.sqlite-wal"
    assert path.stat().st_size > 0
    match log:
        case "zeroed":
            path.write_bytes(bytes(path.stat().st_size))
        case "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        case _:
            path.unlink()
    for _ in range(2):
        with Outbox(home) as outbox:
            (case,) = outbox.list()
            assert (case.state, case.clinical_json) == (State.DELIVERED, b'{"age":2}')
            assert len(outbox.receipts(case.case_id)) == 2
            assert outbox.find(STUDIES).case_id == case.case_id
            assert [what for _, what in outbox.events(case.case_id)].count("rebuilt from its record") == 1
    audit = AuditLog(home / "audit")
    assert audit.verify().is_whole
    assert [line["event"] for line in audit.lines()][-1] == "recovered", (
        "an event under a number used before is told too"
    )


def test_opening_while_another_process_delivers_restores_nothing(home, monkeypatch):
    with Outbox(home) as sender:
        case_id = put_in(sender)
        sender.mark_sending(case_id)
        sender.record_upload(case_id, "/v1/uploads/x")
        real = Records.all

        def meanwhile(records):
            if sender.get(case_id).state is State.SENDING:
                sender.delivered(case_id, SIGNED)
            return real(records)

        monkeypatch.setattr(Records, "all", meanwhile)
        with Outbox(home) as outbox:
            assert [what for _, what in outbox.events(case_id)][-1] == "delivered"
            assert outbox.get(case_id).state is State.DELIVERED


@pytest.mark.parametrize("what", ["delivered", "dropped"])
def test_opening_while_another_process_is_done_with_a_case_takes_no_package_for_lost(home, monkeypatch, what):
    """The row was read while it was sent; when the package was looked for, it was delivered and had been removed."""
    with Outbox(home) as sender:
        case_id = put_in(sender)
        if what == "delivered":
            sender.mark_sending(case_id)
        real = Outbox._recover

        def recover(outbox):
            seen = outbox.list()
            monkeypatch.setattr(outbox, "list", lambda: seen)
            if what == "delivered":
                sender.delivered(case_id, SIGNED)
            else:
                sender.drop(case_id)
            real(outbox)

        monkeypatch.setattr(Outbox, "_recover", recover)
        with Outbox(home):
            pass
        monkeypatch.setattr(Outbox, "_recover", real)
        with Outbox(home) as outbox:
            assert [case.state for case in outbox.list()] == ([State.DELIVERED] if what == "delivered" else [])
            assert outbox.lost() == ()


def test_a_record_that_was_lost_or_could_not_be_written_is_written_again(home, monkeypatch):
    def full(_records, _case, _receipts):
        raise OSError(errno.ENOSPC, "")

    with Outbox(home) as outbox:
        lost, stale = put_in(outbox, study_set="11" * 32), put_in(outbox, study_set="22" * 32)
        with monkeypatch.context() as disk:
            disk.setattr("bsti_submit.outbox.records.Records.keep", full)
            outbox.mark_sending(stale)
            outbox.delivered(stale, SIGNED)
    (home / "outbox" / "records" / f"{lost}.json").unlink()
    with Outbox(home) as outbox:
        before = outbox.list()
    (home / "outbox" / "outbox.sqlite").write_bytes(b"")
    with Outbox(home) as outbox:
        assert outbox.list() == before
        assert outbox.find("22" * 32).state is State.DELIVERED


def test_a_record_of_a_case_that_was_dropped_brings_nothing_back(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        record = home / "outbox" / "records" / f"{case_id}.json"
        data = record.read_bytes()
        outbox.drop(case_id)
        record.write_bytes(data)  # as after a crash between the two
    with Outbox(home) as outbox:
        assert outbox.list() == ()
        assert not record.exists()


def test_without_any_record_a_package_is_taken_in_and_wants_a_new_approval(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        before = outbox.get(case_id)
    for path in [home / "outbox" / "outbox.sqlite", *(home / "outbox" / "records").iterdir()]:
        path.unlink()
    with Outbox(home) as outbox:
        after = outbox.get(case_id)
        assert after.state is State.PACKAGED
        assert after.attestation == b""
        assert (after.package_sha256, after.manifest_sha256, after.objects, after.case_json) == (
            before.package_sha256,
            before.manifest_sha256,
            before.objects,
            before.case_json,
        )


def test_a_damaged_package_that_no_row_names_is_put_aside_not_deleted(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        path = outbox.get(case_id).path
    data = bytearray(path.read_bytes())
    data[900] ^= 1
    path.write_bytes(data)
    for file in [home / "outbox" / "outbox.sqlite", *(home / "outbox" / "records").iterdir()]:
        file.unlink()
    with Outbox(home) as outbox:
        assert outbox.list() == ()
        assert (home / "outbox" / "damaged" / path.name).read_bytes() == bytes(data)


def test_a_package_that_was_lost_is_built_again_under_the_same_id(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        outbox.get(case_id).path.unlink()
    with Outbox(home) as outbox:
        assert outbox.get(case_id).state is State.DRAFT
        assert put_in(outbox) == case_id


def test_an_outbox_of_a_newer_version_is_left_alone(home):
    with Outbox(home) as outbox:
        outbox._database.execute("PRAGMA user_version=99")
    with pytest.raises(SettingsError, match="newer"):
        Outbox(home)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root can write anywhere")
def test_a_read_only_home_is_said_in_plain_words(home):
    home.chmod(0o500)
    try:
        with pytest.raises(SettingsError):
            Outbox(home)
    finally:
        home.chmod(0o700)


def test_a_home_that_is_a_file_is_said_in_plain_words(home):
    (home / "outbox").write_text("")
    with pytest.raises(SettingsError):
        Outbox(home)


def test_a_full_disk_is_said_in_plain_words_and_loses_nothing(home):
    with Outbox(home) as outbox:
        case_id = put_in(outbox)
        (pages,) = outbox._database.execute("PRAGMA page_count").fetchone()
        outbox._database.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(NotDeliveredError, match="cannot be written"):
            outbox.save_draft(STUDIES, b"x" * 100_000)
        assert outbox.get(case_id).state is State.READY


@pytest.mark.parametrize("failing", ["line", "head", "note"])
def test_an_event_whose_line_half_failed_is_told_once(home, monkeypatch, failing):
    """On a full disk a line may be in the log though saying so failed."""
    real_replace, real_append = Path.replace, AuditLog.append
    full = [True]

    def replace(path, target):
        if full[0] and path.name == "audit.part":
            raise OSError(errno.ENOSPC, "")
        return real_replace(path, target)

    def append(log, *arguments, **members):
        if full[0] and failing == "line":
            raise NotDeliveredError("full")
        real_append(log, *arguments, **members)
        if full[0] and failing == "note":
            raise NotDeliveredError("full")

    with Outbox(home) as outbox:
        monkeypatch.setattr(AuditLog, "append", append)
        if failing == "head":
            monkeypatch.setattr(Path, "replace", replace)
        case_id = outbox.reserve(STUDIES)
        full[0] = False
        outbox.note(case_id, "not delivered: fault")
    lines = list(AuditLog(home / "audit").lines())
    assert [line["event"] for line in lines] == ["begin", "pause"]
    assert AuditLog(home / "audit").verify().is_whole


# -- where it lies ---------------------------------------------------------------------------------------------------

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local xfs rw 0 0
//server/share /mnt/my\\040share cifs rw 0 0
host: /mnt/ssh fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/home", "nfs4"),
        ("/home/a/b", "nfs4"),
        ("/home/local/x", "xfs"),
        ("/homework", "ext4"),
        ("/mnt/my share/x", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_folder_is_found(folder, kind):
    assert file_system(MOUNTS, folder) == kind


MOUNT_COMMAND = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//anna@server/our share on /Volumes/our share (smbfs, nodev, nosuid, mounted by anna)
server:/export on /Volumes/on (old) (nfs)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/System/Volumes/Data/Users/anna", "apfs"),
        ("/Volumes/our share/home", "smbfs"),
        ("/Volumes/on (old)/home", "nfs"),
        ("/opt", "apfs"),
    ],
)
def test_the_file_system_of_a_folder_is_found_on_macos(folder, kind):
    assert file_system(of_mount_command(MOUNT_COMMAND), folder) == kind


@pytest.mark.parametrize("inside", ["packages", "records", "locks", "staging"])
def test_a_folder_inside_that_leads_to_a_share_is_refused_too(home, tmp_path_factory, monkeypatch, inside):
    share = tmp_path_factory.mktemp("share")
    (home / "outbox").mkdir()
    (home / "outbox" / inside).symlink_to(share)
    monkeypatch.setattr("bsti_submit.outbox.store.is_network_share", lambda folder: folder.resolve() == share)
    with pytest.raises(SettingsError, match="network share"):
        Outbox(home)
    assert list(share.iterdir()) == []


def test_a_network_share_is_refused_with_advice(home, monkeypatch):
    assert not is_network_share(home)
    monkeypatch.setattr("bsti_submit.outbox.store.is_network_share", lambda _: True)
    with pytest.raises(SettingsError, match="network share") as caught:
        Outbox(home)
    assert "local disk" in caught.value.hint


# -- kill -9 ---------------------------------------------------------------------------------------------------------

_DRIVER = """
import os, signal, sqlite3, sys
from pathlib import Path
home, at = Path(sys.argv[1]), int(sys.argv[2])
seen = 0
def step(*_):
    global seen
    seen += 1
    if seen == at:
        os.kill(os.getpid(), signal.SIGKILL)
def around(module, name):
    real = getattr(module, name)
    def wrapped(*arguments, **named):
        step()
        found = real(*arguments, **named)
        step()
        return found
    setattr(module, name, wrapped)
around(Path, "replace"); around(os, "fsync"); around(Path, "unlink")
import bsti_submit.outbox.store as store
class Database:
    def __init__(self, real): self._real = real
    def execute(self, *arguments):
        step()
        found = self._real.execute(*arguments)
        step()
        return found
    def __getattr__(self, name): return getattr(self._real, name)
real = store.connected
store.connected = lambda path: Database(real(path))
from tests.delivery.cases import put_in
outbox = store.Outbox(home)
seen = 0
case_id = put_in(outbox)
outbox.mark_sending(case_id)
outbox.record_upload(case_id, "/v1/uploads/x")
outbox.delivered(case_id, b'{"schema":"receipt/1.0","signature":{"value":"x"}}')
print("steps", seen)
"""


def _run(home: Path, at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_DRIVER), str(home), str(at)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def _settled(home: Path) -> None:
    """After any crash: open, and finish the case by doing again what a person would do again."""
    with Outbox(home) as outbox:
        cases = outbox.list()
        assert len(cases) <= 1
        for case in cases:
            package = case.path
            if case.state in {State.PACKAGED, State.READY, State.SENDING}:
                with PackageReader(package) as reader:
                    assert reader.problems() == ()
            if case.state is State.DELIVERED:
                assert not package.exists()
                assert case.receipt
        assert not list((home / "outbox" / "staging").iterdir())
        expected = {case.path for case in cases if case.state in {State.PACKAGED, State.READY, State.SENDING}}
        assert set((home / "outbox" / "packages").iterdir()) == expected
        unfinished = not cases or cases[0].state is State.DRAFT
        case_id = put_in(outbox) if unfinished else cases[0].case_id
        case = outbox.get(case_id)
        if case.state is State.PACKAGED:
            outbox.approve(case_id, attestation(case.package_sha256), "registry")
        if outbox.get(case_id).state is not State.DELIVERED:
            outbox.mark_sending(case_id)
            outbox.delivered(case_id, SIGNED)
        assert [found.state for found in outbox.list()] == [State.DELIVERED]


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_kill_between_a_few_pairs_of_steps_loses_nothing(tmp_path):
    done = _run(tmp_path / "whole", 0)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout.split()[1])
    assert steps > 40
    _settled(tmp_path / "whole")
    for at in range(3, steps, max(1, steps // 10)):
        home = tmp_path / str(at)
        assert _run(home, at).returncode == -signal.SIGKILL
        _settled(home)


@pytest.mark.nightly
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_kill_between_any_two_steps_loses_nothing(tmp_path):
    steps = int(_run(tmp_path / "whole", 0).stdout.split()[1])
    for at in range(1, steps + 1):
        home = tmp_path / str(at)
        assert _run(home, at).returncode == -signal.SIGKILL
        _settled(home)


def test_opening_while_another_process_takes_packages_in_loses_none(tmp_path):
    """Recovery once deleted a package that another process had moved in a moment before."""
    code = (
        "import sys; from pathlib import Path; from bsti_submit.outbox import Outbox\n"
        "from tests.delivery.cases import put_in\n"
        "with Outbox(Path(sys.argv[1])) as outbox:\n"
        "    for n in range(12): put_in(outbox, [b'x'], study_set=f'{n:064d}')\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    until = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < until:
        with Outbox(tmp_path):
            pass
    assert child.wait() == 0
    with Outbox(tmp_path) as outbox:
        cases = outbox.list()
        assert len(cases) == 12
        assert all(case.path.exists() for case in cases)
