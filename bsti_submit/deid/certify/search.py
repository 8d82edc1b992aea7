"""One patient's identifiers → a matcher over text and over raw bytes.

The rules, by what is searched:

======================  =========================================================================================
free text               every kind. Names, also of two letters, as whole words; from six letters also inside a
                        word that is not an ordinary one; in any spacing and order. Words of people other than
                        the patient, of places, devices and paths do not count alone if they are ordinary words
                        or words of the profile's vocabulary.
terms of a record       the same, but for ordinary words, the patient's too.
credit                  as free text, but for the people, places and devices around the patient: whoever is credited
                        may well be one of them, and is named on purpose.
equipment, codes        people and ids only, ordinary words not; dates with full years.
coded terms (CS)        people and ids only, ordinary words not.
numbers, dates, times   judged by form (`forms`); a whole number equal to an id of six digits or more counts.
every byte              UIDs; and in values that are not text, between elements and in codestream headers: names
                        of six letters or more, ids of six characters or more, dates of eight digits.
compressed frames       names and ids of eight characters or more, UIDs: shorter ones are there by chance.
======================  =========================================================================================
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from ahocorasick_rs import AhoCorasick, BytesAhoCorasick, MatchKind

from bsti_submit.deid.certify.attributes import Kind
from bsti_submit.deid.certify.dates import dates_in, spellings
from bsti_submit.deid.certify.normalise import fold, squeeze, unescaped, words
from bsti_submit.deid.certify.vocabulary import ordinary
from bsti_submit.deid.certify.wording import Wording

if TYPE_CHECKING:
    from bsti_submit.model import InstanceRef

_DISTINCT_LETTERS = 6
_DISTINCT_DIGITS = 8
_JOINED_LETTERS = 5
_RAW_UID = 12
_UNMISTAKABLE = 20
_NUMBER = 7
_SHORT_NUMBER = 3

_LOWER = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in range(256))
_GAPS = b"\0 -_./,^='\"():;\t\r\n"
_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
_OTHER_ENCODINGS = (
    "gb18030",
    "shift_jis",
    "euc_jp",
    "euc_kr",
    "iso2022_jp",
    "iso8859-5",
    "iso8859-7",
    "iso8859-2",
)


class Mode(Enum):
    """How a text is searched."""

    FREE = auto()
    TERM = auto()
    CREDIT = auto()
    EQUIPMENT = auto()
    CODED = auto()


_KINDS: dict[Mode, frozenset[Kind]] = {
    Mode.FREE: frozenset(Kind),
    Mode.TERM: frozenset(Kind),
    Mode.CREDIT: frozenset((Kind.PATIENT_NAME, Kind.IDENTIFIER, Kind.DATE, Kind.UID, Kind.CONTACT)),
    Mode.EQUIPMENT: frozenset((Kind.PATIENT_NAME, Kind.IDENTIFIER, Kind.PERSON)),
    Mode.CODED: frozenset((Kind.PATIENT_NAME, Kind.IDENTIFIER, Kind.PERSON)),
}


@dataclass
class Identifiers:
    """What was harvested. ``words`` are squeezed: folded letters and digits alone."""

    words: dict[str, Kind] = field(default_factory=dict, repr=False)
    dates: set[int] = field(default_factory=set, repr=False)
    uids: set[str] = field(default_factory=set, repr=False)
    patients: dict[int, int] = field(default_factory=dict, repr=False)
    """Number of an instance's ref → number of its patient."""
    dates_of_patient: dict[int, set[int]] = field(default_factory=dict, repr=False)

    phrases: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)
    """Ids without a digit, such as ``CT chest`` for a procedure, and the words that they are made of."""

    def word(self, squeezed: str, kind: Kind, *, shortest: int = 1) -> None:
        """Add a word; of two kinds the one that says more about the patient holds."""
        if len(squeezed) >= shortest:
            self.words[squeezed] = min(kind, self.words.get(squeezed, kind))

    def number(self, text: str, kind: Kind, *, shortest: int) -> None:
        """Add the digits of a text, with and without leading zeros, and each long run of them."""
        digits = "".join(re.findall(r"[0-9]", fold(text)))
        for number in (digits, digits.lstrip("0"), *re.findall(r"[0-9]{7,}", text)):
            if len(number) >= shortest and len(number.lstrip("0")) >= max(1, shortest - 3):
                self.word(number, kind)


