"""What one way in accepts, the others accept, with an equal record."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bsti_submit.clinical import entry, form, lines, rules, units
from bsti_submit.clinical.facts import Context, OfferedPrior
from bsti_submit.clinical.problem import ProblemError
from bsti_submit.clinical.questions import questions
from bsti_submit.clinical.record import ClinicalRecord, validate
from bsti_submit.clinical.sources import json_file, manifest
from bsti_submit.clinical.sources.prompt import ask
from bsti_submit.clinical.structure import plain_tree
from bsti_submit.errors import InputError
from bsti_submit.model import new_case_id

from .samples import CT_RECORD, change, context
from .test_manifest import CT_ROW, sheet

SHORT = {reason: key for key, reason in form.ABSENT_KEYS.items()}
CASE_IDS = [new_case_id() for _ in range(3)]
PHRASES = [
    "Fall from standing; incidental basal opacity",
    "?empyema",
    "cough (dry), worse at night",
    "CURB-65 3 / unwell",
]


def maybe(strategy):
    return st.none() | strategy


def without_none(part):
    return {name: value for name, value in part.items() if value is not None}


def tenths(low, high, places=1):
    return st.decimals(low, high, places=places).map(lambda number: number.normalize() + 0)


@st.composite
def results(draw, metric):
    """A laboratory value as it was reported in any unit, converted by the tool's own arithmetic, or a reason."""
    if draw(st.integers(0, 4)) == 0:
        return {"absent": draw(st.sampled_from(list(SHORT)))}
    quantity = form.QUANTITIES[metric]
    unit = draw(st.sampled_from(quantity.units))
    factor = Decimal(1) if unit == quantity.unit else units.FACTORS[unit, quantity.unit]
    typed = draw(tenths(0, int(min(quantity.high / factor, 10_000)), 2))
    value = units.convert(typed, unit, quantity.unit)
    assume(quantity.low <= value <= quantity.high)
    part = {"value": value, "unit": quantity.unit, "day": draw(maybe(st.integers(-30, 30)))}
    if unit != quantity.unit:
        part["reported"] = {"value": typed, "unit": unit}
    if metric == "po2":
        part["sample"] = draw(st.sampled_from(form.CHOICES["po2.sample"]))
        part["fio2"] = draw(maybe(tenths("0.21", 1, 2)))
    else:
        part["comparator"] = draw(maybe(st.sampled_from(units.COMPARATORS)))
        assume((value, part["comparator"]) != (0, "<"))  # nothing is less than none
    return without_none(part)


@st.composite
def saturations(draw):
    if draw(st.integers(0, 4)) == 0:
        return {"absent": draw(st.sampled_from(list(SHORT)))}
    return without_none(
        {
            "value": draw(tenths(30, 100)),
            "unit": "%",
            "fio2": draw(maybe(tenths("0.21", 1, 2))),
            "oxygen_flow_l_min": draw(maybe(tenths("0.1", 80))),
            "day": draw(maybe(st.integers(-30, 30))),
        }
    )


@st.composite
def pcr(draw):
    status = draw(st.sampled_from(form.CHOICES["rt_pcr.status"]))
    if status in {"not-done", "unknown"} or draw(st.booleans()):
        return {"status": status}
    test = st.fixed_dictionaries(
        {"result": st.sampled_from(form.CHOICES["rt_pcr.tests[].result"]), "day": st.integers(-365, 365)},
        optional={"specimen": st.sampled_from(form.CHOICES["rt_pcr.tests[].specimen"])},
    )
    tests = draw(st.lists(test, min_size=1, max_size=4))
    return {"status": rules.derived_status([test["result"] for test in tests]), "tests": tests}


