"""The canonical record, the confirmations, and the wrong-patient guard."""

from __future__ import annotations

import json

import pytest

from bsti_submit.clinical.facts import OfferedPrior
from bsti_submit.clinical.record import (
    ClinicalRecord,
    accept,
    included_studies,
    schema,
    template_json,
    validate,
)
from bsti_submit.errors import ExitCode, HeldError, InputError
from bsti_submit.model import new_case_id
from bsti_submit.phi import Identified

from .samples import BARE, CT_RECORD, CXR_RECORD, change, context, header_age


@pytest.mark.parametrize("record", [CT_RECORD, CXR_RECORD], ids=["CT", "CXR"])
def test_a_good_record_stays_as_it_is(record):
    assert accept(record, BARE).data == record


def test_the_canonical_form_is_sorted_compact_and_digested():
    made = accept(CXR_RECORD, BARE)
    assert made.canonical_json().startswith(b'{"age":{"source":"dicom-birthdate","value":"90+"},"crp":')
    assert len(made.sha256) == 64
    assert made == accept(json.loads(made.canonical_json()), BARE)
    assert made != accept(CT_RECORD, BARE)


def test_a_record_cannot_be_changed():
    made = accept(CT_RECORD, BARE)
    made.data["age"] = "changed"
    assert made.data["age"] == CT_RECORD["age"]
    with pytest.raises(AttributeError):
        made.notes = ()


def test_the_same_number_is_one_record_however_it_is_written():
    assert accept(change(CT_RECORD, crp={"value": 96.0, "unit": "mg/L", "day": 0.0}), BARE) == accept(
        change(CT_RECORD, crp={"value": 96, "unit": "mg/l", "day": 0}), BARE
    )


def test_abnormal_values_are_flagged_and_stop_nothing():
    notes = accept(change(CT_RECORD, white_cell_count={"value": 13.1, "unit": "10*9/L", "day": 5}), BARE).notes
    assert [str(note) for note in notes] == [
        "warning white_cell_count: high (reference 4.0-11.0 x10^9/L).",
        "warning crp: high (reference <5 mg/L).",
        "warning spo2: low (reference 94% or more).",
        "warning white_cell_count: the sample is 5 days from the imaging.",
    ]


def test_a_childs_white_cells_are_not_held_against_the_adult_range():
    record = change(
        CT_RECORD,
        age={"value": 4},
        white_cell_count={"value": 13.1, "unit": "10*9/L"},
        confirmed=["age-under-18"],
    )
    assert "white_cell_count" not in [note.path for note in accept(record, BARE).notes]


@pytest.mark.parametrize(
    ("po2", "flag"),
    [
        ({"value": 7.9, "sample": "arterial", "fio2": 0.28}, "low: below 8 kPa is hypoxaemia."),
        ({"value": 9.1, "sample": "arterial"}, "low (reference 10-13 kPa, arterial on air)."),
        ({"value": 9.1, "sample": "arterial", "fio2": 0.28}, None),
        ({"value": 14, "sample": "arterial", "fio2": 0.21}, "high (reference 10-13 kPa, arterial on air)."),
        ({"value": 5, "sample": "venous"}, "venous: not used for severity."),
        ({"value": 5, "sample": "unknown"}, None),
    ],
)
def test_a_blood_gas_is_flagged_by_its_sample(po2, flag):
    notes = accept(change(CT_RECORD, po2={"unit": "kPa", **po2}), BARE).notes
    assert [note.text for note in notes if note.path == "po2"] == ([flag] if flag else [])


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"white_cell_count": {"value": 0.4, "unit": "10*9/L"}}, "wcc-extreme"),
        ({"crp": {"value": 612, "unit": "mg/L"}}, "crp-extreme"),
        ({"po2": {"value": 21, "unit": "kPa", "sample": "unknown"}}, "po2-no-fio2"),
        ({"age": {"value": 17}}, "age-under-18"),
    ],
)
def test_a_suspicious_value_passes_once_its_rule_is_confirmed(members, rule):
    with pytest.raises(InputError):
        accept(change(CT_RECORD, **members), BARE)
    assert accept(change(CT_RECORD, **members, confirmed=[rule]), BARE).data["confirmed"] == [rule]


def test_confirming_beforehand_what_never_happened_leaves_no_trace():
    made = accept(change(CT_RECORD, confirmed=["crp-extreme", "age-under-18"]), BARE)
    assert made == accept(CT_RECORD, BARE)
    assert any(note.path == "confirmed" for note in made.notes)


