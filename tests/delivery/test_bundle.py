from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import bagit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bsti_submit.bundle import PackageReader, PackageWriter, file_sha256, zipform
from bsti_submit.errors import HeldError, InputError, NotDeliveredError
from bsti_submit.model import new_case_id
from tests.delivery.cases import CLINICAL, Bytes, certified, write

CASE = "AAAA-AAAA-AAAA"  # its check character is A


def test_a_package_is_a_valid_bag_and_a_sound_zip(tmp_path):
    package, _ = write(tmp_path / "case.zip", CASE)
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}
        archive.extractall(tmp_path / "out")
    bag = bagit.Bag(str(tmp_path / "out" / CASE))
    bag.validate()
    assert bag.info["External-Identifier"] == CASE
    assert package.objects == 3
    assert package.sha256 == file_sha256(tmp_path / "case.zip")
    assert package.size == (tmp_path / "case.zip").stat().st_size
    manifest = (tmp_path / "out" / CASE / "manifest-sha256.txt").read_bytes()
    assert package.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    with PackageReader(tmp_path / "case.zip") as reader:
        assert reader.problems() == ()
        assert reader.case_id == CASE
        assert reader.images() == tuple(f"data/images/0001/{n:06d}.dcm" for n in (1, 2, 3))
        assert reader.read("data/clinical.json") == CLINICAL
        assert reader.manifest_sha256() == package.manifest_sha256


def test_unzip_accepts_it(tmp_path):
    write(tmp_path / "case.zip", CASE)
    try:
        done = subprocess.run(["unzip", "-t", str(tmp_path / "case.zip")], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unzip is not installed")
    assert done.returncode == 0, done.stdout


def test_series_and_instances_are_numbered_in_order_even_when_series_alternate():
    with PackageWriter(None, CASE) as writer:
        names = [
            writer.add(certified(bytes([n]), n, series)) for n, series in enumerate(("1.2", "1.3", "1.2", "1.4"), 1)
        ]
    assert names == [
        "data/images/0001/000001.dcm",
        "data/images/0002/000001.dcm",
        "data/images/0001/000002.dcm",
        "data/images/0003/000001.dcm",
    ]


_SHAPES = st.lists(st.tuples(st.binary(max_size=400), st.sampled_from("abc")), min_size=1, max_size=6)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(shapes=_SHAPES, piece=st.integers(1, 500))
def test_what_is_counted_is_what_is_written_however_the_bytes_come(tmp_path, shapes, piece):
    found = []
    for path, size in ((tmp_path / "a.zip", piece), (None, 7), (tmp_path / "b.zip", 100_000)):
        with PackageWriter(path, CASE) as writer:
            for number, (data, series) in enumerate(shapes, 1):
                writer.add(certified(data, number, series, payload=Bytes(data, size)))
            found.append(writer.finish(b"{}", b"{}"))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert len({(p.size, p.sha256, p.manifest_sha256, p.objects) for p in found}) == 1
    with PackageReader(tmp_path / "a.zip") as reader:
        assert reader.problems() == ()


def test_the_bytes_are_pinned():
    """A change of form changes digests that sites have attested: it needs a new case-package version."""
    with PackageWriter(None, CASE) as writer:
        writer.add(certified(b"one"))
        writer.add(certified(b"two", 2, "2.25.112"))
        package = writer.finish(b'{"a":1}', b"{}")
    assert package.sha256 == PINNED


PINNED = "e1de5340c6b9969125fd3b8dd389bae8a1999c085557c97faf60bb21cf8077c8"


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 64},
        {"size": 2},
        {"size": 4},
        {"payload": Bytes(b"abd")},
        {"payload": Bytes(b"abcd" * 5000)},
    ],
    ids=["digest", "longer", "shorter", "other bytes", "far longer"],
)
def test_bytes_that_are_not_those_certified_hold_the_case_and_leave_nothing(tmp_path, changes):
    path = tmp_path / "case.zip"
    with pytest.raises(HeldError), PackageWriter(path, CASE) as writer:
        writer.add(certified(b"abc", **changes))
    assert not path.exists()


def test_a_package_that_is_not_finished_is_removed(tmp_path):
    with PackageWriter(tmp_path / "case.zip", CASE) as writer:
        writer.add(certified(b"abc"))
        assert (tmp_path / "case.zip").exists()
    assert not (tmp_path / "case.zip").exists()


def test_memory_does_not_grow_with_the_number_of_instances():
    def peak(count: int) -> int:
        tracemalloc.start()
        with PackageWriter(None, CASE) as writer:
            for number in range(count):
                writer.add(certified(os.urandom(100_000), number + 1))
            writer.finish(b"{}", b"{}")
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(200) < peak(20) + 1_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="needs /dev/full")
def test_a_full_disk_is_said_in_plain_words():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")

    class Kept(PackageWriter):
        def abort(self):
            self.path = None  # the test must not remove /dev/full
            super().abort()

    with pytest.raises(NotDeliveredError, match="disk is full"), Kept(full, CASE) as writer:
        writer.add(certified(os.urandom(3 << 20)))
    assert full.exists()


def test_only_the_owner_can_read_a_package(tmp_path):
    write(tmp_path / "case.zip", CASE)
    if os.name == "posix":
        assert (tmp_path / "case.zip").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("seed", range(60))
