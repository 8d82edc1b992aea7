"""Every mistake has its own message, and none repeats free text."""

from __future__ import annotations

import json

import pytest

from bsti_submit.clinical.record import ClinicalRecord, accept, validate
from bsti_submit.clinical.sources import json_file
from bsti_submit.errors import ExitCode, InputError

from .samples import BARE, CT_RECORD, CXR_RECORD, change

TESTS = CT_RECORD["rt_pcr"]["tests"]
ABSENT = "not-done, pending, unknown, withheld or not-applicable"

STATED = {
    "age over 89": (
        {"age": {"value": 93}},
        'E-AGE age: give whole years 0 to 89, or "90+" for anyone aged 90 or over.',
    ),
    "numeric sex": (
        {"sex": {"value": "1"}},
        (
            "E-SEX sex: '1' is ambiguous. Use M, F or O; numeric codes differ between NCCID (0=F, 1=M) and the NHS "
            "(1=M, 2=F) and are not accepted."
        ),
    ),
    "no unit": (
        {"white_cell_count": {"value": 6.4}},
        "E-UNIT white_cell_count: unit missing. Say which: 10*9/L is expected; the unit is never guessed.",
    ),
    "cells per microlitre": (
        {"white_cell_count": {"value": 6400, "unit": "10*9/L"}},
        (
            "E-RANGE white_cell_count: 6400 10*9/L is outside the plausible range 0 to 500 10*9/L. "
            "Check the value and the unit on the report."
        ),
    ),
    "another unit": (
        {"crp": {"value": 14.8, "unit": "mg/dL"}},
        "E-UNIT crp: unit 'mg/dL' is not accepted in clinical.json. Convert to mg/L.",
    ),
    "impossible pO2": (
        {"po2": {"value": 62, "unit": "kPa", "sample": "arterial", "fio2": 0.21}},
        (
            "E-PO2-IMPOSSIBLE po2: 62 kPa is not possible breathing FiO2 0.21 (ceiling 19.95 kPa at sea level). "
            "Check the unit (mmHg?) and the FiO2."
        ),
    ),
    "no sample": (
        {"po2": {"value": 8.3, "unit": "kPa"}},
        "E-SAMPLE po2: say whether the sample was arterial, capillary, venous or unknown.",
    ),
    "status and tests": (
        {"rt_pcr": {"status": "negative", "tests": TESTS}},
        (
            "E-PCR-MISMATCH rt_pcr: status is 'negative' but the listed tests give 'positive'. "
            "Correct the status or the tests."
        ),
    ),
    "identifier in text": (
        {"indication": {"code": "other", "text": "NHS 943 476 5919, worse today"}},
        "E-PHI indication.text: looks like an NHS number. Remove it; the text was not saved.",
    ),
    "unknown field": (
        {"patient_name": "Q. Uaglion"},
        (
            "E-UNKNOWN-FIELD patient_name: this field is not part of the schema and was not read. "
            "Clinical metrics must not carry names, dates or identifiers."
        ),
    ),
    "both": (
        {"crp": {"value": 5, "unit": "mg/L", "absent": "pending"}},
        'E-BOTH crp: has both a value and "absent". Keep one.',
    ),
}

