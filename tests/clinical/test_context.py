"""The facts of real images: what a typed text is held against, earlier cases of the outbox, studies of several kinds."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from contextlib import contextmanager

import pydicom
import pytest
from typer.testing import CliRunner

from bsti_submit.cli.app import app
from bsti_submit.clinical.record import ClinicalRecord, validate
from bsti_submit.deid.profile import load_profile
from bsti_submit.deid.pseudonyms import SiteKey
from bsti_submit.model import new_case_id
from bsti_submit.outbox import Outbox
from bsti_submit.pipeline.prepared import prepare
from bsti_submit.sample import make_sample

from .samples import CT_RECORD, change
from .test_messages import STATED
from .test_prompt import Screen

NOBODY = {"prior_imaging": {"value": "no"}, "age": {"absent": "unknown"}, "sex": {"absent": "unknown"}}
NO_TESTS = {"rt_pcr": {"status": "unknown"}, "symptom_onset": {"absent": "unknown"}}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("images"), slices=2, size=64, prior=True, radiograph=False, extras=False)


@pytest.fixture(scope="module")
def header(sample):
    return pydicom.dcmread(
        next(path for path in sorted(sample.folder.rglob("*")) if path.is_file()), stop_before_pixels=True
    )


@contextmanager
def facts_of(folder, **options):
    with prepare(folder, load_profile("bsti-default"), SiteKey.random(), lambda _: None) as prepared:
        yield prepared.context(1, **options)


@pytest.fixture(scope="module")
def facts(sample):
    with facts_of(sample.folder) as found:
        yield found


def plain(text):
    """As it is typed where the keyboard has no accents."""
    letters = unicodedata.normalize("NFKD", str(text)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9 ^=-]", " ", letters)


def family_and_given(header):
    family, given = plain(header.PatientName).split("=")[0].split("^")[:2]
    return family.split()[0], given.split()[0]


FORMS = {
    "in small letters": lambda family, given, _: f"cough, {family.lower()}",
    "in capitals": lambda family, given, _: f"{family.upper()} {given.upper()} unwell",
    "with an apostrophe": lambda family, given, _: f"{family}'s cough",
    "joined": lambda family, given, _: f"see {given.lower()}{family.lower()}",
    "with an initial": lambda family, given, _: f"{given[0]}.{family} coughs",
    "with hyphens": lambda family, given, _: f"{family[:3]}-{family[3:]} coughs",
    "spelt": lambda family, given, _: " ".join(family) + " coughs",
    "the hospital number": lambda *names: f"cough {names[2]}",
    "the hospital number in pieces": lambda *names: f"cough {names[2][:3]} {names[2][3:]}",
    "the hospital number with hyphens": lambda *names: f"cough {'-'.join(names[2])}",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_patients_own_words_are_refused_in_any_form(header, facts, form):
    text = form(*family_and_given(header), header.PatientID)[:120]
    found = validate(change(CT_RECORD, indication={"code": "other", "text": text}, **NOBODY, **NO_TESTS), facts)
    assert "E-PHI" in {problem.code for problem in found}
    assert text not in str(found)


def dates_of(header):
    birth, study = header.PatientBirthDate, header.StudyDate
    for day in (birth, study):
        year, month, date = day[:4], day[4:6], day[6:]
        yield from (f"{date}/{month}/{year}", f"{date}.{month}.{year[2:]}", f"{year}-{month}-{date}", day)
        yield from (f"{date} {month} {year}", f"{date}{month}{year}")


def test_the_dates_of_the_images_are_refused(header, facts):
    for text in dates_of(header):
        record = change(CT_RECORD, indication={"code": "other", "text": f"unwell {text}"}, **NOBODY, **NO_TESTS)
        assert [problem.code for problem in validate(record, facts)] == ["E-PHI"], text


def test_other_people_and_places_of_the_headers_are_refused(header, facts):
    said = [plain(header.get(name, "")) for name in ("ReferringPhysicianName", "InstitutionName", "OperatorsName")]
    said = [word for text in said for word in text.replace("^", " ").split() if len(word) > 4]
    assert said
    for word in said:
        if word.casefold() in {"hospital", "royal", "trust"}:
            continue
        record = change(CT_RECORD, indication={"code": "other", "text": f"cough, {word}"}, **NOBODY, **NO_TESTS)
        assert "E-PHI" in {problem.code for problem in validate(record, facts)}, word


@pytest.mark.parametrize(
    "text",
    ["Fall from standing; incidental basal opacity", "?empyema", "CURB-65 3 / unwell", "cough (dry), worse at night"],
)
def test_plain_clinical_text_passes(facts, text):
    record = change(CT_RECORD, indication={"code": "other", "text": text}, **NOBODY, **NO_TESTS)
    assert isinstance(validate(record, facts), ClinicalRecord)


def test_a_study_of_a_ct_and_a_radiograph_may_be_about_either(tmp_path):
    made = make_sample(tmp_path, slices=1, size=64, radiograph=True, burned_in_name=False, extras=False)
    with facts_of(made.folder) as facts:
        assert facts.index_modality == "CT"
        assert facts.index_modalities == {"CT", "CXR"}
        for modality, category in (("CT", {"ct_bsti": "classic"}), ("CXR", {"cxr_bsti": "normal"})):
            record = change(CT_RECORD, index_imaging={"modality": modality}, reporting=category, **NOBODY, **NO_TESTS)
            assert isinstance(validate(record, facts), ClinicalRecord)
        found = validate(
            change(CT_RECORD, index_imaging={"modality": "MR"}, reporting={"severity": "mild"}, **NOBODY), facts
        )
        assert "E-INDEX-MODALITY" in {problem.code for problem in found}


# Earlier cases


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two patients with one packaged case each, and a second study of the first."""
    folder = tmp_path_factory.mktemp("earlier")
    key = folder / "site.key"
    key.write_text(base64.b64encode(os.urandom(32)).decode(), "ascii")
    key.chmod(0o600)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BSTI_")},
        "BSTI_HOME": str(folder / "home"),
        "BSTI_SITE_KEY_FILE": str(key),
    }
    sample = make_sample(folder / "one", slices=2, size=64, radiograph=False, extras=False, prior=True)
    other = make_sample(folder / "two", slices=2, size=64, radiograph=False, extras=False, seed=7)
    (folder / "prior").mkdir()
    for path in [path for path in sample.folder.rglob("*") if path.is_file()]:
        if pydicom.dcmread(path, stop_before_pixels=True).StudyDate != sample.study_date:
            shutil.copy(path, folder / "prior" / path.name)
    return folder, environment, sample, other


