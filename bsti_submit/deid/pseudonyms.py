"""Keyed pseudonyms: the site key and a patient → pseudonym, new UIDs and one date shift.

HMAC-SHA-256 (RFC 2104) under a random 256-bit site key, with a label of its own for each use, so that none can be
derived from another. The same key gives the same answers in any later run on any machine of the site; nothing is
written down. An unkeyed hash is never used: PS3.15 E.1.1 warns of them, and a ten-digit number can be found by trying.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsti_submit.phi import Identified

KEY_BYTES = 32
SHORTEST_ID = 4
SHORTEST_SHIFT = 3_653
LONGEST_SHIFT = 10_957
PSEUDONYM = re.compile(r"BSTI-[A-Z2-7]{16}")

_DUMMY_ID = re.compile(
    r"(?:x+|0+|9+|-+|\?+|n/?a|nil|none|null|unknown|unk|anon(?:ymous|ymised|ymized)?|patient(?:id)?|noid|no id"
    r"|not? ?(?:known|given|available)|removed|deleted|empty|blank|dummy|test(?:patient)?|1234+5*6*7*8*9*0*)"
)


class WeakPatientId(ValueError):  # noqa: N818 - it is no fault, but a fact about the headers
    """The patient id is empty, a dummy, or under four characters: it tells nobody apart."""


class SiteKey:
    """The site key: 32 random bytes. It masks itself and is never serialised."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("a site key has 32 bytes")
        self._key = key

    @classmethod
    def random(cls) -> SiteKey:
        """Return a key that is forgotten when the process ends."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def key_id(self) -> str:
        """A public name of the key: eight base32 characters that say nothing about it."""
        return _base32(self.derive(b"key id"))[:8]

    def derive(self, label: bytes, *parts: bytes) -> bytes:
        """Return 32 bytes for one use: HMAC over the length-prefixed label and parts."""
        return hmac.digest(self._key, _prefixed(b"bsti-submit 1", label, *parts), hashlib.sha256)

    def __repr__(self) -> str:
        return "<site key>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be serialised."""
        raise TypeError("a site key cannot be serialised")


class PatientScope:
    """Everything that stands for one patient.

    Attributes
    ----------
    pseudonym
        What replaces Patient ID and Patient's Name.
    shift_days
        How many whole days every date moves backwards, 3,653 to 10,957, the same for all dates of the patient.
    linked
        Whether a later run gives the same answers. A random scope is never linked to any other.
    """

    __slots__ = ("_uid_key", "linked", "pseudonym", "shift_days", "uid")

    def __init__(self, uid_key: SiteKey, patient: bytes, date: bytes, *, linked: bool) -> None:
        self._uid_key = uid_key
        self.pseudonym = f"BSTI-{_base32(patient)[:16]}"
        # A 256-bit number modulo 7,305: the bias is under 2^-240.
        self.shift_days = SHORTEST_SHIFT + int.from_bytes(date, "big") % (LONGEST_SHIFT - SHORTEST_SHIFT + 1)
        self.linked = linked
        self.uid = lru_cache(maxsize=65_536)(self._uid)
        """Return the new UID of an original one: ``2.25.`` and a 128-bit value (PS3.5 B.2)."""

    def _uid(self, original: str) -> str:
        return f"2.25.{int.from_bytes(self._uid_key.derive(b'uid', original.encode('utf-8', 'replace'))[:16], 'big')}"

    def __repr__(self) -> str:
        return f"PatientScope({self.pseudonym})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be serialised: it holds the key."""
        raise TypeError("a patient scope cannot be serialised")


def normalised_id(text: str) -> str:
    """Return a patient id without the differences that systems make: width, case, and white space."""
    while True:  # taking out white space can let two characters compose; three rounds were never needed
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        plain = "".join(folded.replace("\0", " ").split())
        if plain == text:
            return plain
        text = plain


def is_weak(patient_id: str) -> bool:
    """Whether a normalised patient id tells nobody apart."""
    bare = "".join(character for character in patient_id if character.isalnum())
    return len(bare) < SHORTEST_ID or _DUMMY_ID.fullmatch(bare) is not None or len(set(bare)) == 1


def patient_scope(key: SiteKey, issuer: Identified[str], patient_id: Identified[str]) -> PatientScope:
    """Return the scope of the pair of Issuer of Patient ID and Patient ID.

    Raises
    ------
    WeakPatientId
        If the id is empty, a dummy, or under four characters.
    """
    identifier = normalised_id(patient_id.reveal())
    if is_weak(identifier):
        raise WeakPatientId
    person = (normalised_id(issuer.reveal()).encode(), identifier.encode())
    return PatientScope(key, key.derive(b"patient", *person), key.derive(b"date", *person), linked=True)


def random_scope() -> PatientScope:
    """Return a scope of its own for a patient who cannot be told apart, never to be linked."""
    key = SiteKey.random()
    return PatientScope(key, key.derive(b"patient"), key.derive(b"date"), linked=False)


def patient_mark(key: SiteKey, issuer: Identified[str], patient_id: Identified[str], name: Identified[str]) -> bytes:
    """Return the keyed mark of a patient in a `study_set_tag`.

    Where the id tells nobody apart the name goes in as well: the mark knows the same studies again on this machine, and
    links nothing else.
    """
    identifier = normalised_id(patient_id.reveal())
    told = (normalised_id(name.reveal()).encode(),) if is_weak(identifier) else ()
    return key.derive(b"patient of studies", normalised_id(issuer.reveal()).encode(), identifier.encode(), *told)


def study_set_tag(key: SiteKey, patients: Iterable[bytes], study_uids: Iterable[Identified[str]]) -> str:
    """Return the tag by which the outbox knows a patient's studies again: 64 hexadecimal digits, keyed.

    Study UIDs alone would not do: two patients can come with the same one, by a copied or a hand-made header.
    """
    studies = sorted({uid.reveal() for uid in study_uids})
    return key.derive(b"study set", _prefixed(*sorted(set(patients))), *(uid.encode() for uid in studies)).hex()


def image_set_digest(key: SiteKey, instance_uids: Iterable[Identified[str]]) -> str:
    """Return the keyed digest of a set of images by their SOP Instance UIDs, in hexadecimal."""
    return key.derive(b"image set", *(uid.encode() for uid in sorted({uid.reveal() for uid in instance_uids}))).hex()


def _prefixed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii")
