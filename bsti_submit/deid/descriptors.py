"""Free text → the allowed words of it (PS3.15 E.3.5, Clean Descriptors).

First this patient's own words go, then whatever has the form of a national identifier, then every word that is not in
the vocabulary. So a name that stands nowhere in the header goes as well, and ``Hodgkin`` and ``B60f`` stay.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from bsti_submit.identifiers import Strength, find_identifiers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LONGEST_NUMBER: Final = 3
"""Digits of a whole number that may stay: four could be a year, a time, or the end of an id."""
LONGEST_TEXT: Final = 65_536

_TOKEN: Final = re.compile(r"[^\W_]+(?:['’\-+.][^\W_]+)*[+]?", re.UNICODE)
_PIECE: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+(?:[.,]\d+)?", re.UNICODE)
_NUMBER: Final = re.compile(r"\d{1,3}(?:[.,]\d{1,3})?")
_MEASURE: Final = re.compile(
    r"(\d{1,3}(?:[.,]\d{1,3})?)(mm|cm|ml|mls|kv|kvp|ma|mas|s|sec|ms|min|hu|mgy|mg|kg|g|%|x|t|y|yrs?|st|nd|rd|th|fps)?",
    re.I,
)
_KERNEL: Final = re.compile(
    r"(?:[abchstu][rvfluhpcq]?\d{2}[fsh]?(?:\d)?|i\d{2}f|q\d{2}[fs]|t\d{2}[fs]|u\d{2}[us]|d\d{2}[sf]|fc\d{2}|y[abcd]|e[bc])",
    re.I,
)
"""Reconstruction kernels of the large makers: B60f, Br40d, I70f, D40s, Bl57d, FC51, YA, EB."""
_KERNEL_D: Final = re.compile(r"(?:br|bl|bv|bf|hr|hv|hf|qr|qv|tr|ur|sa|sd)\d{2}[a-z]?(?:\\?\d)?", re.I)
_VERSION: Final = re.compile(r"v[a-z]{0,2}\d{1,2}[a-z]?(?:\.\d{1,2}){0,3}|\d{1,2}(?:\.\d{1,2}){2,3}", re.I)
"""Versions of software: VA48A, VC40, V11.0, 3.6.6."""
_TIMES: Final = re.compile(r"\d{1,3}x\d{1,3}(?:[.,]\d{1,2})?", re.I)
_SEPARATORS: Final = re.compile(r"[ \t\r\n]+")
_PAIRS: Final = frozenset(
    (
        ("low", "dose"), ("low", "res"), ("low", "kv"), ("low", "energy"), ("long", "axis"), ("short", "axis"),
        ("small", "fov"), ("small", "field"), ("small", "bowel"), ("small", "airways"), ("large", "fov"),
        ("sharp", "kernel"), ("lung", "sharp"), ("bone", "sharp"), ("very", "sharp"), ("large", "body"),
        ("black", "blood"), ("lower", "limb"), ("reduced", "dose"), ("low", "contrast"), ("long", "leg"),
    )
)  # fmt: skip
"""Words that are also names, kept beside the word that makes them one of imaging."""


class Known(Protocol):
    """The patient's own words."""

    def contains(self, token: str) -> bool:
        """Whether a token is one of them, case and accents aside."""


def load_vocabulary(paths: Iterable[Path]) -> frozenset[str]:
    """Return the words of some lists, one a line, lower case."""
    words: set[str] = set()
    for path in paths:
        words.update(line for line in path.read_text("utf-8").split("\n") if line)
    return frozenset(words)