@pytest.fixture(scope="module")
def earlier(site):
    """The id of the earlier study's own case, which is packaged."""
    done = package(site, site[0] / "prior", "prior")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["case_id"]


def package(site, images, name, **members):
    folder, environment, sample, _ = site
    record = {
        "schema_version": "1.0",
        "index_imaging": {"modality": "CT"},
        "age": {"absent": "unknown"},
        "sex": {"value": sample.sex},
        "white_cell_count": {"absent": "not-done"},
        "crp": {"absent": "not-done"},
        "po2": {"absent": "not-done"},
        "indication": {"code": "suspected-covid-diagnosis"},
        "rt_pcr": {"status": "unknown"},
        "prior_imaging": {"value": "unknown"},
        **members,
    }
    file = folder / f"{name}.json"
    file.write_text(json.dumps(record), "utf-8")
    command = [sys.executable, "-m", "bsti_submit", "package", str(images), "--clinical", str(file), "--json"]
    return subprocess.run(
        command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=120
    )


def listed(case_id, days):
    return {"value": "yes", "studies": [{"modality": "CT", "days_before": days, "case_id": case_id, "included": False}]}


def test_an_earlier_case_is_linked_by_the_pseudonym_and_one_of_another_patient_is_held(site, earlier):
    folder, _, sample, other = site
    stranger = package(site, other.folder, "stranger", prior_imaging=listed(earlier, 30))
    assert stranger.returncode == 3
    told = json.loads(stranger.stdout)["error"]
    assert [problem["code"] for problem in told["problems"]] == ["E-CASE-DIFFERS"]

    second = package(site, sample.folder, "second", prior_imaging=listed(earlier, 30))
    assert second.returncode == 0, second.stderr
    with Outbox(folder / "home") as outbox:
        records = [outbox.get(case_id).record() for case_id in (earlier, json.loads(second.stdout)["case_id"])]
        assert records[0]["patient"] == records[1]["patient"]
        assert records[0]["case_id"] != records[1]["case_id"]


