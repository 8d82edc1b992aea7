"""Input headers, path parts and typed text → this patient's own identifiers, in memory only."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from bsti_submit.deid.certify.attributes import KIND_OF_TAG, KIND_OF_VR, STRONG_IDENTIFIERS, Kind
from bsti_submit.deid.certify.charsets import codec_of, decodings
from bsti_submit.deid.certify.dates import dates_in
from bsti_submit.deid.certify.normalise import fold, squeeze, transliterations, words
from bsti_submit.deid.certify.search import Identifiers, Matcher
from bsti_submit.deid.certify.uids import is_registered
from bsti_submit.deid.certify.vocabulary import SHORT_CODES, STOP, ordinary
from bsti_submit.deid.certify.walk import Found, scan_header

if TYPE_CHECKING:
    from bsti_submit.model import Buffer, InstanceRef
    from bsti_submit.phi import Identified

_DUMMY_DATES = frozenset((18000101, 19000101, 19010101, 19700101, 20000101, 21000101))
_IMPLEMENTATION = frozenset((0x00020012, 0x00020100))
"""UIDs of software, not of anything of the patient."""
_DATES = frozenset((b"DA", b"DT"))
_PATIENT_ID, _PATIENT_NAME = 0x00100020, 0x00100010
_UID = re.compile(r"\d+(?:\.\d+){4,}")
_LATIN = re.compile(r"[a-z0-9]+")


def _is_latin(word: str) -> bool:
    return _LATIN.fullmatch(word) is not None


class Harvest:
    """Collect identifiers of one patient; `build` turns them into a `Matcher`.

    The same value of the same attribute is looked at once, so that ten thousand headers of one study cost little
    more than their walk. Nothing here is ever printed, logged or written.
    """

    def __init__(self) -> None:
        self._seen: set[Found] = set()
        self._dates_seen: set[tuple[int, bytes]] = set()
        self._codecs: dict[bytes, str] = {}
        self._known = Identifiers()
        self._patients: dict[tuple[bytes, bytes], int] = {}
        self._patient = 0
        self.headers = 0

    def __repr__(self) -> str:
        return f"<Harvest of {self.headers} headers>"

    def add_header(self, header: Buffer, ref: InstanceRef | None = None) -> None:
        """Take the identifiers from one input header. Never raises for what is in it.

        Parameters
        ----------
        header
            The bytes of an input file, at least up to its pixel data.
        ref
            Which file it is. Where a source holds several patients, the dates of an output are then held against
            the dates of its own patient alone: a shifted date may well be another patient's true one.
        """
        self.headers += 1
        seen = self._seen
        values = scan_header(header)
        self._patient = self._who(values)
        if ref is not None:
            self._known.patients[ref.number] = self._patient
        for found in values:
            if found not in seen:
                if found.vr not in _DATES:
                    seen.add(found)
                self._take(found)

    def _who(self, values: list[Found]) -> int:
        """Return the number of the patient whom a header is about."""
        told = {found.tag: found.raw for found in reversed(values) if found.tag in (_PATIENT_ID, _PATIENT_NAME)}
        patient_id = told.get(_PATIENT_ID, b"").strip(b" \0")
        who = (patient_id, b"" if patient_id else told.get(_PATIENT_NAME, b""))
        return self._patients.setdefault(who, len(self._patients))

    def add_text(self, text: Identified[str]) -> None:
        """Take the identifiers from a source path part or from what a person typed."""
        plain = unicodedata.normalize("NFC", text.reveal())
        folded = fold(plain)
        for uid in _UID.findall(plain):
            self._uid(uid)
        self._known.dates |= dates_in(folded, short=False) - _DUMMY_DATES
        common = ordinary()
        for chunk in re.split(r"[\s_./\\,;()\[\]{}^=+-]+", folded):
            squeezed = squeeze(chunk)
            # A serial number of a file, such as IM00012, is no identifier; A123456 may be one.
            digits = "".join(character for character in squeezed if character.isdecimal()).lstrip("0")
            if len(digits) >= 5 and len(squeezed) >= 6:
                self._known.word(squeezed, Kind.PATH)
            self._known.number(chunk, Kind.PATH, shortest=7)
        for raw in re.findall(r"[^\W\d_]+", plain):
            for spelling in transliterations(raw):
                if spelling not in STOP and spelling not in common:
                    self._known.word(spelling, Kind.PATH, shortest=5 if _is_latin(spelling) else 2)
        self._number_groups(folded)

    def _number_groups(self, folded: str) -> None:
        """Take ids that are written with gaps: ``943 476 5919``."""
        for group in re.findall(r"\d(?:[ -]?\d){6,}", folded):
            self._known.number(group, Kind.PATH, shortest=7)

    def build(self, vocabulary: frozenset[str] = frozenset()) -> Matcher:
        """Return the matcher of everything taken so far.

        Parameters
        ----------
        vocabulary
            The words that the profile lets stand in descriptors, casefolded: alone they identify no place, device
            or folder. Names of people are searched all the same.
        """
        return Matcher(self._known, vocabulary)

    def _texts(self, found: Found) -> tuple[str, ...]:
        codec = self._codecs.get(found.charset)
        if codec is None:
            codec = codec_of(found.charset) or "latin-1"
            self._codecs[found.charset] = codec
        raw = found.raw.strip(b" \0")
        declared = decodings(raw, codec)[0]
        # The declared reading, and UTF-8 where it holds: other guesses would make identifiers out of noise.
        try:
            other = raw.decode("utf-8")
        except UnicodeDecodeError:
            return (declared,)
        return (other,) if "\ufffd" in declared else tuple(dict.fromkeys((declared, other)))

    def _take(self, found: Found) -> None:
        kind = KIND_OF_TAG.get(found.tag)
        if found.vr == b"UI":
            if found.tag not in _IMPLEMENTATION:
                for uid in found.raw.decode("latin-1").split("\\"):
                    self._uid(uid.strip(" \0"))
            return
        if found.vr in (b"DA", b"DT"):
            self._date(found.raw)
            return
        if kind is None:
            kind = KIND_OF_VR[found.vr]
        for text in self._texts(found):
            if kind in (Kind.PATIENT_NAME, Kind.PERSON):
                for value in text.split("\\"):
                    self._person(value, kind)
            elif kind is Kind.IDENTIFIER:
                for value in text.split("\\"):
                    self._identifier(value, strong=found.tag in STRONG_IDENTIFIERS)
            elif kind is Kind.CONTACT:
                self._contact(text)
            else:
                for value in text.split("\\"):
                    self._phrase(value, kind)

    def _uid(self, uid: str) -> None:
        if uid and not is_registered(uid):
            self._known.uids.add(uid)

    def _date(self, raw: bytes) -> None:
        key = (self._patient, raw)
        if key in self._dates_seen:
            return
        self._dates_seen.add(key)
        own = self._known.dates_of_patient.setdefault(self._patient, set())
        for value in raw.decode("latin-1").split("\\"):
            text = value.strip(" \0")
            head = re.match(r"\d{8}", text)
            dates = dates_in(head.group() if head else fold(text), short=False) - _DUMMY_DATES
            own |= dates
            self._known.dates |= dates
            if not head and len(text) >= 8:
                self._known.word(squeeze(text), Kind.DATE)

    def _person(self, value: str, kind: Kind) -> None:
        """Take one person name: each component group, its components, their parts, and their combinations."""
        for group in value.split("="):
            components = [words(fold(part)) for part in group.split("^")]
            letters = [[word for word in part if word.isalpha()] for part in components]
            for number in words(fold(group)):
                self._known.number(number, Kind.IDENTIFIER, shortest=6)
            for part in group.split("^"):
                for word in re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", part)):
                    for spelling in transliterations(word):
                        self._name(spelling, kind)
            family, given = ([*letters, [], []])[:2]
            first, last = "".join(given[:1]), "".join(family)
            pieces = [first + last, last + first, "".join(given) + last, last + "".join(given), last]
            if given and family:
                pieces += [given[0][0] + last, last + given[0][0]]
            pieces += ["".join(word for part in letters for word in part)]
            for piece in pieces:
                if len(piece) >= (5 if _is_latin(piece) else 2) and piece not in STOP:
                    self._known.word(piece, kind)

    def _name(self, word: str, kind: Kind) -> None:
        shortest = 1 if not word.isascii() else 2 if kind is Kind.PATIENT_NAME else 3
        if len(word) < shortest or word in STOP or word in SHORT_CODES:
            return
        self._known.word(word, kind)

    def _identifier(self, value: str, *, strong: bool) -> None:
        squeezed = squeeze(value)
        if not squeezed.strip("0") or squeezed in STOP:
            return
        if len(squeezed) >= (4 if strong else 6):
            self._known.word(squeezed, Kind.IDENTIFIER)
            if squeezed.isalpha():
                self._known.phrases[squeezed] = frozenset(words(fold(value)))
        self._known.number(value, Kind.IDENTIFIER, shortest=4 if strong and squeezed.isdigit() else 6)

    def _contact(self, text: str) -> None:
        for value in re.split(r"[\\;,\n]", text):
            self._known.number(value, Kind.CONTACT, shortest=7)
            squeezed = squeeze(value)
            if "@" in value and len(squeezed) >= 6:
                self._known.word(squeezed, Kind.CONTACT)
                self._known.word(squeeze(value.split("@")[0]), Kind.CONTACT, shortest=5)

    def _phrase(self, value: str, kind: Kind) -> None:
        """Take a place or device: the whole phrase, and its words that are not ordinary ones."""
        common = ordinary()
        self._known.word(squeeze(value), kind, shortest=5)
        self._known.number(value, kind, shortest=6)
        for word in re.findall(r"[^\W\d_]+", fold(value)):
            for spelling in transliterations(word):
                if len(spelling) >= (4 if _is_latin(spelling) else 2) and spelling not in STOP | common:
                    self._known.word(spelling, kind)