OTHERS = {
    "bare number": ({"crp": 148}, "E-TYPE crp"),
    "bare age": ({"age": 67}, "E-TYPE age"),
    "number in quotes": ({"crp": {"value": "148", "unit": "mg/L"}}, "E-NUMBER crp"),
    "comma in quotes": ({"crp": {"value": "6,4", "unit": "mg/L"}}, "E-NUMBER crp"),
    "half a day": ({"crp": {"value": 5, "unit": "mg/L", "day": 1.5}}, "E-DAY crp.day"),
    "day out of range": ({"crp": {"value": 5, "unit": "mg/L", "day": 31}}, "E-DAY crp.day"),
    "not done with tests": ({"rt_pcr": {"status": "not-done", "tests": TESTS}}, "E-PCR-MISMATCH rt_pcr"),
    "text with another code": (
        {"indication": {"code": "incidental-finding", "text": "cough"}},
        "E-TEXT indication",
    ),
    "other without text": ({"indication": {"code": "other"}}, "E-TEXT indication"),
    "text too long": ({"indication": {"code": "other", "text": "a" * 121}}, "E-TEXT indication.text"),
    "text with symbols": (
        {"indication": {"code": "other", "text": "cough \u2603 fever"}},
        "E-TEXT indication.text",
    ),
    "nothing": ({"crp": {}}, "E-REQUIRED crp"),
    "no value": ({"crp": {"absent": "pending", "unit": "mg/L"}}, "E-NO-VALUE crp"),
    "unknown reason": ({"crp": {"absent": "lost"}}, "E-CHOICE crp"),
    "age pending": ({"age": {"absent": "pending"}}, "E-CHOICE age"),
    "fraction as per cent": (
        {"po2": {"value": 8, "unit": "kPa", "sample": "arterial", "fio2": 28}},
        "E-FIO2 po2.fio2",
    ),
    "saturation as fraction": ({"spo2": {"value": 0.94, "unit": "%"}}, "E-RANGE spo2"),
    "earlier imaging without an answer": ({"prior_imaging": {}}, "E-REQUIRED prior_imaging.value"),
    "earlier imaging as a word": ({"prior_imaging": "yes"}, "E-TYPE prior_imaging"),
    "RT-PCR as a word": ({"rt_pcr": "positive"}, "E-TYPE rt_pcr"),
    "text without a code": ({"indication": {"text": "cough"}}, "E-REQUIRED indication"),
    "less than nothing": ({"crp": {"value": 0, "unit": "mg/L", "comparator": "<"}}, "E-RANGE crp"),
    "oxygen without a saturation": ({"spo2": {"absent": "not-done", "fio2": 0.28}}, "E-NO-VALUE spo2"),
    "a formula": ({"indication": {"code": "other", "text": "=1+1+1"}}, "E-FORMULA indication.text"),
    "a signed formula": ({"indication": {"code": "other", "text": "+cmd()"}}, "E-FORMULA indication.text"),
    "yes without studies": ({"prior_imaging": {"value": "yes"}}, "E-REQUIRED prior_imaging"),
    "no with studies": (
        {"prior_imaging": {"value": "no", "studies": [{"modality": "CT", "days_before": 3}]}},
        "E-BOTH prior_imaging",
    ),
    "wrong case id": (
        {
            "prior_imaging": {
                "value": "yes",
                "studies": [{"modality": "CT", "days_before": 3, "case_id": "AAAA-AAAA-AAAB"}],
            }
        },
        "E-CASE-ID prior_imaging.studies[0].case_id",
    ),
    "CXR category of a CT": (
        {"reporting": {"cxr_bsti": "normal"}, "prior_imaging": {"value": "no"}},
        "E-MODALITY",
    ),
    "conversion": (
        {"crp": {"value": 150, "unit": "mg/L", "reported": {"value": 14.8, "unit": "mg/dL"}}},
        "E-CONVERT crp",
    ),
    "compared pO2": (
        {"po2": {"value": 8.3, "unit": "kPa", "sample": "arterial", "comparator": "<"}},
        "E-COMPARATOR po2: give the value itself; < and > are kept for white cells and CRP only.",
    ),
    "compared saturation": ({"spo2": {"value": 91, "unit": "%", "comparator": ">"}}, "E-COMPARATOR spo2"),
    "reported in a spelling": (
        {"po2": {"value": 8.3, "unit": "kPa", "sample": "arterial", "reported": {"value": 62, "unit": "mmHg"}}},
        (
            "E-UNIT po2.reported.unit: this unit is not known. Write it as one of: 10*9/L, 10*3/uL, /uL, mg/L, mg/dL, "
            "ug/mL, kPa, mm[Hg]."
        ),
    ),
    "unit of another metric": (
        {"crp": {"value": 14.8, "unit": "mg/L", "reported": {"value": 14.8, "unit": "kPa"}}},
        "E-CONVERT crp",
    ),
    "rare count": ({"white_cell_count": {"value": 120, "unit": "10*9/L"}}, "E-CONFIRM white_cell_count"),
    "rare CRP": ({"crp": {"value": 501, "unit": "mg/L"}}, "E-CONFIRM crp"),
    "child": ({"age": {"value": 9}}, "E-CONFIRM age"),
    "pO2 without FiO2": ({"po2": {"value": 21, "unit": "kPa", "sample": "unknown"}}, "E-CONFIRM po2"),
    "schema version": ({"schema_version": "2.0"}, "E-VERSION schema_version"),
    "unknown rule": ({"confirmed": ["everything"]}, "E-CHOICE confirmed[0]"),
    "NaN": ({"crp": {"value": float("nan"), "unit": "mg/L"}}, "E-NUMBER crp"),
    "infinite": ({"crp": {"value": float("inf"), "unit": "mg/L"}}, "E-NUMBER crp"),
    "huge": ({"crp": {"value": 10**5000, "unit": "mg/L"}}, "E-NUMBER crp"),
    "too many digits": ({"crp": {"value": 1.2345678901234567, "unit": "mg/L"}}, "E-NUMBER crp"),
    "truth for a number": ({"crp": {"value": True, "unit": "mg/L"}}, "E-NUMBER crp"),
}


