"""What may leave, and when: studies that come again, approvals that no longer hold, and what is sent beside a package."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pydicom.misc import is_dicom

from bsti_submit import attestation as attesting
from bsti_submit.cli.wiring import site_key as found_key
from bsti_submit.deid.pixels.decisions import DecisionStore, Verdict
from bsti_submit.deid.pixels.regions import Region
from bsti_submit.deid.pixels.screen import needs_person
from bsti_submit.deid.profile import load_profile
from bsti_submit.outbox import Outbox, State
from bsti_submit.pipeline.prepared import prepare
from bsti_submit.pipeline.stream import Work
from bsti_submit.sample import make_sample
from bsti_submit.settings import Settings
from tests.support import site as by_hand
from tests.support.registry import running_registry

if TYPE_CHECKING:
    from pathlib import Path

    from bsti_submit.sample import SampleStudy
    from tests.support.registry import RunningRegistry

pytestmark = pytest.mark.server


@dataclass
class House:
    """A hospital's machine with one patient's CT on it, of three slices."""

    folder: Path
    registry: RunningRegistry
    sample: SampleStudy
    environment: dict[str, str]
    study: Path = field(init=False)

    def __post_init__(self) -> None:
        self.study = self.folder / "study"
        self.study.mkdir()
        for number, path in enumerate(self.files("CT")):
            shutil.copy(path, self.study / f"{number}.dcm")
        self.clinical = by_hand.clinical(self.folder / "clinical.json", self.sample)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def files(self, modality: str) -> list[Path]:
        paths = sorted(path for path in self.sample.folder.rglob("*") if path.is_file() and is_dicom(path))
        return [path for path in paths if dcmread(path, stop_before_pixels=True).Modality == modality]

    def run(self, *words: object, code: int | None = 0, **environment: str) -> Any:
        done = by_hand.run([sys.executable, "-m", "bsti_submit", *map(str, words)], {**self.environment, **environment})
        assert code is None or done.returncode == code, (done.returncode, done.stdout[-600:], done.stderr[-900:])
        return done

    def standing(self, **changes: object) -> Path:
        path = self.folder / "standing.json"
        if not path.exists():
            by_hand.attestation(path, self.run("attestation", "template").stdout)
        document = json.loads(path.read_text())
        changed = self.folder / "changed.json"
        changed.write_text(json.dumps(document | changes))
        return changed

    def case(self, *more: object, code: int = 0, path: Path | None = None, **environment: str) -> Any:
        words = ("--clinical", self.clinical, "--attestation", self.standing(), "--study", "1", "--json")
        done = self.run("case", path or self.study, *words, *more, code=code, **environment)
        return json.loads(done.stdout) if code == 0 else done.stderr.decode() + done.stdout.decode()

    def package(self, *more: object, code: int = 0, path: Path | None = None) -> Any:
        words = ("--clinical", self.clinical, "--study", "1", "--json")
        done = self.run("package", path or self.study, *words, *more, code=code)
        return json.loads(done.stdout) if code == 0 else done.stderr.decode() + done.stdout.decode()

    def approve(self, case_id: str, **more: Any) -> Any:
        with Outbox(self.home) as outbox:
            digest = outbox.get(case_id).package_sha256
        facts = attesting.facts(
            basis="de-identified-before-disclosure", opt_out="not-applicable-deidentified", looked_at=True
        )
        path = self.folder / "package.json"
        path.write_text(json.dumps(attesting.for_package(digest, facts)))
        return self.run("approve", case_id, "--attestation", path, **more)

    def states(self) -> dict[str, State]:
        with Outbox(self.home) as outbox:
            return {case.case_id: case.state for case in outbox.list()}

    def arrived(self) -> set[str]:
        database = sqlite3.connect(self.registry.data / "registry.sqlite3")
        found = {case_id for (case_id,) in database.execute("SELECT case_id FROM receipt WHERE kind = 'submission'")}
        database.close()
        return found & set(self.states())

    def decide(self, path: Path, verdict: Verdict, regions: tuple[Region, ...] = ()) -> None:
        """Decide on every picture that has to be looked at, as `review` does."""
        key = found_key(Settings(self.home), person=False, must=True).key
        profile = load_profile("bsti-default")
        with (
            prepare(path, profile, key, lambda event: None) as prepared,
            DecisionStore(self.home / "decisions.sqlite") as decided,
        ):
            work = Work(prepared, key, decided, compress=False)
            looked = [
                found for found in prepared.survey.instances if prepared.is_eligible(found) and needs_person(found)
            ]
            assert looked
            for instance in looked:
                work.looking.decide(work.stage(instance), instance.ref, verdict, regions)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample") / "study", slices=3, size=64, burned_in_name=False)


@pytest.fixture
def house(tmp_path, registry, sample, monkeypatch):
    key = by_hand.site_key(tmp_path / "site.key")
    monkeypatch.setenv("BSTI_SITE_KEY_FILE", str(key))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BSTI_")}
    return House(
        tmp_path,
        registry,
        sample,
        {
            **environment,
            "BSTI_HOME": str(tmp_path / "home"),
            "BSTI_SITE_KEY_FILE": str(key),
            "BSTI_TOKEN": registry.token(),
            "BSTI_REGISTRY": registry.url,
            "BSTI_CA_BUNDLE": str(registry.ca_bundle),
        },
    )


def change(folder: Path, **values: str) -> None:
    for path in folder.glob("*.dcm"):
        dataset = dcmread(path)
        for name, value in values.items():
            setattr(dataset, name, value)
        dataset.save_as(path)


UNKNOWN = {"BSTI_TOKEN": "bsti_nobody"}


@pytest.mark.measured
def test_studies_that_were_withdrawn_go_again_only_knowingly(house):
    first = house.case()["case_id"]
    house.run("withdraw", first, "--reason", "patient-objection")
    assert "was withdrawn" in house.case(code=3)
    assert "--again" in house.package(code=3)
    assert house.states() == {first: State.WITHDRAWN}
    second = house.case("--again")["case_id"]
    assert house.arrived() == {first, second}


def test_a_case_that_the_registry_refused_is_not_made_again_unchanged(house):
    first = house.package()["case_id"]
    with Outbox(house.home) as outbox:
        outbox.refused(first)
    assert first in house.case(code=6)
    assert house.package(code=6)
    assert house.states() == {first: State.REFUSED}
    assert house.case("--leave-out", "1")["package"]["objects"] == 2


@pytest.mark.parametrize("other", [("--leave-out", "1"), ("--profile", "bsti-dates-removed")])
@pytest.mark.measured
def test_a_waiting_package_is_made_anew_when_another_is_asked_for(house, other):
    first = house.package()
    attested = by_hand.attestation(
        house.folder / "other.json",
        house.run("attestation", "template", *(other if "--profile" in other else ())).stdout,
    )
    done = house.case(*other, "--attestation", attested)
    assert done["case_id"] == first["case_id"]
    assert done["package"]["sha256"] != first["package"]["sha256"]
    assert done["package"]["objects"] == (2 if "--leave-out" in other else 3)
    assert done["receipt"]["profile"] == ("bsti-default" if "--leave-out" in other else "bsti-dates-removed")
    assert house.states() == {first["case_id"]: State.DELIVERED}


def test_a_released_package_is_not_sent_when_another_is_asked_for(house):
    house.case(code=7, **UNKNOWN)
    told = house.case("--leave-out", "2", code=3)
    assert "3 in the case, 2 now" in told
    assert "outbox drop" in told
    assert house.arrived() == set()
    (case_id,) = house.states()
    assert house.case()["case_id"] == case_id


def test_an_unchanged_package_is_not_made_twice(house):
    first = house.package()
    again = house.package()
    assert again["case_id"] == first["case_id"]
    assert again["package"] == first["package"]
    assert house.case()["case_id"] == first["case_id"]


def test_studies_that_were_sent_are_not_packaged_again_without_notice(house):
    first = house.case()["case_id"]
    again = house.package()
    assert (again["case_id"], again["state"]) == (first, "delivered")
    house.approve(first, code=2)
    house.package("--out", house.folder / "copy.zip", code=2)
    assert list(house.states()) == [first]
    assert house.package("--again")["case_id"] != first


@pytest.mark.measured
def test_more_images_of_a_sent_study_are_told(house):
    more = house.study / "2.dcm"
    kept = more.read_bytes()
    more.unlink()
    first = house.case()["case_id"]
    assert house.case()["case_id"] == first
    more.write_bytes(kept)
    told = house.case(code=3)
    assert first in told
    assert "2 in the case, 3 now" in told
    assert "--again" in told
    assert house.case("--again")["package"]["objects"] == 3


def test_another_patient_with_the_same_study_uid_is_another_case(house):
    first = house.case()["case_id"]
    other = house.folder / "other"
    shutil.copytree(house.study, other)
    change(other, PatientID="HX2222222", PatientName="OTHER^PERSON", OtherPatientIDs="HX2222222")
    second = house.case(path=other)["case_id"]
    assert second != first
    assert house.arrived() == {first, second}


def test_a_picture_that_was_rejected_after_all_goes_nowhere(house):
    uid = dcmread(house.study / "0.dcm", stop_before_pixels=True).StudyInstanceUID
    (radiograph,) = house.files("DX")
    dataset = dcmread(radiograph)
    dataset.StudyInstanceUID = uid
    dataset.save_as(house.study / "dx.dcm")
    house.package(code=3)
    house.decide(house.study, Verdict.CLEARED)
    case_id = house.package()["case_id"]
    house.decide(house.study, Verdict.REJECTED)
    house.case(code=3)
    house.approve(case_id, code=3)
    house.decide(house.study, Verdict.CLEARED, (Region(1, 2, 30, 40),))
    house.approve(case_id, code=3)  # what was packed does not have this blanked
    house.decide(house.study, Verdict.CLEARED)
    house.approve(case_id)
    house.decide(house.study, Verdict.REJECTED)
    done = house.run("outbox", "send", code=3)
    assert b"no longer is" in done.stdout
    assert house.case(code=3)
    assert house.arrived() == set()
    assert house.states() == {case_id: State.READY}
    house.decide(house.study, Verdict.CLEARED)
    house.run("outbox", "send")
    assert house.arrived() == {case_id}


def test_a_standing_attestation_that_expired_meanwhile_sends_nothing(house):
    house.case(code=7, **UNKNOWN)
    (case_id,) = house.states()
    with Outbox(house.home) as outbox:
        document = json.loads(outbox.get(case_id).attestation)
        document["expires"] = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
        outbox.approve(case_id, json.dumps(document).encode(), "registry", house.registry.url)
    assert b"void" in house.run("outbox", "send", code=4).stdout
    assert house.arrived() == set()
    assert case_id in house.states()
    house.case()
    assert house.arrived() == {case_id}


def test_an_approval_is_for_one_registry(house, tmp_path):
    case_id = house.package()["case_id"]
    house.approve(case_id)
    standing = house.folder / "study2"
    shutil.copytree(house.study, standing)
    change(standing, StudyInstanceUID="1.2.826.0.1.3680043.8.498.77")
    house.case(path=standing, code=7, **UNKNOWN)
    with running_registry(tmp_path / "other") as other:
        there = {
            "BSTI_REGISTRY": other.url,
            "BSTI_CA_BUNDLE": str(other.ca_bundle),
            "BSTI_TOKEN": other.token(),
        }
        told = house.run("outbox", "send", code=4, **there)
        assert b"another registry" in told.stdout
        database = sqlite3.connect(other.data / "registry.sqlite3")
        assert database.execute("SELECT count(*) FROM cases").fetchone() == (0,)
        database.close()
    assert len(house.states()) == 2
    house.run("outbox", "send")
    assert house.arrived() == set(house.states())


@pytest.mark.parametrize("command", ["case", "package", "dry run", "batch"])
def test_a_contributor_that_names_the_patient_is_held(house, command):
    dataset = dcmread(house.study / "0.dcm", stop_before_pixels=True)
    house.home.mkdir()
    for told in (f"re {dataset.PatientID}", f"Dr {str(dataset.PatientName).split('^')[0]}", dataset.PatientBirthDate):
        (house.home / "site.toml").write_text(f'[contributor]\ncredit="named"\nname="{told}"\n', "utf-8")
        match command:
            case "case":
                said = house.case(code=3)
            case "package":
                said = house.package(code=3)
            case "dry run":
                said = house.case("--dry-run", code=3)
            case _:
                said = _batch(house)
        assert "contributor" in said
    assert set(house.states().values()) <= {State.DRAFT}
    for path in house.home.rglob("*"):
        if path.is_file() and path.name != "site.toml":
            assert str(dataset.PatientID).encode() not in path.read_bytes()


def _batch(house: House) -> str:
    head = house.run("manifest", "init").stdout.decode().strip().split(",")
    record = {
        "study_path": "study",
        "index_modality": "CT",
        "age_years": str(house.sample.age),
        "sex": house.sample.sex,
        "symptom_onset_days": "u",
        "wcc": "6.4",
        "wcc_unit": "10*9/L",
        "crp": "148",
        "crp_unit": "mg/L",
        "po2": "nd",
        "indication_code": "suspected-covid-diagnosis",
        "pcr_status": "positive",
        "pcr_tests": "positive@1",
        "prior_imaging": "no",
    }
    (house.folder / "m.csv").write_text(
        ",".join(head) + "\n" + ",".join(str(record.get(name, "")) for name in head) + "\n"
    )
    words = ("--attestation", house.standing(), "--results", house.folder / "r.csv")
    house.run("batch", house.folder / "m.csv", *words, code=3)
    text = (house.folder / "r.csv").read_text()
    (house.folder / "r.csv").unlink()
    return text


def test_a_radiologist_of_the_study_may_be_credited(house):
    change(house.study, NameOfPhysiciansReadingStudy="WALSINGHAM^THEODORA", InstitutionName="Netherfield Infirmary")
    house.home.mkdir()
    (house.home / "site.toml").write_text(
        '[contributor]\nname = "Walsingham, Theodora"\norcid = "0000-0002-1825-0097"\n'
        'organisation = "Netherfield Infirmary"\n'
    )
    assert house.case()["state"] == "delivered"


@pytest.mark.parametrize("name", ["inf", "1979-05-27", "[1]", "{a = 1}"])
def test_a_contributor_that_is_no_text_is_told_when_the_site_file_is_read(house, name):
    house.home.mkdir()
    (house.home / "site.toml").write_text(f"[contributor]\nname = {name}\n")
    assert b"contributor.name" in house.run("outbox", "list", code=7).stderr


def test_one_bad_case_stops_no_other(house):
    first = house.package()["case_id"]
    house.approve(first)
    other = house.folder / "other"
    shutil.copytree(house.study, other)
    change(other, StudyInstanceUID="1.2.826.0.1.3680043.8.498.78")
    second = house.package(path=other)["case_id"]
    house.approve(second)
    database = sqlite3.connect(house.home / "outbox" / "outbox.sqlite")
    database.execute("UPDATE cases SET contributor = ? WHERE case_id = ?", (b'{"name": "SMITHSON', first))
    database.commit()
    database.close()
    done = house.run("outbox", "send", code=1)
    assert b"SMITHSON" not in done.stdout + done.stderr
    assert house.arrived() == {second}
    assert first in house.states()


def test_an_unknown_state_is_shown_and_left_alone(house):
    case_id = house.package()["case_id"]
    database = sqlite3.connect(house.home / "outbox" / "outbox.sqlite")
    database.execute("UPDATE cases SET state = ?", ("x\x1b[31m",))
    database.commit()
    database.close()
    done = house.run("outbox", "list")
    assert b"unknown" in done.stdout
    assert b"\x1b" not in done.stdout
    house.case(code=3)
    house.run("outbox", "drop", case_id, code=2)


def test_a_folder_whose_name_cannot_be_written_down_is_told_before_the_work(house):
    told = house.case("--to", "dir:" + str(house.folder) + "/\udcff", code=2)
    assert "cannot be written down" in told
    assert house.states() == {}


def test_a_folder_that_names_the_patient_is_not_kept(house):
    patient = dcmread(house.study / "0.dcm", stop_before_pixels=True).PatientID
    assert "folder" in house.case("--to", f"dir:{house.folder}/for {patient}", code=2)
    assert house.states() == {}
    assert not any(str(patient).encode() in path.read_bytes() for path in house.home.rglob("*") if path.is_file())
