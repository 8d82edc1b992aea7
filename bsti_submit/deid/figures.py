"""Numbers of a descriptor that are harmless alone, and side by side could be a date, a telephone number or an id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.tokens import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bsti_submit.deid.tokens import Token

_LONGEST_RUN: Final = 5
"""Digits of three whole numbers in a row that may stay; four numbers may not, however short."""
_MONTHS: Final = 12
_DAYS: Final = 31
_YEAR: Final = re.compile(r"19\d\d|20[0-4]\d")
_LONGEST_DAY: Final = 3
"""Digits of a day, of a month or of a day of the year."""
_DAY_AND_MONTH: Final = 2
_MOST_WORDS: Final = 2
"""Words between the day and the year: a month, and whatever a language puts before it."""


def drop_numbers(text: str, tokens: list[Token]) -> None:
    """Drop whole numbers in a row, and those that belonged to a year that was dropped."""
    for run in _runs(tokens):
        digits = [one.text for one in run]
        if len(digits) > 3 or (len(digits) > 2 and sum(map(len, digits)) > _LONGEST_RUN) or _is_day(digits, text, run):
            _drop(run)
    for index, token in enumerate(tokens):
        if token.verdict is Verdict.DROP and _YEAR.fullmatch(token.text):
            # Whatever the months are called: "24 Rhagfyr 1950", "1950 m. gruodžio 24".
            _drop_nearest(reversed(tokens[:index]))
            _drop_nearest(tokens[index + 1 :])


def _runs(tokens: list[Token]) -> Iterator[list[Token]]:
    run: list[Token] = []
    for token in tokens:
        if token.verdict is Verdict.NUMBER and token.text.isdigit():
            run.append(token)
        else:
            yield run
            run = []
    yield run


def _drop(tokens: Sequence[Token]) -> None:
    for token in tokens:
        token.verdict = Verdict.DROP


def _drop_nearest(tokens: Iterable[Token]) -> None:
    """Drop the day and the month that stand first, or first behind a few dropped words."""
    words = numbers = 0
    for token in tokens:
        if token.verdict is Verdict.DROP:
            words += 1
            if words > _MOST_WORDS or any(map(str.isdigit, token.text)):
                return
            continue
        if token.verdict is not Verdict.NUMBER or not token.text.isdigit() or len(token.text) > _LONGEST_DAY:
            return
        token.verdict = Verdict.DROP
        numbers += 1
        if numbers == _DAY_AND_MONTH:
            return


def _is_day(digits: list[str], text: str, run: list[Token]) -> bool:
    """Tell "14/09", "24/12" and "12 03 47"; "1/2" and "10 x 2" are no days."""
    if any(len(one) > 2 for one in digits):
        return False
    match digits:
        case [first, second] if len(first) == 2 and second.startswith("0"):
            pass
        case [first, second] if len(first) == len(second) == 2 and text[run[0].end : run[1].start] == "/":
            pass
        case [first, second, year] if len(year) == 2:
            pass
        case _:
            return False
    low, high = sorted((int(first), int(second)))
    return 1 <= low <= _MONTHS and high <= _DAYS
