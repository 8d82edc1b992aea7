"""The main job, as an unattended site does it: a planted study through a real registry over TLS, to a receipt."""

from __future__ import annotations

import base64
import json
import os
import zipfile
from pathlib import Path

import pytest

from bsti_submit.sample import find_markers, make_sample
from tests.support.registry import running_registry
from tests.support.site import bsti as run
from tests.support.site import clinical, completed

pytestmark = [pytest.mark.server, pytest.mark.measured]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    sample = make_sample(folder / "study", slices=8, radiograph=False)
    key = folder / "site.key"
    key.write_text(base64.b64encode(os.urandom(32)).decode(), "ascii")
    key.chmod(0o600)
    with running_registry(folder / "registry") as registry:
        token = folder / "token"
        token.write_text(registry.token("site-a", role="site"), "ascii")
        token.chmod(0o600)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BSTI_")},
            "BSTI_HOME": str(folder / "home"),
            "BSTI_SITE_KEY_FILE": str(key),
            "BSTI_TOKEN_FILE": str(token),
            "BSTI_REGISTRY": registry.url,
            "BSTI_CA_BUNDLE": str(registry.ca_bundle),
        }
        yield sample, environment, folder, registry


def test_a_case_reaches_the_registry_and_no_marker_does(site):
    sample, environment, folder, registry = site
    attestation = completed(environment, folder)
    record = clinical(folder / "clinical.json", sample)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sample.folder.rglob("*") if path.is_file()}

    unattested = run(environment, "case", sample.folder, "--clinical", record)
    assert unattested.returncode == 4

    done = run(environment, "case", sample.folder, "--clinical", record, "--attestation", attestation, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["state"] == "delivered"
    assert result["package"]["objects"] == 8
    assert result["receipt"]["package_sha256"] == result["package"]["sha256"]
    assert result["receipt"]["signature"]["alg"] == "EdDSA"

    again = run(environment, "case", sample.folder, "--clinical", record, "--attestation", attestation, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["case_id"] == result["case_id"]

    status = run(environment, "status", result["case_id"])
    assert status.returncode == 0
    assert b"quarantined" not in status.stdout

    told = done.stdout + done.stderr + again.stdout + again.stderr + status.stdout + status.stderr
    assert find_markers(told, sample.markers) == []
    searched = 0
    for root in (folder / "home", registry.data):
        for path in root.rglob("*"):
            if path.is_file() and "paths" not in path.parts:
                data = path.read_bytes()
                searched += len(data)
                assert find_markers(data, sample.markers) == [], path.name
                if zipfile.is_zipfile(path):
                    with zipfile.ZipFile(path) as archive:
                        for name in archive.namelist():
                            assert find_markers(archive.read(name), sample.markers) == []
    assert searched > 1_000_000
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sample.folder.rglob("*") if path.is_file()}
    assert after == before


def test_deid_writes_certified_files_that_verify(site, tmp_path):
    sample, environment, _, _ = site
    done = run(environment, "deid", sample.folder, tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["counts"]["certified"] == 8
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) == 8
    assert all(find_markers(path.read_bytes(), sample.markers) == [] for path in files)
    assert run(environment, "verify", tmp_path / "out").returncode == 0


def test_nothing_is_sent_without_a_clinical_record(site):
    sample, environment, _, _ = site
    done = run(environment, "case", sample.folder)
    assert done.returncode == 2
    assert b"--clinical" in done.stderr


def test_a_folder_without_anything_to_send_says_what_was_found(site, tmp_path):
    sample, environment, folder, _ = site
    papers = ("--clinical", clinical(folder / "clinical.json", sample), "--attestation", completed(environment, folder))
    (tmp_path / "notes.txt").write_text("nothing here", "utf-8")
    done = run(environment, "case", tmp_path, *papers)
    assert done.returncode == 2
    assert b"1 x Not DICOM files" in done.stderr
    assert b"notes" not in done.stdout + done.stderr
    assert run(environment, "case", tmp_path / "no such folder", *papers).returncode == 2


@pytest.mark.parametrize(
    "command", ["case", "check", "deid", "package", "verify", "review", "outbox", "status", "profile"]
)
def test_every_command_has_help(site, command):
    _, environment, _, _ = site
    done = run(environment, command, "--help")
    assert done.returncode == 0
    assert b"Usage" in done.stdout


def test_a_package_that_changed_after_its_approval_is_not_sent(site):
    sample, environment, folder, _ = site
    attestation = completed(environment, folder)
    record = clinical(folder / "clinical.json", sample)
    home = folder / "second-home"
    environment = {**environment, "BSTI_HOME": str(home)}
    built = run(environment, "package", sample.folder, "--clinical", record, "--json")
    assert built.returncode == 0, built.stderr
    case_id = json.loads(built.stdout)["case_id"]
    package = home / "outbox" / "packages" / f"{case_id}.zip"

    document = json.loads(attestation.read_text("utf-8"))
    standing = ("profile", "profile_version", "recipe_sha256", "tool_version", "registry", "expires")
    document = {name: value for name, value in document.items() if name not in standing}
    document |= {"scope": "package", "package_sha256": json.loads(built.stdout)["package"]["sha256"]}
    approval = folder / "approval.json"
    approval.write_text(json.dumps(document), "utf-8")
    approved = run(environment, "approve", case_id, "--attestation", approval)
    assert approved.returncode == 0, approved.stderr

    whole = package.read_bytes()
    package.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    held = run(environment, "outbox", "send")
    assert held.returncode == 3, held.stderr
    package.write_bytes(whole)
    sent = run(environment, "outbox", "send")
    assert sent.returncode == 0, sent.stderr
    assert b"delivered" in sent.stdout
    assert not package.exists()

    taken = run(environment, "withdraw", case_id, "--reason", "identifier-found", "--phi")
    assert taken.returncode == 0, taken.stderr
    assert b"72 hours" in taken.stderr
    assert b"registry: withdrawn" in run(environment, "status", case_id).stdout
    assert run(environment, "withdraw", case_id, "--reason", "because").returncode == 2


def test_a_manifest_is_begun_and_checked(site, tmp_path):
    _, environment, _, _ = site
    header = run(environment, "manifest", "init")
    assert header.stdout.startswith(b"study_path,local_ref,")
    sheet = tmp_path / "sheet.csv"
    sheet.write_bytes(header.stdout + b"case01,A1,CT,ninety\n")
    assert run(environment, "manifest", "check", sheet).returncode == 2


def test_the_documented_attestation_schema_is_the_one_in_force():
    root = Path(__file__).parent.parent
    documented = (root / "docs" / "attestation.schema.json").read_bytes()
    assert documented == (root / "bsti_submit" / "schemas" / "attestation-1.0.schema.json").read_bytes()


def test_a_package_leaves_out_what_was_asked(site, tmp_path):
    sample, environment, folder, _ = site
    environment = {**environment, "BSTI_HOME": str(tmp_path / "home")}
    out = tmp_path / "case.zip"
    built = run(
        environment,
        *("package", sample.folder, "--clinical", clinical(folder / "clinical.json", sample), "--study", "1"),
        *("--leave-out", "3", "--out", out, "--json"),
    )
    assert built.returncode == 0, built.stderr
    result = json.loads(built.stdout)
    assert result["package"]["objects"] == 7
    assert {one["ref"]: one["reason"] for one in result["instances"]}["#000003"] == "left-out-by-person"
    assert run(environment, "verify", out).returncode == 0
    assert (
        run(environment, "package", sample.folder, "--clinical", folder / "clinical.json", "--out", out).returncode == 2
    )
