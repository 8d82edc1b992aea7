"""What people type, in a manifest's cell or at a prompt → pieces of a record.

Both ways in read the same words with the same functions; each raises `ProblemError`, whose message repeats
numbers and known words only.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from bsti_submit.clinical import units
from bsti_submit.clinical.form import (
    ABSENT_KEYS,
    ABSENT_LABELS,
    AGE_CAP,
    AGE_LIMIT,
    CHOICES,
    DEMOGRAPHIC_ABSENT,
    QUANTITIES,
    ROOM_AIR,
)
from bsti_submit.clinical.problem import Note, Problem, ProblemError
from bsti_submit.clinical.structure import tidy_text
from bsti_submit.clinical.wording import AGE, COMPARATOR, DAY_RANGES, FIO2, NEVER_COMPARED, SEX_AMBIGUOUS
from bsti_submit.model import normalise_case_id

if TYPE_CHECKING:
    from bsti_submit.clinical.structure import Json, Tree
    from bsti_submit.phi import Identified

CAPPED = "stored as 90+, the class of everyone aged 90 or over."
_WHOLE = re.compile(r"[+-]?\d{1,6}\Z", re.ASCII)
_DAYS = re.compile(r"(?<=\d)\s*(?:d|days?)\Z", re.IGNORECASE)
_ISO_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})\Z", re.ASCII)
_UK_DATE = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})\Z", re.ASCII)
_WORD_DATE = re.compile(r"(\d{1,2})[ -]?([A-Za-z]{3,9})[ -]?(\d{4}|\d{2})\Z", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
_NUMERIC_SEXES = frozenset("01239")
RESULTS = {
    "pos": "positive",
    "positive": "positive",
    "detected": "positive",
    "positiveatthelimitofdetection": "positive",
    "neg": "negative",
    "negative": "negative",
    "notdetected": "negative",
    "ind": "indeterminate",
    "indeterminate": "indeterminate",
    "equivocal": "indeterminate",
    "inconclusive": "indeterminate",
    "void": "indeterminate",
    "failed": "indeterminate",
    "insufficient": "indeterminate",
    "pend": "pending",
    "pending": "pending",
}
"""How laboratories put an RT-PCR result, folded → the form's word."""
STATUSES = {**RESULTS, "nd": "not-done", "u": "unknown", "p": "pending"}
"""What stands for an RT-PCR status, beside the form's own words."""
_REPEAT = frozenset({"void", "failed", "insufficient"})
REPEAT = Note("notice", "rt_pcr", "a test that failed counts as indeterminate; if it was repeated, add the repeat too.")
_VIRUS = re.compile(r"sars[- ]?cov[- ]?2|rna|covid[- ]?19|virus|\(|\)", re.IGNORECASE)
SPECIMENS = {
    "upper": "upper-respiratory",
    "nose": "upper-respiratory",
    "throat": "upper-respiratory",
    "swab": "upper-respiratory",
    "lower": "lower-respiratory",
    "bal": "lower-respiratory",
    "sputum": "lower-respiratory",
    "saliva": "saliva",
    "other": "other",
    "unknown": "unknown",
}
_LATERAL_FLOW = ("lft", "lfd", "lateral", "antigen")
_MODALITIES = {
    "ct": "CT",
    "cxr": "CXR",
    "xr": "CXR",
    "cr": "CXR",
    "dx": "CXR",
    "mr": "MR",
    "mri": "MR",
    "pet-ct": "PET-CT",
    "petct": "PET-CT",
    "pet": "PET-CT",
    "other": "other",
}


def complaint(code: str, path: str, message: str) -> ProblemError:
    """Return the exception for one problem."""
    return ProblemError(Problem(code, path, message))


def read_absent(text: str) -> str | None:
    """Return the reason that ``nd``, ``p``, ``u``, ``w``, ``na`` or its own word stands for, else None."""
    word = text.strip().casefold()
    return ABSENT_KEYS.get(word) or (word if word in ABSENT_LABELS else None)


