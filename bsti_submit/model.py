"""The values that flow through the stages. The ground floor: it imports nothing of ours.

Everything here is safe to print, to log and to store. What may identify a patient lives in `phi`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, order=True)
class InstanceRef:
    """The ordinal of a file in the survey: the only name an input file has in any log. Prints ``#000123``."""

    number: int

    def __str__(self) -> str:
        return f"#{self.number:06d}"

    @classmethod
    def parse(cls, text: str) -> InstanceRef:
        """Read ``#000123``, ``000123`` or ``123``.

        Raises
        ------
        ValueError
            If it is not a positive whole number.
        """
        number = int(text.removeprefix("#"))
        if number < 1:
            raise ValueError("a reference is a positive whole number")
        return cls(number)


class Outcome(StrEnum):
    """What became of one instance."""

    CERTIFIED = "certified"
    LEFT_OUT = "left_out"
    HELD = "held"


class Reason(StrEnum):
    """Why an instance was left out (the profile or a person says so) or held (a doubt)."""

    # left out
    STRUCTURED_REPORT = "structured-report"
    ENCAPSULATED_DOCUMENT = "encapsulated-document"
    PRESENTATION_STATE = "presentation-state"
    KEY_OBJECT = "key-object"
    SECONDARY_CAPTURE = "secondary-capture"
    RAW_DATA = "raw-data"
    OTHER_OBJECT = "other-object"
    DUPLICATE = "duplicate"
    OTHER_STUDY = "other-study"
    LEFT_OUT_BY_PERSON = "left-out-by-person"
    # held
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    CONFLICTING_DUPLICATE = "conflicting-duplicate"
    TOO_LARGE = "too-large"
    UNSUPPORTED_SYNTAX = "unsupported-syntax"
    UNKNOWN_CHARACTER_SET = "unknown-character-set"
    MISSING_IDENTITY = "missing-identity"
    HEAD_COVERED = "head-covered"
    BODY_PART = "body-part"
    NOT_LOOKED_AT = "not-looked-at"
    POSSIBLE_TEXT = "possible-text"
    REJECTED_BY_PERSON = "rejected-by-person"
    PIXEL_LENGTH = "pixel-length"
    PIXEL_CODING = "pixel-coding"
    RESIDUAL_IDENTIFIER = "residual-identifier"
    ELEMENT_NOT_ALLOWED = "element-not-allowed"
    STRUCTURE = "structure"

    @property
    def text(self) -> str:
        """One plain sentence for a person."""
        return _REASON_TEXT[self]

    @property
    def clearable(self) -> bool:
        """Whether a person who has looked at the image may clear this hold. A residual identifier never."""
        return self in {Reason.NOT_LOOKED_AT, Reason.POSSIBLE_TEXT, Reason.BODY_PART}


_REASON_TEXT: dict[Reason, str] = {
    Reason.STRUCTURED_REPORT: "A structured report: its text can name people, and the registry takes images only.",
    Reason.ENCAPSULATED_DOCUMENT: "An encapsulated document such as a PDF: it cannot be de-identified safely.",
    Reason.PRESENTATION_STATE: "A presentation state: it holds annotations, not images.",
    Reason.KEY_OBJECT: "A key object selection: it holds references, not images.",
    Reason.SECONDARY_CAPTURE: "A secondary capture, such as a dose screen: these often show the patient's name.",
    Reason.RAW_DATA: "Raw scanner data.",
    Reason.OTHER_OBJECT: "A kind of object that this profile does not send.",
    Reason.DUPLICATE: "Another copy of an instance that is already here.",
    Reason.OTHER_STUDY: "It belongs to a study that was not chosen.",
    Reason.LEFT_OUT_BY_PERSON: "A person chose to leave it out.",
    Reason.UNREADABLE: "The file is broken, or not what its header says.",
    Reason.TRUNCATED: "The file ends too early; it may have been cut off while it was copied.",
    Reason.CONFLICTING_DUPLICATE: "Another file has the same SOP Instance UID but different content.",
    Reason.TOO_LARGE: "It is larger than can be handled safely.",
    Reason.UNSUPPORTED_SYNTAX: "Its transfer syntax cannot be examined, so it cannot be made safe.",
    Reason.UNKNOWN_CHARACTER_SET: "Its text uses a character set that cannot be read for certain.",
    Reason.MISSING_IDENTITY: "It lacks a UID that it needs to be told apart from other instances.",
    Reason.HEAD_COVERED: "It covers, or may cover, a head, and a face could be recognised.",
    Reason.BODY_PART: "Its body part is not the chest, or not stated.",
    Reason.NOT_LOOKED_AT: "Nobody has looked at this radiograph for text in the picture yet.",
    Reason.POSSIBLE_TEXT: "There may be writing in the picture that could not be found and blanked for certain.",
    Reason.REJECTED_BY_PERSON: "A person looked at the picture and rejected it.",
    Reason.PIXEL_LENGTH: "The pixel data do not have the length that the header promises.",
    Reason.PIXEL_CODING: "The compressed pixel data cannot be examined or made safe.",
    Reason.RESIDUAL_IDENTIFIER: "The final check found something that may identify the patient.",
    Reason.ELEMENT_NOT_ALLOWED: "The final check found an element that the profile does not allow.",
    Reason.STRUCTURE: "The final check found the file's structure not as it must be.",
}