def test_a_record_that_names_a_case_is_not_taken_for_a_new_one(site, earlier):
    done = package(site, site[3].folder, "named", case_id=earlier)
    assert done.returncode == 2
    (problem,) = json.loads(done.stdout)["error"]["problems"]
    assert (problem["code"], problem["path"]) == ("E-CASE-ID", "case_id")


def test_a_case_that_this_machine_does_not_know_is_taken_on_its_check_character(site):
    _, _, _, other = site
    done = package(site, other.folder, "unknown", prior_imaging=listed(new_case_id(), 30))
    assert done.returncode == 0, done.stderr


def test_a_delivered_earlier_case_is_offered_at_the_prompt(site, earlier):
    folder, _, sample, _ = site
    key = SiteKey(base64.b64decode((folder / "site.key").read_text()))
    with (
        Outbox(folder / "home") as outbox,
        prepare(sample.folder, load_profile("bsti-default"), key, lambda _: None) as prepared,
    ):
        assert outbox.find(prepared.tag([2])).case_id == earlier
        assert prepared.context(1, outbox=outbox).priors[0].case_id == ""
        outbox.delivered(earlier, json.dumps({"id": "R-1"}).encode())
        facts = prepared.context(1, outbox=outbox)
        assert facts.priors[0].case_id == earlier
        answers = [sample.id_suffix, "", "", "2", "nd", "", "nd", "nd", "nd", "", "", "1", "", "", "done"]
        screen = Screen(*answers, facts=facts)
        record = screen.run()
    assert f"(case {earlier})" in screen.text
    assert record.data["prior_imaging"]["studies"][0]["case_id"] == earlier


@pytest.fixture
def here(site, monkeypatch):
    """The environment of the site, with an empty home."""
    folder, environment, _, other = site
    for name in ("BSTI_SITE_KEY_FILE",):
        monkeypatch.setenv(name, environment[name])
    home = folder / "empty-home"
    shutil.rmtree(home, ignore_errors=True)
    monkeypatch.setenv("BSTI_HOME", str(home))
    return folder, other.folder, home


WITH_IMAGES = [
    *[(name, ("check",)) for name in STATED],
    *[(name, ("package",)) for name in ("age over 89", "identifier in text", "unknown field")],
    *[(name, ("case", "--dry-run")) for name in ("no unit", "impossible pO2", "both")],
]


@pytest.mark.parametrize(
    ("name", "command"), WITH_IMAGES, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_a_stated_mistake_beside_images_is_told_and_nothing_is_built(here, name, command):
    folder, images, home = here
    members, message = STATED[name]
    file = folder / "wrong.json"
    file.write_text(json.dumps(change(CT_RECORD, **{**NOBODY, **NO_TESTS, **members})), "utf-8")
    done = CliRunner().invoke(app, [command[0], str(images), "--clinical", str(file), *command[1:]])
    assert done.exit_code == 2, done.stderr
    assert f"  {message}" in done.stderr.splitlines()
    assert done.stdout == ""
    if home.exists():
        assert [path for path in home.rglob("*") if path.suffix in {".zip", ".part"}] == []
        with Outbox(home) as outbox:
            assert outbox.list() == ()
