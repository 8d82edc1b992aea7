"""Ages, dates and offsets from headers."""

from __future__ import annotations

from datetime import date

import pytest

from bsti_submit.clinical.facts import (
    StudyFact,
    age_at,
    build_context,
    days_between,
    header_age,
    own_words_matcher,
    parse_age_string,
    read_date,
    suffix_matcher,
)
from bsti_submit.phi import Identified


def masked(text):
    return Identified(text)


STUDY = read_date(masked("20200407"))


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        (date(1953, 4, 7), date(2020, 4, 7), 67),
        (date(1953, 4, 8), date(2020, 4, 7), 66),
        (date(2000, 2, 29), date(2019, 2, 28), 18),
        (date(2000, 2, 29), date(2019, 3, 1), 19),
        (date(2000, 2, 29), date(2020, 2, 29), 20),
        (date(2020, 4, 7), date(2020, 4, 7), 0),
    ],
)
def test_age_counts_completed_years(born, day, age):
    assert age_at(Identified(born), Identified(day)) == age


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("045Y", 45),
        ("018M", 1),
        ("011M", 0),
        ("104W", 1),
        ("052W", 0),
        ("400D", 1),
        ("000Y", None),
        ("45Y", None),
        ("045y", None),
        ("", None),
        ("130Y", None),
        ("045Y ", 45),
    ],
)
def test_an_age_string_gives_completed_years(text, age):
    assert parse_age_string(masked(text)) == age


@pytest.mark.parametrize(
    ("birth", "stated", "years", "source", "fits", "differs"),
    [
        ("19520901", "", 67, "dicom-birthdate", [67], [66, 68, "90+"]),
        ("19520901", "066Y", 67, "dicom-birthdate", [67], [66]),
        ("19520901", "045Y", None, "dicom-birthdate", [67, 45], [50]),
        ("19530101", "", None, "dicom-birthdate", [66, 67], [65, 68]),
        ("19000101", "067Y", 67, "dicom-age", [67], [66]),
        ("18000101", "", "nothing", "", [], []),
        ("20300101", "", "nothing", "", [], []),
        ("garbage", "067Y", 67, "dicom-age", [67], [68]),
        ("19270301", "", 93, "dicom-birthdate", ["90+"], [89]),
    ],
)
def test_the_headers_age_is_believed_as_far_as_it_goes(birth, stated, years, source, fits, differs):
    found = header_age(masked(birth), masked(stated), STUDY)
    if years == "nothing":
        assert found is None
        return
    assert (found.years.reveal() if found.years else None) == years
    assert found.source == source
    assert bool(found.doubt) is (years is None)
    assert all(found.fits(age) for age in fits)
    assert not any(found.fits(age) for age in differs)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("20200407", date(2020, 4, 7)),
        ("2020.04.07", date(2020, 4, 7)),
        ("20201301", None),
        ("", None),
        ("20200407\0", date(2020, 4, 7)),
    ],
)
def test_dicom_dates(text, found):
    read = read_date(masked(text))
    assert (read.reveal() if read else None) == found


def test_days_count_forward():
    assert days_between(Identified(date(2020, 4, 3)), Identified(date(2020, 4, 7))) == 4


@pytest.mark.parametrize(
    ("number", "typed", "answer"),
    [
        ("ZZ-81 437", "437", True),
        ("zz81437", "437", True),
        ("ZZ8143b", "43B", True),
        ("ZZ81437", "438", False),
        ("437", "437", None),
        ("", "437", None),
    ],
)
def test_the_end_of_a_hospital_number(number, typed, answer):
    assert suffix_matcher(masked(number))(typed) is answer


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("seen by quaglione", True),
        ("QUAGLIONE-Test", True),
        ("number 81 43 7", True),
        ("quaglionesque", False),
        ("cough and fever", False),
        ("Zo\u00e9 coughs", True),
    ],
)
def test_own_words(text, found):
    matches = own_words_matcher([masked("Quaglione^Zo\u00e9"), masked("81437"), masked("A B")])
    assert matches(text) is found
    assert "uaglione" not in repr(matches)


def studies(*facts):
    return [StudyFact(number, modality, masked(day)) for number, modality, day in facts]


def made(**parts):
    facts = {
        "birth_date": masked("19520901"),
        "patient_age": masked(""),
        "sex": "M",
        "patient_id": masked("ZZ81437"),
        "studies": studies(
            (1, "CT", "20200407"),
            (2, "DX", "20200403"),
            (3, "PT", "20190407"),
            (4, "CT", "20200408"),
            (5, "CT", ""),
            (6, "CT", "20000101"),
        ),
        "index_number": 1,
    }
    return build_context(**{**facts, **parts})


def test_earlier_studies_are_offered_nearest_first():
    found = made().priors
    assert [(prior.modality, prior.days_before, prior.study_number) for prior in found] == [
        ("CXR", 4, 2),
        ("PET-CT", 366, 3),
    ]


def test_a_context_of_nothing_asks_for_everything():
    found = made(birth_date=masked(""), sex="", studies=studies((1, "US", "")), patient_id=masked(""))
    assert (found.index_modality, found.age, found.sex, found.priors, found.index_date) == (
        "",
        None,
        "",
        (),
        None,
    )
    assert found.suffix_matches("437") is None


def test_a_doubtful_birth_date_says_nothing_about_days():
    assert made(birth_date=masked("20200101")).birth_date is None
    assert made().days_lived == 24690
