"""Which coded strings (VR CS) may stay: those made of known terms.

A coded string has a closed or defined set of values in the standard, but a device may write anything there, a
name as well. So each value is held against the defined terms and the vocabulary of free text, word by word.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_LONGEST_NUMBER = 3
"""Four digits could be a year."""
_SHORT = 2
_WORD = re.compile(r"[^\W_]+")
_NUMBERED = re.compile(r"([A-Z]{2,})(\d{1,2})")
_SIZE = re.compile(r"\d{1,3}(?:CM|IN|MM)?X\d{1,3}(?:CM|IN|MM)?")


@cache
def defined_terms() -> frozenset[str]:
    """Return the words of the standard's and makers' coded strings, in lower case."""
    text = (files("bsti_submit.deid") / "data" / "coded-terms.txt").read_text(encoding="ascii")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return frozenset(word for line in lines for word in re.split(r"[ _]", line) if word)


class CodedTerms:
    """Knows the terms that coded strings may be made of.

    Parameters
    ----------
    vocabulary
        The entries of `load_vocabulary`. Its plain words count, not those that are also names or hold in pairs
        only; the terms that coded strings need are added.
    """

    def __init__(self, vocabulary: frozenset[str]) -> None:
        self._words = frozenset(word for word in vocabulary if word.isalnum()) | defined_terms()
        self._answers: dict[str, bool] = {}

    def knows(self, value: str) -> bool:
        """Return whether one value of a coded string is made of known terms and short numbers."""
        answer = self._answers.get(value)
        if answer is None:
            answer = self._answers[value] = all(map(self._is_known, _WORD.findall(value.upper())))
        return answer

    def cleaned(self, text: str) -> str:
        """Return a coded string with each unknown value emptied; positions stay, for they have a meaning."""
        return "\\".join(part if self.knows(part.strip()) else "" for part in text.split("\\"))

    def _is_known(self, word: str) -> bool:
        if len(word) <= _SHORT or (word.isdigit() and len(word) <= _LONGEST_NUMBER):
            return True
        if word.lower() in self._words or _SIZE.fullmatch(word) is not None:
            return True
        numbered = _NUMBERED.fullmatch(word)
        return numbered is not None and (len(numbered[1]) <= _SHORT or numbered[1].lower() in self._words)