@dataclass(frozen=True, slots=True)
class InstanceReport:
    """What became of one instance, and why. ``attribute`` is a DICOM keyword or tag, never a value."""

    ref: InstanceRef
    sop_class_uid: str
    outcome: Outcome
    reason: Reason | None = None
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refused instance as a value in the stream: it never ends a run."""

    ref: InstanceRef
    sop_class_uid: str
    outcome: Outcome
    reason: Reason
    attribute: str = ""

    def report(self) -> InstanceReport:
        """Return what is told about it."""
        return InstanceReport(self.ref, self.sop_class_uid, self.outcome, self.reason, self.attribute)


class Payload(Protocol):
    """Bytes that can be read again and again without holding them all in memory."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def chunks(self) -> Iterator[Buffer]:
        """Yield the bytes in order, afresh at each call."""


class Form(StrEnum):
    """The forms in which the profile lets an element's value leave. The final check holds values against them."""

    KEEP = "keep"
    """As it was; text and numbers are searched."""
    UID = "uid"
    """A registered UID, or one of ours (``2.25.`` and 128 bits)."""
    DATE = "date"
    """A well-formed date or date-time."""
    TEXT = "text"
    """Text made of allowed words only."""
    EMPTY = "empty"
    """Zero length."""
    DUMMY = "dummy"
    """The dummy of its VR, see `DUMMIES`."""
    PSEUDONYM = "pseudonym"
    """The patient's pseudonym."""
    LITERAL = "literal"
    """Exactly the value that the recipe or the profile writes."""
    SEQUENCE = "sequence"
    """A sequence whose items are checked in turn."""
    PIXELS = "pixels"
    """Pixel data, checked by structure."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The forms allowed for one tag; ``literals`` are the values for `Form.LITERAL`."""

    forms: frozenset[Form]
    literals: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AllowList:
    """What may leave under one profile: tag → forms. A tag that is not here may not leave at any depth.

    ``private`` maps (group, creator, element byte) to forms; empty unless a profile retains safe private data.
    """

    profile: str
    version: str
    recipe_sha256: str
    elements: Mapping[int, Allowed]
    private: Mapping[tuple[int, str, int], Allowed] = field(default_factory=dict)


DUMMIES: dict[str, str] = {
    "AE": "REMOVED",
    "AS": "000Y",
    "CS": "REMOVED",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "LO": "REMOVED",
    "LT": "REMOVED",
    "PN": "REMOVED",
    "SH": "REMOVED",
    "ST": "REMOVED",
    "TM": "000000",
    "UC": "REMOVED",
    "UR": "urn:removed",
    "UT": "REMOVED",
}
"""The dummy value of each text VR (PS3.15 E.1.1, action D). Binary VRs use zero bytes of one value's length."""


_MINT = object()


@dataclass(frozen=True, slots=True)
class Certified:
    """An instance that passed the final check: the only thing that may be packaged.

    Made by `bsti_submit.deid.certify` alone, through `mint`; a stray constructor raises.
    """

    ref: InstanceRef
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    modality: str
    size: int
    sha256: str
    payload: Payload = field(repr=False)
    _minted: object = field(repr=False, default=None)

    def __post_init__(self) -> None:
        if self._minted is not _MINT:
            raise TypeError("only the final check certifies an instance")

    def report(self) -> InstanceReport:
        """Return what is told about it."""
        return InstanceReport(self.ref, self.sop_class_uid, Outcome.CERTIFIED)


def mint(
    ref: InstanceRef,
    sop_class_uid: str,
    study_instance_uid: str,
    series_instance_uid: str,
    sop_instance_uid: str,
    modality: str,
    size: int,
    sha256: str,
    payload: Payload,
) -> Certified:
    """Certify an instance. For `bsti_submit.deid.certify` alone, which a test enforces."""
    return Certified(
        ref,
        sop_class_uid,
        study_instance_uid,
        series_instance_uid,
        sop_instance_uid,
        modality,
        size,
        sha256,
        payload,
        _MINT,
    )


_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def _luhn32(characters: str) -> str:
    """Return the Luhn mod-32 check character of eleven base32 characters."""
    total = 0
    factor = 2
    for character in reversed(characters):
        product = factor * _BASE32.index(character)
        total += product // 32 + product % 32
        factor = 3 - factor
    return _BASE32[-total % 32]


def new_case_id() -> str:
    """Return a random case id ``XXXX-XXXX-XXXX``: eleven base32 characters and a check character.

    It is never derived from the patient.
    """
    body = "".join(secrets.choice(_BASE32) for _ in range(11))
    whole = body + _luhn32(body)
    return "-".join((whole[:4], whole[4:8], whole[8:]))


def normalise_case_id(text: str) -> str | None:
    """Return the canonical form of a typed case id, or None if its check character is wrong.

    Lower case, spaces and missing hyphens are forgiven; ``0``, ``1`` and ``8`` are read as ``O``, ``I``, ``B``.
    """
    whole = text.upper().translate(str.maketrans("018", "OIB", "- "))
    if len(whole) != 12 or any(character not in _BASE32 for character in whole):
        return None
    if _luhn32(whole[:11]) != whole[11]:
        return None
    return "-".join((whole[:4], whole[4:8], whole[8:]))
