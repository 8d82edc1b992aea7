"""Which code values may stay as they are: well-formed codes of public schemes (PS3.16 clause 8).

A code is told by its form alone, with its check digit where the scheme has one, since a site may put anything
into a code sequence. What has no such form is handled as free text.
"""

from __future__ import annotations

import re

SCHEMES = frozenset(
    (
        *(
            "99GEMS",
            "99PMP",
            "99SDM",
            "ACR",
            "DCM",
            "DCMUID",
            "FMA",
            "I10",
            "I10P",
            "I9",
            "I9C",
            "IBSI",
            "ICDO3",
        ),
        *("LN", "MA", "MDNS", "NCIT", "NEU", "NICIP", "RADELEMENT", "RADLEX", "SCT", "SNM3", "SRT", "UBERON"),
        *("UCUM", "UMLS", "UNS"),
    )
)
"""Coding Scheme Designators that name nobody."""

UNITS = frozenset(
    (
        *(
            "1",
            "%",
            "mm",
            "cm",
            "m",
            "um",
            "nm",
            "mm2",
            "cm2",
            "mm3",
            "cm3",
            "ml",
            "l",
            "/min",
            "1/min",
            "Hz",
        ),
        *("s", "ms", "min", "h", "d", "a", "wk", "mo", "deg", "rad", "kV", "kVp", "mA", "uA", "mA.s", "mAs"),
        *("HU", "[hnsf'U]", "[arb'U]", "{ratio}", "{counts}", "{pixels}", "ppm", "g", "kg", "g/ml", "mg/ml"),
        *("mGy", "Gy", "cGy", "uGy", "mSv", "mGy.cm", "dGy.cm2", "Gy.m2", "Bq", "MBq", "keV", "eV", "N"),
    )
)
"""Units of UCUM that images and doses are told in."""

_SNOMED_RT = re.compile(r"[A-Z][A-Z0-9]?-[0-9A-F]{4,5}")
_DICOM = re.compile(r"1[0-3]\d{4}")
_RADLEX = re.compile(r"R(?:ID|PID)\d{1,5}")
_LOINC = re.compile(r"\d{1,5}-\d")
_VERSION = re.compile(r"\d{1,2}(?:\.\d{1,2})?")
"""Three numbers could be a date."""
_SNOMED_CT = re.compile(r"[1-9]\d{3,15}(?:00|10)\d")
"""A concept: the digits before the check digit tell the kind of component, 00 or 10."""

_MULTIPLY = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
"""Verhoeff's multiplication, a row a digit."""
_PERMUTE = (
    *("0123456789", "1576283094", "5803796142", "8916043527"),
    *("9453126870", "4286573901", "2793806415", "7046913258"),
)


def is_public_code(text: str) -> bool:
    """Return whether a text is a well-formed code, unit, version or designator of a public scheme."""
    return (
        text in SCHEMES
        or text in UNITS
        or _SNOMED_RT.fullmatch(text) is not None
        or _DICOM.fullmatch(text) is not None
        or _RADLEX.fullmatch(text) is not None
        or _VERSION.fullmatch(text) is not None
        or (_LOINC.fullmatch(text) is not None and _luhn(text.replace("-", "")))
        or (_SNOMED_CT.fullmatch(text) is not None and _verhoeff(text))
    )


def _luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + index % 2)
        total += doubled // 10 + doubled % 10
    return total % 10 == 0


def _verhoeff(digits: str) -> bool:
    check = 0
    for index, digit in enumerate(reversed(digits)):
        check = int(_MULTIPLY[check][int(_PERMUTE[index % 8][int(digit)])])
    return check == 0
