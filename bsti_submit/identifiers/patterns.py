"""Every kind of identifier that is looked for: what it is in plain English, how it is found, and in which texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.identifiers.forms import (
    AGE,
    AGE_90_PLUS,
    DATE,
    DAY_AND_MONTH,
    EMAIL,
    HOSPITAL_NUMBER,
    HOSPITAL_NUMBER_IN_DESCRIPTOR,
    IP_ADDRESS,
    LONG_NUMBER,
    PHONE,
    POSTCODE,
    REGISTRATION,
    URL,
    places,
    spans,
    titles,
)
from bsti_submit.identifiers.kinds import Kind, Strength
from bsti_submit.identifiers.numbers import numbers
from bsti_submit.identifiers.typed import (
    ages,
    emails,
    holidays,
    insurance_numbers,
    labelled_numbers,
    names,
    spaced_numbers,
    whereabouts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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

ALL: tuple[Pattern, ...] = (
    Pattern(Kind.EMAIL, "Email addresses.", spans(EMAIL), _BOTH, needs_digit=False),
    Pattern(
        Kind.URL,
        "Web addresses, host names and file paths.",
        spans(URL),
        _BOTH,
        needs_digit=False,
    ),
    Pattern(Kind.IP_ADDRESS, "IP and MAC addresses.", spans(IP_ADDRESS), _BOTH, needs_digit=False),
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
        spans(REGISTRATION),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.UK_PHONE,
        "Telephone, mobile, bleep and extension numbers, with or without +44 and spaces.",
        spans(PHONE),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(Kind.UK_POSTCODE, "UK postcodes.", spans(POSTCODE), _BOTH, needs_digit=True),
    Pattern(
        Kind.AGE_90_PLUS,
        "Ages of 90 and over, such as 'aged 93' or '93F'.",
        spans(AGE_90_PLUS),
        _STRICT,
        needs_digit=False,
    ),
    Pattern(Kind.AGE, "Ages, such as '55F' or '7 yrs'.", spans(AGE), _DESCRIPTOR, needs_digit=True),
    Pattern(
        Kind.DATE,
        "Dates in figures or with the month's name, years 1900 to 2049, and what follows 'born' or 'DOB'.",
        spans(DATE),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.DATE,
        "Day and month without a year.",
        spans(DAY_AND_MONTH),
        _STRICT,
        needs_digit=True,
    ),
    Pattern(
        Kind.HOSPITAL_NUMBER,
        "Hospital numbers: letters followed by digits, what follows 'MRN' or 'hospital no', the site's own"
        " pattern if it gave one.",
        spans(HOSPITAL_NUMBER),
        _STRICT,
        needs_digit=True,
    ),
    Pattern(
        Kind.HOSPITAL_NUMBER,
        "Hospital numbers: letters followed by five or more digits, what follows 'MRN' or 'hospital no', the"
        " site's own pattern if it gave one.",
        spans(HOSPITAL_NUMBER_IN_DESCRIPTOR),
        _DESCRIPTOR,
        needs_digit=True,
    ),
    *(
        Pattern(
            kind,
            "The same in typed text, with any punctuation between the digits.",
            numbers(kind, any_gaps=True),
            _STRICT,
            needs_digit=True,
        )
        for kind in (Kind.NHS_NUMBER, Kind.CHI_NUMBER, Kind.HSC_NUMBER)
    ),
    Pattern(
        Kind.UK_PHONE,
        "More than eight digits with spaces or hyphens between them.",
        spaced_numbers,
        _STRICT,
        needs_digit=True,
    ),
    Pattern(Kind.LONG_NUMBER, "National Insurance numbers.", insurance_numbers, _STRICT, needs_digit=True),
    Pattern(
        Kind.HOSPITAL_NUMBER,
        "What follows 'accession', 'ref' or 'request'.",
        labelled_numbers,
        _STRICT,
        needs_digit=True,
    ),
    Pattern(Kind.EMAIL, "Email addresses in words: 'name at site dot uk'.", emails, _STRICT, needs_digit=False),
    Pattern(Kind.AGE_90_PLUS, "Ages of 90 and over in words.", ages, _STRICT, needs_digit=False),
    Pattern(Kind.DATE, "Public holidays.", holidays, _STRICT, needs_digit=False),
    Pattern(
        Kind.TITLE_NAME,
        "Common given names and surnames, two words with capitals, and who is spoken of.",
        names,
        _STRICT,
        needs_digit=False,
    ),
    Pattern(
        Kind.PLACE,
        "Where somebody lives, works or is treated, and streets.",
        whereabouts,
        _STRICT,
        needs_digit=False,
    ),
    Pattern(
        Kind.LONG_NUMBER,
        "Five or more digits in a row.",
        spans(LONG_NUMBER),
        _BOTH,
        needs_digit=True,
    ),
    Pattern(
        Kind.TITLE_NAME,
        "Names after a title or a role: Dr, Mrs, Prof, Nurse, 'seen by', 'next of kin:' and the like.",
        titles,
        _BOTH,
        needs_digit=False,
    ),
    Pattern(
        Kind.PLACE,
        "Names of hospitals, infirmaries, trusts, hospices, care homes, wards, bays and beds.",
        places,
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
for _pattern in ALL:
    PATTERNS.setdefault(_pattern.kind.value, _pattern.description)
