"""The dialogue, driven line by line."""

from __future__ import annotations

import io
import json
from contextlib import suppress

import pytest
from rich.console import Console

from bsti_submit.clinical.facts import HeaderAge, OfferedPrior
from bsti_submit.clinical.record import ClinicalRecord, accept
from bsti_submit.clinical.sources.prompt import DraftSaved, ask
from bsti_submit.errors import ExitCode, HeldError
from bsti_submit.model import new_case_id
from bsti_submit.phi import Identified

from .samples import BARE, CT_RECORD, CXR_RECORD, change, context, header_age

WHOLE_CASE = [
    "437",  # the end of the hospital number
    "",  # age
    "",  # sex
    "2",  # indication
    "pos",  # RT-PCR
    "neg -4 upper, pos +1 lower",
    "9",  # onset
    "6.4 @0",  # white cells
    "14.8 mg/dL @0",  # CRP
    "62 mmHg arterial 0.28 @0",  # pO2
    "91 air @0",  # SpO2
    "",  # earlier imaging
    "1",  # BSTI category of the CT
    "",  # and of the radiograph that goes along
    "2",  # severity
    "2",  # outcome
    "11",  # its day
    "n n",  # intensive care, intubation
    "done",
]


class Screen:
    """A terminal that types given lines and remembers what it showed."""

    def __init__(self, *lines, facts=None, **options):
        self.lines = list(lines)
        self.out = io.StringIO()
        self.console = Console(file=self.out, width=80, **options)
        self.facts = facts if facts is not None else context()
        self.drafts = []

    def read(self, prompt):
        self.out.write(prompt)
        if not self.lines:
            raise EOFError
        line = self.lines.pop(0)
        if isinstance(line, BaseException):
            raise line
        self.out.write(f"{line}\n")
        return line

    def run(self, draft=None, keep=True):
        return ask(
            self.console,
            self.facts,
            draft=draft,
            read_line=self.read,
            keep=(lambda draft: self.drafts.append(json.loads(json.dumps(draft)))) if keep else None,
        )

    @property
    def text(self):
        return " ".join(self.out.getvalue().split())


def insert(lines, place, *more):
    index = lines.index(place) if isinstance(place, str) else place
    return [*lines[:index], *more, *lines[index:]]


def run(*lines, **options):
    screen = Screen(*lines, **options)
    return screen.run(), screen


def test_a_whole_case_takes_at_most_twenty_five_answers():
    record, screen = run(*WHOLE_CASE)
    assert record.data == CT_RECORD
    assert len(WHOLE_CASE) <= 25
    assert screen.lines == []


STEP_BY_STEP = [
    *("437", "", "", "2", "1", "neg -4 upper, pos +1 lower", "9", "6.4", "0", "14.8 mg/dL", "0"),
    *("62 mmHg", "1", "0.28", "0", "91 @0", "air", "", "1", "", "2", "2", "11", "n n", "done"),
]


def test_the_same_case_one_piece_at_a_time_fits_too():
    assert len(STEP_BY_STEP) <= 25
    assert run(*STEP_BY_STEP)[0].data == CT_RECORD


def test_a_case_with_missing_values():
    facts = context(index_modality="CXR", age=header_age(93), sex="F", priors=(), suffix_matches=None, birth_date=None)
    text = "Fall from standing; incidental basal opacity"
    answers = ["", "", "12", text, "p", "pending 0", "u", "p", "<5 @-1", "nd", "", "no", "3", "1", "", "done"]
    record, screen = run(*answers, facts=facts)
    assert record.data == CXR_RECORD
    assert "[90+, from the birth date in the images]" in screen.text
    assert "93" not in screen.text


def test_without_headers_everything_is_asked():
    record, _ = run("1", "67", "m", "u", "nd", "", "nd", "nd", "nd", "", "u", "", "", "", "done", facts=BARE)
    assert record.data["index_imaging"] == {"modality": "CT"}
    assert record.data["age"] == {"value": 67, "source": "entered"}
    assert record.data["indication"] == {"absent": "unknown"}
    assert "symptom_onset" not in record.data
    assert "reporting" not in record.data