def test_one_changed_byte_anywhere_is_found(tmp_path, seed):
    write(tmp_path / "case.zip", CASE, [b"0123456789" * 10, b"abc"])
    data = bytearray((tmp_path / "case.zip").read_bytes())
    dice = random.Random(seed)
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    (tmp_path / "case.zip").write_bytes(data)
    assert _is_refused(tmp_path / "case.zip")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"x",
        lambda data: b"x" + data,
        lambda data: b"",
        lambda data: data[:-2] + b"\x03\x00abc",
    ],
    ids=["cut by one", "cut in half", "longer", "prefixed", "empty", "comment"],
)
def test_what_was_cut_off_or_padded_is_found(tmp_path, change):
    write(tmp_path / "case.zip", CASE)
    data = (tmp_path / "case.zip").read_bytes()
    (tmp_path / "case.zip").write_bytes(change(data))
    assert _is_refused(tmp_path / "case.zip")


def test_bytes_between_files_are_found(tmp_path):
    """A valid ZIP and a valid bag can still carry something that no manifest names."""
    write(tmp_path / "case.zip", CASE)
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.extra = b"\xfe\xca\x04\x00NAME"
            archive.writestr(info, data)
    with PackageReader(tmp_path / "other.zip") as reader:
        assert reader.problems()


def test_a_file_beside_the_manifest_is_found(tmp_path):
    write(tmp_path / "case.zip", CASE)
    with zipfile.ZipFile(tmp_path / "case.zip", "a") as archive:
        archive.writestr(f"{CASE}/note.txt", "a name")
        archive.writestr(f"{CASE}/data/images/0001/000009.dcm", "another")
    with PackageReader(tmp_path / "case.zip") as reader:
        assert any("strange name does not belong" in line for line in reader.problems())
        assert not any("note.txt" in line for line in reader.problems())
        assert any("000009.dcm is in the package but not" in line for line in reader.problems())


@pytest.mark.parametrize(
    "names",
    [["x/y"], [f"{CASE}/../../etc/x"], [f"{CASE}/data\\x"], [f"{CASE}/a", "BBBB-BBBB-BBBB/a"], []],
    ids=["no case id", "dots", "backslash", "two bases", "nothing"],
)
def test_a_hostile_archive_is_no_package(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    with pytest.raises(InputError):
        PackageReader(tmp_path / "x.zip")


def test_a_bomb_is_no_package(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{CASE}/bagit.txt", b"0" * 1_000_000)
    with pytest.raises(InputError):
        PackageReader(tmp_path / "x.zip")


def test_zip64_is_used_where_a_number_needs_it_and_only_there(monkeypatch, tmp_path):
    """The limits are lowered so that a small file crosses them; the form is held against APPNOTE by hand."""
    assert len(zipform.local_header(b"n", 0xFFFFFFFE)) == 31
    assert len(zipform.local_header(b"n", 0xFFFFFFFF)) == 31 + 20
    assert len(zipform.descriptor(0, 0xFFFFFFFE)) == 16
    assert len(zipform.descriptor(0, 0xFFFFFFFF)) == 24
    small = zipform.directory_entry(zipform.Member(b"n", 0, 5, 0xFFFFFFFF))
    assert small[46 + 1 :] == bytes((1, 0, 8, 0)) + (0xFFFFFFFF).to_bytes(8, "little")
    assert len(zipform.directory_end(0xFFFE, 0, 0)) == 22
    assert len(zipform.directory_end(0xFFFF, 0, 0)) == 22 + 56 + 20


def test_more_files_than_plain_zip_can_count(tmp_path):
    path = tmp_path / "case.zip"
    with PackageWriter(path, CASE) as writer:
        for number in range(0xFFFF):
            writer._member(f"data/images/0001/{number:06d}.dcm", [b""], 0)
        writer.finish(b"{}", b"{}")
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == 0xFFFF + 6
    with PackageReader(path) as reader:
        assert len(reader.names()) == 0xFFFF + 6


@pytest.mark.nightly
def test_more_than_four_gigabytes(tmp_path):
    """A sparse five-gigabyte member: its bytes are counted, and the ends of the file are read back by `zipfile`."""

    class Zeros:
        size = 5 << 30

        def chunks(self):
            block = bytes(1 << 22)
            for _ in range(self.size >> 22):
                yield block

    digest = hashlib.sha256()
    for block in Zeros().chunks():
        digest.update(block)
    path = tmp_path / "case.zip"
    with PackageWriter(path, CASE) as writer:
        writer.add(certified(b"", payload=Zeros(), size=Zeros.size, sha256=digest.hexdigest()))
        writer.add(certified(b"after", 2))
        writer.finish(b"{}", b"{}")
    with PackageReader(path) as reader:
        assert reader.problems() == ()


def test_names_keep_no_bytes():
    with PackageWriter(None, CASE) as writer:
        writer.add(certified(b"abc"))
        (kept, name), *_ = writer.names
    assert kept.size == 3
    assert name.endswith("000001.dcm")
    with pytest.raises(ValueError):
        kept.payload.chunks()


def test_a_case_id_must_be_one():
    with pytest.raises(ValueError):
        PackageWriter(None, "AAAA-AAAA-AAAB")
    assert PackageWriter(None, new_case_id())


def _is_refused(path) -> bool:
    try:
        with PackageReader(path) as reader:
            return bool(reader.problems())
    except InputError:
        return True
