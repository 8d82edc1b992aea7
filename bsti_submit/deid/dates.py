"""Dates and date-times (PS3.5 6.2, DA and DT) → the same moved by whole days, or nothing at all.

What is not exactly a date is never passed on: ``195O0101``, ``00000000``, a year alone, a range.
"""

from __future__ import annotations

import re
from datetime import date

_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})|(\d{4})\.(\d{2})\.(\d{2})|(\d{4})-(\d{2})-(\d{2})")
_DATE_TIME = re.compile(
    r"(\d{4})(\d{2})(\d{2})((?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d|60)?)?(?:(?<=\d{6})\.\d{1,6})?)?(?:[+-]\d{4})?"
)
_LITERAL_DAYS = re.compile(r"days=(-?\d+)")


def shifted(text: str, vr: str, days: int) -> str:
    """Move a date or date-time backwards by whole days; "" for anything that is not exactly one.

    The time of day stays, the zone goes: it would tell places apart. The old form ``1950.12.11`` becomes ``19501211``.
    """
    found = _DATE.fullmatch(text)
    if found is not None:
        year, month, day = (int(part) for part in found.groups() if part is not None)
        rest = ""
    else:
        moment = _DATE_TIME.fullmatch(text) if vr != "DA" else None
        if moment is None:
            return ""
        year, month, day = int(moment[1]), int(moment[2]), int(moment[3])
        rest = moment[4] or ""
    try:
        moved = date.fromordinal(date(year, month, day).toordinal() - days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}".zfill(8) + rest


def literal_days(text: str) -> int | None:
    """Return the days to move backwards by where a rule states them (``days=N``, forwards as deid counts)."""
    found = _LITERAL_DAYS.fullmatch(text)
    return None if found is None else -int(found[1])
