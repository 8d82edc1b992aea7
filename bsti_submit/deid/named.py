"""Whether coded and numeric values hold a word by which somebody is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.coded import defined_terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bsti_submit.deid.words import KnownWords


_LONGEST_ROW: Final = 12
_SHORTEST_JOINED: Final = 5
_EXPONENT: Final = re.compile(r"[0-9]+\.?[0-9]*[eE][+-]?[0-9]{1,2}(?![0-9])")


def _plain(number: str) -> str:
    """Return a decimal number with an exponent as a whole number, "" if it is none."""
    value = float(number)
    return f"{value:.0f}" if value.is_integer() else ""


def _written_apart(tokens: list[str]) -> Iterator[str]:
    """Yield what short words in a row say together: 943, 476, 591, 9."""
    for first in range(len(tokens)):
        joined = tokens[first]
        for token in tokens[first + 1 : first + _LONGEST_ROW]:
            joined += token
            if len(joined) >= _SHORTEST_JOINED:
                yield joined


class Named:
    """Whether coded and numeric values hold a word by which somebody in the source is known, asked once a value."""

    LONGEST_HARMLESS: Final = 5
    """Digits of a number that may also be somebody's: shorter ones are counters and sizes."""

    LONGEST_CODE: Final = 3
    """Letters of a defined term that is too short to tell of anybody."""

    def __init__(self) -> None:
        self.known: KnownWords
        self._count = -1
        self._answers: dict[tuple[str, bytes], bool] = {}

    def by(self, known: KnownWords) -> Named:
        """Return itself, asked of these words from now on."""
        if self._count != len(known) or self.known is not known:
            self.known, self._count, self._answers = known, len(known), {}
        return self

    def somebody(self, value: bytes, vr: str) -> bool:
        """Whether a value holds one of the words."""
        if vr in {"DS", "IS", "TM"} and len(value) <= self.LONGEST_HARMLESS:
            return False
        answer = self._answers.get((vr, value))
        if answer is None:
            if len(self._answers) > 8192:
                self._answers.clear()
            text = value.decode("ascii", "replace")
            tokens = re.findall(r"[A-Za-z0-9]+", text)
            if vr in {"DS", "IS", "TM"}:
                # Also written over several values, or with a point in it: 943\\476\\5919, 195012.24.
                tokens += ["".join(tokens), *map(_plain, _EXPONENT.findall(text))]
                tokens = [each for each in tokens if len(each) > self.LONGEST_HARMLESS]
            if vr == "CS":
                # That it is a CT tells nothing of a patient called Ct.
                alone = [t for t in tokens if len(t) > self.LONGEST_CODE or t.casefold() not in defined_terms()]
                tokens = [*alone, *_written_apart(tokens)]
            answer = self._answers[vr, value] = any(self.known.contains(token.casefold()) for token in tokens)
        return answer
