"""Folded text → the calendar dates that it may state, in every usual form and order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_MONTHS = {
    name[:3]: number
    for number, name in enumerate(
        "january february march april may june july august september october november december".split(),
        start=1,
    )
}
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_GAP = r"[\W_]{1,3}"
_SOLID = re.compile(r"(?<!\d)(\d{8})(?:\d{4}|\d{6})?(?!\d)")
_SIX = re.compile(r"(?<!\d)(\d\d)(\d\d)(\d\d)(?!\d)")
_YEAR_FIRST = re.compile(rf"(?<!\d)(\d{{4}}){_GAP}(\d{{1,2}}){_GAP}(\d{{1,2}})(?!\d)")
_YEAR_LAST = re.compile(rf"(?=(?<!\d)(\d{{1,2}}){_GAP}(\d{{1,2}}){_GAP}(\d{{4}})(?!\d))")
_SHORT = re.compile(rf"(?=(?<!\d)(\d{{1,2}}){_GAP}(\d{{1,2}}){_GAP}(\d\d)(?!\d))")
_DAY_MONTH = re.compile(rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?[\W_]*(?:of[\W_]+)?{_MONTH}[\W_]*(\d{{4}}|\d\d)(?!\d)")
_MONTH_DAY = re.compile(rf"{_MONTH}[\W_]*(\d{{1,2}})(?:st|nd|rd|th)?[\W_]+(\d{{4}}|\d\d)(?!\d)")
_ROMAN = "i ii iii iv v vi vii viii ix x xi xii".split()
_ROMAN_MONTH = re.compile(rf"(?<!\d)(\d{{1,2}}){_GAP}({'|'.join(_ROMAN)}){_GAP}(\d{{4}}|\d\d)(?!\d)")
_YEAR_MONTH = re.compile(rf"(?<!\d)(\d{{4}})[\W_]*{_MONTH}[\W_]*(\d{{1,2}})(?!\d)")
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

Date = tuple[int, int, int]


def is_date(year: int, month: int, day: int) -> bool:
    """Whether the three make a calendar date of the years 1800 to 2199."""
    if not (1800 <= year < 2200 and 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]):
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return leap or (month, day) != (2, 29)


def _years(text: str) -> tuple[int, ...]:
    return (int(text),) if len(text) == 4 else (1900 + int(text), 2000 + int(text))


def _solid(text: str) -> Iterator[Date]:
    for eight in _SOLID.findall(text):
        yield int(eight[:4]), int(eight[4:6]), int(eight[6:])
        yield int(eight[4:]), int(eight[2:4]), int(eight[:2])
        yield int(eight[4:]), int(eight[:2]), int(eight[2:4])


def _named(text: str) -> Iterator[Date]:
    for day, month, year in _DAY_MONTH.findall(text):
        for full in _years(year):
            yield full, _MONTHS[month], int(day)
    for month, day, year in _MONTH_DAY.findall(text):
        for full in _years(year):
            yield full, _MONTHS[month], int(day)
    for day, month, year in _ROMAN_MONTH.findall(text):
        for full in _years(year):
            yield full, _ROMAN.index(month) + 1, int(day)
    for year, month, day in _YEAR_MONTH.findall(text):
        yield int(year), _MONTHS[month], int(day)


def _two_digit(text: str) -> Iterator[Date]:
    for first, second, third in (*_SHORT.findall(text), *_SIX.findall(text)):
        for year in _years(third.zfill(2)):
            yield year, int(second), int(first)
            yield year, int(first), int(second)
        if len(first) == 2:
            for year in _years(first):
                yield year, int(second), int(third)


@lru_cache(maxsize=2048)
def dates_in(folded: str, *, short: bool) -> frozenset[int]:
    """Return the dates that a folded text may state, each as the number ``YYYYMMDD``.

    Parameters
    ----------
    folded
        Folded text.
    short
        Whether years of two digits and six-digit dates count.
    """
    candidates: list[Date] = list(_solid(folded))
    for year, month, day in _YEAR_FIRST.findall(folded):
        candidates += [(int(year), int(month), int(day)), (int(year), int(day), int(month))]
    for first, second, year in _YEAR_LAST.findall(folded):
        candidates += [(int(year), int(second), int(first)), (int(year), int(first), int(second))]
    candidates += _named(folded)
    if short:
        candidates += _two_digit(folded)
    return frozenset(year * 10000 + month * 100 + day for year, month, day in candidates if is_date(year, month, day))


def spellings(date: int) -> tuple[str, ...]:
    """Return the forms in which a date is looked for in raw bytes, folded: full years only."""
    year, month, day = date // 10000, date // 100 % 100, date % 100
    name = list(_MONTHS)[month - 1]
    two = [f"{day:02}", f"{month:02}"]
    found = [f"{year}{month:02}{day:02}", f"{day:02}{month:02}{year}", f"{month:02}{day:02}{year}"]
    for gap in "-/. ":
        found += [gap.join((f"{year}", two[1], two[0])), gap.join((*two, f"{year}"))]
        found += [gap.join((two[1], two[0], f"{year}")), gap.join((f"{day}", f"{month}", f"{year}"))]
        found += [gap.join((two[0], name, f"{year}")), gap.join((f"{day}", name, f"{year}"))]
    return tuple(dict.fromkeys(found))
