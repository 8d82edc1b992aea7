"""The words by which a source's own patients and staff are known, gathered in memory for cleaning free text."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NoReturn

from bsti_submit.deid.characters import Characters, UnknownCharacterSet
from bsti_submit.deid.reader import each_text

if TYPE_CHECKING:
    from bsti_submit.model import Buffer
    from bsti_submit.phi import Identified

SHORTEST_NAME: Final = 2
SHORTEST_WORD: Final = 3
SHORTEST_NUMBER: Final = 6
"""Digits of an id that say whose it is without the letters around them."""

_IDS: Final = frozenset(
    (
        0x00100020,
        0x00100021,
        0x00101000,
        0x00101001,
        0x00101005,
        0x00101060,
        0x00101090,
        0x00080050,
        0x00200010,
        0x00380010,
        0x00380060,
        0x00321064,
        0x00402016,
        0x00402017,
        0x00401001,
        0x00400009,
    )
)
_PLACES: Final = frozenset(
    (
        0x00080080,
        0x00080081,
        0x00081010,
        0x00081040,
        0x00081041,
        0x00101040,
        0x00102150,
        0x00102152,
        0x00080092,
        0x00080094,
        0x00102154,
        0x00102155,
        0x00380300,
        0x00380400,
        0x00321031,
        0x00321033,
        0x00400241,
        0x00400242,
        0x00400243,
        0x00402009,
        0x00402010,
        0x00080055,
        0x00080054,
        0x00020016,
        0x00181000,
        0x001021F0,
        0x00102180,
        0x00102160,
    )
)
_PATIENT_NAMES: Final = frozenset((0x00100010, 0x00101001, 0x00101005, 0x00101060, 0x00102297))
"""The patient's own names, earlier names, and those of parents and guardians."""
_DATES: Final = frozenset((0x00100030, 0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x00100032))
"""Birth, study, series, acquisition and content dates."""
_COMMON: Final = frozenset(
    """
    the and for with from hospital hospitals trust nhs clinic ward unit department dept radiology imaging xray chest
    thorax lung head abdomen pelvis spine scan scanner room main road street university royal general medical centre
    center health care care's service services siemens philips toshiba canon fuji fujifilm agfa somatom portable adult
    ray rays x-ray child male female none unknown other anonymous anonymized removed dr mr mrs ms miss prof
    """.split()
)
"""Words that stand in names of places and yet name nobody."""
_TITLES: Final = frozenset(
    """
    dr mr mrs ms miss prof sir dame sr jr none unknown anonymous anonymised anonymized removed redacted deidentified
    """.split()
)
"""Words that stand where a person's name is and yet name nobody."""


class KnownWords:
    """Words to drop from free text before anything else is looked at. It masks itself.

    Parameters
    ----------
    ordinary
        The vocabulary. A word of it counts as the patient's own name, but tells nothing of a place or of anybody
        else: an operator named ``RADIOGRAPHER^CT``, a Heart and Lung Hospital.
    """

    __slots__ = ("_ordinary", "_seen", "_words")

    def __init__(self, ordinary: frozenset[str] = frozenset()) -> None:
        self._ordinary = ordinary
        self._words: set[str] = set()
        self._seen: set[tuple[int, bytes]] = set()

    def add_header(self, header: Buffer) -> None:
        """Gather the names, numbers and places of one header. Never raises."""
        each_text(header, self._add)

    def add_text(self, text: Identified[str]) -> None:
        """Gather the words of one text that names somebody."""
        self._take(text.reveal(), SHORTEST_WORD, _COMMON | self._ordinary)

    def contains(self, token: str) -> bool:
        """Whether a token, case and accents aside, is one of them."""
        return normalised(token) in self._words

    def __len__(self) -> int:
        return len(self._words)

    def __repr__(self) -> str:
        return f"KnownWords({len(self._words)})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be serialised."""
        raise TypeError("known words cannot be serialised")

    def _add(self, tag: int, vr: str, value: memoryview, character_set: bytes) -> None:
        is_name = vr == "PN" or tag in _PATIENT_NAMES
        is_date = tag in _DATES
        if not (is_name or is_date or tag in _IDS or tag in _PLACES) or not len(value):
            return
        key = (tag, bytes(value))
        if key in self._seen:
            return
        self._seen.add(key)
        try:
            text = Characters(character_set).decode(value, vr)
        except (UnknownCharacterSet, LookupError, ValueError):
            text = bytes(value).decode("latin-1")
        if is_date:
            self._words.update(date_forms(text))
            return
        if is_name:
            ordinary = frozenset() if tag in _PATIENT_NAMES else self._ordinary
            self._take(text, SHORTEST_NAME, _TITLES | ordinary)
            self._words |= joined_forms(normalised(text)) - ordinary
        else:
            self._take(text, SHORTEST_WORD, _COMMON | self._ordinary)
        if tag in _IDS:
            for each in text.split("\\"):
                # Where only numbers fit, D123456 is written without its letter.
                digits = "".join(re.findall(r"[0-9]", normalised(each)))
                self._words |= {number for number in (digits, digits.lstrip("0")) if len(number) >= SHORTEST_NUMBER}

    def _take(self, text: str, shortest: int, stop: frozenset[str]) -> None:
        plain = normalised(text)
        for token in re.findall(r"[^\W_]+", plain):
            bare = token.rstrip("0123456789")
            numbered = bare in stop and len(token) - len(bare) < 3  # a scanner called CT1
            if len(token) >= shortest and not numbered and not (token.isdigit() and len(token) < 4):
                self._words.add(token)
        squashed = "".join(re.findall(r"[^\W_]+", plain))
        if any(character.isdigit() for character in squashed) and len(squashed) >= 4:
            self._words.add(squashed)


def date_forms(text: str) -> set[str]:
    """Return the digits of a date as people write them: year first, day first, month first, short years as well."""
    digits = "".join(re.findall(r"[0-9]", text))[:8]
    if len(digits) != 8:
        return set()
    year, month, day = digits[:4], digits[4:6], digits[6:]
    orders = [year + month + day, day + month + year, month + day + year]
    orders += [year[2:] + month + day, day + month + year[2:], month + day + year[2:]]
    return set(orders)


def joined_forms(name: str) -> set[str]:
    """Return how a person's name is written together, such as ``smithj``, ``jsmith``, ``johnsmith``, ``smithjohn``."""
    forms: set[str] = set()
    for group in re.split(r"[=\\]", name):
        parts = ["".join(re.findall(r"[^\W_]+", part)) for part in group.split("^")[:3]]
        family, *given = [part for part in parts if part] or [""]
        forms |= {family, *given}
        for first in given:
            forms |= {family + first, first + family, family + first[0], first[0] + family}
    return {form for form in forms if len(form) > SHORTEST_WORD}


def normalised(text: str) -> str:
    """Return text without case and accents."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in folded if not unicodedata.combining(character))
