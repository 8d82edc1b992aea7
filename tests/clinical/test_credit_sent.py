"""Credit on its way: from the site file to the registry's own field for it, and into nothing else."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import zipfile

import pytest
import yaml

from bsti_submit.sample import make_sample
from tests.support.registry import running_registry
from tests.support.site import bsti as run
from tests.support.site import clinical, completed, secret_file, site_key

pytestmark = pytest.mark.server

NAME, ORCID, ORGANISATION = "Imogen Qwertzuiop", "0000-0002-1825-0097", "Qwertzburg NHS Trust"
SITE = f"""
[contributor]
name = "{NAME}"
orcid = "https://orcid.org/0000000218250097"
organisation = "{ORGANISATION}"
"""


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """One case sent with the contributor of the site file: environment, registry, the answer, and the local copy."""
    folder = tmp_path_factory.mktemp("credit")
    sample = make_sample(folder / "study", slices=4, radiograph=False)
    key = site_key(folder / "site.key")
    record = clinical(folder / "clinical.json", sample)
    site = folder / "site.toml"
    site.write_text(SITE, "utf-8")
    with running_registry(folder / "registry") as registry:
        token = secret_file(folder / "token", registry.token("site-a", role="site"))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BSTI_")},
            "BSTI_HOME": str(folder / "home"),
            "BSTI_SITE_KEY_FILE": str(key),
            "BSTI_TOKEN_FILE": str(token),
            "BSTI_REGISTRY": registry.url,
            "BSTI_CA_BUNDLE": str(registry.ca_bundle),
        }
        told = run(environment, "setup", site)
        assert told.returncode == 0, told.stderr
        assert b"Credit:    named" in told.stdout
        attestation = completed(environment, folder)
        kept = run(environment, "package", sample.folder, "--clinical", record, "--out", folder / "copy.zip")
        assert kept.returncode == 0, kept.stderr
        arguments = ("case", sample.folder, "--clinical", record, "--attestation", attestation, "--json", "--again")
        sent = run(environment, *arguments)
        assert sent.returncode == 0, sent.stderr
        yield environment, registry, sent, folder


def rows(registry, query):
    (file,) = registry.data.rglob("registry.sqlite3")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def test_it_arrives_in_the_field_of_its_own(delivered):
    _, registry, sent, _ = delivered
    ((case_id, document),) = rows(registry, "SELECT case_id, document FROM contributor")
    assert case_id == json.loads(sent.stdout)["case_id"]
    assert json.loads(document) == {"credit": "named", "name": NAME, "orcid": ORCID, "organisation": ORGANISATION}


def test_it_stands_in_no_package_no_record_and_no_message(delivered):
    _, registry, sent, folder = delivered
    told = sent.stdout + sent.stderr
    searched = 0
    for path in (folder / "copy.zip", *registry.data.rglob("*")):
        if path.is_file() and ".sqlite" not in path.name:
            told += path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    told += b"".join(archive.read(name) for name in archive.namelist())
                    searched += 1
    assert searched >= 2
    tables = [name for (name,) in rows(registry, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert "contributor" in tables
    for table in set(tables) - {"contributor"}:
        told += repr(rows(registry, f"SELECT * FROM {table}")).encode()  # noqa: S608 - names of our own tables
    assert not any(word in told for word in (b"Qwertz", ORCID.encode(), ORCID.replace("-", "").encode()))


def test_the_export_names_who_wants_it(delivered):
    environment, *_ = delivered
    citation = yaml.safe_load(run(environment, "credit", "export").stdout)
    assert citation["authors"] == [
        {
            "family-names": "Qwertzuiop",
            "given-names": "Imogen",
            "affiliation": ORGANISATION,
            "orcid": f"https://orcid.org/{ORCID}",
        }
    ]
    sheet = run(environment, "credit", "export", "--format", "csv").stdout.decode()
    assert list(csv.reader(io.StringIO(sheet))) == [["name", "orcid", "organisation"], [NAME, ORCID, ORGANISATION]]
    assert sheet.endswith("\r\n")


def test_what_was_taken_back_is_credited_no_longer(delivered):
    environment, _, sent, _ = delivered
    case_id = json.loads(sent.stdout)["case_id"]
    taken = run(environment, "withdraw", case_id, "--reason", "contributor-request")
    assert taken.returncode == 0, taken.stderr
    assert yaml.safe_load(run(environment, "credit", "export").stdout)["authors"] == [
        {"name": "BSTI COVID-19 imaging registry"}
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('orcid = "0000-0002-1825-0098"', b"E-"),
        ("name = 3", b"contributor.name: must be text in quotes"),
        ('email = "a@b"', b"E-"),
        ('credit = "loud"', b"E-"),
    ],
)
def test_a_wrong_site_file_is_told_and_not_taken(tmp_path, line, complaint):
    environment = {**os.environ, "BSTI_HOME": str(tmp_path / "home")}
    site = tmp_path / "site.toml"
    site.write_text(f'[contributor]\nname = "Imogen"\n{line}\n' if "name" not in line else f"[contributor]\n{line}\n")
    told = run(environment, "setup", site)
    assert told.returncode == 7
    assert complaint in told.stderr
    assert not (tmp_path / "home" / "site.toml").exists()