WRONG_ANSWERS = {
    "the whole hospital number": (0, ["ZZ81437"], "give the last three letters or digits"),
    "another hospital number": (0, ["438"], "Is it the right patient?"),
    "an impossible age": (1, ["130"], "Give whole years 0 to 89"),
    "a numeric sex": (2, ["1"], "'1' is ambiguous"),
    "Enter alone": (
        3,
        [""],
        "Enter alone is no answer here; if it is missing, say why: nd not done, p result pending",
    ),
    "a number off the list": (3, ["13"], "Type a number from 1 to 12."),
    "an identifier": (3, ["12", "NHS 943 476 5919", "<"], "looks like an NHS number"),
    "the patient's name": (
        3,
        ["12", "cough, Quaglione", "<"],
        "a word or number from this patient's own images",
    ),
    "Enter for RT-PCR": (4, [""], "Enter alone is no answer here"),
    "tests that contradict": (
        5,
        ["neg -4", "pos"],
        "status is 'positive' but the listed tests give 'negative'",
    ),
    "a lateral flow test": (5, ["lateral flow -4"], "not RT-PCR"),
    "a test without a day": (5, ["neg"], "write a result and a day"),
    "cells per microlitre": (7, ["6400"], "This looks like cells/uL; 6400 /uL is 6.4 10*9/L."),
    "a comma": (7, ["6,4"], "Use a full stop, not a comma: 6.4"),
    "a far day": (7, ["6.4 @99"], "a whole number from -30 to 30"),
    "nanomoles": (8, ["96 nmol/L"], "CRP in nmol/L is not accepted"),
    "a rare CRP typed by mistake": (8, ["612 mg/L @0", "61.2"], "612 mg/L is a rare CRP"),
    "mmHg without saying so": (9, ["62 arterial 0.28", ""], "62 kPa is not possible breathing FiO2 0.28"),
    "a saturation": (9, ["91%"], "a value in % is a saturation"),
    "two samples": (9, ["8.3 arterial venous"], "is given twice"),
    "two oxygen fractions": (9, ["8.3 arterial 0.28 0.30"], "is given twice"),
    "a formula": (3, ["12", "+1 cough", "<"], "it could be a formula"),
    "a flow for a blood gas": (9, ["8.3 arterial 10L"], "A flow in litres belongs to SpO2"),
    "a fraction for SpO2": (10, ["0.91"], "This looks like a fraction"),
    "no earlier imaging though it goes along": (11, ["no"], "an earlier study goes along"),
    "a list without what goes along": (
        11,
        ["CT 400"],
        "The CXR from 4 days before goes along, so list it too.",
    ),
    "gibberish": (15, ["7"], "Type a number from 1 to 6."),
    "a control character": (3, ["\x1b[31m"], "characters that cannot be read"),
    "a long line": (3, ["1" * 600], "characters that cannot be read"),
}


