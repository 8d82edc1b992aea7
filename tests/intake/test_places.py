"""The source is never written to, by whatever name it is reached."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydicom.fileset import FileSet

from bsti_submit.clinical.sources.row import ADDED_COLUMNS, COLUMNS
from bsti_submit.intake.places import lies_in
from tests.intake.factory import dataset, put
from tests.support.site import site_key

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def tree(folder):
    return {(str(path.relative_to(folder)), path.lstat().st_mtime_ns) for path in folder.rglob("*")} | {
        (".", folder.stat().st_mtime_ns)
    }


@pytest.fixture
def source(tmp_path):
    for number in (1, 2):
        put(tmp_path / "in" / "deep" / str(number), dataset(number, StudyID="1", AccessionNumber=""))
    return tmp_path / "in"


def run(tmp_path, *arguments, **environment):
    key = tmp_path / "key"
    return subprocess.run(
        [sys.executable, "-m", "bsti_submit", *map(str, arguments)],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("BSTI_")},
            "BSTI_HOME": str(tmp_path / "home"),
            "BSTI_SITE_KEY_FILE": str(key if key.exists() else site_key(key)),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_what_lies_in_a_folder_and_what_does_not(tmp_path, source):
    for inside in (source, source / "new", source / "deep" / "new" / "newer", source / "deep" / ".." / "new"):
        assert lies_in(inside, source)
    for outside in (tmp_path, tmp_path / "in2", tmp_path / "new" / "newer", source / ".." / "new"):
        assert not lies_in(outside, source)
    assert not lies_in(source / "deep" / "out", source / "deep" / "1")
    assert not lies_in(source / "out", tmp_path / "nothing there")


@posix
def test_links_are_seen_through(tmp_path, source):
    archive = tmp_path / "archive"
    put(archive / "sub" / "3", dataset(3))
    (source / "link").symlink_to(archive)
    (source / "link" / "back").symlink_to(source)
    (tmp_path / "door").symlink_to(source)
    (tmp_path / "dangling").symlink_to(source / "nothing" / "yet")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for inside in ("archive", "archive/sub/new", "door/new", "dangling", "dangling/new", "in/link/new"):
        assert lies_in(tmp_path / inside, source), inside
    for outside in ("new", "loop", "archive2"):
        assert not lies_in(tmp_path / outside, source), outside


@posix
@pytest.mark.parametrize("way", ["below", "link in the source", "link to the source", "dangling link", "DICOMDIR"])
@pytest.mark.parametrize("written", ["OUT", "home", "package", "to"])
def test_no_command_writes_into_the_source(tmp_path, source, way, written):
    given, inside = source, source / "new"
    if way == "link in the source":
        put(tmp_path / "archive" / "3", dataset(3))
        (source / "link").symlink_to(tmp_path / "archive")
        inside = tmp_path / "archive" / "new"
    elif way == "link to the source":
        (tmp_path / "door").symlink_to(source)
        inside = tmp_path / "door" / "new"
    elif way == "dangling link":
        inside = tmp_path / "dangling"
        inside.symlink_to(source / "new")
    elif way == "DICOMDIR":
        made = FileSet()
        for file in sorted((source / "deep").iterdir()):
            made.add(file)
        made.write(tmp_path / "disc")
        given, inside = tmp_path / "disc" / "DICOMDIR", tmp_path / "disc" / "new"
    before = [tree(folder) for folder in (source, given.parent if given.is_file() else source)]
    clinical = tmp_path / "clinical.json"
    clinical.write_text("{}")
    code = 2
    if written == "OUT":
        ended = run(tmp_path, "deid", given, inside)
    elif written == "package":
        ended = run(tmp_path, "package", given, "--clinical", clinical, "--out", inside)
    elif written == "to":
        ended = run(tmp_path, "case", given, "--clinical", clinical, "--to", f"dir:{inside}")
    else:
        ended, code = run(tmp_path, "check", given, BSTI_HOME=str(inside)), 7
    assert ended.returncode == code, ended.stderr
    assert b"never written to" in ended.stderr
    assert [tree(folder) for folder in (source, given.parent if given.is_file() else source)] == before
    if way == "link in the source":
        assert not inside.exists()
    if written != "home":
        assert not (tmp_path / "home").exists()


def test_the_source_itself_is_no_home_and_gets_no_audit_log(tmp_path, source):
    before = tree(source)
    ended = run(tmp_path, "deid", source, tmp_path / "out", BSTI_HOME=str(source))
    assert ended.returncode == 7, ended.stderr
    assert tree(source) == before


def test_a_batch_writes_into_none_of_its_studies(tmp_path, source):
    manifest = tmp_path / "manifest.csv"
    cells = {"study_path": "in/deep", "id_suffix": "345", "index_modality": "CT", "age_years": "70", "sex": "F"}
    cells |= {"wcc": "6.4", "wcc_unit": "10*9/L", "crp": "148", "crp_unit": "mg/L", "po2": "nd", "prior_imaging": "no"}
    cells |= {"symptom_onset_days": "u", "indication_code": "suspected-covid-diagnosis"}
    cells |= {"pcr_status": "positive", "pcr_tests": "positive@1"}
    columns = (*COLUMNS, *ADDED_COLUMNS)
    lines = (",".join(columns), ",".join(cells.get(column, "") for column in columns))
    manifest.write_text("".join(line + "\n" for line in lines), "utf-8")
    before = tree(source)
    inside = source / "deep" / "new"
    for option, home, code in (
        ([], inside, 7),
        (["--results", inside], tmp_path / "home", 2),
        (["--to", f"dir:{inside}"], tmp_path / "home", 2),
    ):
        ended = run(tmp_path, "batch", manifest, "--dry-run", *option, BSTI_HOME=str(home))
        assert ended.returncode == code, ended.stderr
        assert b"never written to" in ended.stderr
        assert tree(source) == before
        assert not (tmp_path / "home").exists()


@posix
def test_beside_a_single_file_may_be_written(tmp_path, source):
    ended = run(tmp_path, "deid", source / "deep" / "1", tmp_path / "in" / "out")
    assert ended.returncode == 0, ended.stderr
    assert len(list((source / "out").rglob("*.dcm"))) == 1


@posix
def test_folders_of_ours_that_others_could_enter_are_closed(tmp_path, source):
    home = tmp_path / "home"
    for name in ("outbox", "paths"):
        (home / name).mkdir(parents=True)
        (home / name).chmod(0o777)
    home.chmod(0o777)
    assert run(tmp_path, "check", source).returncode == 0
    assert {path.name: path.stat().st_mode & 0o777 for path in (home, *home.iterdir()) if path.is_dir()} == {
        path.name: 0o700 for path in (home, *home.iterdir()) if path.is_dir()
    }