def read_age(text: str) -> tuple[Tree, tuple[Note, ...]]:
    """Read an age in completed years; 90 to 120 becomes ``90+``, with a notice.

    Raises
    ------
    ProblemError
        ``E-AGE``.
    """
    word = text.strip().casefold()
    if (reason := read_absent(word)) is not None:
        if reason not in DEMOGRAPHIC_ABSENT:
            raise complaint("E-CHOICE", "age", f"an age can only be {units.either(DEMOGRAPHIC_ABSENT)}.")
        return {"absent": reason}, ()
    if word.replace(" ", "") == f"{AGE_CAP}+":
        return {"value": f"{AGE_CAP}+", "source": "entered"}, ()
    if not _WHOLE.match(word) or not 0 <= (years := int(word)) <= AGE_LIMIT:
        raise complaint("E-AGE", "age", AGE)
    if years >= AGE_CAP:
        return {"value": f"{AGE_CAP}+", "source": "entered"}, (Note("notice", "age", CAPPED),)
    return {"value": years, "source": "entered"}, ()


def read_sex(text: str) -> Tree:
    """Read a sex in letters.

    Raises
    ------
    ProblemError
        ``E-SEX``; a number is ambiguous and is refused.
    """
    word = text.strip().casefold()
    if word in _SEXES:
        return {"value": _SEXES[word], "source": "entered"}
    if (reason := read_absent(word)) is not None:
        if reason not in DEMOGRAPHIC_ABSENT:
            raise complaint("E-CHOICE", "sex", f"a sex can only be {units.either(DEMOGRAPHIC_ABSENT)}.")
        return {"absent": reason}
    if word in _NUMERIC_SEXES:
        raise complaint("E-SEX", "sex", SEX_AMBIGUOUS.format(value=word))
    raise complaint("E-SEX", "sex", "use M, F or O.")


def read_result(metric: str, text: str, unit: str) -> Tree:
    """Read a laboratory value or a reason → the metric with value, unit, comparator and what was reported.

    Raises
    ------
    ProblemError
        ``E-UNIT``, ``E-NUMBER`` or ``E-COMPARATOR``.
    """
    if (reason := read_absent(text)) is not None:
        if unit.strip():
            raise complaint("E-BOTH", metric, "has both a reason for being absent and a unit. Keep one.")
        return {"absent": reason}
    measured = units.measure(metric, text, unit)
    made: Tree = {"value": measured.value, "unit": measured.unit}
    if measured.comparator:
        if metric in NEVER_COMPARED:
            raise complaint("E-COMPARATOR", metric, COMPARATOR)
        made["comparator"] = measured.comparator
    if measured.converted:
        made["reported"] = {"value": measured.reported_value, "unit": measured.reported_unit}
    return made


def read_fio2(text: str, path: str) -> Decimal:
    """Read an inspired oxygen fraction: ``0.28``, ``28%``, ``air``.

    Raises
    ------
    ProblemError
        ``E-FIO2`` for a flow, a colour, or a bare 28: a unit is never guessed.
    """
    word = text.strip().casefold()
    if word in {"air", "room air", "ra"}:
        return ROOM_AIR
    percent = word.endswith("%")
    try:
        number = units.read_number(word.removesuffix("%"), path)
    except ProblemError as error:
        if error.problem.message.startswith("use a full stop"):
            raise
        raise complaint("E-FIO2", path, FIO2) from None
    return number / 100 if percent else number


def read_days(text: str, path: str, index_date: Identified[date] | None = None) -> int:
    """Read a whole number of days after the imaging, or, where the index date is known, a date.

    Parameters
    ----------
    text
        ``-1``, ``+3``, ``0``; or ``03/04/2020`` (day first), ``2020-04-03``, ``3 Apr 2020``. A date is
        turned into days and forgotten.
    path
        The field with its index, for the message.
    index_date
        The date of the index study; without it dates are refused.

    Raises
    ------
    ProblemError
        ``E-DAY``.
    """
    cleaned = _DAYS.sub("", text.strip())
    if _WHOLE.match(cleaned):
        return int(cleaned)
    typed = read_date(cleaned)
    if typed is None:
        low, high, what = DAY_RANGES[re.sub(r"\[\d+\]", "[]", path)]
        raise complaint("E-DAY", path, f"{what}, a whole number from {low} to {high}.")
    if index_date is None:
        raise complaint("E-DAY", path, "give days, not a date: negative before the imaging, 0 the same day.")
    return (typed - index_date.reveal()).days


def looks_like_date(text: str) -> bool:
    """Whether a text is a date in one of the accepted forms."""
    return read_date(text.strip()) is not None