def test_rules_of_the_guard_wait_for_the_images():
    record = accept(change(CT_RECORD, confirmed=["age-differs"]))
    assert record.data["confirmed"] == ["age-differs"]
    assert accept(record.data, context(age=header_age(50))).data["confirmed"] == ["age-differs"]
    assert "confirmed" not in accept(record.data, context()).data
    assert accept(record.data, context(age=None)).data["confirmed"] == ["age-differs"]


DIFFERENT = {
    "age": {"age": header_age(66)},
    "sex": {"sex": "F"},
    "index": {"index_modality": "CXR", "priors": None},
}


@pytest.mark.parametrize("facts", DIFFERENT.values(), ids=DIFFERENT)
def test_a_record_of_somebody_else_is_held(facts):
    with pytest.raises(HeldError) as raised:
        accept(CT_RECORD, context(**facts))
    assert raised.value.exit_code is ExitCode.HELD
    assert len(raised.value.details) == 1


@pytest.mark.parametrize("rule", ["age-differs", "sex-differs"])
def test_a_confirmed_difference_passes(rule):
    facts = context(**DIFFERENT[rule.removesuffix("-differs")])
    assert accept(change(CT_RECORD, confirmed=[rule]), facts).data["confirmed"] == [rule]


def test_a_mistake_beside_a_difference_is_bad_input():
    with pytest.raises(InputError):
        accept(change(CT_RECORD, crp=148), context(sex="F"))


@pytest.mark.parametrize(("suffix", "held"), [("437", False), ("438", True)])
def test_the_end_of_the_hospital_number_is_compared(facts, suffix, held):
    result = validate(CT_RECORD, facts, id_suffix=Identified(suffix))
    assert isinstance(result, ClinicalRecord) is not held
    if held:
        assert [problem.code for problem in result] == ["E-SUFFIX"]
        assert suffix not in str(result)


@pytest.mark.parametrize("matcher", [None, lambda _: None])
def test_a_suffix_that_cannot_be_compared_holds_the_row(matcher):
    with pytest.raises(HeldError):
        accept(CT_RECORD, context(suffix_matches=matcher), id_suffix=Identified("437"))


def test_this_patients_own_words_are_refused_in_the_indication(facts):
    result = validate(change(CT_RECORD, indication={"code": "other", "text": "cough, seen with Quaglione"}), facts)
    assert [str(problem) for problem in result] == [
        "E-PHI indication.text: contains a word or number from this patient's own images. Remove it; the text was not saved."
    ]


def test_a_prior_said_to_go_along_must_be_in_the_folder():
    result = validate(CT_RECORD, context(priors=()))
    assert [problem.code for problem in result] == ["E-PRIOR-MISSING"]


def test_one_study_of_the_folder_is_not_two_priors(facts):
    twice = {"value": "yes", "studies": [{"modality": "CXR", "days_before": 4, "included": True}] * 2}
    result = validate(change(CT_RECORD, prior_imaging=twice), facts)
    assert [problem.path for problem in result] == ["prior_imaging.studies[1]"]


def test_a_listed_prior_goes_along_if_the_folder_holds_it():
    studies = [{"modality": "CXR", "days_before": 4}, {"modality": "CT", "days_before": 30}]
    facts = context(priors=(OfferedPrior("CXR", 4, 2), OfferedPrior("MR", 9, 3)))
    made = accept(change(CT_RECORD, prior_imaging={"value": "yes", "studies": studies}), facts)
    assert [study["included"] for study in made.data["prior_imaging"]["studies"]] == [True, False]
    assert included_studies(made, facts) == (2,)


def test_a_prior_that_was_not_chosen_stays_behind():
    facts = context(priors=(OfferedPrior("CXR", 4, 2, included=False),))
    studies = [{"modality": "CXR", "days_before": 4}]
    made = accept(change(CT_RECORD, prior_imaging={"value": "yes", "studies": studies}), facts)
    assert made.data["prior_imaging"]["studies"][0]["included"] is False
    assert included_studies(made, facts) == ()


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"outcome": {"status": "died", "day": 300}}, "outcome.day"),
        (
            {"rt_pcr": {"status": "positive", "tests": [{"result": "positive", "day": 299}]}},
            "rt_pcr.tests[0].day",
        ),
    ],
)
def test_a_day_that_has_not_come_holds_the_case(facts, members, path):
    result = validate(change(CT_RECORD, **members), facts)
    assert [(problem.code, problem.path) for problem in result] == [("E-DAY-DIFFERS", path)]
    with pytest.raises(HeldError):
        accept(change(CT_RECORD, **members), facts)


