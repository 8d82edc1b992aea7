"""Free text → the allowed words of it (PS3.15 E.3.5, Clean Descriptors).

First this patient's own words go, then what has the form of a national identifier, then every word not
in the vocabulary. So a name that is nowhere in the header goes too, and ``Hodgkin`` and ``B60f`` stay.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final, Protocol

from bsti_submit.deid.figures import drop_numbers
from bsti_submit.deid.tokens import (
    Token,
    Verdict,
    is_long_version,
    is_number,
    is_technical,
    joined,
    pieces,
    plain,
    tokenise,
)
from bsti_submit.identifiers import Kind, Strength, find_identifiers

if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

LONGEST_TEXT: Final = 65_536
_CACHED_TEXTS: Final = 8192
_CACHED_PATIENTS: Final = 4
_PASSES: Final = 8
_WINDOW: Final = 12
"""Tokens in a row that are looked up as one of the patient's own words too: ``943 476 5919``, ``S M I T H``."""
_SHORTEST_JOINED: Final = 4
_SHORTEST_ACCENTED: Final = 2
"""Letters of a word that is never one of the vocabulary if it has an accent."""
_MOST_NUMBERS: Final = 2
_LONGEST_COMPOUND: Final = 5
"""Numbers run together with words, and all their digits: LUNG1.25mm, Thorax100kV."""

_SOFT: Final = frozenset({Kind.EMAIL, Kind.HOSPITAL_NUMBER, Kind.PLACE, Kind.UK_PHONE, Kind.GMC, Kind.LONG_NUMBER})
"""Finds in which an allowed word without digits may stay: "CT 1234567", "tel", "chest hospital"."""


class Known(Protocol):
    """The patient's own words."""

    def contains(self, token: str) -> bool:
        """Whether a token is one of them, case and accents aside."""


def load_vocabulary(paths: Iterable[Path]) -> frozenset[str]:
    """Return the entries of some lists, one a line, in lower case and without accents.

    An entry is a word; ``~`` and a word, which is also a name and stays only where nothing beside it was
    dropped; or two words, which are allowed only side by side. Lines that begin with ``#`` are comments.
    """
    entries: set[str] = set()
    for path in paths:
        entries.update(entry for _, entry in _entries(path))
    return frozenset(entries)


