"""One line as typed at a prompt → a metric: ``6400 /uL @-1``, ``8.3 kPa arterial 0.28``, ``neg -4, pos +1``.

The words are those of `entry`, which the manifest reads too. A unit that is left out is the United Kingdom's
usual one, and the dialogue echoes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bsti_submit.clinical import entry, units
from bsti_submit.clinical.form import CHOICES, QUANTITIES
from bsti_submit.clinical.problem import Note, ProblemError

if TYPE_CHECKING:
    from datetime import date

    from bsti_submit.clinical.structure import Json, Tree
    from bsti_submit.phi import Identified

    Day = Identified[date] | None

_VALUE = re.compile(r"([<>=\u2264\u2265]*\s*[+-]?[\d.,]*\d)[,;]?\s*(.*)\Z", re.ASCII | re.DOTALL)
_MMHG = re.compile(r"mm\s*\[?hg\]?", re.IGNORECASE)
_PRESSURE = re.compile(r"kpa|mm\s*\[?hg", re.IGNORECASE)
_FLOW = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:l|lpm|l/min|litres?(?: per minute)?)\Z", re.IGNORECASE | re.ASCII)
_DAY = r"[+-]?\d[\d/.-]*(?:[ -][A-Za-z]{3,9}[ -]\d{2,4})?"
_TEST = re.compile(rf"([A-Za-z][A-Za-z ]*?)\s*[@:]?\s*({_DAY})(?:\s+([A-Za-z-]+))?\Z", re.ASCII)
_PRIOR = re.compile(
    rf"([A-Za-z][A-Za-z-]*)\s*[@:]?\s*({_DAY})(?:\s+(?:days?|d)\b)?(?:\s+before)?(?:\s+([A-Za-z0-9]{{4}}-\S+))?\Z",
    re.ASCII,
)
_SAMPLES = {
    "a": "arterial",
    "art": "arterial",
    "abg": "arterial",
    "c": "capillary",
    "cap": "capillary",
    "cbg": "capillary",
    "v": "venous",
    "ven": "venous",
    "vbg": "venous",
    "u": "unknown",
}
_ANSWERS = {"y": "yes", "n": "no", "u": "unknown"}


def numbered(text: str, path: str, words: dict[str, str] | None = None) -> str:
    """Read a choice by its number in the list, or by its word.

    Raises
    ------
    ProblemError
        ``E-CHOICE``.
    """
    choices = CHOICES[path]
    cleaned = text.strip()
    if cleaned.isascii() and cleaned.isdigit() and 1 <= int(cleaned[:4]) <= len(choices):
        return choices[int(cleaned[:4]) - 1]
    try:
        return entry.read_choice(cleaned, path, words)
    except ProblemError:
        raise entry.complaint("E-CHOICE", path, f"type a number from 1 to {len(choices)}.") from None


def pcr_status(text: str) -> str:
    """Read an RT-PCR status: a number, a word, or ``nd``, ``p``, ``u``."""
    return numbered(text, "rt_pcr.status", entry.STATUSES)


def split_day(text: str, path: str, index_date: Day) -> tuple[str, int | None]:
    """Take ``@-1`` or ``@03/04/2020`` off the end of a line."""
    rest, at, day = text.partition("@")
    return rest.strip(), entry.read_days(day, path, index_date) if at else None


def _split_value(metric: str, text: str) -> tuple[str, str]:
    found = _VALUE.match(text)
    if found is None:
        # Let the number's own reader say what is wrong.
        units.read_compared(text, metric)
        raise entry.complaint("E-NUMBER", metric, "this is not a number.")  # pragma: no cover - the line above raises
    return found[1], found[2].strip()


def lab(metric: str, text: str, index_date: Day) -> Tree:
    """Read white cells or CRP: ``148``, ``<5``, ``14.8 mg/dL @-1``, or why it is missing.

    Raises
    ------
    ProblemError
        As `entry.read_result` and `entry.read_days`.
    """
    rest, day = split_day(text, f"{metric}.day", index_date)
    if entry.read_absent(rest) is not None and day is None:
        return entry.read_result(metric, rest, "")
    value, unit = _split_value(metric, rest)
    part = entry.read_result(metric, value, unit or QUANTITIES[metric].unit)
    if day is not None:
        part["day"] = day
    return part


def po2(text: str, index_date: Day) -> Tree:
    """Read a blood gas: value, then unit, sample and FiO2 in any order.

    Raises
    ------
    ProblemError
        ``E-UNIT``, ``E-NUMBER``, ``E-FIO2``, ``E-DAY``.
    """
    rest, day = split_day(text, "po2.day", index_date)
    if entry.read_absent(rest) is not None and day is None:
        return entry.read_result("po2", rest, "")
    value, details = _split_value("po2", _MMHG.sub("mmHg", rest))
    if details.startswith("%"):
        raise entry.complaint(
            "E-UNIT",
            "po2",
            "a value in % is a saturation. Give it as SpO2, and nd here if no blood gas was taken.",
        )
    found: dict[str, str] = {}
    for word in details.casefold().replace("room air", "air").split():
        folded = word.rstrip(",;")
        if folded in _SAMPLES or folded in CHOICES["po2.sample"]:
            name, folded = "sample", _SAMPLES.get(folded, folded)
        elif units.known_unit(folded):
            name = "unit"
        elif folded in {"fio2", "on"}:
            continue
        else:
            name = "fio2"
        if found.setdefault(name, folded) != folded:
            raise entry.complaint("E-BOTH", "po2", "the unit, the sample or the FiO2 is given twice. Keep one of each.")
    part = entry.read_result("po2", value, found.get("unit", QUANTITIES["po2"].unit))
    if "sample" in found:
        part["sample"] = found["sample"]
    if "fio2" in found:
        part["fio2"] = entry.read_fio2(found["fio2"], "po2.fio2")
    if day is not None:
        part["day"] = day
    return part


def names_unit(text: str) -> bool:
    """Whether a blood gas was given with its unit."""
    return bool(_PRESSURE.search(text))


def sample(text: str) -> str:
    """Read where a blood gas came from: a number, a word or its first letter."""
    return numbered(text, "po2.sample", _SAMPLES)


def spo2(text: str, index_date: Day) -> Tree:
    """Read a saturation with the oxygen given: ``91 air``, ``94 0.28``, ``94% 2 l/min``.

    Raises
    ------
    ProblemError
        ``E-NUMBER``, ``E-FIO2``, ``E-DAY``.
    """
    rest, day = split_day(text, "spo2.day", index_date)
    if entry.read_absent(rest) is not None and day is None:
        return entry.read_result("spo2", rest, "")
    value, details = _split_value("spo2", rest)
    part = entry.read_result("spo2", value, "%")
    details = details.removeprefix("%").strip()
    if details:
        part |= oxygen(details)
    if day is not None:
        part["day"] = day
    return part


def oxygen(text: str) -> Tree:
    """Read what oxygen was given: ``air``, ``0.28``, ``28%`` or ``2 l/min``, or a fraction and a flow.

    Raises
    ------
    ProblemError
        ``E-FIO2`` or ``E-NUMBER``.
    """
    cleaned = re.sub(r"^on\s+", "", text.strip(), flags=re.IGNORECASE)
    part: Tree = {}
    if found := _FLOW.search(cleaned):
        part["oxygen_flow_l_min"] = units.read_number(found[1], "spo2.oxygen_flow_l_min")
        cleaned = cleaned[: found.start()].strip().rstrip(",;")
    if cleaned:
        part["fio2"] = entry.read_fio2(cleaned, "spo2.fio2")
    return part


def onset(text: str, index_date: Day) -> Tree:
    """Read symptom onset: days before the imaging, a date, ``none``, or why it is missing."""
    word = text.strip().casefold()
    if word in {"none", "asymptomatic", "no symptoms"}:
        return {"asymptomatic": True}
    if (reason := entry.read_absent(word)) is not None:
        return {"absent": reason}
    return {"value": days_before(text, "symptom_onset.value", index_date)}


def days_before(text: str, path: str, index_date: Day) -> int:
    """Read days counted back from the imaging; a date is turned round likewise."""
    days = entry.read_days(text, path, index_date)
    return -days if entry.looks_like_date(text) else days


def tests(text: str, index_date: Day) -> list[Json]:
    """Read RT-PCR tests: ``neg -4, pos +1 lower``.

    Raises
    ------
    ProblemError
        ``E-LIST``, ``E-CHOICE``, ``E-DAY``.
    """
    made: list[Json] = []
    for index, item in enumerate(_items(text)):
        place = f"rt_pcr.tests[{index}]"
        found = _TEST.match(item)
        if found is None:
            raise entry.complaint("E-LIST", place, "write a result and a day for each test, such as: neg -4, pos +1")
        test: Tree = {
            "result": entry.read_result_word(found[1], place),
            "day": entry.read_days(found[2], f"{place}.day", index_date),
        }
        if found[3]:
            test["specimen"] = entry.read_specimen(found[3], place)
        made.append(test)
    return made


def test_notes(text: str) -> tuple[Note, ...]:
    """Return what to tell about RT-PCR tests that were read."""
    found = [_TEST.match(item) for item in _items(text)]
    return entry.result_notes([match[1] for match in found if match])


def priors(text: str, index_date: Day) -> list[Json]:
    """Read earlier studies: ``CXR 4, CT 400 ABCD-EFGH-IJKL``.

    Raises
    ------
    ProblemError
        ``E-LIST``, ``E-CHOICE``, ``E-DAY``, ``E-CASE-ID``.
    """
    made: list[Json] = []
    for index, item in enumerate(_items(text)):
        place = f"prior_imaging.studies[{index}]"
        found = _PRIOR.match(item)
        if found is None:
            raise entry.complaint(
                "E-LIST", place, "write a kind and the days before the imaging, such as: CXR 4, CT 400"
            )
        study: Tree = {
            "modality": entry.read_modality(found[1], place),
            "days_before": days_before(found[2], f"{place}.days_before", index_date),
        }
        if found[3]:
            study["case_id"] = entry.read_case_id(found[3], place)
        made.append(study)
    return made


def care(text: str) -> Tree:
    """Read intensive care and intubation: ``n n``, ``yes no``, or one answer for intensive care alone."""
    words = re.split(r"[\s,;/]+", text.strip().casefold())
    names = ("itu_admission", "intubation")
    if len(words) > len(names):
        raise entry.complaint(
            "E-CHOICE", "outcome.itu_admission", "type y, n or u for intensive care, then for intubation."
        )
    part: Tree = {}
    for name, typed in zip(names, words, strict=False):
        part[name] = entry.read_choice(typed, f"outcome.{name}", _ANSWERS)
    return part


def _items(text: str) -> list[str]:
    return [item.strip() for item in re.split(r"[,;]", text) if item.strip()]
