"""A site key goes to another machine by its backup, and every patient is the same there."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pydicom
import pytest

from bsti_submit.sample import make_sample
from tests.support.site import bsti
from tests.support.terminal import Desk, desk

if TYPE_CHECKING:
    from pathlib import Path

PHRASE = "three grey owls on a wire"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    make_sample(folder, seed=5, slices=2, size=64, radiograph=False, extras=False)
    return folder


@pytest.fixture
def first(tmp_path):
    return desk(tmp_path / "first")


@pytest.fixture
def backup(first, tmp_path):
    file = tmp_path / "backup.json"
    with first.starts("key", "export", file) as terminal:
        for question in ("Passphrase for the backup:", "The same again:"):
            terminal.sees(question)
            terminal.types(PHRASE)
        assert terminal.ends() == 0
    assert PHRASE not in terminal.shown
    assert file.stat().st_mode & 0o777 == 0o600
    return file


def another(folder: Path) -> Desk:
    """A machine without a key."""
    return desk(folder).but(BSTI_SITE_KEY_FILE=None)


def imports(machine: Desk, file: Path, phrase: str = PHRASE) -> tuple[int, str]:
    with machine.starts("key", "import", file) as terminal:
        terminal.sees("Passphrase of the backup:")
        terminal.types(phrase)
        return terminal.ends(), terminal.shown


def outputs(machine: Desk, study: Path, out: Path) -> dict[str, bytes]:
    done = bsti(machine.environment, "deid", study, out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["certified"] >= 2
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.dcm"))}


def values(files: dict[str, bytes], keyword: str) -> set[str]:
    return {str(pydicom.dcmread(io.BytesIO(data))[keyword].value) for data in files.values()}


def uids(files: dict[str, bytes]) -> set[str]:
    return set().union(*(values(files, f"{level}InstanceUID") for level in ("Study", "Series", "SOP")))


def test_a_second_machine_with_the_key_gives_the_same_bytes(first, backup, study, tmp_path):
    second = another(tmp_path / "second")
    assert imports(second, backup)[0] == 0
    here, there = outputs(first, study, tmp_path / "here"), outputs(second, study, tmp_path / "there")
    assert len(here) >= 2
    assert here == there


def test_under_another_key_nothing_is_the_same(first, study, tmp_path):
    here = outputs(first, study, tmp_path / "here")
    there = outputs(desk(tmp_path / "stranger"), study, tmp_path / "there")
    assert not here.keys() & there.keys()
    assert uids(here)
    assert not uids(here) & uids(there)
    for tag in ("PatientID", "StudyDate"):
        assert not values(here, tag) & values(there, tag), tag


def test_a_wrong_passphrase_puts_no_key_in_place(backup, tmp_path):
    second = another(tmp_path / "second")
    code, shown = imports(second, backup, "three grey owls on a wall")
    assert (code, "not the one of this backup" in shown) == (2, True)
    assert b"no site key" in bsti(second.environment, "key", "status").stdout


@pytest.mark.parametrize(("text", "said"), [(None, b"There is no such backup file."), ("{}", b"is not a backup")])
def test_a_file_that_is_no_backup_is_told_before_a_passphrase_is_asked_for(text, said, tmp_path):
    file = tmp_path / "backup.json"
    if text is not None:
        file.write_text(text)
    machine = another(tmp_path / "second")
    done = bsti(machine.environment, "key", "import", file)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    with machine.starts("key", "import", file) as terminal:
        assert terminal.ends() == 2
    assert "Passphrase" not in terminal.shown


def test_a_backup_is_never_written_over(first, backup):
    before = backup.read_bytes()
    with first.starts("key", "export", backup) as terminal:
        assert terminal.ends() == 2
    assert "Passphrase" not in terminal.shown
    assert backup.read_bytes() == before


def test_a_machine_with_a_key_keeps_it(backup, tmp_path):
    machine = another(tmp_path / "second")
    assert imports(machine, backup)[0] == 0
    before = bsti(machine.environment, "key", "status").stdout
    done = bsti(machine.environment, "key", "import", backup)
    assert (done.returncode, b"not replaced" in done.stderr) == (2, True)
    assert bsti(machine.environment, "key", "status").stdout == before
