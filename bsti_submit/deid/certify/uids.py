"""UIDs by form: registered by the Standard, or one of ours."""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom.uid import UID_dictionary

_OURS = re.compile(r"2\.25\.(0|[1-9]\d{0,38})")
_STANDARD = re.compile(r"1\.2\.840\.10008(?:\.(?:0|[1-9]\d{0,3})){1,8}")
_OTHERS = frozenset(
    (
        "1.2.840.10008",
        "2.16.840.1.113883.6.96",
        "2.16.840.1.113883.6.1",
        "2.16.840.1.113883.6.8",
        "2.16.840.1.113883.6.3",
        "2.16.840.1.113883.6.90",
        "2.16.840.1.113883.3.26.1.1",
        "2.16.840.1.113883.6.256",
    )
)
"""Coding schemes that PS3.16 section 8 names: SNOMED CT, LOINC, UCUM, ICD-10, ICD-10-CM, NCIt, RADLEX."""


@lru_cache(maxsize=1024)
def is_registered(uid: str) -> bool:
    """Whether a UID is registered in PS3.6, or has the form of one registered later."""
    return uid in UID_dictionary or uid in _OTHERS or _STANDARD.fullmatch(uid) is not None


def is_ours(uid: str) -> bool:
    """Whether a UID is ``2.25.`` and a number of at most 128 bits (PS3.5 B.2)."""
    match = _OURS.fullmatch(uid)
    return match is not None and int(match.group(1)) < 1 << 128
