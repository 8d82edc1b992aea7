"""Whether a literal in a recipe is a value of a VR (PS3.5 6.2)."""

from __future__ import annotations

import re
from datetime import datetime

_FORMS = {
    "AE": r"[ -\[\]-~]{1,16}",
    "AS": r"\d{3}[DWMY]",
    "CS": r"[A-Z0-9 _]{1,16}",
    "DA": r"\d{8}",
    "DS": r"(?=.{1,16}$) *[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)? *",
    "DT": r"\d{4}(\d\d){0,5}(\.\d{1,6})?([+-]\d{4})?",
    "IS": r"(?=.{1,12}$) *[+-]?\d+ *",
    "LO": r"[ -\[\]-~]{1,64}",
    "PN": r"[ -\[\]-~]{1,64}",
    "SH": r"[ -\[\]-~]{1,16}",
    "TM": r"\d\d([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
    "UC": r"[ -\[\]-~]+",
    "UI": r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))+",
    "FD": r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?",
    "FL": r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?",
}
_RANGES = {
    "SS": (-(2**15), 2**15 - 1),
    "US": (0, 2**16 - 1),
    "SL": (-(2**31), 2**31 - 1),
    "UL": (0, 2**32 - 1),
    "SV": (-(2**63), 2**63 - 1),
    "UV": (0, 2**64 - 1),
}
_LONG_TEXT = {"LT", "ST", "UR", "UT"}
_ST_MAX = 1024


def fits(vr: str, value: str) -> bool:
    """Return whether a literal, values parted by backslashes, can be written with this VR.

    Only printable ASCII fits, so that a literal means the same in every character set. Sequences and binary
    VRs take no literal.
    """
    if vr in _LONG_TEXT:
        return value.isascii() and value.isprintable() and (vr != "ST" or len(value) <= _ST_MAX)
    return all(_one_fits(vr, part) for part in value.split("\\"))


def _one_fits(vr: str, value: str) -> bool:
    if vr in _RANGES:
        low, high = _RANGES[vr]
        return re.fullmatch(r"[+-]?\d{1,20}", value) is not None and low <= int(value) <= high
    form = _FORMS.get(vr)
    if form is None or not value.isascii() or re.fullmatch(form, value) is None:
        return False
    if vr == "DA":
        return _is_day(value)
    if vr == "DT" and len(value) >= 8 and value[:8].isdigit():
        return _is_day(value[:8])
    return not (vr == "TM" and int(value[:2]) > 23)


def _is_day(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - only asked whether the day exists
    except ValueError:
        return False
    return True


def describe(vr: str) -> str:
    """Return in words what a literal of this VR looks like."""
    if vr in _RANGES:
        low, high = _RANGES[vr]
        return f"a whole number from {low} to {high}"
    return {
        "AS": "an age such as 045Y",
        "CS": "up to 16 of A-Z, 0-9, space and underscore",
        "DA": "a date YYYYMMDD",
        "DS": "a decimal number",
        "DT": "a date and time YYYYMMDDHHMMSS",
        "FD": "a number",
        "FL": "a number",
        "IS": "a whole number",
        "LO": "up to 64 printable ASCII characters",
        "SH": "up to 16 printable ASCII characters",
        "TM": "a time HHMMSS",
        "UI": "a UID: digits and dots",
    }.get(vr, "printable ASCII text")
