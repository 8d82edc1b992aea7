"""Outputs are as valid as their inputs: dciodvfy (dicom3tools) finds no error that the input did not have."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest

from bsti_submit.deid.engine import Engine
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import SiteKey, patient_scope
from bsti_submit.deid.staged import Staged
from bsti_submit.deid.words import KnownWords
from bsti_submit.phi import Identified
from bsti_submit.sample import make_ct_slice, make_radiograph
from bsti_submit.sample.probes import make_probes
from tests.deid.slices import ct_slice, written

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # pydicom warns of what scanners wrote
    pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed"),
]

PROFILE = load_profile("bsti-default")
ENGINE = Engine(PROFILE)
BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
FOLDER = os.environ.get("BSTI_REAL_DATA", "")


def is_sent(path):
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return str(header.get("SOPClassUID", "")) in PROFILE.eligible and "Rows" in header
    except Exception:  # noqa: BLE001 - broken on purpose
        return False


def files(root):
    return sorted(path for path in Path(root).rglob("*") if path.is_file() and is_sent(path))


def out_of(data):
    words = KnownWords(PROFILE.words)
    words.add_header(data)
    staged = ENGINE.deidentify(data, patient_scope(SiteKey(bytes(32)), Identified(""), Identified("A1234567")), words)
    if not isinstance(staged, Staged):
        return None
    # As it is sent: Burned In Annotation is written only where the picture was examined.
    return b"".join(bytes(chunk) for chunk in staged.examined().payload().chunks())


def errors(data, path):
    path.write_bytes(data)
    run = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False, timeout=120)
    told = (run.stdout + run.stderr).decode("latin-1").splitlines()
    # A UID that a line quotes is another one now.
    return {re.sub(r"[\d.]{6,}", "", line).strip() for line in told if line.startswith("Error")}


def is_as_valid(data, folder):
    """Hold an output against its input; False where the engine refuses the file, so that there is no output."""
    out = out_of(data)
    if out is None:
        return False
    assert errors(out, folder / "out.dcm") - errors(data, folder / "in.dcm") == set()
    return True


def sample(dataset):
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("path", files(BUNDLED), ids=lambda path: path.name)
def test_files_of_scanners(path, tmp_path):
    assert is_as_valid(path.read_bytes(), tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ct_slice(rows=16),
        lambda: sample(make_ct_slice(0, size=32)),
        lambda: sample(make_radiograph(rows=32, columns=32)),
        lambda: written(pydicom.dcmread(io.BytesIO(ct_slice(rows=16)))),
    ],
)
def test_files_made_from_code(make, tmp_path):
    assert is_as_valid(make(), tmp_path)


def test_files_with_something_planted(tmp_path):
    probes = [probe for probe in make_probes(8, 1) if probe.kind != "a JPEG comment"]
    valid = [is_as_valid(probe.data, tmp_path) for probe in probes[::6]]
    assert all(valid), "the engine refuses none of these"
    assert len(valid) > 10


@pytest.mark.skipif(not FOLDER, reason="BSTI_REAL_DATA names no folder of real studies")
def test_real_files(tmp_path):
    valid = [is_as_valid(path.read_bytes(), tmp_path) for path in files(FOLDER)]
    assert any(valid)
