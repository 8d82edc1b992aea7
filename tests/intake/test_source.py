"""What a user may point at, and that nothing of it is ever changed, entered twice or opened blindly."""

from __future__ import annotations

import os
import sys

import pytest

from bsti_submit.errors import InputError
from bsti_submit.intake import files
from bsti_submit.intake.files import MAPPED_FROM, OpenedFile, reachable
from bsti_submit.intake.source import UnreadableInstance, open_source
from bsti_submit.intake.survey import survey_source
from bsti_submit.model import InstanceRef, Outcome, Reason
from tests.intake.factory import dataset, encode, put

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def survey(path, **options):
    with open_source(path) as source:
        return survey_source(source, **options)


def test_files_are_found_at_any_depth_with_any_name(tmp_path):
    put(tmp_path / "IM0001", dataset(1))
    put(tmp_path / "a b" / "Größe" / "日本" / "x.y.z.1", dataset(2))
    put(tmp_path / "deep" / "/".join("abcdefgh") / "f.dcm", dataset(3))
    found = survey(tmp_path)
    assert len(found.instances) == 3
    assert found.rejections == ()


def test_refs_follow_the_sorted_paths_and_count_dicom_only(tmp_path):
    for name, number in (("b", 1), ("a", 2), ("c/a", 3)):
        put(tmp_path / name, dataset(number))
    put(tmp_path / "aa.txt", b"notes")
    with open_source(tmp_path) as source:
        found = survey_source(source)
        names = [source.locate(one.ref).reveal()[len(str(tmp_path)) + 1 :] for one in found.instances]
    assert [one.ref.number for one in found.instances] == [1, 2, 3]
    assert [name.replace(os.sep, "/") for name in names] == ["a", "b", "c/a"]
    assert found.ignored == 1


def test_a_second_survey_gives_the_same_refs(tmp_path):
    put(tmp_path / "a", dataset(1))
    put(tmp_path / "b", dataset(2))
    with open_source(tmp_path) as source:
        assert survey_source(source) == survey_source(source)


def test_a_single_file_is_a_source(tmp_path):
    path = put(tmp_path / "slice", dataset(1))
    put(tmp_path / "other", dataset(2))
    with open_source(path) as source:
        found = survey_source(source)
        assert len(found.instances) == 1
        assert bytes(source.read(InstanceRef(1))) == path.read_bytes()


def test_what_is_not_dicom_is_counted_and_ignored(tmp_path):
    put(tmp_path / "VERSION", b"1.0")
    put(tmp_path / "autorun.inf", b"[autorun]\n" * 40)
    put(tmp_path / "empty.dcm", b"")
    put(tmp_path / "viewer.exe", b"MZ" + bytes(4000))
    put(tmp_path / "old.zip", b"PK\x03\x04" + bytes(100))
    put(tmp_path / "._IM1.dcm", b"\0\x05\x16\x07" + bytes(300))
    found = survey(tmp_path)
    assert (found.ignored, found.archives) == (6, 1)
    assert not found.instances
    assert not found.rejections


@pytest.mark.parametrize("content", [b"\0" * 4096, b"JUNK" * 100, b"x"], ids=["zeros", "junk", "tiny"])
def test_a_file_named_as_dicom_that_is_not_is_held(tmp_path, content):
    put(tmp_path / "image.DCM", content)
    (only,) = survey(tmp_path).rejections
    assert (only.outcome, only.reason) == (Outcome.HELD, Reason.UNREADABLE)


def test_bytes_and_times_of_the_source_stay_as_they_were(tmp_path):
    paths = [put(tmp_path / f"f{number}", dataset(number)) for number in (1, 2)]
    paths.append(put(tmp_path / "copy", dataset(1)))
    for path in (*paths, tmp_path):
        os.utime(path, ns=(10**18, 10**18 + 1))
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths]
    for path in paths:
        os.utime(path, ns=(10**18, 10**18 + 1))
    with open_source(tmp_path) as source:
        for one in survey_source(source).instances:
            source.read(one.ref)
    times = {(path.stat().st_atime_ns, path.stat().st_mtime_ns) for path in (*paths, tmp_path)}
    if sys.platform == "linux":
        assert times == {(10**18, 10**18 + 1)}
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths] == before


