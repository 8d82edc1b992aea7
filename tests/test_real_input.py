"""Real scanners' files: pydicom's own, and where BSTI_REAL_DATA names a folder of chest studies, those too."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from tests.support.registry import running_registry
from tests.support.site import bsti as run

FOLDER = os.environ.get("BSTI_REAL_DATA", "")
BUNDLED = Path(get_testdata_file("CT_small.dcm")).parent

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the files are as scanners wrote them

needs_folder = pytest.mark.skipif(not FOLDER, reason="BSTI_REAL_DATA names no folder of real studies")


def at_home(folder):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BSTI_")}
    return kept | {"BSTI_HOME": str(folder / "home")}


def people_in(root):
    """Return the words of the names in a folder's headers that no ordinary text would hold."""
    found = set()
    for path in root.rglob("*"):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            names = [str(element.value) for element in header if element.VR == "PN"]
        except Exception:  # noqa: BLE001, S112 - these files are broken on purpose, each in a way of its own
            continue
        found |= {word.casefold() for name in names for word in re.findall(r"[^\W\d_]{6,}", name)}
    return found - {"anonymous", "anonymized", "patient", "testing"}


def deidentified(source, folder, **environment):
    done = run(at_home(folder) | environment, "deid", source, folder / "out", "--json")
    assert done.returncode in {0, 3}, done.stderr
    result = json.loads(done.stdout)
    files = sorted((folder / "out").rglob("*.dcm"))
    counts = result["counts"]
    assert len(files) == counts["certified"] > 0
    assert len(result["instances"]) == sum(counts.values())
    assert all(entry["reason"] for entry in result["instances"] if entry["outcome"] != "certified")
    assert (done.returncode == 3) == (counts["held"] > 0)
    assert run(at_home(folder), "verify", folder / "out").returncode == 0
    names = people_in(source)
    for file in files:
        read = pydicom.dcmread(file)
        assert read.PatientIdentityRemoved == "YES"
        assert read.pixel_array.size
        plain = file.read_bytes()[: -len(read.PixelData) or None].lower()
        assert not [name for name in names if name.encode("utf-8") in plain], file.name
    return result, done.stderr


@pytest.mark.skipif(not BUNDLED.is_dir(), reason="this pydicom brings no test files")
def test_every_file_that_pydicom_brings_is_certified_left_out_or_held(tmp_path):
    result, told = deidentified(BUNDLED, tmp_path)
    assert b"Traceback" not in told
    assert result["counts"]["certified"] >= 5


@needs_folder
def test_real_studies_are_certified_left_out_or_held(tmp_path):
    result, _ = deidentified(Path(FOLDER), tmp_path)
    assert result["counts"]["certified"] >= 10


def metrics(folder):
    """Return a clinical record that fits the headers of a folder."""
    header = next(
        found
        for found in (
            pydicom.dcmread(p, stop_before_pixels=True, force=True) for p in sorted(folder.rglob("*")) if p.is_file()
        )
        if "SOPClassUID" in found
    )
    age = str(header.get("PatientAge", "") or "050Y")
    sex = {"M": "M", "F": "F"}.get(str(header.get("PatientSex", "")), "unknown")
    return {
        "schema_version": "1.0",
        "index_imaging": {"modality": "CT"},
        "age": {"value": int(age[:3]), "source": "entered"},
        "sex": {"value": sex, "source": "entered"},
        "white_cell_count": {"absent": "not-done"},
        "crp": {"absent": "not-done"},
        "po2": {"absent": "not-done"},
        "indication": {"code": "suspected-covid-diagnosis"},
        "rt_pcr": {"status": "not-done"},
        "prior_imaging": {"value": "unknown"},
    }


@needs_folder
@pytest.mark.server
def test_real_chest_ct_goes_to_a_registry(tmp_path):
    key = tmp_path / "site.key"
    key.write_text(base64.b64encode(os.urandom(32)).decode(), "ascii")
    key.chmod(0o600)
    series = sorted({path.parent for path in Path(FOLDER).rglob("*") if "chest-ct" in path.parts and path.is_file()})
    assert series
    with running_registry(tmp_path / "registry") as registry:
        environment = at_home(tmp_path) | {
            "BSTI_SITE_KEY_FILE": str(key),
            "BSTI_REGISTRY": registry.url,
            "BSTI_CA_BUNDLE": str(registry.ca_bundle),
            "BSTI_TOKEN": registry.token(),
        }
        standing = json.loads(run(environment, "attestation", "template").stdout)
        standing["facts"] = {name: True if value is False else value for name, value in standing["facts"].items()}
        (tmp_path / "attestation.json").write_text(json.dumps(standing), "utf-8")
        delivered = 0
        for number, folder in enumerate(series):
            record = tmp_path / f"clinical{number}.json"
            record.write_text(json.dumps(metrics(folder)), "utf-8")
            done = run(
                environment,
                *("case", folder, "--study", "1", "--clinical", record),
                *("--attestation", tmp_path / "attestation.json", "--json"),
            )
            if done.returncode == 3:
                held = {
                    one["reason"] for one in json.loads(done.stdout).get("instances", []) if one["outcome"] == "held"
                }
                assert held == {"head-covered"}, (number, done.stderr)
                continue
            assert done.returncode == 0, (number, done.stdout, done.stderr)
            delivered += 1
            assert json.loads(done.stdout)["state"] == "delivered"
            case_id = json.loads(done.stdout)["case_id"]
            assert b"quarantined" not in run(environment, "status", case_id).stdout
        assert delivered
