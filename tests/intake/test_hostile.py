"""Sources that change under our hands, and archives that lie."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import zipfile

import pytest

from bsti_submit.intake.files import OpenedFile, version_of
from bsti_submit.intake.source import UnreadableInstance, open_source
from bsti_submit.intake.survey import survey_source
from bsti_submit.model import InstanceRef, Reason
from tests.intake.factory import dataset, encode, put

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
TIMES = (10**18, 10**18)


def survey(path, **options):
    with open_source(path) as source:
        return survey_source(source, **options)


def reasons(found):
    return [one.reason for one in found.rejections]


def within(seconds, work):
    """Return what ``work`` returns; fail if it takes longer."""
    done = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return done[0]


def swapped_in(path, other, *, by_name):
    """Put another file's content in a file's place, of equal length and times as a copying program leaves them."""
    if by_name:
        other.replace(path)
    else:
        path.write_bytes(other.read_bytes())
    os.utime(path, ns=TIMES)


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("blind", [True, False], ids=["no change time", "change time"])
def test_another_patients_file_in_the_place_of_the_first_is_not_read(tmp_path, monkeypatch, blind, by_name):
    if blind:  # as on Windows, and on a stick with FAT: only length and time of the content tell
        monkeypatch.setattr("bsti_submit.intake.files.version_of", lambda status: version_of(status)[:16])
        monkeypatch.setattr("bsti_submit.intake.source.version_of", lambda status: version_of(status)[:16])
    path = put(tmp_path / "in" / "a", dataset(1, PatientName="ALPHA^ANN", PatientID="H1000001"))
    other = put(tmp_path / "b", dataset(1, PatientName="BRAVO^BOB", PatientID="H2000002"))
    assert path.stat().st_size == other.stat().st_size
    os.utime(path, ns=TIMES)
    with open_source(tmp_path / "in") as source:
        assert len(survey_source(source).instances) == 1
        assert bytes(source.read(InstanceRef(1))) == path.read_bytes()
        swapped_in(path, other, by_name=by_name)
        with pytest.raises(UnreadableInstance):
            source.read(InstanceRef(1))


@posix
def test_another_picture_under_the_same_header_is_not_read(tmp_path):
    path = put(tmp_path / "in" / "a", dataset(1))
    other = put(tmp_path / "b", dataset(1, PixelData=b"\1\0" * 256))
    os.utime(path, ns=TIMES)
    with open_source(tmp_path / "in") as source:
        survey_source(source)
        swapped_in(path, other, by_name=False)
        with pytest.raises(UnreadableInstance):
            source.read(InstanceRef(1))


def test_a_deflated_file_that_was_swapped_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("bsti_submit.intake.files.version_of", lambda _status: b"")
    monkeypatch.setattr("bsti_submit.intake.source.version_of", lambda _status: b"")
    path = put(tmp_path / "a", dataset(1), "1.2.840.10008.1.2.1.99")
    with open_source(tmp_path) as source:
        survey_source(source)
        assert bytes(source.read(InstanceRef(1))) == path.read_bytes()
        changed = bytearray(path.read_bytes())
        changed[-20] ^= 1
        path.write_bytes(changed)
        with pytest.raises(UnreadableInstance):
            source.read(InstanceRef(1))


@posix
def test_a_pipe_in_the_place_of_a_listed_file_is_held_without_waiting(tmp_path):
    for number in (1, 2):
        put(tmp_path / str(number), dataset(number))

    def swap(done, _total):
        if done == 0:
            (tmp_path / "2").unlink()
            os.mkfifo(tmp_path / "2")

    found = within(10, lambda: survey(tmp_path, progress=swap))
    assert len(found.instances) == 1
    assert reasons(found) == [Reason.UNREADABLE]


@posix
def test_a_pipe_in_the_place_of_a_surveyed_file_is_held_without_waiting(tmp_path):
    path = put(tmp_path / "1", dataset(1))
    with open_source(tmp_path) as source:
        survey_source(source)
        path.unlink()
        os.mkfifo(path)

        def read():
            with pytest.raises(UnreadableInstance):
                source.read(InstanceRef(1))
            return True

        assert within(10, read)


def test_a_file_that_is_cut_off_in_work_does_not_end_the_process(tmp_path):
    made = dataset(1)
    made.Rows, made.Columns = 4096, 5120
    made.PixelData = bytes(40 << 20)
    path = put(tmp_path / "a", made)
    whole = path.read_bytes()
    with open_source(tmp_path) as source:
        survey_source(source)
        data = source.read(InstanceRef(1))
        os.truncate(path, 5000)
        assert bytes(data) == whole
        with pytest.raises(UnreadableInstance):
            source.read(InstanceRef(1))


@posix
def test_a_file_that_changes_while_it_is_read_is_held(tmp_path, monkeypatch):
    path = put(tmp_path / "a", dataset(1))
    real = OpenedFile.whole

    def disturbed(opened):
        data = real(opened)
        path.write_bytes(path.read_bytes())
        return data

    with open_source(tmp_path) as source:
        survey_source(source)
        monkeypatch.setattr(OpenedFile, "whole", disturbed)
        with pytest.raises(UnreadableInstance):
            source.read(InstanceRef(1))


def lying(path, data, *, stated, method=zipfile.ZIP_DEFLATED):
    """Write a ZIP whose directory states another size than its one member has."""
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("a.dcm", data)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<L", raw, raw.index(b"PK\x01\x02") + 24, stated)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("kept", [4000, 300, 140])
def test_a_member_that_holds_less_than_the_directory_states_is_truncated(tmp_path, kept):
    whole = encode(dataset(1, side=180))
    path = lying(tmp_path / "s.zip", whole[:kept], stated=69_536)
    found = within(10, lambda: survey(path))
    assert (len(found.instances), reasons(found)) == (0, [Reason.TRUNCATED])


def test_a_picture_that_lacks_what_the_directory_states_is_held(tmp_path):
    whole = encode(dataset(1, side=180))
    path = lying(tmp_path / "s.zip", whole[:-1000], stated=len(whole))
    with open_source(path) as source:
        found = survey_source(source)
        for one in found.instances:
            with pytest.raises(UnreadableInstance):
                source.read(one.ref)


def damaged(data, where, what):
    """Return an archive with other bytes in its first member, ``where`` counted from its data."""
    raw = bytearray(data)
    start = raw.index(b"a.dcm") + len("a.dcm") + where
    raw[start : start + len(what)] = what
    return bytes(raw)


@pytest.mark.parametrize(
    ("where", "what"),
    [(40, b"\xff" * 20), (4, b"\xff"), (2, b"\0\0"), (5, b"\xff" * 4), (0, b"\xff" * 8)],
    ids=["stream", "properties", "no properties", "dictionary", "head"],
)
def test_a_damaged_lzma_member_is_held_and_the_others_go_on(tmp_path, where, what):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as made:
        made.writestr("a.dcm", encode(dataset(1)))
        made.writestr("b.dcm", encode(dataset(2)))
    path.write_bytes(damaged(path.read_bytes(), where, what))
    with open_source(path) as source:
        found = survey_source(source)
        assert found.instances[-1].instance_number.reveal() == "2"
        if len(found.instances) == 2:  # the damage does not touch the content
            assert bytes(source.read(InstanceRef(1))) == encode(dataset(1))
        else:
            assert reasons(found) == [Reason.UNREADABLE]


@pytest.mark.parametrize("method", [9, 93, 97, 0xFFFF])
def test_a_compression_that_is_not_known_is_held(tmp_path, method):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a.dcm", encode(dataset(1)))
    raw = bytearray(path.read_bytes())
    for sign, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", raw, raw.index(sign) + place, method)
    path.write_bytes(raw)
    assert reasons(survey(path)) == [Reason.UNREADABLE]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_both_there(tmp_path):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as made:
        for number in (2, 1, 1):
            made.writestr("a.dcm", encode(dataset(number)))
    with open_source(path) as source:
        found = survey_source(source)
        assert [one.instance_number.reveal() for one in found.instances] == ["2", "1"]
        assert bytes(source.read(InstanceRef(1))) == encode(dataset(2))
    assert reasons(found) == [Reason.DUPLICATE]


def test_one_member_that_would_grow_beyond_measure_is_held(tmp_path):
    path = tmp_path / "s.zip"
    noise = os.urandom(2 << 20)  # so that the archive as a whole does not look like a bomb
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.dcm", encode(dataset(1)) + bytes(100 << 20))
        made.writestr("b.dcm", encode(dataset(2)))
        made.writestr("noise", noise)
    found = survey(path)
    assert [one.instance_number.reveal() for one in found.instances] == ["2"]
    assert reasons(found) == [Reason.TOO_LARGE]


def test_a_deflated_data_set_that_would_grow_beyond_measure_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr("bsti_submit.intake.header.GROWTH_FROM", 1 << 20)
    made = dataset(1, side=16)
    made.Rows = made.Columns = 1000
    made.PixelData = bytes(1000 * 1000 * 2)
    put(tmp_path / "a", made, "1.2.840.10008.1.2.1.99")
    assert reasons(survey(tmp_path)) == [Reason.TOO_LARGE]


def test_the_command_line_holds_a_member_that_lies(tmp_path):
    lying(tmp_path / "s.zip", encode(dataset(1, side=180))[:4000], stated=69_536)
    with zipfile.ZipFile(tmp_path / "s.zip", "a") as made:
        made.writestr("b.dcm", encode(dataset(2)))
    environment = {**os.environ, "BSTI_HOME": str(tmp_path / "home")}
    ended = subprocess.run(
        [sys.executable, "-m", "bsti_submit", "check", str(tmp_path / "s.zip"), "--json"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    document = json.loads(ended.stdout)
    assert ended.returncode == 3, ended.stderr
    assert document["instances"][0]["reason"] == "truncated"
