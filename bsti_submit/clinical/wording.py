"""The message table: (path, keyword) of the schema → code, place and words.

Keyed on the schema's own paths and keywords, never on a library's message. ``{value}`` is filled only with
numbers and with words of the schema itself.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from bsti_submit.clinical import units
from bsti_submit.clinical.form import ABSENT_LABELS, CHOICES, CONFIRMATIONS, DEMOGRAPHIC_ABSENT, QUANTITIES
from bsti_submit.clinical.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


class Wording(NamedTuple):
    """One row of the table. ``up`` lifts the place by so many steps, to where a person looks."""

    code: str
    text: str
    up: int = 0


AGE = 'give whole years 0 to 89, or "90+" for anyone aged 90 or over.'
SEX_AMBIGUOUS = (
    "'{value}' is ambiguous. Use M, F or O; numeric codes differ between NCCID (0=F, 1=M) and the NHS "
    "(1=M, 2=F) and are not accepted."
)
UNKNOWN_FIELD = (
    "this field is not part of the schema and was not read. "
    "Clinical metrics must not carry names, dates or identifiers."
)
RANGE_ADVICE = "Check the value and the unit on the report."
COMPARATOR = "give the value itself; < and > are kept for white cells and CRP only."
NEVER_COMPARED = frozenset({"po2", "spo2"})
"""Measured metrics whose value is always the value itself."""
GOES_ALONG = "an earlier study goes along, so there is earlier imaging."
FORMULA = "may not begin with =, + or @, or a tab: it could be a formula."
FIO2 = "FiO2 is a fraction from 0.21 (air) to 1.00; 28% is 0.28. A flow in litres belongs to SpO2."
_REPORTED = tuple(dict.fromkeys(unit for quantity in QUANTITIES.values() for unit in quantity.units if unit != "%"))
_REASONS = units.either(tuple(ABSENT_LABELS))
_MISSING = f'missing. Give a value or say why not with "absent": {_REASONS}.'
_BOTH = 'has both a value and "absent". Keep one.'
NO_VALUE = "has details such as a unit or a day, but no value for them. Give the value or remove them."
_ABSENT = f'"absent" is one of {_REASONS}.'
_ABSENT_DEMOGRAPHIC = f'"absent" is {units.either(DEMOGRAPHIC_ABSENT)} here.'
_TEXT = (
    "give 3 to 120 plain letters, digits and simple punctuation, without accents or symbols. The text was not saved."
)


def _table() -> dict[tuple[str, str], Wording]:
    table: dict[tuple[str, str], Wording] = {
        ("", "type"): Wording("E-TYPE", "the clinical record must be one JSON object, in curly brackets."),
        ("schema_version", "const"): Wording("E-VERSION", 'this tool reads schema version "1.0".'),
        ("schema_version", "required"): Wording("E-VERSION", 'missing. Write "schema_version": "1.0".'),
        ("age.value", "anyOf"): Wording("E-AGE", AGE, 1),
        ("sex.value", "enum"): Wording("E-SEX", "use M, F or O.", 1),
        ("symptom_onset", "minProperties"): Wording(
            "E-REQUIRED", 'give "value" in days, "asymptomatic": true, or "absent".'
        ),
        ("symptom_onset", "maxProperties"): Wording(
            "E-BOTH", 'has more than one of "value", "asymptomatic" and "absent". Keep one.'
        ),
        ("symptom_onset.asymptomatic", "const"): Wording("E-CHOICE", '"asymptomatic" can only be true.', 1),
        ("indication", "anyOf"): Wording("E-REQUIRED", _MISSING),
        ("indication", "not:code+absent"): Wording("E-BOTH", 'has both a code and "absent". Keep one.'),
        ("indication", "not:text"): Wording(
            "E-TEXT", 'text is for the code "other" only. Remove it; it was not saved.'
        ),
        ("indication.text", "required"): Wording("E-TEXT", 'the code "other" needs a few words in "text".', 1),
        ("rt_pcr", "not:tests"): Wording(
            "E-PCR-MISMATCH", "status says that there was no known test, yet tests are listed."
        ),
        ("rt_pcr.tests", "minItems"): Wording("E-LIST", "the list of tests is empty. Leave it out, or add a test."),
        ("rt_pcr.tests", "maxItems"): Wording("E-LIST", "at most 10 tests can be listed."),
        ("prior_imaging.studies", "required"): Wording("E-REQUIRED", 'value is "yes", so list at least one study.', 1),
        ("prior_imaging", "not:studies"): Wording("E-BOTH", 'studies are listed although value is not "yes".'),
        ("prior_imaging.studies", "minItems"): Wording(
            "E-LIST", "the list of studies is empty. Add one, or leave it out."
        ),
        ("prior_imaging.studies", "maxItems"): Wording("E-LIST", "at most 20 studies can be listed."),
        ("prior_imaging.studies[].included", "type"): Wording("E-TYPE", '"included" is true or false.'),
        ("reporting", "minProperties"): Wording("E-REQUIRED", "is empty. Leave it out, or give one of its fields."),
        ("confirmed", "uniqueItems"): Wording("E-LIST", "a rule is listed twice."),
        ("confirmed[]", "enum"): Wording(
            "E-CHOICE", f"the rules that can be confirmed are {units.either(tuple(CONFIRMATIONS))}."
        ),
        ("spo2.oxygen_flow_l_min", "exclusiveMinimum"): Wording(
            "E-RANGE", "the oxygen flow is above 0 and at most 80 L/min."
        ),
        ("spo2.oxygen_flow_l_min", "maximum"): Wording("E-RANGE", "the oxygen flow is above 0 and at most 80 L/min."),
        ("po2.sample", "dependentRequired"): Wording(
            "E-SAMPLE", "say whether the sample was arterial, capillary, venous or unknown.", 1
        ),
        ("case_id", "check"): Wording(
            "E-CASE-ID", "the check character is wrong. Copy the case id from the receipt again."
        ),
    }
    for metric, quantity in QUANTITIES.items():
        table[metric, "anyOf"] = Wording("E-REQUIRED", _MISSING)
        table[metric, "not:value+absent"] = Wording("E-BOTH", _BOTH)
        table[f"{metric}.unit", "dependentRequired"] = Wording("E-UNIT", units.unit_missing(quantity.unit), 1)
        table[f"{metric}.unit", "const"] = Wording("E-UNIT", "", 1)
        table[f"{metric}.value", "dependentRequired"] = Wording("E-NO-VALUE", NO_VALUE, 1)
        table[f"{metric}.value", "minimum"] = Wording("E-RANGE", "", 1)
        table[f"{metric}.value", "maximum"] = Wording("E-RANGE", "", 1)
        table[f"{metric}.value", "type"] = Wording(
            "E-NUMBER", "write the value as a bare number with a full stop, such as 6.4, without quotes.", 1
        )
        table[metric, "type"] = Wording(
            "E-TYPE",
            f'a bare value has no unit. Write {{{{"value": ..., "unit": "{quantity.unit}"}}}}, or "absent".',
        )
    table["age", "type"] = Wording("E-TYPE", 'write {"value": 67}, or "absent".')
    table["sex", "type"] = Wording("E-TYPE", 'write {"value": "F"}, or "absent".')
    for metric in ("age", "sex"):
        table[metric, "anyOf"] = Wording(
            "E-REQUIRED", f'missing. Give a value, or "absent": {units.either(DEMOGRAPHIC_ABSENT)}.'
        )
        table[metric, "not:value+absent"] = Wording("E-BOTH", _BOTH)
        table[f"{metric}.absent", "enum"] = Wording("E-CHOICE", _ABSENT_DEMOGRAPHIC, 1)
    for path, (low, high, what) in DAY_RANGES.items():
        text = f"{what}, a whole number from {low} to {high}."
        for keyword in ("minimum", "maximum", "type"):
            table[path, keyword] = Wording("E-DAY", text)
    for path in ("po2.fio2", "spo2.fio2"):
        for keyword in ("minimum", "maximum", "type"):
            table[path, keyword] = Wording("E-FIO2", FIO2)
    for keyword in ("minLength", "maxLength", "pattern", "type"):
        table["indication.text", keyword] = Wording("E-TEXT", _TEXT)
    for path in ("case_id", "prior_imaging.studies[].case_id"):
        table[path, "pattern"] = table["case_id", "check"]
    for path, choices in CHOICES.items():
        table.setdefault((path, "enum"), Wording("E-CHOICE", f"choose one of: {', '.join(choices)}."))
    return table


DAY_RANGES: Mapping[str, tuple[int, int, str]] = {
    "symptom_onset.value": (-30, 365, "give the days from symptom onset to imaging"),
    "white_cell_count.day": (-30, 30, "give the sample day as days after the imaging (negative = before)"),
    "crp.day": (-30, 30, "give the sample day as days after the imaging (negative = before)"),
    "po2.day": (-30, 30, "give the sample day as days after the imaging (negative = before)"),
    "spo2.day": (-30, 30, "give the day as days after the imaging (negative = before)"),
    "rt_pcr.tests[].day": (-365, 365, "give the sample day as days after the imaging (negative = before)"),
    "prior_imaging.studies[].days_before": (0, 3650, "give how many days before the imaging"),
    "outcome.day": (0, 365, "give the days from imaging to outcome"),
}
"""Every field that counts days, with its limits in days and what to say."""

_BY_KEYWORD: Mapping[str, Wording] = {
    "additionalProperties": Wording("E-UNKNOWN-FIELD", UNKNOWN_FIELD),
    "required": Wording("E-REQUIRED", "missing."),
    "dependentRequired": Wording("E-REQUIRED", "missing."),
    "type": Wording("E-TYPE", "this is not the kind of value that the schema expects here."),
    "enum": Wording("E-CHOICE", "this is not one of the words that the schema allows here."),
}
_BY_LAST_NAME: Mapping[tuple[str, str], Wording] = {
    ("absent", "enum"): Wording("E-CHOICE", _ABSENT, 1),
    ("source", "enum"): Wording("E-CHOICE", "source is dicom-birthdate, dicom-age, dicom-sex or entered."),
    ("value", "type"): Wording("E-NUMBER", "write the value as a bare number, without quotes."),
    ("comparator", "enum"): Wording("E-CHOICE", "the comparator is <, <=, >= or >."),
    ("unit", "enum"): Wording("E-UNIT", f"this unit is not known. Write it as one of: {', '.join(_REPORTED)}."),
}

TABLE: Mapping[tuple[str, str], Wording] = _table()
# A whole metric that is left out: "absent" is the way to say so, unless the metric has its own words.
_OPEN_METRICS = frozenset({"white_cell_count", "crp", "po2", "indication"})
_DEMOGRAPHIC = frozenset({"age", "sex"})


def find(key: str, keyword: str) -> Wording:
    """Return the row for a schema path (indices as ``[]``) and keyword."""
    if keyword == "required" and key in _OPEN_METRICS:
        return Wording("E-REQUIRED", _MISSING)
    if keyword == "required" and key in _DEMOGRAPHIC:
        return TABLE[key, "anyOf"]
    return (
        TABLE.get((key, keyword))
        or _BY_LAST_NAME.get((key.rpartition(".")[2], keyword))
        or _BY_KEYWORD.get(keyword)
        or Wording("E-SCHEMA", "this does not fit the schema.")
    )


def word(key: str, keyword: str, path: str, instance: object) -> Problem:
    """Word one breach of the schema.

    Parameters
    ----------
    key, keyword
        Schema path (indices as ``[]``) and the keyword that failed.
    path
        Where it is in this record.
    instance
        What stood there; used only if it is a number or one of a few known words.
    """
    row = find(key, keyword)
    place = path
    for _ in range(row.up):
        place = place.rpartition(".")[0]
    metric, _, last = key.partition(".")
    if key == "sex.value":
        return Problem(row.code, place, _sex(instance, row.text))
    if metric in QUANTITIES and last == "unit" and keyword == "const":
        return Problem(row.code, place, _unit(metric, instance))
    if key == "indication.text" and isinstance(instance, str) and units.is_formula(instance):
        return Problem("E-FORMULA", place, FORMULA)
    if row.code == "E-NUMBER" and isinstance(instance, str) and (better := units.decimal_comma(instance)):
        return Problem(row.code, place, f"use a full stop, not a comma, and no quotes: {better}")
    if metric in QUANTITIES and last == "value" and row.code == "E-RANGE" and isinstance(instance, int | Decimal):
        return out_of_range(metric, Decimal(instance))
    return Problem(row.code, place, row.text.replace("{{", "{").replace("}}", "}"))


def list_too(modality: str, days_before: int) -> str:
    """Word an earlier study that goes along though the record does not list it so."""
    return f"the {modality} from {days_before} days before goes along, so list it too."


def out_of_range(metric: str, value: Decimal) -> Problem:
    """Word a value outside the plausible range, with a guess at the cause in the hint."""
    quantity = QUANTITIES[metric]
    unit = quantity.unit
    hint = ""
    if metric == "white_cell_count" and _CELLS <= value <= _CELLS * quantity.high:
        hint = f"This looks like cells/uL; {units.told(value)} /uL is {units.told(value / 1000)} {unit}."
    elif metric == "spo2" and value <= 1:
        hint = "This looks like a fraction; SpO2 is stored in per cent, such as 94."
    elif metric == "po2" and value > quantity.high:
        hint = "This may be mmHg; say so in the unit."
    return Problem(
        "E-RANGE",
        metric,
        f"{units.told(value)} {unit} is outside the plausible range {units.plain(quantity.low)} to "
        f"{units.plain(quantity.high)} {unit}. {RANGE_ADVICE}",
        hint,
    )


_CELLS = 1000


def _sex(instance: object, otherwise: str) -> str:
    text = str(instance) if isinstance(instance, int | str) and not isinstance(instance, bool) else ""
    return SEX_AMBIGUOUS.format(value=text) if text in {"0", "1", "2", "3", "9"} else otherwise


def _unit(metric: str, instance: object) -> str:
    canonical = QUANTITIES[metric].unit
    named = units.known_unit(instance)
    subject = f"unit '{named}'" if named else "this unit"
    return f"{subject} is not accepted in clinical.json. Convert to {canonical}."
