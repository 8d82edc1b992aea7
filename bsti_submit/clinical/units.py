"""Numbers and units as people write them → exact decimals in the one canonical unit of a metric.

Pure decimal arithmetic: a conversion never passes through binary floating point. Unit codes are UCUM.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING

from bsti_submit.clinical.form import QUANTITIES
from bsti_submit.clinical.problem import Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping

KPA_PER_MMHG = Decimal("0.133322387415")
"""Conventional millimetre of mercury, 133.322387415 Pa (BS 350)."""

FACTORS: Mapping[tuple[str, str], Decimal] = {
    ("10*3/uL", "10*9/L"): Decimal(1),
    ("/uL", "10*9/L"): Decimal("0.001"),
    ("mg/dL", "mg/L"): Decimal(10),
    ("ug/mL", "mg/L"): Decimal(1),
    ("mm[Hg]", "kPa"): KPA_PER_MMHG,
}
"""(unit, canonical unit) → the factor to multiply by."""

COMPARATORS = ("<=", ">=", "<", ">")
MAX_DIGITS = 15
"""More significant digits than a binary64, and so canonical JSON (RFC 8785), can hold."""
MAX_MAGNITUDE = 12
LONGEST_TOLD = 6
"""Digits of a number that a message repeats: no identifier is shorter than seven."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)\Z", re.ASCII)
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)\Z", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z", re.ASCII)

# Spellings beside the UCUM code, already folded by `_fold`.
_SPELLINGS: Mapping[str, str] = {
    "10*9/l": "10*9/L",
    "109/l": "10*9/L",
    "g/l": "10*9/L",
    "10*3/ul": "10*3/uL",
    "103/ul": "10*3/uL",
    "k/ul": "10*3/uL",
    "10*3/mm3": "10*3/uL",
    "/ul": "/uL",
    "cells/ul": "/uL",
    "/mm3": "/uL",
    "cells/mm3": "/uL",
    "mg/l": "mg/L",
    "mg/dl": "mg/dL",
    "ug/ml": "ug/mL",
    "mcg/ml": "ug/mL",
    "kpa": "kPa",
    "mmhg": "mm[Hg]",
    "mm[hg]": "mm[Hg]",
    "%": "%",
}
_REFUSED: Mapping[str, str] = {
    "nmol/l": "CRP in nmol/L is not accepted: it cannot be turned into mg/L without a convention. "
    "Ask the laboratory for mg/L.",
}
_FOLDS = str.maketrans({"\u00b5": "u", "\u03bc": "u", "^": "*", "\u00d7": "x", "\u2079": "9", "\u00b3": "3", " ": None})


@dataclass(frozen=True, slots=True)
class Measured:
    """A value in the canonical unit, and what was typed. ``comparator`` is empty or one of `COMPARATORS`."""

    value: Decimal
    unit: str
    comparator: str
    reported_value: Decimal
    reported_unit: str

    @property
    def converted(self) -> bool:
        """Whether it was reported in another unit than the canonical one."""
        return self.unit != self.reported_unit


def plain(number: Decimal | int) -> str:
    """Write a number without exponent or trailing zeros: ``148``, ``0.28``."""
    value = Decimal(number)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def told(number: Decimal) -> str:
    """Write a number for a message: itself, or ``that number`` where it is long enough to be an identifier."""
    text = plain(number)
    return text if sum(character.isdigit() for character in text) <= LONGEST_TOLD else "that number"


def _fold(unit: str) -> str:
    folded = unit.translate(_FOLDS).casefold().removeprefix("x")
    return folded.replace("**", "*").replace("10e9", "10*9").replace("10e3", "10*3")


def read_unit(metric: str, text: str) -> str:
    """Return the UCUM code of a unit as people spell it.

    Raises
    ------
    ProblemError
        ``E-UNIT`` if the metric is not reported in it. The text is repeated only where it is a known unit.
    """
    folded = _fold(text.strip())
    unit = _SPELLINGS.get(folded, "")
    quantity = QUANTITIES[metric]
    if unit in quantity.units:
        return unit
    if metric == "crp" and folded in _REFUSED:
        raise ProblemError(Problem("E-UNIT", metric, _REFUSED[folded]))
    named = f"unit '{unit}' is not used for this" if unit else "this unit is not known"
    raise ProblemError(Problem("E-UNIT", metric, f"{named}. Use {either(quantity.units)}."))


def fold_case(metric: str, text: str) -> str:
    """Return the canonical unit if the text differs from it in letter case only, else the text itself."""
    canonical = QUANTITIES[metric].unit
    return canonical if text.casefold() == canonical.casefold() else text


def known_unit(text: object) -> str:
    """Return a unit for a message: itself if it is one that people write, else nothing.

    It may be free text.
    """
    if not isinstance(text, str):
        return ""
    folded = _fold(text.strip())
    return text.strip() if folded in _SPELLINGS or folded in _REFUSED else ""


