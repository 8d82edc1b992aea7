"""The text of an attribute, of one value or several → what may stay of it, in the length that it may have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.codes import is_public_code
from bsti_submit.deid.tokens import tokenise

if TYPE_CHECKING:
    from bsti_submit.deid.descriptors import Descriptors
    from bsti_submit.deid.named import Named

_LONGEST: Final = {"SH": 16, "LO": 64, "CS": 16, "ST": 1024, "LT": 10240}
_EQUIPMENT: Final = frozenset((0x00080070, 0x00081090, 0x00181020, 0x00181400, 0x00181401, 0x0018702B))
"""Makers, models and versions of software, in which 5.1.1.0 is no network address."""


class Texts:
    """Cleans the free text of one instance after another."""

    def __init__(self, descriptors: Descriptors, named: Named) -> None:
        self._descriptors = descriptors
        self._named = named

    def cleaned(self, text: str, tag: int, vr: str, kind: str) -> str:
        """Return what may stay of the text of an attribute.

        A number or a name can be written over several values, which say nothing each: what would not stay if they
        were one goes, and with it their places.

        Parameters
        ----------
        kind
            ``code`` if a well-formed code of a public scheme may stay too.
        """
        equipment = tag in _EQUIPMENT
        parts = [text] if vr in {"LT", "ST", "UT"} else text.split("\\")
        cleaned = "\\".join(self._clean(part, vr, kind, equipment=equipment) for part in parts).rstrip("\\")
        if "\\" not in cleaned or kind == "code":
            return cleaned
        apart = text.replace("\\", " ")
        if _words(self._clean(apart, "UT", kind, equipment=equipment)) == _words(cleaned):
            return cleaned
        return self._clean(apart, vr, kind, equipment=equipment)

    def _clean(self, text: str, vr: str, kind: str, *, equipment: bool) -> str:
        if kind == "code" and is_public_code(text.strip()) and not self._named.somebody(text.strip().encode(), "SH"):
            return text.strip()
        cleaned = self._descriptors.clean(text, self._named.known, equipment=equipment)
        longest = _LONGEST.get(vr)
        while longest is not None and len(cleaned) > longest:
            # Half a word is no word of the vocabulary, and without its end the rest may be none either.
            cleaned = self._descriptors.clean(_cut(cleaned, longest), self._named.known, equipment=equipment)
        return cleaned


def _words(text: str) -> list[str]:
    return [token.text for token in tokenise(text)]


def _cut(text: str, longest: int) -> str:
    """Return the whole words of a text that fit into a length."""
    return "".join(re.findall(r"[^\s_]+|[\s_]+", text[: longest + 1])[:-1]).rstrip(" _")