@st.composite
def priors(draw):
    value = draw(st.sampled_from(form.CHOICES["prior_imaging.value"]))
    if value != "yes":
        return {"value": value}
    study = st.fixed_dictionaries(
        {
            "modality": st.sampled_from(form.CHOICES["prior_imaging.studies[].modality"]),
            "days_before": st.integers(0, 3650),
            "included": st.booleans(),
        },
        optional={"case_id": st.sampled_from(CASE_IDS)},
    )
    studies = draw(st.lists(study, min_size=1, max_size=4, unique_by=lambda one: (one["modality"], one["days_before"])))
    return {"value": "yes", "studies": studies}


@st.composite
def outcomes(draw):
    return draw(
        st.fixed_dictionaries(
            {"status": st.sampled_from(form.CHOICES["outcome.status"])},
            optional={
                "day": st.integers(0, 365),
                "itu_admission": st.sampled_from(form.CHOICES["outcome.itu_admission"]),
                "intubation": st.sampled_from(form.CHOICES["outcome.intubation"]),
            },
        ).filter(lambda part: "itu_admission" in part or "intubation" not in part)
    )


@st.composite
def records(draw):
    age = draw(st.integers(0, 89) | st.just("90+") | st.sampled_from(form.DEMOGRAPHIC_ABSENT))
    sex = draw(st.sampled_from([*form.CHOICES["sex.value"], *form.DEMOGRAPHIC_ABSENT]))
    code = draw(st.sampled_from([*form.INDICATIONS, *SHORT]))
    record = {
        "schema_version": "1.0",
        "index_imaging": {"modality": draw(st.sampled_from(form.CHOICES["index_imaging.modality"]))},
        "age": {"absent": age} if age in form.DEMOGRAPHIC_ABSENT else {"value": age, "source": "entered"},
        "sex": {"absent": sex} if sex in form.DEMOGRAPHIC_ABSENT else {"value": sex, "source": "entered"},
        "symptom_onset": draw(
            maybe(
                st.integers(-30, 365).map(lambda days: {"value": days})
                | st.just({"asymptomatic": True})
                | st.sampled_from(list(SHORT)).map(lambda reason: {"absent": reason})
            )
        ),
        "white_cell_count": draw(results("white_cell_count")),
        "crp": draw(results("crp")),
        "po2": draw(results("po2")),
        "spo2": draw(maybe(saturations())),
        "indication": {"absent": code} if code in SHORT else {"code": code},
        "rt_pcr": draw(pcr()),
        "prior_imaging": draw(priors()),
        "outcome": draw(maybe(outcomes())),
    }
    if code == "other":
        record["indication"]["text"] = draw(st.sampled_from(PHRASES))
    sent = {record["index_imaging"]["modality"]} | {
        study["modality"] for study in record["prior_imaging"].get("studies", ()) if study["included"]
    }
    reporting = {
        name: draw(maybe(st.sampled_from(form.CHOICES[f"reporting.{name}"])))
        for name, modality in (("ct_bsti", "CT"), ("cxr_bsti", "CXR"), ("severity", None))
        if modality in sent | {None}
    }
    record["reporting"] = without_none(reporting) or None
    record = without_none(record)
    tree, _ = plain_tree(record)
    if confirmed := sorted(doubt.rule for doubt in rules.doubts(tree, None)):
        record["confirmed"] = confirmed
    return record


def folder(record):
    """A folder that holds the priors which the record says go along."""
    studies = record["prior_imaging"].get("studies", ())
    return Context(
        priors=tuple(
            OfferedPrior(study["modality"], study["days_before"], number)
            for number, study in enumerate(studies, start=2)
            if study["included"]
        )
    )


def text_of(number):
    return units.plain(number)


def reported(part):
    """The value and unit as they were reported."""
    value = part.get("reported", part)
    return part.get("comparator", "") + text_of(value["value"]), value["unit"]


