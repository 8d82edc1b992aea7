"""ZIP files and DICOMDIRs."""

from __future__ import annotations

import struct
import zipfile

import pytest
from pydicom.fileset import FileSet

from bsti_submit.errors import InputError
from bsti_submit.intake import source as module
from bsti_submit.intake.source import open_source
from bsti_submit.intake.survey import survey_source
from bsti_submit.model import InstanceRef, Reason
from tests.intake.factory import dataset, encode, put


def survey(path):
    with open_source(path) as source:
        return survey_source(source)


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in members:
            made.writestr(name, data)
    return path


def test_a_zip_is_read_in_memory_in_sorted_order(tmp_path):
    members = [("b/2", encode(dataset(2))), ("a/1", encode(dataset(1))), ("readme.txt", b"x"), ("d/", b"")]
    path = archive(tmp_path / "study.zip", members)
    with open_source(path) as source:
        found = survey_source(source)
        assert bytes(source.read(InstanceRef(1))) == members[1][1]
        parts = {part.reveal() for part in source.path_parts()}
    assert [one.instance_number.reveal() for one in found.instances] == ["1", "2"]
    assert found.ignored == 1
    assert {"a", "b", "1", "2", "study.zip"} <= parts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.zip"]


def test_names_that_would_leave_the_folder_do_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "s.zip"
    archive(path, [("../../evil", encode(dataset(1))), ("/abs", encode(dataset(2)))])
    assert len(survey(path).instances) == 2
    assert {one.name for one in tmp_path.rglob("*")} == {"in", "s.zip"}


def test_names_in_another_encoding_are_harvested_in_each(tmp_path):
    path = archive(tmp_path / "s.zip", [("placeholder", encode(dataset(1)))])
    raw = path.read_bytes().replace(b"placeholder", "Müller-1234".encode()[:11])
    path.write_bytes(raw)
    with open_source(path) as source:
        survey_source(source)
        assert any("Müller" in part.reveal() for part in source.path_parts())


def test_a_nested_zip_is_counted_not_opened(tmp_path):
    inner = archive(tmp_path / "inner.zip", [("x", encode(dataset(1)))]).read_bytes()
    found = survey(archive(tmp_path / "outer.zip", [("inner.zip", inner), ("2", encode(dataset(2)))]))
    assert (len(found.instances), found.archives) == (1, 1)


def test_an_encrypted_zip_is_refused(tmp_path):
    path = archive(tmp_path / "s.zip", [("x", b"y")])
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="encrypted"):
        open_source(path)


def test_a_damaged_zip_is_refused(tmp_path):
    path = archive(tmp_path / "s.zip", [("x", b"y" * 1000)])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="damaged"):
        open_source(path)


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GROWTH_FROM", 1 << 20)
    path = archive(tmp_path / "s.zip", [("x", bytes(4 << 20))])
    with pytest.raises(InputError, match="far more"):
        open_source(path)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_MEMBERS", 3)
    with pytest.raises(InputError, match="safely"):
        open_source(archive(tmp_path / "s.zip", [(str(number), b"x") for number in range(4)]))


def test_a_member_that_fails_its_checksum_is_held_when_read(tmp_path):
    data = encode(dataset(1))
    path = archive(tmp_path / "s.zip", [("x", data)], zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[raw.index(data[-64:]) + 10] ^= 0xFF
    path.write_bytes(raw)
    found = survey(path)
    reasons = [one.reason for one in found.rejections]
    if reasons:  # a member this small is read whole at once
        assert reasons == [Reason.UNREADABLE]
    else:
        with open_source(path) as source:
            survey_source(source)
            with pytest.raises(InputError):
                source.read(InstanceRef(1))


def test_a_member_with_a_lying_size_is_held(tmp_path):
    data = encode(dataset(1))
    path = archive(tmp_path / "s.zip", [("x", data)])
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02") + 24
    raw[place : place + 4] = struct.pack("<L", len(data) - 100)
    path.write_bytes(raw)
    (only,) = survey(path).rejections
    assert only.reason in {Reason.TRUNCATED, Reason.UNREADABLE}


@pytest.fixture
def file_set(tmp_path):
    made = FileSet()
    for number in (1, 2):
        one = dataset(number)
        one.AccessionNumber = ""
        one.StudyID = "1"
        path = put(tmp_path / "in" / str(number), one)
        made.add(path)
    folder = tmp_path / "disc"
    made.write(folder)
    return folder


@pytest.mark.parametrize("point", ["", "DICOMDIR"], ids=["folder", "file"])
def test_a_dicomdir_stands_for_its_folder(file_set, point):
    found = survey(file_set / point)
    assert (len(found.instances), found.ignored, found.missing) == (2, 1, 0)


def test_files_that_a_dicomdir_lists_but_are_not_there(file_set):
    next(path for path in sorted(file_set.rglob("*")) if path.is_file() and path.name != "DICOMDIR").unlink()
    counted = survey(file_set)
    assert (len(counted.instances), counted.missing, counted.rejections) == (1, 1, ())
    held = survey(file_set / "DICOMDIR")
    assert [(one.reason, one.attribute) for one in held.rejections] == [(Reason.UNREADABLE, "ReferencedFileID")]


def test_a_dicomdir_in_a_zip_is_no_instance(file_set, tmp_path):
    members = [
        (str(path.relative_to(file_set)).replace("\\", "/"), path.read_bytes())
        for path in file_set.rglob("*")
        if path.is_file()
    ]
    found = survey(archive(tmp_path / "disc.zip", members))
    assert (len(found.instances), found.missing) == (2, 0)