def convert(value: Decimal, unit: str, canonical: str) -> Decimal:
    """Convert exactly; pressures in mmHg are rounded to 0.1 kPa, half up.

    Factors of ten keep every entered digit, so white cells and CRP need no rounding.
    """
    if unit == canonical:
        return value
    exact = value * FACTORS[unit, canonical]
    return exact.quantize(Decimal("0.1"), ROUND_HALF_UP) if canonical == "kPa" else exact


def agrees(value: Decimal, reported: Decimal, unit: str, canonical: str) -> bool:
    """Whether a stored value is what was reported, to half a unit of its own last digit (0.05 for kPa)."""
    factor = Decimal(1) if unit == canonical else FACTORS.get((unit, canonical))
    if factor is None:
        return False
    exponent = value.as_tuple().exponent
    step = Decimal(1).scaleb(min(exponent, 0)) if isinstance(exponent, int) else Decimal(0)
    tolerance = max(step, Decimal("0.1")) / 2 if canonical == "kPa" else step / 2
    return abs(reported * factor - value) <= (tolerance if unit != canonical else Decimal(0))


def is_formula(text: str) -> bool:
    """Whether a spreadsheet could take a text for a formula. A number with a sign is none."""
    return text.startswith(("=", "+", "@", "\t")) and not _NUMBER.match(text.strip())


def decimal_comma(text: str) -> str:
    """Return a number that was written with a decimal comma as it ought to be, ``6.4`` for ``6,4``; else nothing."""
    cleaned = text.strip()
    comma = _DECIMAL_COMMA.match(cleaned) if sum(map(str.isdigit, cleaned)) <= LONGEST_TOLD else None
    return f"{comma[1]}.{comma[2]}" if comma else ""


def read_number(text: str, path: str) -> Decimal:
    """Read a decimal with a full stop.

    Raises
    ------
    ProblemError
        ``E-NUMBER``, which suggests ``6.4`` for ``6,4``; for text that is no number it repeats nothing.
    """
    cleaned = text.strip()
    if _NUMBER.match(cleaned):
        try:
            number = Decimal(cleaned)
        except InvalidOperation:  # pragma: no cover - the pattern admits nothing that Decimal refuses
            raise ProblemError(Problem("E-NUMBER", path, "this is not a number.")) from None
        return bounded(number, path)
    if _THOUSANDS.match(cleaned) and sum(map(str.isdigit, cleaned)) <= LONGEST_TOLD:
        without = cleaned.replace(",", "")
        raise ProblemError(
            Problem(
                "E-NUMBER",
                path,
                f"commas are not accepted in numbers. If you mean {without}, write {without}.",
            )
        )
    if better := decimal_comma(cleaned):
        raise ProblemError(Problem("E-NUMBER", path, f"use a full stop, not a comma: {better}"))
    raise ProblemError(Problem("E-NUMBER", path, "this is not a number. Give digits with a full stop, such as 6.4."))


def bounded(number: Decimal, path: str) -> Decimal:
    """Return the number if it can be stored exactly.

    Raises
    ------
    ProblemError
        ``E-NUMBER`` for NaN, infinities, and more digits than any laboratory gives.
    """
    if not number.is_finite():
        raise ProblemError(Problem("E-NUMBER", path, "NaN and Infinity are not values. Say why it is missing instead."))
    digits = len(number.as_tuple().digits)
    if digits > MAX_DIGITS or (number and abs(number.adjusted()) > MAX_MAGNITUDE):
        raise ProblemError(Problem("E-NUMBER", path, "this number is too long or too large to be a result."))
    return number


def read_compared(text: str, path: str) -> tuple[str, Decimal]:
    """Read ``<5``, ``>=500`` or ``148`` → (comparator, number)."""
    cleaned = text.strip().replace("\u2264", "<=").replace("\u2265", ">=")
    for comparator in COMPARATORS:
        if cleaned.startswith(comparator):
            return comparator, read_number(cleaned[len(comparator) :], path)
    return "", read_number(cleaned, path)


def measure(metric: str, text: str, unit: str) -> Measured:
    """Read a result and its unit, and convert it.

    Parameters
    ----------
    metric
        One of `QUANTITIES`.
    text
        The number, with a comparator where the laboratory gave one.
    unit
        The unit as spelt; empty is an error, a unit is never guessed.

    Raises
    ------
    ProblemError
        ``E-UNIT`` or ``E-NUMBER``.
    """
    quantity = QUANTITIES[metric]
    comparator, number = read_compared(text, metric)
    if not unit.strip():
        raise ProblemError(Problem("E-UNIT", metric, unit_missing(quantity.unit)))
    reported_unit = read_unit(metric, unit)
    value = convert(number, reported_unit, quantity.unit)
    return Measured(value, quantity.unit, comparator, number, reported_unit)


def unit_missing(canonical: str) -> str:
    """Return the message for a missing unit."""
    return f"unit missing. Say which: {canonical} is expected; the unit is never guessed."


def either(words: tuple[str, ...]) -> str:
    """Join words for a sentence: ``a, b or c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