def as_row(record):
    row = {
        "study_path": "case",
        "index_modality": record["index_imaging"]["modality"],
        "age_years": str(record["age"].get("value") or SHORT.get(record["age"].get("absent"), "0")),
        "sex": record["sex"].get("value") or SHORT[record["sex"]["absent"]],
        "indication_code": record["indication"].get("code") or SHORT[record["indication"]["absent"]],
        "indication_text": record["indication"].get("text", ""),
        "pcr_status": record["rt_pcr"]["status"],
        "pcr_tests": ";".join(f"{test['result']}@{test['day']}" for test in record["rt_pcr"].get("tests", ())),
        "pcr_specimens": ";".join(test.get("specimen", "") for test in record["rt_pcr"].get("tests", ())),
        "prior_imaging": record["prior_imaging"]["value"],
        "confirmed": ";".join(record.get("confirmed", ())),
    }
    studies = record["prior_imaging"].get("studies", ())
    row["prior_studies"] = ";".join(f"{study['modality']}@{study['days_before']}" for study in studies)
    row["prior_case_id"] = ";".join(study.get("case_id", "") for study in studies)
    onset = record.get("symptom_onset", {})
    row["symptom_onset_days"] = SHORT.get(onset.get("absent"), str(onset.get("value", "")))
    row["asymptomatic"] = "yes" if "asymptomatic" in onset else ""
    for metric, column in (("white_cell_count", "wcc"), ("crp", "crp"), ("po2", "po2"), ("spo2", "spo2")):
        part = record.get(metric, {})
        if "absent" in part:
            row[column] = SHORT[part["absent"]]
        elif part:
            row[column], unit = reported(part)
            if metric != "spo2":
                row[f"{column}_unit"] = unit
            row[f"{column}_day"] = str(part.get("day", ""))
    row["po2_sample"] = record["po2"].get("sample", "")
    for metric in ("po2", "spo2"):
        if "fio2" in record.get(metric, {}):
            row[f"{metric}_fio2"] = text_of(record[metric]["fio2"])
    if "oxygen_flow_l_min" in record.get("spo2", {}):
        row["oxygen_flow_l_min"] = text_of(record["spo2"]["oxygen_flow_l_min"])
    row |= record.get("reporting", {})
    outcome = record.get("outcome", {})
    row |= {"outcome": outcome.get("status", ""), "outcome_day": str(outcome.get("day", ""))}
    row |= {"itu": outcome.get("itu_admission", ""), "intubation": outcome.get("intubation", "")}
    return row


def through_manifest(record, context):
    out = io.StringIO()
    writer = csv.DictWriter(out, (*manifest.COLUMNS, *manifest.ADDED_COLUMNS), restval="")
    writer.writeheader()
    writer.writerow(as_row(record))
    (row,) = manifest.parse(out.getvalue().encode()).require_valid()
    return validate(row.record.data, context)


def at(part):
    return f" @{part['day']}" if "day" in part else ""


def as_answers(record):
    answers = {
        "index_imaging": record["index_imaging"]["modality"],
        "age": str(record["age"].get("value", SHORT.get(record["age"].get("absent")))),
        "sex": record["sex"].get("value") or SHORT[record["sex"]["absent"]],
        "indication": record["indication"].get("code") or SHORT[record["indication"]["absent"]],
        "indication.text": record["indication"].get("text", ""),
        "rt_pcr": record["rt_pcr"]["status"],
        "rt_pcr.tests": ", ".join(
            f"{test['result']} {test['day']} {test.get('specimen', '')}" for test in record["rt_pcr"].get("tests", ())
        ),
        "prior_imaging": {"no": "no", "unknown": "u", "yes": ""}[record["prior_imaging"]["value"]],
    }
    if studies := record["prior_imaging"].get("studies"):
        answers["prior_imaging"] = ", ".join(
            f"{study['modality']} {study['days_before']} {study.get('case_id', '')}" for study in studies
        )
    onset = record.get("symptom_onset", {})
    answers["symptom_onset"] = SHORT.get(
        onset.get("absent"), "none" if "asymptomatic" in onset else str(onset.get("value", ""))
    )
    for metric in ("white_cell_count", "crp", "po2", "spo2"):
        part = record.get(metric, {})
        if "absent" in part:
            answers[metric] = SHORT[part["absent"]]
        elif part:
            value, unit = reported(part)
            pieces = [value, unit if metric != "spo2" else "", part.get("sample", "")]
            pieces.append(text_of(part["fio2"]) if "fio2" in part else "")
            pieces.append(f"{text_of(part['oxygen_flow_l_min'])} l/min" if "oxygen_flow_l_min" in part else "")
            answers[metric] = " ".join(piece for piece in pieces if piece) + at(part)
    answers |= {f"reporting.{name}": value for name, value in record.get("reporting", {}).items()}
    outcome = record.get("outcome", {})
    answers |= {"outcome": outcome.get("status", ""), "outcome.day": str(outcome.get("day", ""))}
    answers["outcome.itu_admission"] = f"{outcome.get('itu_admission', '')} {outcome.get('intubation', '')}"
    return answers


