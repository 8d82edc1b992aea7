"""A sheet with hospital numbers and a folder of studies become a manifest that holds neither numbers nor dates."""

from __future__ import annotations

import csv
import io

import pytest
from typer.testing import CliRunner

from bsti_submit.cli.app import app
from bsti_submit.clinical.sources.manifest import ADDED_COLUMNS, COLUMNS, parse
from tests.intake.factory import CR, dataset, encode

from .test_manifest import CT_ROW, CXR_ROW

ERIKA = {"PatientID": "0081437", "PatientName": "Quaglione^Erika", "PatientBirthDate": "19520901"}
MAX = {"PatientID": "ZZ-4711/9", "PatientName": "Zwetschge^Max", "PatientBirthDate": "19600101"}
KEYS = ("patient_id", "accession_number", "study_date")
SECRETS = ("81437", "4711", "uaglion", "wetschg", "2020", "ACC-")


def put(root, folder, study, **attributes):
    attributes.setdefault("StudyDate", "20200407")
    path = root / folder
    path.mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        (path / f"{study}-{number}.dcm").write_bytes(encode(dataset(number, study=study, **attributes)))


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """Two patients in folders of their own, the first with an earlier radiograph."""
    monkeypatch.setenv("BSTI_HOME", str(tmp_path / "home"))
    root = tmp_path / "studies"
    put(root, "a/ct", "1", AccessionNumber="ACC-0001", **ERIKA)
    put(root, "a/cxr", "2", AccessionNumber="ACC-0002", StudyDate="20200403", sop_class=CR, **ERIKA)
    put(root, "b", "3", AccessionNumber="ACC-0003", **MAX)
    return root


def sheet(*rows, columns=(*KEYS, *COLUMNS[1:])):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def run(studies, data, *options):
    file = studies.parent / "export.csv"
    file.write_bytes(data)
    return CliRunner().invoke(app, ["manifest", "join", str(studies), str(file), *options])


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_rows_find_their_studies_and_the_manifest_is_in_order(studies):
    done = run(
        studies,
        sheet(
            {**CT_ROW, "patient_id": "81437"},
            {**CXR_ROW, "index_modality": "CT", "patient_id": "zz47119", "cxr_bsti": ""},
        ),
    )
    assert done.exit_code == 0, done.stderr
    found = rows_of(done.stdout)
    assert [(row["study_path"], row["id_suffix"]) for row in found] == [("a", "437"), ("b", "119")]
    assert list(found[0]) == [*COLUMNS, *ADDED_COLUMNS]
    assert not any(secret in done.stdout.replace("0.2020", "") + done.stderr for secret in SECRETS)
    assert len(parse(done.stdout_bytes).require_valid()) == 2
    assert "2 rows are matched; 0 studies in the folder have no row." in done.stderr


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({"patient_id": "0081437"}, "a"),
        ({"patient_id": " 008-1437 "}, "a"),
        ({"accession_number": "acc 0001"}, "a"),
        ({"accession_number": "ACC-0002"}, "a/cxr"),
        ({"patient_id": "81437", "study_date": "03/04/2020"}, "a/cxr"),
        ({"patient_id": "81437", "study_date": "2020-04-07"}, "a"),
        ({"patient_id": "81437", "index_modality": "CXR"}, "a/cxr"),
        ({"patient_id": "ZZ 4711 9"}, "b"),
    ],
)
def test_each_key_finds_the_index_study(studies, keys, path):
    row = {"index_modality": "", **keys}
    done = run(studies, sheet(row))
    assert done.exit_code == 0, done.stderr
    assert rows_of(done.stdout)[0]["study_path"] == path


UNMATCHED = {
    "another number": ({"patient_id": "81438"}, "patient_id"),
    "no key": ({"sex": "F"}, "accession_number"),
    "a short number": ({"patient_id": "437"}, "patient_id"),
    "another date": ({"patient_id": "81437", "study_date": "2020-04-08"}, "patient_id"),
    "no date": ({"patient_id": "81437", "study_date": "April"}, "study_date"),
    "another kind": ({"patient_id": "81437", "index_modality": "MR"}, "index_modality"),
    "numbers of two": ({"patient_id": "81437", "accession_number": "ACC-0003"}, "patient_id"),
    "a path": ({"patient_id": "81437", "study_path": "b"}, "study_path"),
}


@pytest.mark.parametrize(("row", "column"), UNMATCHED.values(), ids=UNMATCHED)
def test_a_row_that_fits_no_study_stops_it(studies, row, column):
    data = sheet(
        {"index_modality": "", "accession_number": "ACC-0003"}, {"index_modality": "", **row}, columns=(*KEYS, *COLUMNS)
    )
    done = run(studies, data)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert f"row 3, {column}: E-MATCH" in done.stderr
    assert not any(secret in done.stderr.replace("Write 2020-04-03, or 03/04/2020", "") for secret in SECRETS)
    left = run(studies, data, "--skip-unmatched")
    assert left.exit_code == 0
    assert [one["study_path"] for one in rows_of(left.stdout)] == ["b"]


def test_images_of_two_patients_in_one_folder_are_told_apart_or_refused(tmp_path, studies):
    put(studies, "mixed", "8", PatientID="MIX00001", PatientName="A", PatientBirthDate="19500101")
    put(studies, "mixed", "9", PatientID="MIX00002", PatientName="B", PatientBirthDate="19500101")
    done = run(studies, sheet({"patient_id": "MIX00001"}))
    assert done.exit_code == 2
    assert "beside those of other patients" in done.stderr


def test_one_number_of_two_patients_is_refused(studies):
    put(studies, "c", "7", PatientID="81437", PatientName="Other", PatientBirthDate="19990909")
    done = run(studies, sheet({"patient_id": "81437"}))
    assert done.exit_code == 2
    assert "more than one patient" in done.stderr


def test_the_manifest_can_be_written_beside_the_studies_and_is_private(studies):
    out = studies.parent / "manifest.csv"
    done = run(studies, sheet({"patient_id": "81437"}), "--out", str(out))
    assert done.exit_code == 0, done.stderr
    assert rows_of(out.read_text())[0]["study_path"] == "studies/a"
    assert out.stat().st_mode & 0o077 == 0
    again = run(studies, sheet({"patient_id": "81437"}), "--out", str(out))
    assert again.exit_code == 2
    elsewhere = studies.parent / "elsewhere"
    elsewhere.mkdir()
    assert run(studies, sheet({"patient_id": "81437"}), "--out", str(elsewhere / "m.csv")).exit_code == 2
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (sheet({**CT_ROW}, columns=COLUMNS), "does not say whose studies"),
        (sheet({"patient_id": "81437"}).replace(b"local_ref", b"ward", 1), "column 4: this column is not part"),
        (b"", "is empty"),
        (sheet({"patient_id": "1"}) + b"1,2\r\n", "has 2 cells"),
    ],
)
def test_a_wrong_sheet_is_refused(studies, data, words):
    done = run(studies, data)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_studies_without_a_row_are_counted(studies):
    done = run(studies, sheet({"accession_number": "ACC-0003"}))
    assert "2 studies in the folder have no row." in done.stderr
    assert [row["study_path"] for row in rows_of(done.stdout)] == ["b"]