@pytest.mark.parametrize(("place", "more", "words"), WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_a_wrong_answer_is_explained_and_asked_again(place, more, words):
    # Going back from a text reopens the question before it, so the right answers that follow stay the same.
    record, screen = run(*insert(WHOLE_CASE, place, *more))
    assert record.data == CT_RECORD
    assert words.casefold() in screen.text.casefold()


def test_a_void_test_is_told():
    record, screen = run(*WHOLE_CASE[:4], "ind", "void -4", *WHOLE_CASE[6:])
    assert record.data["rt_pcr"]["status"] == "indeterminate"
    assert "RT-PCR: a test that failed counts as indeterminate; if it was repeated, add the repeat too." in screen.text


def test_tests_that_contradict_reopen_the_status():
    lines = insert(WHOLE_CASE, 5, "neg -4")
    lines.insert(6, "pos")
    assert run(*lines)[0].data == CT_RECORD


def test_three_wrong_hospital_numbers_hold_the_case():
    screen = Screen("438", "439", "440")
    with pytest.raises(HeldError) as raised:
        screen.run()
    assert raised.value.exit_code is ExitCode.HELD
    assert "440" not in str(raised.value) + "".join(raised.value.details)
    assert screen.drafts == []


@pytest.mark.parametrize("matcher", [None, lambda _: None])
def test_images_without_a_hospital_number_say_so(matcher):
    _, screen = run(*WHOLE_CASE[1:], facts=context(suffix_matches=matcher))
    assert "The images hold no hospital number to compare with." in screen.text


CONFIRMED = {
    "age": (1, ["45", "45"], "age-differs"),
    "sex": (2, ["F", "f"], "sex-differs"),
    "white cells": (7, ["120 @0", "120"], "wcc-extreme"),
    "CRP": (8, ["612 @0", "612"], "crp-extreme"),
}


@pytest.mark.parametrize(("place", "typed", "rule"), CONFIRMED.values(), ids=CONFIRMED)
def test_a_suspicious_value_is_typed_again(place, typed, rule):
    lines = [*WHOLE_CASE[:place], *typed, *WHOLE_CASE[place + 1 :]]
    record, _ = run(*lines)
    assert record.data["confirmed"] == [rule]
    # The other ways in take the confirmed record as it is.
    assert accept(record.data, context()) == record


def test_a_pressure_without_oxygen_is_typed_again():
    lines = [*WHOLE_CASE[:9], "21 arterial @0", "", "21 kPa", *WHOLE_CASE[10:]]
    assert run(*lines)[0].data["confirmed"] == ["po2-no-fio2"]


def test_a_pressure_without_oxygen_is_typed_again_with_its_unit():
    lines = [*WHOLE_CASE[:9], "62 arterial @0", "", "62", *WHOLE_CASE[9:]]
    record, screen = run(*lines)
    assert record.data == CT_RECORD
    assert "The unit is missing, so the question is asked again." in screen.text


def test_a_line_that_the_terminal_cannot_decode_is_asked_again():
    record, screen = run(*insert(WHOLE_CASE, 7, UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "no")))
    assert record.data == CT_RECORD
    assert "characters that cannot be read" in screen.text


def test_a_prefilled_child_is_confirmed_too():
    record, screen = run(*WHOLE_CASE[:2], "9", *WHOLE_CASE[2:], facts=context(age=header_age(9)))
    assert record.data["age"] == {"value": 9, "source": "dicom-birthdate"}
    assert record.data["confirmed"] == ["age-under-18"]
    assert "one by one" in screen.text


def test_a_doubtful_birth_date_offers_nothing():
    age = HeaderAge(None, Identified(((66, 67),)), "dicom-birthdate", "The birth date is 1 January.")
    record, screen = run("437", "", "67", *WHOLE_CASE[2:], facts=context(age=age))
    assert record.data["age"] == {"value": 67, "source": "entered"}
    assert "The birth date is 1 January. Type the age." in screen.text


def test_going_back_reopens_the_question_before():
    lines = [*WHOLE_CASE[:3], "3", "<", "2", *WHOLE_CASE[4:]]
    assert run(*lines)[0].data == CT_RECORD


def test_going_back_from_the_first_question_stays_there():
    record, screen = run(*insert(WHOLE_CASE, 1, "<"))
    assert record.data == CT_RECORD
    assert "This is the first question." in screen.text


def test_going_back_within_a_metric_begins_it_again():
    lines = [*WHOLE_CASE[:9], "9 kPa", "<", *WHOLE_CASE[9:]]
    assert run(*lines)[0].data == CT_RECORD


def test_every_question_explains_itself():
    lines = [line for answer in WHOLE_CASE for line in ("?", answer)]
    record, screen = run(*lines)
    assert record.data == CT_RECORD
    assert "not stored" in screen.text
    assert "lateral flow does not count." in screen.text


def test_dates_become_days_and_are_dropped():
    lines = list(WHOLE_CASE)
    lines[5] = "neg 03/04/2020 upper, pos 8 Apr 2020 lower"
    lines[6] = "2020-03-29"
    lines[7] = "6.4 @07/04/20"
    lines[11] = "CXR 03.04.2020"
    lines[16] = "18/4/2020"
    screen = Screen(*lines)
    assert screen.run().data == CT_RECORD
    assert "2020" not in json.dumps(screen.drafts)


def test_a_date_without_a_study_date_is_refused():
    _, screen = run(*insert(WHOLE_CASE, 6, "03/04/2020"), facts=context(index_date=None, birth_date=None))
    assert "give days, not a date" in screen.text.casefold()