def through_prompt(record, context):
    answers = as_answers(record)
    titles = [(question.title, question.key) for question in questions(context)]
    out = io.StringIO()
    said = {"line": ""}

    def read(prompt):
        shown = out.getvalue()
        if prompt.startswith("again"):
            return said["line"]
        if prompt.startswith("Number"):
            return "done"
        last = max(titles, key=lambda title: shown.rfind(title[0]))[1]
        if last.rpartition(".")[2] != "day" and last not in {"po2.fio2", "spo2.fio2"}:
            said["line"] = answers.get(last, "")
            if last == "po2":
                # Only the value is typed again.
                said["line"] = answers["po2"]
            return answers.get(last, "")
        return answers.get(last, "") if last == "outcome.day" else ""

    return ask(Console(file=out, width=200), context, read_line=read)


QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@QUICK
@given(records())
def test_json_csv_and_prompt_accept_the_same(record):
    context = folder(record)
    direct = validate(record, context)
    if not isinstance(direct, ClinicalRecord):
        # The only thing left to chance: a blood gas that no oxygen can explain.
        assert {problem.code for problem in direct} == {"E-PO2-IMPOSSIBLE"}
        return
    typed = json_file.parse(json.dumps(record, default=float).encode())
    assert validate(typed, context) == direct
    assert through_manifest(record, context) == direct
    assert through_prompt(record, context) == direct


@QUICK
@given(records())
def test_an_accepted_record_is_accepted_again_unchanged(record):
    made = validate(record, folder(record))
    if isinstance(made, ClinicalRecord):
        assert validate(made.data, folder(record)) == made
        assert validate(json_file.parse(made.canonical_json())) == made


def told(result):
    """What is wrong, as every way in tells it."""
    return set() if isinstance(result, ClinicalRecord) else set(map(str, result))


def told_by_sheet(**cells):
    out = io.StringIO()
    writer = csv.DictWriter(out, (*manifest.COLUMNS, *manifest.ADDED_COLUMNS), restval="")
    writer.writeheader()
    writer.writerow({**CT_ROW, **cells})
    return {str(problem.problem) for problem in manifest.parse(out.getvalue().encode()).problems}


def number_lines():
    return st.tuples(
        st.sampled_from(["", *units.COMPARATORS]),
        st.decimals(-20, 3000, places=2).map(lambda number: number.normalize() + 0),
    )


@QUICK
@given(st.sampled_from([("white_cell_count", "wcc"), ("crp", "crp")]), number_lines())
def test_a_result_is_refused_in_the_same_words_whichever_way_it_comes(names, line):
    metric, column = names
    comparator, number = line
    unit = form.QUANTITIES[metric].unit
    part = without_none({"value": number, "unit": unit, "comparator": comparator or None})
    in_file = told(validate(change(CT_RECORD, **{metric: part})))
    in_sheet = told_by_sheet(**{column: f"{comparator}{text_of(number)}", f"{column}_unit": unit})
    typed = lines.lab(metric, f"{comparator}{text_of(number)}", None)
    assert in_file == in_sheet == told(validate(change(CT_RECORD, **{metric: typed})))


