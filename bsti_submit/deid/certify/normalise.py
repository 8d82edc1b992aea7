"""Text → words that can be compared: without case, accents, invisible characters, escapes or punctuation."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

_FOLDS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŋ": "n"}
)
_TWO_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_CLAN = re.compile(r"(mac|mc)(?=[a-z]{3})")
_WORD = re.compile(r"[^\W\d_]+|\d+")
_UNICODE_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})")


def fold(text: str) -> str:
    """Return the text in compatibility form, casefolded, without marks and invisible characters."""
    if text.isascii():
        return text.casefold()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(
        character for character in folded if unicodedata.category(character) not in {"Mn", "Me", "Cf"}
    ).translate(_FOLDS)


def words(folded: str) -> list[str]:
    """Return the runs of letters and the runs of digits of folded text."""
    return _WORD.findall(folded)


def squeeze(text: str) -> str:
    """Return the letters and digits alone of a text, folded."""
    return "".join(words(fold(text)))


@lru_cache(maxsize=4096)
def transliterations(word: str) -> tuple[str, ...]:
    """Return the usual spellings of a folded name: ``müller`` is ``muller`` or ``mueller``, ``mcneil`` also ``macneil``."""
    plain = fold(word)
    german = fold(word.casefold().translate(_TWO_LETTERS))
    clan = _CLAN.match(plain)
    other = {"mac": "mc", "mc": "mac"}[clan[1]] + plain[clan.end() :] if clan else plain
    return tuple(dict.fromkeys((plain, german, other)))


def _code_point(match: re.Match[str]) -> str:
    return chr(int(match.group(1) or match.group(2), 16))


def unescaped(text: str) -> tuple[str, ...]:
    """Return the text, and the text with HTML, JSON and percent escapes resolved where there are any."""
    found = [text]
    if "&" in text:
        found.append(html.unescape(text))
    if "\\" in text:
        found.append(_UNICODE_ESCAPE.sub(_code_point, text))
    if "%" in text:
        found.append(unquote(text, errors="replace"))
    return tuple(dict.fromkeys(found)) if len(found) > 1 else (text,)
