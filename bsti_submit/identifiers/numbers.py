"""Ten-digit numbers: which of the United Kingdom's patient numbers they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stdnum.gb import nhs

from bsti_submit.identifiers.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GROUPS = re.compile(r"\d+(?:[ ._/\-]{1,2}\d+)*")
_ANY_GAPS = re.compile(r"\d+(?:[^\w\n]{1,3}\d+)*")
_DIGITS = re.compile(r"\d+")
_CHI = re.compile(r"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d{6}")


def _ten_digits(text: str, groups_of: re.Pattern[str]) -> Iterator[tuple[int, int, str, bool]]:
    """Yield start, end and digits of every ten digits that stand together, and whether laid out as is usual.

    Whole groups only: the middle of a longer number isn't an NHS number.
    """
    for run in groups_of.finditer(text):
        groups = [(run.start() + m.start(), m[0]) for m in _DIGITS.finditer(run[0])]
        for first in range(len(groups)):
            digits = ""
            for last in range(first, len(groups)):
                digits += groups[last][1]
                if len(digits) >= 10:
                    break
            if len(digits) != 10:
                continue
            parts = [len(group) for _, group in groups[first : last + 1]]
            if len(parts) <= 5 or len(parts) == 10:
                end = groups[last][0] + len(groups[last][1])
                yield groups[first][0], end, digits, parts in ([10], [3, 3, 4], [6, 4])


def _number_kind(digits: str) -> Kind | None:
    """Tell which of the United Kingdom's numbers ten digits with a right check digit are."""
    if not nhs.is_valid(digits):
        return None
    if _CHI.match(digits):
        return Kind.CHI_NUMBER
    return Kind.HSC_NUMBER if digits.startswith("3") else Kind.NHS_NUMBER


def numbers(kind: Kind, *, any_gaps: bool = False) -> Callable[[str], Iterator[tuple[int, int]]]:
    """Return a finder of the ten-digit numbers of one kind.

    Parameters
    ----------
    kind
        Which of them.
    any_gaps
        Whether any punctuation may stand between the digits, and not just what is usual.
    """
    groups_of = _ANY_GAPS if any_gaps else _GROUPS

    def find(text: str) -> Iterator[tuple[int, int]]:
        for start, end, digits, usual in _ten_digits(text, groups_of):
            found = _number_kind(digits)
            if found is None and usual:
                found = Kind.CHI_NUMBER if _CHI.match(digits) else Kind.TEN_DIGITS
            if found is kind:
                yield start, end

    return find