_WORDY = frozenset((Mode.FREE, Mode.TERM, Mode.CREDIT))


class RawHit(NamedTuple):
    """A hit in raw bytes: the kind, and where it is."""

    kind: Kind
    start: int
    end: int


class _Pattern(NamedTuple):
    kind: Kind
    digits: bool


class Matcher:
    """Search text and bytes for one patient's identifiers. It tells kinds and places, never values."""

    def __init__(self, known: Identifiers, vocabulary: frozenset[str] = frozenset()) -> None:
        self._vocabulary = vocabulary
        self.wording = Wording(vocabulary)
        self._dates = frozenset(known.dates)
        self._uids = frozenset(known.uids)
        self._common = ordinary()
        said = self._common | vocabulary
        # The name of a procedure is no id.
        spoken = {phrase for phrase, parts in known.phrases.items() if parts <= said}
        known = replace(
            known,
            words={w: kind for w, kind in known.words.items() if w not in spoken or kind is not Kind.IDENTIFIER},
        )
        self._known = known
        self._words = list(known.words)
        self._kinds = list(known.words.values())
        self._text = AhoCorasick(self._words, store_patterns=False) if self._words else None
        self._numbers = frozenset(
            word.lstrip("0")
            for word, kind in known.words.items()
            if kind in (Kind.IDENTIFIER, Kind.CONTACT) and word.isdecimal() and len(word.lstrip("0")) >= _NUMBER - 1
        ) | frozenset(str(date) for date in self._dates)
        self._longest_uid = max(map(len, self._uids), default=0)
        self._raw, self._raw_patterns = self._build(self._plain_patterns())
        self._squeezed, self._squeezed_patterns = self._build(self._gapless_patterns())

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.describe().items())
        return f"<Matcher: {counts}>"

    def describe(self) -> dict[str, int]:
        """Return how many identifiers of each kind are searched for. Counts only."""
        counts = {kind.word: self._kinds.count(kind) for kind in Kind if kind in self._kinds}
        return {**counts, "date": len(self._dates) + counts.get("date", 0), "uid": len(self._uids)}

    def unsearchable(self) -> dict[str, int]:
        """Return how many identifiers can only be looked for in part, by why."""
        short = sum(1 for word in self._words if word.isalpha() and len(word) < _DISTINCT_LETTERS)
        common = sum(1 for word in self._words if word in self._common)
        brief = sum(1 for uid in self._uids if len(uid) < _RAW_UID)
        return {
            "names under six letters: as whole words of text only": short,
            "ordinary words: not in codes": common,
            "UIDs under twelve characters: as whole values only": brief,
        }

    # --- text ---

    def search_text(self, text: str, mode: Mode) -> Kind | None:
        """Return the kind of the first identifier in a text, or None.

        Parameters
        ----------
        text
            One reading of a value, in any case and spacing, with escapes or without.
        mode
            What kind of text it is, see the rules above.
        """
        for plain in unescaped(text):
            folded = fold(plain)
            kind = self._search_words(words(folded), mode)
            if kind is None and not folded.isalpha() and self._dates:
                states = dates_in(folded, short=mode in _WORDY) if mode is not Mode.CODED else frozenset()
                kind = Kind.DATE if not self._dates.isdisjoint(states) else None
            if kind is None and self._uids and "." in plain:
                kind = Kind.UID if self._has_uid(plain) else None
            if kind is not None:
                return kind
        return None

    def finds(self, text: str) -> bool:
        """Whether free text holds one of the identifiers."""
        return self.search_text(text, Mode.FREE) is not None

    def _search_words(self, tokens: list[str], mode: Mode) -> Kind | None:
        if self._text is None or not tokens:
            return None
        joined = "".join(tokens)
        hits = self._text.find_matches_as_indexes(joined, overlapping=True)
        if not hits:
            return None
        starts = [0]
        for token in tokens:
            starts.append(starts[-1] + len(token))
        bounds = frozenset(starts)
        kinds = _KINDS[mode]
        for index, start, end in hits:
            if self._kinds[index] in kinds:
                first = bisect_right(starts, start) - 1
                last = bisect_right(starts, end - 1) - 1
                whole = start in bounds and end in bounds
                around = joined[starts[first] : starts[last + 1]]
                if self._counts(index, mode, around, tokens=last - first + 1, whole=whole):
                    return self._kinds[index]
        return None

    def _counts(self, index: int, mode: Mode, around: str, *, tokens: int, whole: bool) -> bool:
        """Whether a hit counts: `around` is the whole words that it touches."""
        word, kind = self._words[index], self._kinds[index]
        if word in self._common and (mode not in {Mode.FREE, Mode.CREDIT} or kind is not Kind.PATIENT_NAME):
            return False
        if kind >= Kind.PERSON and word in self._vocabulary:
            return False
        if kind > Kind.PERSON and word.isalnum() and self._is_numbered(word):
            return False
        if not word.isascii():
            return whole or (len(word) > 1 and not word.isdecimal())
        if word.isdecimal():
            if tokens > 1 or not whole:
                return (whole and len(word) >= _NUMBER - 1) or len(word) >= _DISTINCT_DIGITS
            return mode in _WORDY or len(word) >= _NUMBER - 1
        if not word.isalpha():
            return whole or len(word) >= _DISTINCT_DIGITS
        if whole and tokens == 1:
            return mode in _WORDY or len(word) > 3
        if whole:
            return len(word) >= _JOINED_LETTERS
        if tokens > 1:
            return len(word) > _DISTINCT_DIGITS + 1
        return len(word) >= _DISTINCT_LETTERS and around not in self._common and around not in self._vocabulary

    def _is_numbered(self, word: str) -> bool:
        """Whether a word is ordinary ones with a short number, as a scanner is called ``CT1`` or ``THORAX 02``."""
        letters = [part for part in words(word) if not part.isdecimal()]
        digits = sum(map(len, words(word))) - sum(map(len, letters))
        return (
            0 < digits < _SHORT_NUMBER
            and bool(letters)
            and all(part in self._common or part in self._vocabulary or len(part) == 2 for part in letters)
        )

    def _has_uid(self, text: str) -> bool:
        return any(
            part in self._uids or any(len(uid) >= _RAW_UID and uid in part for uid in self._uids_near(part))
            for part in re.findall(r"[0-9]+(?:\.[0-9]+){3,}", text)
        )

    def _uids_near(self, part: str) -> frozenset[str]:
        # Raw search finds UIDs inside longer values by automaton; for a single text a scan will do.
        return self._uids if len(part) >= _RAW_UID else frozenset()

    def is_ordinary(self, text: str) -> bool:
        """Whether a text is made of ordinary words and words of the profile's vocabulary alone."""
        return all(word in self._common or word in self._vocabulary for word in words(fold(text)))

    # --- values judged by form ---

    def is_original_uid(self, uid: str) -> bool:
        """Whether a UID is one of the input's."""
        return uid in self._uids

    def dates_of(self, ref: InstanceRef | None) -> frozenset[int]:
        """Return the dates of the patient of an instance, or all dates where that is not known."""
        patient = self._known.patients.get(ref.number) if ref is not None else None
        if patient is None:
            return self._dates
        return frozenset(self._known.dates_of_patient.get(patient, ()))

    def is_original_number(self, digits: str) -> bool:
        """Whether a whole number is an id of six digits or more, or a date of the input."""
        return digits.lstrip("0") in self._numbers

    def is_identifier(self, text: str) -> bool:
        """Whether a whole value is an id or a name of the patient, whatever its spacing."""
        return self._known.words.get(squeeze(text)) in (Kind.IDENTIFIER, Kind.PATIENT_NAME)

    # --- raw bytes ---

    @staticmethod
    def _build(patterns: dict[bytes, _Pattern]) -> tuple[BytesAhoCorasick | None, list[_Pattern]]:
        if not patterns:
            return None, []
        automaton = BytesAhoCorasick(list(patterns), matchkind=MatchKind.Standard)
        return automaton, list(patterns.values())

    def _plain_patterns(self) -> dict[bytes, _Pattern]:
        patterns: dict[bytes, _Pattern] = {}
        for uid in self._uids:
            if len(uid) >= _RAW_UID:
                patterns[uid.encode("ascii", "replace").translate(_LOWER)] = _Pattern(Kind.UID, digits=True)
        for date in self._dates:
            for spelling in spellings(date):
                patterns.setdefault(spelling.encode("ascii"), _Pattern(Kind.DATE, digits=True))
        for word, kind in self._known.words.items():
            if word in self._common or word in self._vocabulary or not self._is_distinct(word):
                continue
            pattern = _Pattern(kind, digits=word.isdecimal())
            encodings = _ENCODINGS if word.isascii() else _ENCODINGS + _OTHER_ENCODINGS
            for encoding in encodings:
                for spelling in (word,) if word.isascii() else (word, word.upper(), word.title()):
                    encoded = spelling.encode(encoding, "ignore").translate(_LOWER)
                    if len(encoded) >= _DISTINCT_LETTERS or (not word.isascii() and len(encoded) > 3):
                        patterns.setdefault(encoded, pattern)
        return patterns

    def _gapless_patterns(self) -> dict[bytes, _Pattern]:
        patterns: dict[bytes, _Pattern] = {}
        for uid in self._uids:
            squeezed = uid.replace(".", "")
            if len(squeezed) >= _UNMISTAKABLE:
                patterns[squeezed.encode("ascii", "replace")] = _Pattern(Kind.UID, digits=True)
        for word, kind in self._known.words.items():
            if word.isascii() and len(word) >= _DISTINCT_DIGITS and word not in self._common:
                patterns.setdefault(word.encode("ascii"), _Pattern(kind, digits=word.isdecimal()))
        return patterns

    @staticmethod
    def _is_distinct(word: str) -> bool:
        if word.isascii():
            return len(word) >= _DISTINCT_LETTERS
        return len(word) > 1

    def search_bytes(self, data: bytes) -> list[RawHit]:
        """Return the hits in raw bytes, in any case and encoding in use, each with its place.

        Numbers count only if no further digit touches them; long UIDs always.
        """
        if self._raw is None:
            return []
        lowered = data.translate(_LOWER)
        hits = self._raw.find_matches_as_indexes(lowered, overlapping=True)
        if not hits:
            return []
        found = []
        for index, start, end in hits:
            kind, digits = self._raw_patterns[index]
            if digits and end - start < _UNMISTAKABLE and _touches_digit(lowered, start, end):
                continue
            found.append(RawHit(kind, start, end))
        return found

    def search_gapless(self, data: bytes) -> Kind | None:
        """Return the kind of the first identifier in raw bytes when separators and zero bytes are left out."""
        if self._squeezed is None:
            return None
        squeezed = data.translate(_LOWER, _GAPS)
        for index, start, end in self._squeezed.find_matches_as_indexes(squeezed, overlapping=True):
            kind, digits = self._squeezed_patterns[index]
            if not (digits and end - start < _UNMISTAKABLE and _touches_digit(squeezed, start, end)):
                return kind
        return None


def _touches_digit(data: bytes, start: int, end: int) -> bool:
    before = data[start - 1 : start] if start else b""
    return before.isdigit() or data[end : end + 1].isdigit()
