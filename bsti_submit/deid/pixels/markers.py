"""What a radiographer puts into a picture and a radiologist needs: side, projection and position. The only text that stays.

Every word is one that cannot name a person: a marker of one or two letters stays only where it stands alone, since
initials look the same beside a date or a number.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

SIDES: Final = frozenset("R L RT LT RIGHT LEFT".split())
"""Laterality (PS3.3 C.7.3.1.1.1, and the lead letters as they are sold)."""

PROJECTIONS: Final = frozenset("AP PA LAT LATERAL OBL OBLIQUE".split())
"""View Position of a chest radiograph (PS3.3 C.8.11.5.1.1)."""

POSITIONS: Final = frozenset(
    """
    ERECT SEMIERECT SEMI-ERECT SEMI UPRIGHT SUPINE PRONE SITTING STANDING DECUB DECUBITUS PORTABLE MOBILE
    INSP INSPIRATION EXP EXPIRATION
    """.split()
)
"""How the patient was held, and that the machine came to the bed."""

MARKERS: Final = SIDES | PROJECTIONS | POSITIONS
MOST_WORDS: Final = 4
LONG: Final = 5


def is_marker(text: str) -> bool:
    """Say whether a text is made of nothing but allowed markers, each once."""
    plain = unicodedata.normalize("NFKC", text).upper().strip()
    words = [word for word in re.split(r"[\s./,()\-]+", plain) if word]
    if plain in MARKERS or (len(words) == 1 and plain == words[0] and (words := _parted(plain))):
        return True
    return 0 < len(words) <= MOST_WORDS and all(word in MARKERS for word in words) and len(set(words)) == len(words)


def _parted(text: str) -> list[str]:
    """Return the markers that a text without spaces runs together, as the recogniser reads ``AP ERECT``.

    One of them has to be a long word: PAL and LAP are names.
    """
    for long in POSITIONS:
        if len(long) >= LONG and long in text:
            before, _, after = text.partition(long)
            if all(part == "" or part in MARKERS for part in (before, after)):
                return [part for part in (before, long, after) if part]
    return []
