"""Finds in text what identifies people in the United Kingdom by its form alone: numbers, dates, titles.

It knows nothing of a particular patient; those words are searched first and elsewhere. What it finds is told
as kinds and positions, never as text, so that a message can't repeat an identifier.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from bsti_submit.identifiers import forms
from bsti_submit.identifiers.kinds import Hit, Kind, Strength
from bsti_submit.identifiers.numbers import numbers

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Collection, Iterator

__all__ = ["ALWAYS", "NATIONS", "PATTERNS", "Hit", "Kind", "Pattern", "Strength", "find_identifiers"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of identifier: what it is in plain English, and how it is recognised.

    ``finder`` yields spans. ``needs_digit`` spares the search in text without digits.
    """

    kind: Kind
    description: str
    finder: Callable[[str], Iterator[tuple[int, int]]]
    strengths: frozenset[Strength]
    needs_digit: bool


_BOTH = frozenset(Strength)
_STRICT = frozenset({Strength.STRICT})
_DESCRIPTOR = frozenset({Strength.DESCRIPTOR})

_ALL: tuple[Pattern, ...] = (
    Pattern(Kind.EMAIL, "Email addresses.", forms.spans(forms.EMAIL), _BOTH, needs_digit=False),
    Pattern(
        Kind.URL,
        "Web addresses, host names and file paths.",
        forms.spans(forms.URL),
        _BOTH,
        needs_digit=False,
    ),
    Pattern(Kind.IP_ADDRESS, "IP and MAC addresses.", forms.spans(forms.IP_ADDRESS), _BOTH, needs_digit=False),
    Pattern(
        Kind.NHS_NUMBER,
        "NHS numbers of England, Wales and Man: ten digits in any spacing with a right check digit.",
        numbers(Kind.NHS_NUMBER),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.CHI_NUMBER,
        "CHI numbers of Scotland: ten digits that begin with a birth date.",
        numbers(Kind.CHI_NUMBER),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.HSC_NUMBER,
        "Health and Care numbers of Northern Ireland: ten digits from 320 upwards, with a right check digit.",
        numbers(Kind.HSC_NUMBER),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.TEN_DIGITS,
        "Any other ten digits in a row, or grouped 3-3-4.",
        numbers(Kind.TEN_DIGITS),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.GMC,
        "Registration numbers of the GMC (seven digits near the letters GMC), NMC and HCPC.",
        forms.spans(forms.REGISTRATION),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.UK_PHONE,
        "Telephone, mobile, bleep and extension numbers, with or without +44 and spaces.",
        forms.spans(forms.PHONE),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(Kind.UK_POSTCODE, "UK postcodes.", forms.spans(forms.POSTCODE), _BOTH, needs_digit=True),
    Pattern(
        Kind.AGE_90_PLUS,
        "Ages of 90 and over, such as 'aged 93' or '93F'.",
        forms.spans(forms.AGE_90_PLUS),
        _STRICT,
        needs_digit=False,
    ),
    Pattern(Kind.AGE, "Ages, such as '55F' or '7 yrs'.", forms.spans(forms.AGE), _DESCRIPTOR, needs_digit=True),
    Pattern(
        Kind.DATE,
        "Dates in figures or with the month's name, years 1900 to 2049, and what follows 'born' or 'DOB'.",
        forms.spans(forms.DATE),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.DATE,
        "Day and month without a year.",
        forms.spans(forms.DAY_AND_MONTH),
        _STRICT,
        needs_digit=True,
    ),
    Pattern(
        Kind.HOSPITAL_NUMBER,
        "Hospital numbers: letters followed by digits, what follows 'MRN' or 'hospital no', the site's own"
        " pattern if it gave one.",
        forms.spans(forms.HOSPITAL_NUMBER),
        _STRICT,
        needs_digit=True,
    ),
    Pattern(
        Kind.HOSPITAL_NUMBER,
        "Hospital numbers: letters followed by five or more digits, what follows 'MRN' or 'hospital no', the"
        " site's own pattern if it gave one.",
        forms.spans(forms.HOSPITAL_NUMBER_IN_DESCRIPTOR),
        _DESCRIPTOR,
        needs_digit=True,
    ),
    Pattern(
        Kind.LONG_NUMBER,
        "Five or more digits in a row.",
        forms.spans(forms.LONG_NUMBER),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.TITLE_NAME,
        "Names after a title or a role: Dr, Mrs, Prof, Nurse, 'seen by', 'next of kin:' and the like.",
        forms.titles,
        _BOTH,
        needs_digit=False,
    ),
    Pattern(
        Kind.PLACE,
        "Names of hospitals, infirmaries, trusts, hospices, care homes, wards, bays and beds.",
        forms.places,
        _BOTH,
        needs_digit=False,
    ),
)

NATIONS: dict[str, tuple[str, ...]] = {"uk": tuple(kind.value for kind in Kind)}
"""Nation → names of the patterns that apply there. A profile may also list names itself."""

_OF_NO_NATION = (
    *(Kind.IP_ADDRESS, Kind.TEN_DIGITS, Kind.DATE, Kind.AGE, Kind.AGE_90_PLUS),
    *(Kind.HOSPITAL_NUMBER, Kind.LONG_NUMBER, Kind.TITLE_NAME, Kind.PLACE),
)
ALWAYS: frozenset[str] = frozenset(kind.value for kind in _OF_NO_NATION)
"""Names of the patterns that are looked for whatever a profile says."""

PATTERNS: dict[str, str] = {}
"""Name of each pattern → what it finds, in plain English."""
for _pattern in _ALL:
    PATTERNS.setdefault(_pattern.kind.value, _pattern.description)


class _AsciiForm(dict[int, str]):
    """Maps a character to one look-alike in ASCII, so that positions stay: digits, dashes, wide letters."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        plain = unicodedata.normalize("NFKC", character)
        if category == "Nd":
            result = str(unicodedata.digit(character))
        elif category == "Pd":
            result = "-"
        elif category in {"Zs", "Zl", "Zp", "Cf", "Cc"} and character not in "\n\r\t":
            result = " "
        else:
            result = plain if len(plain) == 1 else character
        self[code] = result
        return result


_ascii_form = _AsciiForm()


@lru_cache(maxsize=64)
def _selected(names: frozenset[str], strength: Strength) -> tuple[Pattern, ...]:
    unknown = names - PATTERNS.keys()
    if unknown:
        raise ValueError("unknown identifier pattern; the known ones are: " + ", ".join(PATTERNS))
    return tuple(p for p in _ALL if p.kind.value in names and strength in p.strengths)


_DEFAULT_NAMES = frozenset(NATIONS["uk"])


def find_identifiers(
    text: str,
    *,
    strength: Strength = Strength.STRICT,
    hospital_pattern: re.Pattern[str] | None = None,
    nation: str = "uk",
    patterns: Collection[str] | None = None,
) -> list[Hit]:
    """Return what in `text` looks like an identifier, in order of position.

    Parameters
    ----------
    text
        Any text; other scripts' digits and dashes are read too.
    strength
        Strict for free text that a person typed, descriptor for text that is being cleaned.
    hospital_pattern
        The site's own form of hospital number.
    nation
        Which nation's patterns apply, see `NATIONS`.
    patterns
        Names from `PATTERNS` instead of the nation's; all finds of a kind that is not named are left.

    Returns
    -------
    list of Hit
        A find that lies wholly inside one of a more telling kind is not repeated.

    Raises
    ------
    ValueError
        If `nation` or a name in `patterns` is unknown.
    """
    if patterns is not None:
        names = frozenset(patterns)
    elif nation in NATIONS:
        names = frozenset(NATIONS[nation]) if nation != "uk" else _DEFAULT_NAMES
    else:
        raise ValueError("unknown nation; the known ones are: " + ", ".join(NATIONS))
    plain = text if text.isascii() and text.isprintable() else text.translate(_ascii_form)
    has_digit = any(character.isdigit() for character in plain)
    hits: list[Hit] = []
    if hospital_pattern is not None:
        hits.extend(Hit(*match.span(), Kind.HOSPITAL_NUMBER) for match in hospital_pattern.finditer(plain) if match[0])
    for pattern in _selected(names, strength):
        if pattern.needs_digit and not has_digit:
            continue
        for start, end in pattern.finder(plain):
            if not any(hit.start <= start and end <= hit.end for hit in hits):
                hits.append(Hit(start, end, pattern.kind))
    hits.sort()
    return hits