def read_date(text: str) -> date | None:
    """Read a date as people type it, the day before the month as in the United Kingdom; None if it is none."""
    try:
        if found := _ISO_DATE.match(text):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if found := _UK_DATE.match(text):
            return date(_year(found[3]), int(found[2]), int(found[1]))
        if found := _WORD_DATE.match(text):
            month = found[2][:3].casefold()
            return date(_year(found[3]), _MONTHS.index(month) + 1, int(found[1]))
    except ValueError:
        return None
    return None


def _year(text: str) -> int:
    return int(text) if len(text) > 2 else 2000 + int(text)


def read_choice(text: str, path: str, words: dict[str, str] | None = None) -> str:
    """Read one of the form's words, in any letter case.

    Raises
    ------
    ProblemError
        ``E-CHOICE``, which lists the words.
    """
    choices = CHOICES[path]
    folded = text.strip().casefold()
    for choice in choices:
        if folded == choice.casefold():
            return choice
    if words and folded in words:
        return words[folded]
    raise complaint("E-CHOICE", path.replace("[]", ""), f"choose one of: {', '.join(choices)}.")


def _folded_result(text: str) -> str:
    return re.sub(r"[^a-z]", "", _VIRUS.sub("", text.casefold()))


def result_notes(texts: list[str]) -> tuple[Note, ...]:
    """Return what to tell about some results: that one which failed says nothing."""
    return (REPEAT,) if any(_folded_result(text) in _REPEAT for text in texts) else ()


def read_result_word(text: str, path: str) -> str:
    """Read an RT-PCR result as laboratories put it.

    Raises
    ------
    ProblemError
        ``E-CHOICE``; a lateral flow test is told apart.
    """
    folded = _folded_result(text)
    if folded in RESULTS:
        return RESULTS[folded]
    if any(word in folded for word in _LATERAL_FLOW):
        raise complaint("E-CHOICE", path, "a lateral flow test is not RT-PCR. Leave it out.")
    raise complaint("E-CHOICE", path, f"choose one of: {', '.join(CHOICES['rt_pcr.tests[].result'])}.")


def read_specimen(text: str, path: str) -> str:
    """Read a specimen type, in full or as one of `SPECIMENS`.

    Raises
    ------
    ProblemError
        ``E-CHOICE``.
    """
    folded = text.strip().casefold()
    if folded in CHOICES["rt_pcr.tests[].specimen"]:
        return folded
    if folded in SPECIMENS:
        return SPECIMENS[folded]
    raise complaint("E-CHOICE", path, f"choose one of: {', '.join(CHOICES['rt_pcr.tests[].specimen'])}.")


def read_modality(text: str, path: str) -> str:
    """Read the modality of an earlier study.

    Raises
    ------
    ProblemError
        ``E-CHOICE``.
    """
    folded = text.strip().casefold()
    if folded in _MODALITIES:
        return _MODALITIES[folded]
    choices = CHOICES["prior_imaging.studies[].modality"]
    raise complaint("E-CHOICE", path, f"choose one of: {', '.join(choices)}.")


def read_case_id(text: str, path: str) -> str:
    """Read an earlier case id.

    Raises
    ------
    ProblemError
        ``E-CASE-ID`` if its check character is wrong.
    """
    case_id = normalise_case_id(text.strip()[:40])
    if case_id is None:
        raise complaint("E-CASE-ID", path, "the check character is wrong. Copy the case id from the receipt again.")
    return case_id


def read_text(text: str) -> str:
    """Return the free text of an indication, on one line. It has not been screened yet."""
    return tidy_text(text)


def describe_days(days: int) -> str:
    """Put an offset in words: ``4 days before imaging``."""
    if days == 0:
        return "day of imaging"
    count = f"{abs(days)} day{'' if abs(days) == 1 else 's'}"
    return f"{count} {'after' if days > 0 else 'before'} imaging"


def describe_result(metric: str, part: Tree) -> str:
    """Put a stored laboratory value in words, with what was reported if it was converted."""
    absent = part.get("absent")
    if isinstance(absent, str):
        return ABSENT_LABELS[absent]
    quantity = QUANTITIES[metric]
    shown = f"{part.get('comparator', '')}{_plain(part.get('value'))} {quantity.shown}".replace(" %", "%")
    reported = part.get("reported")
    if isinstance(reported, dict):
        unit = str(reported.get("unit")).replace("mm[Hg]", "mmHg")
        shown += f" (reported as {part.get('comparator', '')}{_plain(reported.get('value'))} {unit})"
    return shown


def _plain(value: Json) -> str:
    return units.plain(Decimal(str(value)))