def test_an_earlier_case_is_linked_by_its_id():
    case_id = new_case_id()
    record, _ = run(*WHOLE_CASE[:11], f"+ CT 400 {case_id.lower()}", *WHOLE_CASE[12:])
    assert record.data["prior_imaging"]["studies"][1] == {
        "modality": "CT",
        "days_before": 400,
        "case_id": case_id,
        "included": False,
    }


def test_a_study_that_stays_behind_is_still_listed():
    facts = context(priors=(OfferedPrior("CXR", 4, 2, included=False),))
    lines = [*WHOLE_CASE[:13], *WHOLE_CASE[14:]]
    record, screen = run(*lines, facts=facts)
    assert record.data["prior_imaging"]["studies"][0]["included"] is False
    assert "(not sent)" in screen.text


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), EOFError(), "stop"], ids=["Ctrl-C", "end of input", "stop"])
def test_stopping_leaves_a_draft_that_goes_on(stop):
    first = Screen(*WHOLE_CASE[:-1], stop)
    with pytest.raises(DraftSaved) as raised:
        first.run()
    assert raised.value.exit_code is ExitCode.INTERRUPTED
    assert "kept" in str(raised.value)
    draft = json.loads(json.dumps(raised.value.draft))
    screen = Screen("437", "done")
    record = screen.run(draft)
    assert record.data == CT_RECORD
    assert "Your earlier answers are here again." in screen.text


@pytest.mark.parametrize("count", range(1, len(WHOLE_CASE)))
def test_an_interruption_anywhere_loses_nothing(count):
    first = Screen(*WHOLE_CASE[:count])
    with pytest.raises(DraftSaved) as raised:
        first.run()
    assert raised.value.draft == (first.drafts[-1] if first.drafts else raised.value.draft)
    assert Screen("437", *WHOLE_CASE[max(count, 1) :]).run(raised.value.draft).data == CT_RECORD


def test_without_anywhere_to_keep_it_nothing_is_promised():
    screen = Screen("437")
    with pytest.raises(DraftSaved) as raised:
        screen.run(keep=False)
    assert "kept" not in str(raised.value)


def test_a_draft_holds_no_identifier():
    screen = Screen(*insert(WHOLE_CASE, 3, "12", "Quaglione", "<"))
    screen.run()
    kept = json.dumps(screen.drafts)
    assert not any(word in kept for word in ("437", "uaglione", "1952"))


def good_draft():
    screen = Screen(*WHOLE_CASE)
    screen.run()
    return screen.drafts[-1]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda draft: {},
        lambda draft: {**draft, "draft": "clinical-draft/0"},
        lambda draft: {**draft, "answers": []},
        lambda draft: {**draft, "answers": {**draft["answers"], "crp": 148}},
        lambda draft: {**draft, "answers": {**draft["answers"], "crp": {"value": 99999, "unit": "mg/L"}}},
        lambda draft: {**draft, "answers": {**draft["answers"], "age": {"value": 45, "source": "entered"}}},
        lambda draft: {**draft, "done": [1, "nothing"]},
        lambda draft: {**draft, "answers": {}},
    ],
)
def test_a_spoilt_draft_does_no_harm(spoil):
    screen = Screen("437", *([""] * 3))
    with pytest.raises((DraftSaved, EOFError)) as raised:
        screen.run(spoil(good_draft()))
    assert isinstance(raised.value, DraftSaved)


@pytest.mark.parametrize("confirmed", [{"anything": "crp"}, {"crp-extreme": "nothing"}, {"crp-extreme": "crp"}])
def test_confirmations_that_nobody_gave_are_forgotten(confirmed):
    assert Screen("437", "done").run({**good_draft(), "confirmed": confirmed}).data == CT_RECORD


def test_a_spoilt_metric_of_a_draft_is_asked_again():
    draft = good_draft()
    draft["answers"]["crp"] = {"value": 99999, "unit": "mg/L"}
    assert Screen("437", "14.8 mg/dL @0", "done").run(draft).data == CT_RECORD