def test_a_day_before_birth_holds_the_case():
    facts = context(birth_date=context().index_date, age=header_age(0))
    record = change(CT_RECORD, age={"value": 0}, confirmed=["age-under-18"])
    assert {problem.path for problem in validate(record, facts)} == {
        "rt_pcr.tests[0].day",
        "prior_imaging.studies[0].days_before",
        "symptom_onset.value",
    }
    with pytest.raises(HeldError):
        accept(record, facts)


def test_case_ids_are_stored_in_their_usual_form(facts):
    case_id = new_case_id()
    studies = [{"modality": "CXR", "days_before": 4, "case_id": case_id.lower().replace("-", " ")}]
    made = accept(change(CT_RECORD, prior_imaging={"value": "yes", "studies": studies}), facts)
    assert made.data["prior_imaging"]["studies"][0]["case_id"] == case_id


def test_typographic_quotes_of_a_word_processor_are_read():
    made = accept(
        change(CT_RECORD, indication={"code": "other", "text": "  patient\u2019s  cough \u2013 worse "}), BARE
    )
    assert made.data["indication"]["text"] == "patient's cough - worse"


def test_the_template_is_valid_and_the_schema_is_the_one_shipped():
    assert isinstance(validate(json.loads(template_json())), ClinicalRecord)
    assert schema()["$id"] == "urn:bsti-submit:schema:clinical:1.0"


def test_a_context_does_not_show_what_it_holds(facts):
    assert "1952" not in repr(facts)
    assert "67" not in repr(facts)


@pytest.mark.parametrize(
    ("stated", "images", "told"),
    [
        ("MR", "CT", "about an MR, but the index study in the folder is a CT."),
        ("CT", "MR", "about a CT, but the index"),
    ],
)
def test_another_kind_of_imaging_is_held(stated, images, told):
    raw = change(CT_RECORD, index_imaging={"modality": stated})
    (problem,) = (p for p in validate(raw, context(index_modality=images)) if p.code == "E-INDEX-MODALITY")
    assert problem.held
    assert told in problem.message


SENT, NOT_SENT = OfferedPrior("CXR", 4, 2, included=True), OfferedPrior("CXR", 4, 2, included=False)


def listing(**members):
    return {"value": "yes", "studies": [{"modality": "CXR", "days_before": 4, **members}]}


CHOSEN = {
    "denied": (SENT, {"value": "no"}, "E-CHOICE prior_imaging: an earlier study goes along"),
    "unknown": (SENT, {"value": "unknown"}, "E-CHOICE prior_imaging: an earlier study goes along"),
    "kept back": (SENT, listing(included=False), "E-LIST prior_imaging: the CXR from 4 days before goes along"),
    "another": (
        SENT,
        {"value": "yes", "studies": [{"modality": "CT", "days_before": 9}]},
        "E-LIST prior_imaging: the CXR from 4 days before goes along",
    ),
    "not chosen": (
        NOT_SENT,
        listing(included=True),
        "E-PRIOR-MISSING prior_imaging.studies[0]: the CXR from 4 days before the imaging was not chosen to go along.",
    ),
}


@pytest.mark.parametrize(("offered", "prior", "told"), CHOSEN.values(), ids=CHOSEN)
def test_a_record_that_contradicts_what_was_chosen_to_go_along_is_refused(offered, prior, told):
    raw = change(CT_RECORD, prior_imaging=prior)
    (problem,) = validate(raw, context(priors=(offered,), priors_chosen=True))
    assert str(problem).startswith(told)
    assert not problem.held


@pytest.mark.parametrize(
    ("offered", "prior"),
    [(SENT, listing()), (SENT, listing(included=True)), (NOT_SENT, listing()), (NOT_SENT, {"value": "no"})],
)
def test_a_record_that_fits_what_was_chosen_to_go_along_is_taken(offered, prior):
    record = accept(change(CT_RECORD, prior_imaging=prior), context(priors=(offered,), priors_chosen=True))
    studies = record.data["prior_imaging"].get("studies", [])
    assert [study["included"] for study in studies] == [offered.included for _ in studies]