def _entries(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield number, entry


def useless_entries(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the right spelling, where there is one, of each entry that no text could match.

    Raises
    ------
    OSError, UnicodeDecodeError
        If the list cannot be read.
    """
    for number, entry in _entries(path):
        words = entry.split(" ")
        if plain(entry) != entry:
            yield number, plain(entry)
        elif len(words) > 2 or "" in words or (len(words) > 1 and "~" in entry):
            yield number, ""


class Descriptors:
    """Cleans free text under one vocabulary.

    Parameters
    ----------
    vocabulary
        Entries as `load_vocabulary` returns them.
    patterns
        Names of the identifier patterns of the nation; all if None.
    hospital_pattern
        The site's own form of hospital number.
    """

    def __init__(
        self,
        vocabulary: frozenset[str],
        patterns: Collection[str] | None = None,
        hospital_pattern: re.Pattern[str] | None = None,
    ) -> None:
        self._names = frozenset(entry[1:] for entry in vocabulary if entry.startswith("~"))
        self._pairs = frozenset(
            (first, second) for first, _, second in (entry.partition(" ") for entry in vocabulary) if second
        )
        self._words = frozenset(e for e in vocabulary if not e.startswith("~") and " " not in e) - self._names
        self._patterns = patterns
        self._hospital_pattern = hospital_pattern
        # One patient's texts are never looked up for another: it depends on whose words are known.
        # The object itself is held, since its id could be given again.
        self._cache: list[tuple[Known, dict[tuple[str, bool], str]]] = []

    def clean(self, text: str, known: Known, *, equipment: bool = False) -> str:
        """Return what may stay of a text: allowed words in their order, with the separators between them.

        What it returns is returned unchanged when it is cleaned again.

        Parameters
        ----------
        text
            One value, decoded.
        known
            The patient's own words; the object must not change between calls.
        equipment
            Whether it tells of devices and software: a version of four numbers may stay then.
        """
        texts = self._texts_of(known)
        cleaned = texts.get((text, equipment))
        if cleaned is None:
            if len(texts) > _CACHED_TEXTS:
                texts.clear()
            cleaned = texts[text, equipment] = self._settled(text[:LONGEST_TEXT], known, equipment=equipment)
        return cleaned

    def allows(self, word: str) -> bool:
        """Whether a word is in the vocabulary, case and accents aside."""
        return plain(word) in self._words or plain(word) in self._names

    def _texts_of(self, known: Known) -> dict[tuple[str, bool], str]:
        for owner, texts in self._cache:
            if owner is known:
                return texts
        texts = {}
        self._cache = [(known, texts), *self._cache[: _CACHED_PATIENTS - 1]]
        return texts

    def _settled(self, text: str, known: Known, *, equipment: bool) -> str:
        for _ in range(_PASSES):
            cleaned = self._once(unicodedata.normalize("NFC", text), known, equipment=equipment)
            if cleaned == text:
                return cleaned
            text = cleaned
        return ""  # dropping words must come to an end; if it does not, something is odd about the text

    def _once(self, text: str, known: Known, *, equipment: bool) -> str:
        tokens = tokenise(text)
        if not tokens:
            return ""
        self._drop_own_words(tokens, known)
        self._drop_identifiers(text, tokens, equipment=equipment)
        if len(tokens) == 1 and _is_one_letter(tokens[0]) and tokens[0].verdict is Verdict.OPEN:
            return tokens[0].text  # a kernel of one letter, or a number: it tells nothing
        for index, token in enumerate(tokens):
            if token.verdict is Verdict.OPEN:
                token.verdict = self._judge(tokens, index, known)
        drop_numbers(text, tokens)
        _drop_names(tokens)
        return joined(text, tokens)

    @staticmethod
    def _drop_own_words(tokens: list[Token], known: Known) -> None:
        for index, token in enumerate(tokens):
            whole = "".join(filter(str.isalnum, token.plain))
            digits = "".join(filter(str.isdigit, token.plain))
            own = known.contains(whole) or (len(digits) >= _SHORTEST_JOINED and known.contains(digits))
            if own or any(known.contains(plain(piece)) for piece in token.parts):
                token.verdict = Verdict.DROP
            for width in range(1, _WINDOW):
                if index + width >= len(tokens):
                    break
                whole += "".join(filter(str.isalnum, tokens[index + width].plain))
                if len(whole) >= _SHORTEST_JOINED and known.contains(whole):
                    for part in tokens[index : index + width + 1]:
                        part.verdict = Verdict.DROP

    def _drop_identifiers(self, text: str, tokens: list[Token], *, equipment: bool) -> None:
        hits = find_identifiers(
            text,
            strength=Strength.DESCRIPTOR,
            patterns=self._patterns,
            hospital_pattern=self._hospital_pattern,
        )
        for hit in hits:
            inside = [token for token in tokens if token.start < hit.end and token.end > hit.start]
            version = equipment and len(inside) == 1 and is_long_version(inside[0].text)
            if version and hit.kind in {Kind.IP_ADDRESS, Kind.LONG_NUMBER}:
                inside[0].verdict = Verdict.TECHNICAL
                continue
            for number, token in enumerate(inside):
                word = token.plain in self._words and len(token.plain) > 1
                if hit.kind in _SOFT and word and not any(map(str.isdigit, token.plain)):
                    continue
                if hit.kind is Kind.TITLE_NAME and number > 1 and (word or is_technical(token.text)):
                    break  # title and name are gone: "Dr SMITH CHEST PA" goes on with the examination
                token.verdict = Verdict.DROP

    def _judge(self, tokens: list[Token], index: int, known: Known) -> Verdict:
        token = tokens[index]
        before = tokens[index - 1].plain if index else ""
        after = tokens[index + 1].plain if index + 1 < len(tokens) else ""
        if (token.plain, after) in self._pairs or (before, token.plain) in self._pairs:
            return Verdict.WORD
        if not token.text.isascii() and len(token.plain) <= _SHORTEST_ACCENTED and token.plain.isalpha():
            return Verdict.DROP  # Chinese bytes read as Latin-1 are such words: Íõ is no "io"
        if token.plain in self._names:
            return Verdict.NAME
        if token.plain == "x" and before[-1:].isdigit() and after[:1].isdigit():
            return Verdict.WORD
        if len(token.plain) == 1 and token.plain.isalpha():
            return Verdict.LETTER if token.plain in self._words else Verdict.DROP
        if not token.plain.isdigit() and (token.plain in self._words or token.plain.rstrip("+") in self._words):
            return Verdict.WORD
        if is_number(token.text, before):
            return Verdict.NUMBER
        if is_technical(token.text, before):
            return Verdict.TECHNICAL
        return self._judge_compound(token, known)

    def _judge_compound(self, token: Token, known: Known) -> Verdict:
        """Judge a word run together, such as ``ThorRoutine``, ``W.Chest`` or ``LUNG1.25mm``: all parts must be allowed."""
        dotted = [plain(part) for part in token.parts]
        if any(len(part) > 1 for part in dotted) and all(part in self._words and part.isalpha() for part in dotted):
            return Verdict.WORD
        for parts in pieces(token.text):
            words = [plain(part) for part in parts]
            numbers = [word for word in words if word[0].isdigit()]
            digits = sum(map(str.isdigit, "".join(numbers)))
            if len(words) < 2 or len(numbers) > _MOST_NUMBERS or digits > _LONGEST_COMPOUND:
                continue  # an id behind a word: chest123-456-789
            if len(numbers) == len(words) or any(known.contains(word) for word in words):
                continue
            if all(self._is_part(words, place) for place in range(len(words))):
                return Verdict.WORD
        return Verdict.DROP

    def _is_part(self, words: list[str], place: int) -> bool:
        word = words[place]
        if word[0].isdigit():
            return is_number(word, words[place - 1] if place else "")
        if (word, words[place + 1] if place + 1 < len(words) else "") in self._pairs:
            return True
        if place and (words[place - 1], word) in self._pairs:
            return True
        return len(word) > 1 and word in self._words


def _is_one_letter(token: Token) -> bool:
    """Whether it is one letter of an alphabet; a Chinese name may be one sign."""
    return len(token.plain) == 1 and token.plain.isascii()


def _drop_names(tokens: list[Token]) -> None:
    """Drop words that are also names, and single letters, unless they stand among words that are not.

    What stands beside a dropped word may be the rest of its name: an initial, a second surname.
    """
    anchored = any(token.verdict in {Verdict.WORD, Verdict.TECHNICAL} for token in tokens)
    changed = True
    while changed:
        changed = False
        for index, token in enumerate(tokens):
            if token.verdict not in {Verdict.NAME, Verdict.LETTER}:
                continue
            beside = [tokens[place] for place in (index - 1, index + 1) if 0 <= place < len(tokens)]
            if not anchored or any(one.verdict is Verdict.DROP and one.has_letter for one in beside):
                token.verdict = Verdict.DROP
                changed = True
