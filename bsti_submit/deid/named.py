"""Whether coded and numeric values hold a word by which somebody is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.coded import defined_terms

if TYPE_CHECKING:
    from bsti_submit.deid.words import KnownWords


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
            tokens = re.findall(r"[A-Za-z0-9]+", value.decode("ascii", "replace"))
            if vr in {"DS", "IS", "TM"}:
                tokens = [token for token in tokens if len(token) > self.LONGEST_HARMLESS]
            if vr == "CS":
                # That it is a CT tells nothing of a patient called Ct.
                tokens = [t for t in tokens if len(t) > self.LONGEST_CODE or t.casefold() not in defined_terms()]
            answer = self._answers[vr, value] = any(self.known.contains(token.casefold()) for token in tokens)
        return answer