def lines(raw, context=BARE):
    result = validate(raw, context)
    assert not isinstance(result, ClinicalRecord)
    return [str(problem) for problem in result]


@pytest.mark.parametrize(("members", "message"), STATED.values(), ids=STATED)
def test_a_stated_mistake_gives_exactly_its_message(members, message):
    assert lines(change(CT_RECORD, **members)) == [message]


def test_a_missing_metric_says_how_to_leave_it_out():
    raw = change(CT_RECORD)
    del raw["crp"]
    assert lines(raw) == [f'E-REQUIRED crp: missing. Give a value or say why not with "absent": {ABSENT}.']


@pytest.mark.parametrize(("members", "start"), OTHERS.values(), ids=OTHERS)
def test_each_other_mistake_gives_one_message_at_its_place(members, start):
    found = lines(change(CT_RECORD, **members))
    assert len(found) == 1
    assert found[0].startswith(start)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_form():
    raw = change(CT_RECORD, crp=148, age={"value": 93}, indication={"code": "other", "text": "see Dr Quaglione"})
    assert [line.split()[1] for line in lines(raw)] == ["age:", "crp:", "indication.text:"]


@pytest.mark.parametrize(
    "members",
    [
        {"white_cell_count": {"value": 6.4, "unit": "Quaglione"}},
        {"sex": {"value": "Quaglione"}},
        {"Quaglione 1": 1},
        {"rt_pcr": {"status": "Quaglione"}},
        {"indication": {"code": "Quaglione"}},
        {"outcome": {"status": "died", "day": "Quaglione"}},
    ],
)
def test_a_message_never_repeats_free_text(members):
    assert "uaglion" not in "".join(lines(change(CT_RECORD, **members)))


def test_a_field_named_after_the_patient_is_not_named(facts):
    assert "uaglion" not in "".join(lines(change(CT_RECORD, quaglione=1), facts))


def test_an_error_has_one_line_a_problem_and_exit_code_two():
    with pytest.raises(InputError) as raised:
        accept(change(CT_RECORD, crp=148, age={"value": 93}), BARE)
    assert raised.value.exit_code is ExitCode.BAD_INPUT
    assert [line.split(" ")[0] for line in raised.value.details] == ["E-AGE", "E-TYPE"]


def test_a_likely_cause_is_offered_on_a_line_of_its_own():
    with pytest.raises(InputError) as raised:
        accept(change(CT_RECORD, white_cell_count={"value": 6400, "unit": "10*9/L"}), BARE)
    assert raised.value.details[1] == "  This looks like cells/uL; 6400 /uL is 6.4 10*9/L."


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("white_cell_counts", "white_cell_count"),
        ("WCC", "white_cell_count"),
        ("PaO2", "po2"),
        ("p02", "po2"),
        ("Sexx", "sex"),
    ],
)
def test_a_misspelt_field_is_answered_with_the_right_one(name, meant):
    with pytest.raises(InputError) as raised:
        accept(change(CT_RECORD, **{name: 1}), BARE)
    assert raised.value.details[1] == f"  Did you mean {meant}?"


@pytest.mark.parametrize("name", ["dob", "nhs_number", "patientName", "hospital_id", "consultant"])
def test_a_field_named_for_a_kind_of_thing_is_named(name):
    assert lines(change(CT_RECORD, **{name: 1}))[0].startswith(f"E-UNKNOWN-FIELD {name}: ")