def test_the_summary_fits_one_screen_and_a_number_changes_a_line():
    lines = [*WHOLE_CASE[:-1], "7", "6.9 @0", "edit 5", "u", "done"]
    record, screen = run(*lines)
    assert record.data == change(
        CT_RECORD, white_cell_count={"value": 6.9, "unit": "10*9/L", "day": 0}, rt_pcr={"status": "unknown"}
    )
    summary = screen.out.getvalue().rpartition("Summary\n")[2]
    assert summary.count("\n") <= 24
    assert "  8  CRP:             148 mg/L (reported as 14.8 mg/dL)" in summary


def test_the_modality_of_the_images_cannot_be_changed():
    _, screen = run(*insert(WHOLE_CASE, "done", "1", "x", "0", "99", "?"))
    assert "This comes from the images" in screen.text
    assert "Type a number from 1 to 13, done or stop." in screen.text


def test_going_back_from_the_summary_reopens_the_last_line():
    record, _ = run(
        *insert(
            WHOLE_CASE,
            "done",
            "<",
            "",
        )
    )
    assert "outcome" not in record.data


def test_dropping_a_radiograph_drops_its_category():
    facts = context(priors=(OfferedPrior("CXR", 4, 2),))
    lines = list(WHOLE_CASE)
    lines[13] = "1"
    record, _ = run(*lines, facts=facts)
    assert record.data["reporting"]["cxr_bsti"] == "normal"


def test_nothing_on_the_screen_needs_more_than_ascii():
    for facts, lines in ((context(), WHOLE_CASE), (BARE, ["1", "67"])):
        screen = Screen(*lines, facts=facts)
        with suppress(DraftSaved):
            screen.run()
        assert screen.out.getvalue().isascii()
        screen.out.getvalue().encode("cp1252")


@pytest.mark.parametrize(
    "options",
    [
        {"no_color": True},
        {"force_terminal": True, "no_color": True},
        {"force_terminal": True},
        {"legacy_windows": False},
    ],
)
def test_no_line_is_redrawn(options):
    _, screen = run(*WHOLE_CASE, **options)
    shown = screen.out.getvalue()
    assert not any(control in shown for control in ("\x1b[2K", "\x1b[1A", "\x1b[H", "\x1b[?", "\r"))
    if options.get("no_color"):
        assert "\x1b[3" not in shown


def test_the_console_reads_lines_itself_by_default(monkeypatch):
    answers = iter(WHOLE_CASE)
    monkeypatch.setattr("builtins.input", lambda *_: next(answers))
    record = ask(Console(file=io.StringIO(), width=80), context())
    assert isinstance(record, ClinicalRecord)


@pytest.mark.parametrize(("question", "word"), [(-5, "nd"), (-5, "u"), (-3, "not-done")])
def test_a_reason_where_a_question_may_be_left_out_is_answered_with_how(question, word):
    record, screen = run(*insert(WHOLE_CASE, question, word))
    assert record.data == CT_RECORD
    assert "Enter alone leaves this out." in screen.text


def test_a_missing_day_or_oxygen_is_answered_with_how_to_leave_it_out():
    lines = [*WHOLE_CASE[:7], "6.4", "u", "", *WHOLE_CASE[8:9], "8.3 arterial", "nd", "", "p", "", *WHOLE_CASE[10:]]
    record, screen = run(*lines)
    assert record.data["white_cell_count"] == {"value": 6.4, "unit": "10*9/L"}
    assert record.data["po2"] == {"value": 8.3, "unit": "kPa", "sample": "arterial"}
    assert screen.text.count("Enter alone leaves this out.") == 3
    assert "FiO2 is a fraction" not in screen.text


def test_what_was_reported_is_shown_with_its_comparator():
    _, screen = run(*(line if line != "14.8 mg/dL @0" else "<0.3 mg/dL @0" for line in WHOLE_CASE))
    assert "CRP: <3 mg/L (reported as <0.3 mg/dL), day of imaging" in screen.text


@pytest.mark.parametrize(
    "line", ["62 mmHg, arterial, 0.28 @0", "62, mmHg, arterial 0.28 @0", "62; mmHg arterial 0.28 @0"]
)
def test_a_comma_after_a_value_is_no_part_of_it(line):
    record, _ = run(*(line if typed.startswith("62 mmHg") else typed for typed in WHOLE_CASE))
    assert record.data == CT_RECORD