@posix
def test_links_are_followed_but_no_folder_twice(tmp_path):
    put(tmp_path / "real" / "one", dataset(1))
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    put(outside / "two", dataset(2))
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "real")
    (tmp_path / "elsewhere").symlink_to(outside)
    (tmp_path / "file").symlink_to(outside / "two")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    found = survey(tmp_path)
    assert len(found.instances) == 2
    assert [one.reason for one in found.rejections] == [Reason.DUPLICATE]


@posix
def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.dcm")
    put(tmp_path / "one", dataset(1))
    assert len(survey(tmp_path).instances) == 1


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_file_or_folder_that_may_not_be_read_is_held(tmp_path):
    put(tmp_path / "locked", dataset(1)).chmod(0)
    put(tmp_path / "folder" / "inside", dataset(2))
    (tmp_path / "folder").chmod(0)
    try:
        found = survey(tmp_path)
    finally:
        (tmp_path / "folder").chmod(0o700)
    assert [one.reason for one in found.rejections] == [Reason.UNREADABLE] * 2


def test_a_file_or_folder_that_fails_to_open_is_held(tmp_path, monkeypatch):
    put(tmp_path / "a", dataset(1))
    put(tmp_path / "bad", dataset(2))
    put(tmp_path / "folder" / "c", dataset(3))
    real = files.open_quietly

    def refuse(path):
        if path.endswith(("bad", "folder")):
            raise PermissionError("ZZSECRET")
        return real(path)

    monkeypatch.setattr(files, "open_quietly", refuse)
    found = survey(tmp_path)
    assert len(found.instances) == (1 if os.name != "nt" else 2)
    assert {one.reason for one in found.rejections} == {Reason.UNREADABLE}


def test_a_file_that_changes_or_goes_after_the_survey_is_not_read(tmp_path):
    path = put(tmp_path / "a", dataset(1))
    gone = put(tmp_path / "b", dataset(2))
    with open_source(tmp_path) as source:
        survey_source(source)
        path.write_bytes(path.read_bytes() + b"\0\0")
        gone.unlink()
        for ref in (InstanceRef(1), InstanceRef(2)):
            with pytest.raises(UnreadableInstance) as raised:
                source.read(ref)
            assert raised.value.rejection("1.2").reason is Reason.UNREADABLE
            assert str(tmp_path) not in str(raised.value)


def test_path_parts_are_masked_and_hold_every_component(tmp_path):
    put(tmp_path / "SMITHSON JOHN" / "9434765919" / "IM1", dataset(1))
    with open_source(tmp_path) as source:
        survey_source(source)
        parts = source.path_parts()
    assert {"SMITHSON JOHN", "9434765919", "IM1"} <= {part.reveal() for part in parts}
    assert "SMITHSON" not in f"{parts} {source!r}"


@pytest.mark.parametrize("kind", ["absent", "empty", "pipe"])
def test_a_path_with_nothing_to_take_is_bad_input(tmp_path, kind):
    path = tmp_path / "ZZNAME"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "pipe":
        if os.name == "nt":
            pytest.skip("needs POSIX")
        os.mkfifo(path)
    with pytest.raises(InputError) as raised:
        open_source(path)
    assert "ZZNAME" not in str(raised.value)


def test_a_large_file_is_mapped_and_reads_the_same(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as made:
        made.write(encode(dataset(1)))
        made.truncate(MAPPED_FROM + 10)
    with OpenedFile(str(path)) as opened:
        whole = opened.whole()
    assert isinstance(whole, memoryview)
    assert bytes(whole[:200]) == path.read_bytes()[:200]
    assert len(whole) == MAPPED_FROM + 10


def test_long_windows_paths_get_their_prefix(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    long = "C:\\" + "x" * 300
    monkeypatch.setattr(os.path, "abspath", lambda path: path)
    assert reachable(long) == "\\\\?\\" + long
    assert reachable("\\\\host\\share\\" + "y" * 300).startswith("\\\\?\\UNC\\host\\share\\")
    assert reachable("C:\\short") == "C:\\short"


def test_progress_reaches_the_end(tmp_path):
    for number in range(40):
        put(tmp_path / f"f{number}", dataset(number))
    seen = []
    survey(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 40)
    assert seen[-1] == (40, 40)