@QUICK
@given(
    st.decimals(0, 100, places=1),
    st.sampled_from(form.CHOICES["po2.sample"]),
    st.decimals("0.1", "1.2", places=2),
    st.sampled_from(["kPa", "mm[Hg]"]),
)
def test_a_blood_gas_is_refused_in_the_same_words_whichever_way_it_comes(number, sample, fio2, unit):
    value = units.convert(number, unit, "kPa")
    part = {"value": value, "unit": "kPa", "sample": sample, "fio2": fio2}
    if unit != "kPa":
        part["reported"] = {"value": number, "unit": unit}
    in_file = told(validate(change(CT_RECORD, po2=part)))
    cells = {"po2": text_of(number), "po2_unit": unit, "po2_sample": sample, "po2_fio2": text_of(fio2), "po2_day": ""}
    typed = lines.po2(f"{text_of(number)} {unit} {sample} {text_of(fio2)}", None)
    assert in_file == told_by_sheet(**cells) == told(validate(change(CT_RECORD, po2=typed)))


@QUICK
@given(
    st.sampled_from(form.CHOICES["rt_pcr.status"]),
    st.lists(st.tuples(st.sampled_from(form.CHOICES["rt_pcr.tests[].result"]), st.integers(-400, 400)), max_size=12),
)
def test_rt_pcr_is_refused_in_the_same_words_whichever_way_it_comes(status, tests):
    part = {"status": status}
    if tests:
        part["tests"] = [{"result": result, "day": day} for result, day in tests]
    in_file = told(validate(change(CT_RECORD, rt_pcr=part)))
    listed = [f"{result}@{day}" for result, day in tests]
    assert in_file == told_by_sheet(pcr_status=status, pcr_tests=";".join(listed), pcr_specimens="")
    if tests:
        typed = {"status": status, "tests": lines.tests(", ".join(f"{result} {day}" for result, day in tests), None)}
        assert in_file == told(validate(change(CT_RECORD, rt_pcr=typed)))


@QUICK
@given(st.text(alphabet="abcdefgh ABC012,.;:()/+%<>?'-=@ ", min_size=1, max_size=40))
def test_a_text_is_judged_alike_whichever_way_it_comes(text):
    assume(text.strip())
    in_file = told(validate(change(CT_RECORD, indication={"code": "other", "text": text})))
    assert in_file == told_by_sheet(indication_code="other", indication_text=text)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["CT", "mg/L", "positive", "90+"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["value", "unit", "absent", "studies", "tests"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@QUICK
@given(json_values | st.dictionaries(st.sampled_from([*form.LABELS, "confirmed", "case_id"]), json_values, max_size=6))
def test_nothing_that_json_can_say_breaks_the_validator(raw):
    result = validate(raw)
    assert isinstance(result, tuple)
    assert all(str(problem) for problem in result)


@QUICK
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_break_the_readers(data):
    for reader in (json_file.parse, manifest.parse):
        with suppress(InputError):
            reader(data)


@pytest.mark.parametrize("word", [*entry.STATUSES, *form.CHOICES["rt_pcr.status"]])
def test_a_sheet_takes_every_word_for_a_status_that_the_prompt_takes(word):
    status = lines.pcr_status(word)
    (row,) = manifest.parse(sheet({**CT_ROW, "pcr_status": word, "pcr_tests": "", "pcr_specimens": ""})).require_valid()
    assert row.record.data["rt_pcr"] == {"status": status}


@given(st.data())
def test_no_line_breaks_a_question(data):
    question = data.draw(st.sampled_from(questions(context())))
    line = data.draw(st.text(max_size=40) | st.text("0123456789.,<>=@+-/% abceglmnoprstu", max_size=20))
    with suppress(ProblemError):
        part, notes = question.read(line, {})
        assert plain_tree(part)[0] is not None
        assert all(note.text for note in notes)
