"""The manifest: an exact header, plain messages with row numbers, and nothing that identifies in a record."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from bsti_submit.clinical.record import ClinicalRecord
from bsti_submit.clinical.sources.manifest import (
    ADDED_COLUMNS,
    COLUMNS,
    Manifest,
    manifest_header,
    parse,
    read,
    template,
)
from bsti_submit.errors import HeldError, InputError
from bsti_submit.model import new_case_id

from .samples import CT_RECORD, CXR_RECORD, change, context, header_age

CT_ROW = {
    "study_path": "case01",
    "local_ref": "A1",
    "index_modality": "CT",
    "age_years": "67",
    "sex": "M",
    "symptom_onset_days": "9",
    "wcc": "6.4",
    "wcc_unit": "10*9/L",
    "wcc_day": "0",
    "crp": "14.8",
    "crp_unit": "mg/dL",
    "crp_day": "0",
    "po2": "62",
    "po2_unit": "mm[Hg]",
    "po2_sample": "arterial",
    "po2_fio2": "0.28",
    "po2_day": "0",
    "spo2": "91",
    "spo2_fio2": "0.21",
    "spo2_day": "0",
    "indication_code": "suspected-covid-pcr-negative",
    "pcr_status": "positive",
    "pcr_tests": "negative@-4;positive@1",
    "pcr_specimens": "upper-respiratory;lower-respiratory",
    "prior_imaging": "yes",
    "prior_studies": "CXR@4:included",
    "ct_bsti": "classic",
    "severity": "moderate",
    "outcome": "discharged",
    "outcome_day": "11",
    "itu": "no",
    "intubation": "no",
}
CXR_ROW = {
    "study_path": "case02",
    "local_ref": "A2",
    "index_modality": "CXR",
    "age_years": "93",
    "sex": "F",
    "symptom_onset_days": "u",
    "wcc": "p",
    "crp": "<5",
    "crp_unit": "mg/L",
    "crp_day": "-1",
    "po2": "nd",
    "indication_code": "other",
    "indication_text": "Fall from standing; incidental basal opacity",
    "pcr_status": "pending",
    "pcr_tests": "pending@0",
    "prior_imaging": "no",
    "cxr_bsti": "indeterminate",
    "severity": "mild",
}


def sheet(*rows, columns=(*COLUMNS, *ADDED_COLUMNS), end="\r\n"):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def entered(record):
    return change(record, age={**record["age"], "source": "entered"}, sex={**record["sex"], "source": "entered"})


def problems(row, **cells):
    found = parse(sheet({**row, **cells})).problems
    return [(problem.column, problem.problem.code) for problem in found]


def quoted(data, separator):
    """Write a sheet with every cell in quotes and another separator."""
    out = io.StringIO()
    rows = csv.reader(io.StringIO(data.decode()))
    csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue().encode()


def test_two_good_rows_give_the_same_records_as_json():
    manifest = parse(sheet(CT_ROW, CXR_ROW))
    assert manifest.problems == ()
    assert [row.record.data for row in manifest.require_valid()] == [entered(CT_RECORD), entered(CXR_RECORD)]
    assert [row.number for row in manifest.rows] == [2, 3]
    assert [note.text for note in manifest.rows[1].record.notes] == [
        "stored as 90+, the class of everyone aged 90 or over."
    ]


def test_the_added_columns_may_be_missing():
    row = {name: value for name, value in CT_ROW.items() if name in COLUMNS}
    assert parse(sheet(row, columns=COLUMNS)).problems == ()


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + sheet(CT_ROW),
        sheet(CT_ROW, end="\n"),
        sheet(CT_ROW, end="\r"),
        sheet(CT_ROW) + b"\r\n,,\r\n\r\n"[:2],
    ],
    ids=["BOM", "LF", "CR", "blank line"],
)
def test_the_forms_that_spreadsheets_write_are_read(data):
    assert len(parse(data).require_valid()) == 1


def test_blank_rows_count_as_a_spreadsheet_counts_them():
    lines = sheet(CT_ROW, {**CXR_ROW, "sex": "2"}).split(b"\r\n")
    data = b"\r\n".join([lines[0], lines[1], b"", lines[2], b""])
    assert [problem.row for problem in parse(data).problems] == [4]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"sex": "1"}, ("sex", "E-SEX")),
        ({"sex": "nd"}, ("sex", "E-CHOICE")),
        ({"age_years": "121"}, ("age_years", "E-AGE")),
        ({"age_years": "67.5"}, ("age_years", "E-AGE")),
        ({"age_years": ""}, ("age_years", "E-REQUIRED")),
        ({"age_years": "12"}, ("age_years", "E-CONFIRM")),
        ({"wcc": ""}, ("wcc", "E-REQUIRED")),
        ({"wcc_unit": ""}, ("wcc", "E-UNIT")),
        ({"wcc": "6,4"}, ("wcc", "E-NUMBER")),
        ({"wcc": "nd"}, ("wcc", "E-BOTH")),
        ({"wcc": "6400"}, ("wcc", "E-RANGE")),
        ({"wcc": "6.4 10*9/L"}, ("wcc", "E-NUMBER")),
        ({"wcc_day": "03/04/2020"}, ("wcc_day", "E-DAY")),
        ({"wcc_day": "1.5"}, ("wcc_day", "E-DAY")),
        ({"crp_unit": "nmol/L"}, ("crp", "E-UNIT")),
        ({"crp_day": "99"}, ("crp_day", "E-DAY")),
        ({"po2": "<8"}, ("po2", "E-COMPARATOR")),
        ({"po2_sample": ""}, ("po2", "E-SAMPLE")),
        ({"po2_sample": "toe"}, ("po2_sample", "E-CHOICE")),
        ({"po2_unit": "kPa"}, ("po2", "E-PO2-IMPOSSIBLE")),
        ({"po2_fio2": "10L"}, ("po2_fio2", "E-FIO2")),
        ({"po2_fio2": "blue"}, ("po2_fio2", "E-FIO2")),
        ({"po2_fio2": "28"}, ("po2_fio2", "E-FIO2")),
        ({"po2_fio2": "0,28"}, ("po2_fio2", "E-NUMBER")),
        ({"spo2": ""}, ("spo2", "E-NO-VALUE")),
        ({"spo2": "0.91"}, ("spo2", "E-RANGE")),
        ({"oxygen_flow_l_min": "200"}, ("oxygen_flow_l_min", "E-RANGE")),
        ({"indication_code": "cough"}, ("indication_code", "E-CHOICE")),
        ({"indication_code": "other"}, ("indication_code", "E-TEXT")),
        ({"indication_text": "cough"}, ("indication_code", "E-TEXT")),
        ({"indication_code": "other", "indication_text": "Dr Quaglione asked"}, ("indication_text", "E-PHI")),
        ({"pcr_status": "w"}, ("pcr_status", "E-CHOICE")),
        ({"pcr_status": "negative"}, ("pcr_status", "E-PCR-MISMATCH")),
        ({"pcr_tests": "negative"}, ("pcr_tests", "E-LIST")),
        ({"pcr_tests": "lateral flow positive@1"}, ("pcr_tests", "E-CHOICE")),
        ({"pcr_specimens": "saliva"}, ("pcr_tests", "E-LIST")),
        ({"prior_imaging": "perhaps"}, ("prior_imaging", "E-CHOICE")),
        ({"prior_studies": ""}, ("prior_imaging", "E-REQUIRED")),
        ({"prior_studies": "CXR"}, ("prior_studies", "E-LIST")),
        ({"prior_studies": "XA@4"}, ("prior_studies", "E-CHOICE")),
        ({"prior_studies": "CXR@4:maybe"}, ("prior_studies", "E-CHOICE")),
        ({"prior_case_id": "AAAA-AAAA-AAAB"}, ("prior_studies", "E-CASE-ID")),
        ({"prior_case_id": "a;b"}, ("prior_studies", "E-LIST")),
        ({"asymptomatic": "yes"}, ("symptom_onset_days", "E-BOTH")),
        ({"asymptomatic": "si"}, ("symptom_onset_days", "E-CHOICE")),
        ({"confirmed": "anything"}, ("confirmed", "E-CHOICE")),
        ({"outcome": "", "outcome_day": "3", "itu": "", "intubation": ""}, ("outcome", "E-REQUIRED")),
        ({"cxr_bsti": "classic"}, ("cxr_bsti", "E-CHOICE")),
        ({"id_suffix": "ZZ81437"}, ("id_suffix", "E-SUFFIX-FORM")),
        ({"local_ref": "943 476 5919"}, ("local_ref", "E-PHI")),
        ({"local_ref": "Mr Quaglione"}, ("local_ref", "E-PHI")),
        ({"local_ref": "Qu\u0430glione"}, ("local_ref", "E-CELL")),
        ({"local_ref": "943\u200b476\u200b5919"}, ("local_ref", "E-CELL")),
        ({"local_ref": "\u202eenoilgauQ"}, ("local_ref", "E-CELL")),
        ({"local_ref": "-1"}, ("local_ref", "E-CELL")),
        ({"local_ref": "x" * 65}, ("local_ref", "E-CELL")),
        ({"local_ref": "=HYPERLINK(1)"}, ("local_ref", "E-FORMULA")),
        ({"crp": "@SUM(A1)"}, ("crp", "E-FORMULA")),
        ({"crp": "+cmd"}, ("crp", "E-FORMULA")),
        ({"severity": "\tmild"}, ("severity", "E-FORMULA")),
        ({"severity": "mi\nld"}, ("severity", "E-CELL")),
        ({"indication_text": "x" * 2000}, ("indication_text", "E-CELL")),
        ({"study_path": ""}, ("study_path", "E-PATH")),
        ({"study_path": "../case01"}, ("study_path", "E-PATH")),
        ({"study_path": "a/../../b"}, ("study_path", "E-PATH")),
        ({"study_path": "/data/case01"}, ("study_path", "E-PATH")),
        ({"study_path": "C:/case01"}, ("study_path", "E-PATH")),
        ({"study_path": "C:case01"}, ("study_path", "E-PATH")),
        ({"study_path": "a\\b"}, ("study_path", "E-PATH")),
        ({"study_path": "//server/share"}, ("study_path", "E-PATH")),
        ({"study_path": "~root"}, ("study_path", "E-PATH")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_each_mistake_is_told_once_with_its_column(cells, expected):
    assert problems(CT_ROW, **cells) == [expected]


def test_a_positive_number_with_a_sign_is_no_formula():
    assert problems(CT_ROW, crp_day="+2", wcc="+6.4") == []


def test_no_message_repeats_a_cell():
    row = dict.fromkeys((*COLUMNS, *ADDED_COLUMNS), "Quaglione")
    manifest = parse(sheet(row))
    assert len(manifest.problems) > 10
    assert "uaglion" not in "".join(map(str, manifest.problems))
    with pytest.raises(InputError) as raised:
        manifest.require_valid()
    assert "uaglion" not in repr(raised.value) + "".join(raised.value.details)


def test_the_good_rows_stay_usable_beside_bad_ones():
    manifest = parse(sheet(CT_ROW, {**CXR_ROW, "sex": "2", "crp": ""}))
    assert len(manifest.rows) == 1
    with pytest.raises(InputError) as raised:
        manifest.require_valid()
    assert str(raised.value) == "1 of 2 rows of the manifest must be corrected. Nothing was sent."
    assert [line[:11] for line in raised.value.details] == ["row 3, sex:", "row 3, crp:"]


@pytest.mark.parametrize("column", ["study_path", "local_ref"])
def test_the_same_study_or_reference_twice_is_refused(column):
    second = {**CXR_ROW, column: CT_ROW[column].upper()}
    found = parse(sheet(CT_ROW, second)).problems
    assert [(problem.row, str(problem.problem)) for problem in found] == [
        (3, f"E-REPEATED {column}: the same as in row 2.")
    ]


def test_the_sheet_may_say_more_than_it_must():
    case_id = new_case_id()
    cells = {
        "symptom_onset_days": "",
        "asymptomatic": "yes",
        "oxygen_flow_l_min": "2.5",
        "prior_studies": "CXR@4:not-included; CT@400",
        "prior_case_id": f";{case_id}",
        "crp": ">500.5",
        "crp_unit": "mg/l",
        "confirmed": "crp-extreme; age-differs",
        "id_suffix": "437",
        "pcr_tests": "not detected@-4; RNA detected@1".replace("RNA ", ""),
        "pcr_specimens": ";sputum",
        "po2_fio2": "28%",
    }
    (row,) = parse(sheet({**CT_ROW, **cells})).require_valid()
    data = row.record.data
    assert data["symptom_onset"] == {"asymptomatic": True}
    assert data["spo2"]["oxygen_flow_l_min"] == 2.5
    assert data["prior_imaging"]["studies"] == [
        {"modality": "CXR", "days_before": 4, "included": False},
        {"modality": "CT", "days_before": 400, "case_id": case_id},
    ]
    assert data["crp"] == {"value": 500.5, "unit": "mg/L", "comparator": ">", "day": 0}
    assert data["confirmed"] == ["age-differs", "crp-extreme"]
    assert data["rt_pcr"]["tests"][1] == {"result": "positive", "day": 1, "specimen": "lower-respiratory"}
    assert row.id_suffix.reveal() == "437"


def test_what_identifies_stays_masked_and_out_of_the_record():
    (row,) = parse(
        sheet({**CT_ROW, "study_path": "Quaglione_X/CT 1", "local_ref": "REF-7", "id_suffix": "437"})
    ).require_valid()
    shown = repr(row) + row.record.canonical_json().decode()
    assert not any(word in shown for word in ("uaglion", "REF-7", "437"))
    assert row.folder(Path("base")).reveal() == Path("base", "Quaglione_X", "CT 1")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (manifest_header().encode(), "no rows"),
        (sheet(CT_ROW).replace(b"crp_unit", b"crp_units"), "E-HEADER crp_unit: this column is missing."),
        (
            sheet(CT_ROW).replace(b"crp_unit", b"Quaglione"),
            "E-HEADER column 11: this column is not part of a manifest.",
        ),
        (sheet(CT_ROW).replace(b"wcc_unit", b"crp_unit"), "E-HEADER crp_unit: this column occurs twice."),
        (sheet(CT_ROW).replace(b",", b";"), "semicolons"),
        (quoted(sheet(CT_ROW), ";"), "semicolons"),
        (sheet(CT_ROW).replace(b",", b"\t"), "tabs"),
        (b"sep=;\r\n" + sheet(CT_ROW).replace(b",", b";"), "(sep=)"),
        (b'"sep=,"\r\n' + sheet(CT_ROW), "(sep=)"),
        (sheet(CT_ROW).decode().encode("utf-16"), "not UTF-8"),
        (sheet({**CT_ROW, "local_ref": "\u00e9"}).decode().encode("latin-1"), "not UTF-8"),
        (sheet(CT_ROW) + b'"open', "row 3 is not valid CSV"),
        (b"a" * 200_000, "row 1 is not valid CSV"),
    ],
)
def test_a_sheet_that_cannot_be_read_says_why(data, words):
    with pytest.raises(InputError) as raised:
        parse(data)
    text = str(raised.value) + "".join(raised.value.details)
    assert words in text
    assert "uaglion" not in text


def test_a_row_with_a_cell_too_many_is_told():
    found = parse(sheet(CT_ROW).rstrip() + b",more\r\n").problems
    assert str(found[0]).startswith("row 2: E-CSV: has 40 cells where the header has 39.")


def test_a_file_is_read_and_a_missing_one_is_not_named(tmp_path):
    (tmp_path / "m.csv").write_bytes(sheet(CT_ROW))
    assert isinstance(read(tmp_path / "m.csv"), Manifest)
    with pytest.raises(InputError) as raised:
        read(tmp_path / "quaglione.csv")
    assert "quaglione" not in str(raised.value)


def test_the_template_is_a_valid_manifest():
    assert template().startswith(manifest_header())
    assert all(isinstance(row.record, ClinicalRecord) for row in parse(template().encode()).require_valid())


def test_a_large_manifest_is_read_quickly():
    rows = [{**CXR_ROW, "study_path": f"c{number}", "local_ref": f"r-{number}"} for number in range(300)]
    assert len(parse(sheet(*rows)).rows) == 300


def test_a_row_is_held_against_its_images(facts):
    (row,) = parse(sheet({**CT_ROW, "id_suffix": "437"})).require_valid()
    assert row.accept(facts).data == entered(CT_RECORD)
    with pytest.raises(HeldError):
        row.accept(context(suffix_matches=lambda _: False))
    with pytest.raises(HeldError):
        row.accept(context(age=header_age(40)))


def test_a_reference_with_the_patients_name_is_refused_without_being_repeated(facts):
    (row,) = parse(sheet({**CT_ROW, "local_ref": "quaglione-2"})).require_valid()
    with pytest.raises(InputError) as raised:
        row.accept(facts)
    assert "quaglione" not in "".join(raised.value.details)


@pytest.mark.parametrize(
    ("words", "result"),
    [
        ("positive at the limit of detection", "positive"),
        ("SARS-CoV-2 RNA DETECTED", "positive"),
        ("RNA detected (SARS-CoV-2)", "positive"),
        ("not detected", "negative"),
        ("NOT DETECTED", "negative"),
        ("equivocal", "indeterminate"),
        ("inconclusive", "indeterminate"),
        ("void", "indeterminate"),
        ("failed", "indeterminate"),
        ("insufficient", "indeterminate"),
        ("pend", "pending"),
    ],
)
def test_the_words_of_laboratories_are_read(words, result):
    (row,) = parse(
        sheet({**CT_ROW, "pcr_status": result, "pcr_tests": f"{words}@-1", "pcr_specimens": ""})
    ).require_valid()
    assert row.record.data["rt_pcr"] == {"status": result, "tests": [{"result": result, "day": -1}]}
    told = [note.text for note in row.record.notes if note.path == "rt_pcr"]
    assert bool(told) is (words in {"void", "failed", "insufficient"})


@pytest.mark.parametrize("words", ["lateral flow positive", "LFT neg", "antigen positive", "lfd pos"])
def test_a_test_of_another_kind_is_not_taken_for_one(words):
    assert problems(CT_ROW, pcr_tests=f"{words}@-1") == [("pcr_tests", "E-CHOICE")]


def test_blank_rows_count_but_say_nothing():
    blank = b"," * (len(COLUMNS) + len(ADDED_COLUMNS) - 1) + b"\r\n"
    header, row = sheet(CT_ROW).splitlines(keepends=True)
    (found,) = parse(blank + b"\r\n" + header + blank + row + blank).require_valid()
    assert found.number == 5


def test_columns_that_a_spreadsheet_left_without_a_name_are_told_as_such():
    header, row = sheet(CT_ROW).splitlines()
    with pytest.raises(InputError) as raised:
        parse(header + b",,\r\n" + row + b",,\r\n")
    assert raised.value.details == tuple(
        f"E-HEADER column {place}: this column has no name. Delete it." for place in (40, 41)
    )


@pytest.mark.parametrize(("suffix", "hint"), [("37", True), ("7", True), ("ZZ81437", False), ("a7", False)])
def test_a_suffix_that_lost_its_zeros_is_told_why(suffix, hint):
    (problem,) = parse(sheet({**CT_ROW, "id_suffix": suffix})).problems
    assert problem.problem.code == "E-SUFFIX-FORM"
    assert problem.problem.hint.startswith("A spreadsheet takes leading zeros away") is hint


def test_a_saturation_may_bear_its_sign():
    (row,) = parse(sheet({**CT_ROW, "spo2": "91%"})).require_valid()
    assert row.record.data["spo2"] == CT_RECORD["spo2"]


@pytest.mark.parametrize(("rows", "told"), [(1, "1 of 1 row of"), (2, "2 of 2 rows of")])
def test_rows_are_counted_in_plain_english(rows, told):
    wrong = [{**CT_ROW, "study_path": f"case{number}", "local_ref": "", "sex": "1"} for number in range(rows)]
    with pytest.raises(InputError, match=told):
        parse(sheet(*wrong)).require_valid()