@pytest.mark.parametrize(
    "name",
    ["quaglione", "smith_john", "name_quaglione", "PatientQuaglione", "n9434765919", "p19470312", "patient name", ""],
)
def test_a_field_named_for_a_person_is_not_named(name):
    assert lines(change(CT_RECORD, **{name: 1}))[0].startswith("E-UNKNOWN-FIELD (unnamed): ")


@pytest.mark.parametrize("raw", [None, [], "text", 3, True, [CT_RECORD]])
def test_what_is_no_object_is_refused(raw):
    assert lines(raw) == ["E-TYPE: the clinical record must be one JSON object, in curly brackets."]


BROKEN = {
    "not JSON": (b"{", "E-JSON: this is not JSON: see line 1, column 2."),
    "empty": (b" \r\n", "E-JSON: the file is empty."),
    "decimal comma": (b'{"crp": {"value": 6,4}}', "E-JSON: this is not JSON: see line 1, column 21."),
    "single quotes": (b"{'crp': 1}", "E-JSON: this is not JSON: see line 1, column 2."),
    "trailing comma": (b'{"crp": 1,}', "E-JSON: this is not JSON: see line 1, column"),
    "not UTF-8": (b'{"a": "\xe9"}', "E-FILE: the file is not UTF-8 text"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "E-FILE: the file is not UTF-8 text"),
    "too large": (b"[" * (10 * 1024 * 1024), "E-FILE: the file is larger than 256 KiB"),
    "deep": (b"[" * 100_000, "E-DEPTH: the data are nested more deeply"),
    "deep and closed": (b'{"crp":' * 5000 + b"1" + b"}" * 5000, "E-DEPTH"),
}


@pytest.mark.parametrize(("data", "start"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_gets_a_plain_message(data, start):
    with pytest.raises(InputError) as raised:
        accept(json_file.parse(data), BARE)
    assert raised.value.details[0].startswith(start)


RAW_NUMBERS = {
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "exponent": "1e999999999",
    "long": "1" * 5000,
    "long fraction": "0." + "3" * 30,
}


@pytest.mark.parametrize("number", RAW_NUMBERS.values(), ids=RAW_NUMBERS)
def test_a_number_that_cannot_be_stored_is_refused_where_it_stands(number):
    text = json.dumps(CT_RECORD).replace('"value": 148', f'"value": {number}')
    assert [line[:13] for line in lines(json_file.parse(text.encode()))] == ["E-NUMBER crp:"]


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 41, "0." + "3" * 60, "1e999999999"])
def test_a_number_that_is_too_long_is_called_so(number):
    text = json.dumps(CT_RECORD).replace('"value": 148', f'"value": {number}')
    assert lines(json_file.parse(text.encode())) == [
        "E-NUMBER crp: this number is too long or too large to be a result."
    ]


def test_a_repeated_name_is_refused_where_it_stands():
    text = json.dumps(CT_RECORD).replace('"value": 148', '"value": 148, "value": 149')
    assert lines(json_file.parse(text.encode())) == ["E-DUPLICATE crp.value: this name occurs twice. Keep one of them."]


@pytest.mark.parametrize(
    "wrap",
    [lambda data: b"\xef\xbb\xbf" + data, lambda data: data.replace(b"\n", b"\r\n")],
    ids=["BOM", "CRLF"],
)
@pytest.mark.parametrize("record", [CT_RECORD, CXR_RECORD], ids=["CT", "CXR"])
def test_byte_order_mark_and_line_ends_make_no_difference(record, wrap):
    data = json.dumps(record, indent=1).encode()
    assert accept(json_file.parse(wrap(data)), BARE).data == record


def test_a_missing_file_is_not_named(tmp_path):
    with pytest.raises(InputError) as raised:
        json_file.read(tmp_path / "quaglione.json")
    assert "quaglione" not in str(raised.value) + "".join(raised.value.details)


def test_depth_and_length_are_bounded():
    deep: object = 1
    for _ in range(20):
        deep = {"value": deep}
    assert lines(change(CT_RECORD, crp=deep))[0].startswith("E-DEPTH crp.value")
    assert lines(change(CT_RECORD, confirmed=["crp-extreme"] * 500))[0].startswith("E-TYPE confirmed")
    assert lines(change(CT_RECORD, crp=b"148"))[0] == "E-TYPE crp: this is not a JSON value."
