"""Finds in text what identifies people in the United Kingdom by its form alone: numbers, dates, titles.

It knows nothing of a particular patient; those words are searched first and elsewhere. What it finds is told
as kinds and positions, never as text, so that a message can't repeat an identifier.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from bsti_submit.identifiers.kinds import Hit, Kind, Strength
from bsti_submit.identifiers.patterns import ALL, ALWAYS, NATIONS, PATTERNS, Pattern

if TYPE_CHECKING:
    import re
    from collections.abc import Collection

__all__ = ["ALWAYS", "NATIONS", "PATTERNS", "Hit", "Kind", "Pattern", "Strength", "find_identifiers"]


class _AsciiForm(dict[int, str]):
    """Maps a character to one look-alike in ASCII, so that positions stay: digits, dashes, wide letters."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        plain = unicodedata.normalize("NFKC", character)
        if category == "Nd":
            result = str(unicodedata.digit(character))
        elif category == "Pd":
            result = "-"
        elif category in {"Zs", "Zl", "Zp", "Cf", "Cc"} and character not in "\n\r\t":
            result = " "
        else:
            result = plain if len(plain) == 1 else character
        self[code] = result
        return result


_ascii_form = _AsciiForm()


@lru_cache(maxsize=64)
def _selected(names: frozenset[str], strength: Strength) -> tuple[Pattern, ...]:
    unknown = names - PATTERNS.keys()
    if unknown:
        raise ValueError("unknown identifier pattern; the known ones are: " + ", ".join(PATTERNS))
    return tuple(p for p in ALL if p.kind.value in names and strength in p.strengths)


_DEFAULT_NAMES = frozenset(NATIONS["uk"])


def find_identifiers(
    text: str,
    *,
    strength: Strength = Strength.STRICT,
    hospital_pattern: re.Pattern[str] | None = None,
    nation: str = "uk",
    patterns: Collection[str] | None = None,
) -> list[Hit]:
    """Return what in `text` looks like an identifier, in order of position.

    Parameters
    ----------
    text
        Any text; other scripts' digits and dashes are read too.
    strength
        Strict for free text that a person typed, descriptor for text that is being cleaned.
    hospital_pattern
        The site's own form of hospital number.
    nation
        Which nation's patterns apply, see `NATIONS`.
    patterns
        Names from `PATTERNS` instead of the nation's; all finds of a kind that is not named are left.

    Returns
    -------
    list of Hit
        A find that lies wholly inside one of a more telling kind is not repeated.

    Raises
    ------
    ValueError
        If `nation` or a name in `patterns` is unknown.
    """
    if patterns is not None:
        names = frozenset(patterns)
    elif nation in NATIONS:
        names = frozenset(NATIONS[nation]) if nation != "uk" else _DEFAULT_NAMES
    else:
        raise ValueError("unknown nation; the known ones are: " + ", ".join(NATIONS))
    plain = text if text.isascii() and text.isprintable() else text.translate(_ascii_form)
    has_digit = any(character.isdigit() for character in plain)
    hits: list[Hit] = []
    if hospital_pattern is not None:
        hits.extend(Hit(*match.span(), Kind.HOSPITAL_NUMBER) for match in hospital_pattern.finditer(plain) if match[0])
    for pattern in _selected(names, strength):
        if pattern.needs_digit and not has_digit:
            continue
        for start, end in pattern.finder(plain):
            if not any(hit.start <= start and end <= hit.end for hit in hits):
                hits.append(Hit(start, end, pattern.kind))
    hits.sort()
    return hits
