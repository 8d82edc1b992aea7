"""Bad input as a user gives it: through the commands and the prompt the stated code and text, and nothing is left behind."""

from __future__ import annotations

import codecs
import json
import os

import pytest
from typer.testing import CliRunner

from bsti_submit.cli.app import app
from bsti_submit.clinical.record import template_json
from bsti_submit.clinical.sources.manifest import ADDED_COLUMNS, COLUMNS, template

from .samples import CT_RECORD, CXR_RECORD, change
from .test_manifest import CT_ROW, sheet
from .test_messages import STATED
from .test_prompt import WHOLE_CASE, insert
from .test_prompt import run as talk

SECRETS = ("Quaglione", "uaglion", "943 476 5919", "9434765919", "zz81437", "case_quaglione")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to be in, and a home that must stay empty."""
    monkeypatch.setenv("BSTI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def left_behind(place):
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def refused(place, name, data, *command):
    """Run a check on a file that is wrong; return what it told."""
    file = place / "here" / name
    file.write_bytes(data)
    before = left_behind(place)
    plain = CliRunner().invoke(app, [*command, str(file)])
    told = CliRunner().invoke(app, [*command, str(file), "--json"])
    assert (plain.exit_code, told.exit_code) == (2, 2)
    assert plain.stdout == ""
    assert left_behind(place) == before
    everything = plain.stderr + told.stdout + told.stderr
    assert not any(secret in everything for secret in SECRETS)
    document = json.loads(told.stdout)["error"]
    assert document["exit_code"] == 2
    for problem in document.get("problems", ()):
        assert problem["message"] in " ".join(plain.stderr.split())
    return document


def json_problems(place, record):
    data = record if isinstance(record, bytes) else json.dumps(record).encode()
    found = refused(place, "case_quaglione.json", data, "clinical", "check")["problems"]
    return [f"{problem['code']} {problem['path']}: {problem['message']}" for problem in found]


def csv_problems(place, **cells):
    found = refused(place, "case_quaglione.csv", sheet({**CT_ROW, **cells}), "manifest", "check")["problems"]
    assert {problem["row"] for problem in found} == {2}
    return [(problem["column"], f"{problem['code']} {problem['path']}: {problem['message']}") for problem in found]


@pytest.mark.parametrize(("members", "message"), STATED.values(), ids=STATED)
def test_a_stated_mistake_in_a_file(place, members, message):
    assert json_problems(place, change(CT_RECORD, **members)) == [message]


def stated(name):
    return STATED[name][1]


IN_A_SHEET = {
    "age": ({"age_years": "121"}, ("age_years", stated("age over 89"))),
    "numeric sex": ({"sex": "1"}, ("sex", stated("numeric sex"))),
    "no unit": ({"wcc_unit": ""}, ("wcc", stated("no unit"))),
    "cells per microlitre": ({"wcc": "6400"}, ("wcc", stated("cells per microlitre"))),
    "impossible pO2": ({"po2_unit": "kPa", "po2_fio2": "0.21"}, ("po2", stated("impossible pO2"))),
    "no sample": ({"po2_sample": ""}, ("po2", stated("no sample"))),
    "status and tests": ({"pcr_status": "negative"}, ("pcr_status", stated("status and tests"))),
    "identifier": (
        {"indication_code": "other", "indication_text": "NHS 943 476 5919, worse today"},
        ("indication_text", stated("identifier in text")),
    ),
}


@pytest.mark.parametrize(("cells", "told"), IN_A_SHEET.values(), ids=IN_A_SHEET)
def test_the_same_mistake_in_a_sheet_is_told_in_the_same_words(place, cells, told):
    assert csv_problems(place, **cells) == [told]


AT_THE_PROMPT = {
    "age": (1, ["121"], stated("age over 89")),
    "numeric sex": (2, ["1"], stated("numeric sex")),
    "cells per microlitre": (7, ["6400"], stated("cells per microlitre")),
    "impossible pO2": (9, ["62 arterial 0.21 @0"], stated("impossible pO2")),
    "status and tests": (5, ["neg -4", "pos"], stated("status and tests").replace("'negative'", "'positive'", 1)),
    "identifier": (3, ["12", "NHS 943 476 5919, worse today", "<"], stated("identifier in text")),
}


@pytest.mark.parametrize(("at", "typed", "message"), AT_THE_PROMPT.values(), ids=AT_THE_PROMPT)
def test_the_same_mistake_at_the_prompt_is_told_in_the_same_words(at, typed, message):
    record, screen = talk(*insert(WHOLE_CASE, at, *typed))
    assert record.data == CT_RECORD
    words = message.partition(": ")[2]
    if "status is" in words:
        words = words.replace("give 'positive'", "give 'negative'")
    assert words.casefold() in screen.text.casefold()


def test_a_missing_metric_says_how_to_leave_it_out(place):
    record = change(CT_RECORD)
    del record["crp"]
    assert json_problems(place, record) == [
        (
            'E-REQUIRED crp: missing. Give a value or say why not with "absent": '
            "not-done, pending, unknown, withheld or not-applicable."
        )
    ]
    ((column, told),) = csv_problems(place, crp="", crp_unit="", crp_day="")
    assert (column, told.partition(". ")[0]) == ("crp", "E-REQUIRED crp: missing")


TEXT = json.dumps(CT_RECORD)
BROKEN = {
    "NaN": (TEXT.replace('"value": 148', '"value": NaN'), "E-NUMBER", "crp"),
    "Infinity": (TEXT.replace('"value": 148', '"value": Infinity'), "E-NUMBER", "crp"),
    "huge": (TEXT.replace('"value": 148', f'"value": {"9" * 400}'), "E-NUMBER", "crp"),
    "huge exponent": (TEXT.replace('"value": 148', '"value": 1e400'), "E-NUMBER", "crp"),
    "repeated name": (TEXT.replace('"value": 148', '"value": 1, "value": 148'), "E-DUPLICATE", "crp.value"),
    "repeated top": (TEXT[:-1] + ', "sex": {"value": "F"}}', "E-DUPLICATE", "sex"),
    "bare number": (TEXT.replace('"symptom_onset": {"value": 9}', '"symptom_onset": 9'), "E-TYPE", "symptom_onset"),
    "comma": (TEXT.replace('"value": 148', '"value": 6,4'), "E-JSON", ""),
    "half a day": (TEXT.replace('"day": 11', '"day": 1.5'), "E-DAY", "outcome.day"),
    "empty": ("", "E-JSON", ""),
    "list": ("[]", "E-TYPE", ""),
    "null": ("null", "E-TYPE", ""),
    "a name for a name": (TEXT[:-1] + ', "Quaglione": 1}', "E-UNKNOWN-FIELD", "(unnamed)"),
    "a name in a metric": (
        TEXT.replace('"value": 148', '"value": 148, "quaglione": 1'),
        "E-UNKNOWN-FIELD",
        "crp.(unnamed)",
    ),
    "formula": (
        json.dumps(change(CT_RECORD, indication={"code": "other", "text": "+Quaglione"})),
        "E-FORMULA",
        "indication.text",
    ),
    "UTF-16": (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "E-FILE", ""),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "E-FILE", ""),
    "Latin-1": ('{"Zo\u00eb": 1}'.encode("latin-1"), "E-FILE", ""),
    "CRLF and a comma too many": (b'{\r\n"sex": {},\r\n}', "E-JSON", ""),
}


@pytest.mark.parametrize(("text", "code", "path"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused(place, text, code, path):
    data = text if isinstance(text, bytes) else text.encode()
    found = refused(place, "clinical.json", data, "clinical", "check")["problems"]
    assert [(problem["code"], problem["path"]) for problem in found] == [(code, path)]


def test_a_decimal_comma_is_answered_with_the_number(place):
    assert "a comma: 14.8" in json_problems(place, TEXT.replace('"value": 14.8', '"value": 14,8').encode())[0]
    assert "a comma, and no quotes: 14.8" in " ".join(
        json_problems(place, change(CT_RECORD, crp={"value": "14,8", "unit": "mg/L"}))
    )


SHEETS = {
    "empty": (b"", "E-HEADER"),
    "UTF-16": (codecs.BOM_UTF16_LE + sheet(CT_ROW).decode().encode("utf-16-le"), "E-FILE"),
    "UTF-16 without a mark": (sheet(CT_ROW).decode().encode("utf-16-le"), "E-FILE"),
    "header alone": (sheet(), "E-HEADER"),
    "unknown column": (sheet(CT_ROW).replace(b"local_ref", b"quaglione", 1), "E-HEADER"),
    "semicolons": (sheet(CT_ROW).replace(b",", b";"), "E-HEADER"),
    "open quote": (sheet(CT_ROW) + b'"Quaglione,', "E-CSV"),
    "short row": (sheet(CT_ROW) + b"case_quaglione,1\r\n", "E-CSV"),
    "binary": (os.urandom(300) + b"\0", "E-FILE"),
    "NUL in a cell": (sheet({**CT_ROW, "local_ref": "A\0"}), "E-FILE"),
}


@pytest.mark.parametrize(("data", "code"), SHEETS.values(), ids=SHEETS)
def test_a_broken_sheet_is_refused(place, data, code):
    found = refused(place, "manifest.csv", data, "manifest", "check")["problems"]
    assert {problem["code"] for problem in found} == {code}


FORMULAS = ("=HYPERLINK(Quaglione)", "+Quaglione()", "@Quaglione", "\tQuaglione")


@pytest.mark.parametrize(
    ("column", "cell"), [(column, FORMULAS[place % 4]) for place, column in enumerate((*COLUMNS, *ADDED_COLUMNS))]
)
def test_a_formula_is_refused_in_every_column(place, column, cell):
    told = csv_problems(place, **{column: cell})
    assert [(where, message.split()[0]) for where, message in told] == [(column, "E-FORMULA")]


@pytest.mark.parametrize("kind", ["clinical", "manifest"])
def test_a_file_that_is_not_there_is_not_named(place, kind):
    done = CliRunner().invoke(app, [kind, "check", str(place / "case_quaglione")])
    assert done.exit_code == 2
    assert "uaglion" not in done.output + done.stderr


def test_the_template_is_valid_and_says_what_to_do_with_it(place):
    done = CliRunner().invoke(app, ["clinical", "template"])
    assert done.stdout == template_json()
    assert "clinical check" in done.stderr
    (place / "clinical.json").write_text(done.stdout)
    checked = CliRunner().invoke(app, ["clinical", "check", str(place / "clinical.json")])
    assert (checked.exit_code, checked.stdout) == (0, "The clinical file is in order.\n")


def test_the_schema_is_printed_as_one_document():
    document = json.loads(CliRunner().invoke(app, ["clinical", "schema"]).stdout)
    assert document["$id"] == "urn:bsti-submit:schema:clinical:1.0"


def test_what_is_out_of_the_ordinary_is_told_and_stops_nothing(place):
    file = place / "clinical.json"
    file.write_text(json.dumps(CT_RECORD), "utf-8-sig")
    done = CliRunner().invoke(app, ["clinical", "check", str(file)])
    assert done.exit_code == 0
    assert "Warning crp: high (reference <5 mg/L)." in done.stderr
    told = json.loads(CliRunner().invoke(app, ["clinical", "check", str(file), "--json"]).stdout)
    assert told["valid"] is True
    assert {"level": "warning", "path": "crp", "message": "high (reference <5 mg/L)."} in told["notes"]


def test_the_header_of_a_sheet_is_written_as_it_is_read(place):
    done = CliRunner().invoke(app, ["manifest", "init"])
    header = done.stdout_bytes.removesuffix(b"\r\n")
    assert header == ",".join((*COLUMNS, *ADDED_COLUMNS)).encode()
    file = place / "manifest.csv"
    file.write_bytes(template().encode("utf-8-sig"))
    checked = CliRunner().invoke(app, ["manifest", "check", str(file), "--json"])
    told = json.loads(checked.stdout)
    assert (checked.exit_code, told["rows"]) == (0, 2)
    assert {"row": 2, "level": "warning", "path": "crp", "message": "high (reference <5 mg/L)."} in told["notes"]


def test_the_hospital_numbers_of_the_site_are_known(place):
    text = {"code": "other", "text": "unwell, see QQ/77"}
    row = {**CT_ROW, "indication_code": "other", "indication_text": text["text"]}
    (place / "clinical.json").write_text(json.dumps(change(CT_RECORD, indication=text)))
    (place / "manifest.csv").write_bytes(sheet(row))
    checks = [["clinical", "check", str(place / "clinical.json")], ["manifest", "check", str(place / "manifest.csv")]]
    assert [CliRunner().invoke(app, check).exit_code for check in checks] == [0, 0]
    (place / "home").mkdir()
    (place / "home" / "site.toml").write_text('hospital_number_pattern = "qq/[0-9]{2}"')
    for check in checks:
        done = CliRunner().invoke(app, check)
        assert done.exit_code == 2
        assert "E-PHI indication.text: looks like a hospital number." in done.stderr


def test_a_pattern_that_is_none_is_told(place):
    (place / "home").mkdir()
    (place / "home" / "site.toml").write_text('hospital_number_pattern = "["')
    (place / "clinical.json").write_text(json.dumps(CT_RECORD))
    done = CliRunner().invoke(app, ["clinical", "check", str(place / "clinical.json")])
    assert done.exit_code == 7
    assert "hospital_number_pattern: must be a regular expression" in done.stderr


def test_checking_needs_no_home_and_writes_nothing(place):
    file = place / "clinical.json"
    file.write_text(json.dumps(CXR_RECORD))
    assert CliRunner().invoke(app, ["clinical", "check", str(file)]).exit_code == 0
    assert left_behind(place) == ["clinical.json"]
