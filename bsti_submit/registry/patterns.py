"""National patient identifiers in text: ten digits whose check digit holds, however they are spaced."""

from __future__ import annotations

import re

_TEN_DIGITS = re.compile(r"(?<![0-9.])[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}(?![0-9]|\.[0-9])")
_IRISH = re.compile(r"(?<![0-9A-Za-z])[0-9]{7}[A-Wa-w][A-IWa-iw]?(?![0-9A-Za-z])")
_IRISH_LETTERS = "WABCDEFGHIJKLMNOPQRSTUV"
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}")


def national_identifier(text: str) -> str:
    """Return the kind of identifier that the text seems to hold, or an empty string.

    NHS (England, Wales, Isle of Man), CHI (Scotland) and H&C (Northern Ireland) numbers share one shape and
    one modulus-11 check digit; the Irish PPS number has its own check letter.
    """
    for match in _TEN_DIGITS.finditer(text):
        digits = [int(character) for character in match[0] if character.isdigit()]
        if len(set(digits)) > 1 and _mod11(digits):
            return "health-number"
    for match in _IRISH.finditer(text):
        if _pps(match[0].upper()):
            return "pps-number"
    return "email" if _EMAIL.search(text) else ""


def _mod11(digits: list[int]) -> bool:
    total = sum(weight * digit for weight, digit in zip(range(10, 1, -1), digits, strict=False))
    return (11 - total % 11) % 11 == digits[9]


def _pps(text: str) -> bool:
    total = sum(weight * int(digit) for weight, digit in zip(range(8, 1, -1), text[:7], strict=True))
    if len(text) > 8 and text[8] != "W":
        total += 9 * (ord(text[8]) - ord("A") + 1)
    return _IRISH_LETTERS[total % 23] == text[7]
