"""Numbers and units: exact, and never guessed."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from bsti_submit.clinical.form import QUANTITIES
from bsti_submit.clinical.problem import ProblemError
from bsti_submit.clinical.record import validate
from bsti_submit.clinical.units import (
    FACTORS,
    agrees,
    convert,
    measure,
    plain,
    read_compared,
    read_number,
    read_unit,
)

from .samples import CT_RECORD, change

VECTORS = [
    ("po2", "62", "mmHg", "8.3"),
    ("po2", "60.005", "mm[Hg]", "8"),
    ("crp", "14.8", "mg/dL", "148"),
    ("crp", "14.8", "ug/mL", "14.8"),
    ("crp", "148", "mg/l", "148"),
    ("white_cell_count", "6400", "/uL", "6.4"),
    ("white_cell_count", "6437", "cells/mm3", "6.437"),
    ("white_cell_count", "6.4", "K/uL", "6.4"),
    ("white_cell_count", "6.4", "x10^9/L", "6.4"),
    ("white_cell_count", "6.4", "\u00d710\u2079/L", "6.4"),
    ("white_cell_count", "6.4", "10^3/\u00b5L", "6.4"),
    ("white_cell_count", "6.4", "G/L", "6.4"),
]


@pytest.mark.parametrize(("metric", "text", "unit", "stored"), VECTORS)
def test_a_value_is_stored_in_the_canonical_unit(metric, text, unit, stored):
    measured = measure(metric, text, unit)
    assert plain(measured.value) == stored
    assert plain(measured.reported_value) == text


def test_the_way_back_from_kilopascal_is_the_published_figure():
    assert round(Decimal(8) / FACTORS["mm[Hg]", "kPa"], 3) == Decimal("60.005")


@pytest.mark.parametrize(
    ("metric", "unit", "words"),
    [
        ("crp", "nmol/L", "without a convention"),
        ("crp", "kPa", "'kPa' is not used"),
        ("po2", "%", "'%' is not used"),
        ("crp", "Quaglione", "not known"),
        ("crp", "", "unit missing"),
    ],
)
def test_another_unit_is_refused(metric, unit, words):
    with pytest.raises(ProblemError) as raised:
        measure(metric, "5", unit)
    assert raised.value.problem.code == "E-UNIT"
    assert words in raised.value.problem.message
    assert "Quaglione" not in raised.value.problem.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("6,4", "6.4"),
        ("1,000", "1000"),
        ("", "not a number"),
        ("blue", "not a number"),
        ("6.4.1", "not a number"),
        ("1e3", "not a number"),
        ("\u0661", "not a number"),
        ("9" * 16, "too long"),
        ("NaN", "not a number"),
        ("148 mg/L", "not a number"),
    ],
)
def test_what_is_no_number_is_refused(text, words):
    with pytest.raises(ProblemError) as raised:
        read_number(text, "crp")
    assert words in raised.value.problem.message


@pytest.mark.parametrize(
    ("text", "comparator", "number"),
    [("<5", "<", 5), ("<= 5", "<=", 5), (">500", ">", 500), ("\u22655", ">=", 5), ("5", "", 5)],
)
def test_comparators_are_kept(text, comparator, number):
    assert read_compared(text, "crp") == (comparator, Decimal(number))


decimals = st.decimals(min_value=0, max_value=99999, places=3, allow_nan=False, allow_infinity=False)


@given(decimals, st.sampled_from(sorted(FACTORS)))
def test_every_conversion_agrees_with_what_was_reported(number, units):
    unit, canonical = units
    value = convert(number, unit, canonical)
    assert agrees(value, number, unit, canonical)
    if canonical != "kPa":
        assert value / FACTORS[units] == number


@given(decimals)
def test_rounding_to_a_tenth_of_a_kilopascal_comes_back_within_half_a_millimetre(number):
    value = convert(number, "mm[Hg]", "kPa")
    assert abs(value / FACTORS["mm[Hg]", "kPa"] - number) <= Decimal("0.376")


@given(st.decimals(min_value=0, max_value=1000, places=2))
def test_a_number_survives_canonical_json(number):
    assert Decimal(json.loads(rfc8785.dumps(float(number)), parse_float=str, parse_int=str)) == number


def test_every_unit_of_the_form_is_read_and_converted():
    for metric, quantity in QUANTITIES.items():
        for unit in quantity.units:
            assert read_unit(metric, unit) == unit
            convert(Decimal(1), unit, quantity.unit)


@pytest.mark.parametrize("number", ["9434765919", "9,434,765", "9434765,919", "943476591", "4173692"])
def test_a_number_that_may_be_an_identifier_is_not_repeated(number):
    digits = number.replace(",", "")
    for way in (
        lambda: validate(change(CT_RECORD, crp={"value": int(digits), "unit": "mg/L"})),
        lambda: validate(change(CT_RECORD, crp={"value": number, "unit": "mg/L"})),
        lambda: validate(
            change(CT_RECORD, crp={"value": 5, "unit": "mg/L", "reported": {"value": int(digits), "unit": "mg/dL"}})
        ),
        lambda: validate(change(CT_RECORD, white_cell_count={"value": int(digits), "unit": "10*9/L"})),
    ):
        told = str(way())
        assert "E-" in told
        assert digits not in told
        assert number not in told
    with pytest.raises(ProblemError) as raised:
        measure("crp", f"{number}x", "mg/L")
    assert digits not in str(raised.value)