class Descriptors:
    """Cleans free text under one vocabulary."""

    def __init__(self, vocabulary: frozenset[str]) -> None:
        self._vocabulary = vocabulary
        self._cache: dict[tuple[int, str], str] = {}

    def clean(self, text: str, known: Known) -> str:
        """Return what may stay of a text: allowed words in their order, with the separators between them.

        Parameters
        ----------
        text
            One value, decoded.
        known
            The patient's own words; a given object must not change between calls for the same patient.
        """
        key = (id(known), text)
        cached = self._cache.get(key)
        if cached is None:
            if len(self._cache) > 8192:
                self._cache.clear()
            cached = self._cache[key] = self._clean(text[:LONGEST_TEXT], known)
        return cached

    def allows(self, word: str) -> bool:
        """Whether a word is in the vocabulary, case and accents aside."""
        return _plain(word) in self._vocabulary

    def _clean(self, text: str, known: Known) -> str:
        text = unicodedata.normalize("NFC", text)
        spans = [(hit.start, hit.end) for hit in find_identifiers(text, strength=Strength.DESCRIPTOR)]
        tokens = list(_TOKEN.finditer(text))
        kept: list[tuple[int, int]] = []
        dropped_at = -2
        for index, token in enumerate(tokens):
            start, end = token.span()
            inside = any(start < last and end > first for first, last in spans)
            word = token.group()
            nearby = tokens[index + 1].group() if index + 1 < len(tokens) else ""
            before = tokens[index - 1].group() if index else ""
            if inside or self._is_own(word, known) or not self._is_allowed(word, before, nearby, known):
                dropped_at = index
                # An initial, a title or a particle before a dropped word belongs to it.
                while kept and kept[-1][1] <= start and self._belongs(text[kept[-1][0] : kept[-1][1]]):
                    kept.pop()
                continue
            if dropped_at == index - 1 and self._belongs(word):
                dropped_at = index
                continue
            kept.append((start, end))
        return _joined(text, kept)

    @staticmethod
    def _belongs(word: str) -> bool:
        return len(word) == 1 and word.isalpha()

    @staticmethod
    def _is_own(word: str, known: Known) -> bool:
        pieces = [piece for piece in re.split(r"['’\-+.]", word) if piece]
        whole = re.sub(r"[^\w]", "", word)
        return known.contains(whole) or any(known.contains(piece) for piece in pieces)

    def _is_allowed(self, word: str, before: str, nearby: str, known: Known) -> bool:
        plain = _plain(word)
        if plain in self._vocabulary and not plain.isdigit():
            return True
        pair = ((plain, _plain(nearby)), (_plain(before), plain))
        if any(found in _PAIRS for found in pair):
            return True
        if _NUMBER.fullmatch(word) or _MEASURE.fullmatch(word) or _TIMES.fullmatch(word):
            return True
        if any(form.fullmatch(word) for form in (_KERNEL, _KERNEL_D, _VERSION)):
            return True
        return self._is_compound(word, known)

    def _is_compound(self, word: str, known: Known) -> bool:
        """Whether a word run together, such as ``ThorRoutine`` or ``LUNG1.25mm``, is made of allowed parts alone."""
        pieces = _PIECE.findall(word)
        rest = _PIECE.sub("", word)
        if len(pieces) < 2 or rest.strip("-+.'’"):
            return False
        letters = [piece for piece in pieces if not piece[0].isdigit()]
        if any(known.contains(piece) for piece in pieces):
            return False
        if sum(len(piece) for piece in pieces if piece[0].isdigit()) > LONGEST_NUMBER + 1:
            return False
        return all(_plain(piece) in self._vocabulary for piece in letters) and all(
            _NUMBER.fullmatch(piece) for piece in pieces if piece[0].isdigit()
        )


def _joined(text: str, kept: list[tuple[int, int]]) -> str:
    if not kept:
        return ""
    parts = [text[kept[0][0] : kept[0][1]]]
    for (_, end), (start, stop) in zip(kept, kept[1:], strict=False):
        between = text[end:start]
        parts.append(between if not _TOKEN.search(between) and len(between) <= 3 else " ")
        parts.append(text[start:stop])
    return _SEPARATORS.sub(" ", "".join(parts)).strip()


@lru_cache(maxsize=32_768)
def _plain(word: str) -> str:
    folded = unicodedata.normalize("NFKD", word).casefold()
    return "".join(character for character in folded if not unicodedata.combining(character))
