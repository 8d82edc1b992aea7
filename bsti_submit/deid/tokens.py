"""The tokens of a descriptor: how text is cut, which numbers are harmless, how what stays is joined."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


class Verdict(Enum):
    """What becomes of a token."""

    OPEN = 0
    DROP = 1
    WORD = 2
    """In the vocabulary."""
    NAME = 3
    """In the vocabulary, and also a name."""
    LETTER = 4
    NUMBER = 5
    TECHNICAL = 6
    """A kernel, a version or a measure."""


@dataclass(slots=True)
class Token:
    """One word, number or code of a text."""

    text: str
    plain: str
    start: int
    end: int
    verdict: Verdict = Verdict.OPEN

    @property
    def parts(self) -> list[str]:
        """What inner punctuation separates, as in ``J.Smith``."""
        return [part for part in _INNER.split(self.text) if part]

    @property
    def has_letter(self) -> bool:
        """Whether it can be part of a name."""
        return any(map(str.isalpha, self.text))

    @property
    def kept(self) -> bool:
        """Whether it stays."""
        return self.verdict is not Verdict.DROP and self.verdict is not Verdict.OPEN


_TOKEN: Final = re.compile(r"[^\W_]+(?:['’\-+.][^\W_]+)*(?:\+|(?<=\b[Cc])-(?![^\W_]))?")
_INNER: Final = re.compile(r"['’\-+.]")
_CAMEL: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+(?:[.,]\d+)?")
_CASES: Final = re.compile(r"[A-Z]+|[a-z]+|[^\W\d_A-Za-z]+|\d+(?:[.,]\d+)?")

_DECIMAL: Final = r"\d{1,3}(?:[.,]\d{1,4})?"
_UNIT: Final = (
    "mm|cm|ml|mls|kv|kvp|kev|ma|mas|s|sec|secs|ms|min|mins|hu|mgy|mgycm|mg|kg|g|x|t|st|nd|rd|th|fps|bpm|p|deg|hz|mhz|"
    "gy|msv|l|d|f|pc|i|w|m"
)
_NUMBER: Final = re.compile(
    rf"(?:{_DECIMAL}|\d{{1,3}}(?:[x-]\d{{1,3}}){{1,2}}|{_DECIMAL}[x-]{_DECIMAL})(?:{_UNIT})?"
    r"|\d{4}(?:x\d{3,4})?",
    re.IGNORECASE,
)
_LONGEST_RANGE: Final = 6
"""Digits of a range such as ``100-140``."""
_LIKE_A_DATE: Final = re.compile(r"\d\d-\d\d-\d\d")
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_BEFORE_BIG: Final = frozenset(("w", "ww", "wl", "wc", "l", "c", "dlp", "totaldlp", "ctdi", "kv", "ma", "mas", "fov"))
_PREFIXED: Final = re.compile(
    r"(?:w|ww|wl|wc|l|c|k|s|p|r|sp|se|im|t|iso|rt|q|se)-?\d{1,4}(?:[.,]\d{1,2})?", re.IGNORECASE
)
_KERNEL: Final = re.compile(
    r"[abcdhstuq][rvfluhpcqn]?\d{2}[a-z]?\d?|i\d{2}[fs]|fc\d{2}|(?:br|bl|bv|bf|bn|hr|hv|hf|hn|qr|qv|tr|ur|sa|sd|hc|hp|ub|uc|lu)"
    r"\d{2}[a-z]?\d?|[yue][a-e]|[aisq][1-5]|c_lung\w{0,4}",
    re.IGNORECASE,
)
"""Reconstruction kernels and strengths: B60f, Br40d, I70f, D40s, Bl57d, FC51, YA, EB, Q3."""
_VERSION: Final = re.compile(
    r"v[a-z]{0,2}\d{1,2}[a-z]?(?:\.\d{1,2}){0,3}(?:[a-z]{1,3}\d{1,3})?|\d{1,2}(?:\.\d{1,3}){2,3}|\d{1,2}\.\d{1,2}[a-z]\d?"
    r"|\d{2}[a-z]{2}\d{2}\.\d|[a-z]\d{1,2}[.-]\d{1,2}|fw\d{1,2}\.\d{1,2}(?:-\d{1,2})?",
    re.IGNORECASE,
)
"""Versions of software: VA48A, VC40, V11.0, 3.6.6, 16HW14.6, A10.3."""
_LONG_VERSION: Final = re.compile(r"[1-9](?:\.\d{1,3}){2}\.\d{1,5}")

_SAFE_SEPARATORS: Final = frozenset(" \t\r\n!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~°²³±µ×–—·•")
_LEADING: Final = frozenset("([{<?*+=~\"'>-.#")
_TRAILING: Final = frozenset(")]}>%?!+*\"'.;:=°²³")
_BLANK: Final = frozenset(" ")
_CLOSERS: Final = {")": "(", "]": "[", "}": "{"}
_AFTER_SPACE: Final = frozenset(")]}%")
_TIDY: Final = re.compile(r"[(\[{][ ]*[)\]}]")
_SPACES: Final = re.compile(r" {2,}")


@lru_cache(maxsize=32_768)
def plain(word: str) -> str:
    """Return a word in lower case, without accents, wide letters made narrow."""
    folded = unicodedata.normalize("NFKD", word).casefold()
    return "".join(character for character in folded if not unicodedata.combining(character))


def tokenise(text: str) -> list[Token]:
    """Return the tokens of a text in order."""
    return [Token(m.group(), plain(m.group()), m.start(), m.end()) for m in _TOKEN.finditer(text)]


def pieces(word: str) -> Iterator[list[str]]:
    """Yield the ways in which a word run together may be cut: at capitals, at changes of case and kind."""
    for cut in (_CAMEL, _CASES):
        if not cut.sub("", word).strip("-+.'’"):
            yield cut.findall(word)


def is_number(text: str, before: str = "") -> bool:
    """Tell a number or measure that can be neither a date nor part of an id.

    Three figures at most, decimals aside. Four only if they end in a nought and are no year, as window
    settings and model numbers do, or after a word that wants a large number.
    """
    if (
        "-" in text
        and "." not in text
        and (sum(map(str.isdigit, text)) > _LONGEST_RANGE or _LIKE_A_DATE.fullmatch(text))
    ):
        return False  # 123-456-789 is somebody's number, and 12-34-56 could be
    if _NUMBER.fullmatch(text) is None:
        return before in _BEFORE_BIG and re.fullmatch(r"\d{1,4}(?:\.\d{1,2})?", text) is not None
    if len(text) >= 4 and text[:4].isdigit():
        return before in _BEFORE_BIG or (text.endswith(("0", "1024")) and _YEAR.match(text) is None)
    return True


def is_long_version(text: str) -> bool:
    """Tell a version of four numbers, such as 4.1.6.17001, from the network address of a hospital (10.1.2.3)."""
    return _LONG_VERSION.fullmatch(text) is not None


def is_technical(text: str, before: str = "") -> bool:
    """Tell a kernel, the version of a piece of software, or a setting such as ``W1500``."""
    if _KERNEL.fullmatch(text) or _PREFIXED.fullmatch(text):
        return True
    return _VERSION.fullmatch(text) is not None and before not in {"dob", "born", "date"}


def joined(text: str, tokens: list[Token]) -> str:
    """Return the tokens that stay, with what separated them in `text`."""
    out: list[str] = []
    last: Token | None = None
    gap = True
    for token in tokens:
        if not token.kept:
            gap = True
            continue
        if last is None:
            out.append(_tail(text[: token.start], _LEADING | _BLANK) if token is tokens[0] else "")
        elif gap:
            between = text[last.end : token.start]
            closing, opening = _head(between, _TRAILING), _tail(between, frozenset("([{?"))
            out.append(closing + ("_" if between.startswith("_") and between.endswith("_") else " ") + opening)
        else:
            out.append("".join(c if c in _SAFE_SEPARATORS else " " for c in text[last.end : token.start]))
        out.append(token.text)
        last, gap = token, False
    if last is None:
        return ""
    out.append(_head(text[last.end :], _TRAILING))
    return _balanced("".join(out)).strip()


def _head(text: str, allowed: frozenset[str]) -> str:
    for index, character in enumerate(text):
        if character not in allowed and not (character == " " and text[index:].lstrip(" ")[:1] in _AFTER_SPACE):
            return text[:index].rstrip()
    return text.rstrip()


def _tail(text: str, allowed: frozenset[str]) -> str:
    for index, character in enumerate(reversed(text)):
        if character not in allowed:
            return text[len(text) - index :]
    return text


def _balanced(text: str) -> str:
    """Take out brackets whose partner was dropped, and empty ones."""
    open_at: list[tuple[str, int]] = []
    odd: set[int] = set()
    for index, character in enumerate(text):
        if character in "([{":
            open_at.append((character, index))
        elif character in _CLOSERS:
            if open_at and open_at[-1][0] == _CLOSERS[character]:
                open_at.pop()
            else:
                odd.add(index)
    odd.update(index for _, index in open_at)
    if odd:
        text = "".join(character for index, character in enumerate(text) if index not in odd)
    return _TIDY.sub("", text)
