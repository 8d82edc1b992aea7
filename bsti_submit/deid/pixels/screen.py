"""Which instances a person has to look at before they may leave, and what was decided about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from bsti_submit.deid.pixels.anatomy import Coverage, Described, coverage
from bsti_submit.deid.pixels.decisions import Verdict
from bsti_submit.model import Reason

if TYPE_CHECKING:
    from bsti_submit.deid.pixels.examine import Examination

CT_CLASSES: Final = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
    )
)
"""CT images: series are searched for text as a whole."""
_CAPTURE_WORDS: Final = frozenset(
    {"PROT", "PROTOCOL", "SCREEN", "SAVE", "SCREENSAVE", "SCREENSHOT", "CAPTURE", "DOSE", "INFO", "REPORT"}
    | {"RESULT", "RESULTS", "RGB", "COLOR", "COLOUR", "TEXT", "PAGE", "SHEET", "SUMMARY"}
)
"""Words of Image Type that scanners give to pages of text stored as CT images."""
_SECONDARY: Final = 8
"""Bits of a screen; a CT slice has 12 or 16."""


class Screened(Described, Protocol):
    """What the survey knows of an instance, as far as the screen goes."""

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID."""

    @property
    def burned_in(self) -> str:
        """Burned In Annotation."""

    @property
    def samples(self) -> int:
        """Samples per Pixel."""

    @property
    def bits_allocated(self) -> int:
        """Bits Allocated."""

    @property
    def bits_stored(self) -> int:
        """Bits Stored."""

    @property
    def photometric(self) -> str:
        """Photometric Interpretation."""


@dataclass(frozen=True, slots=True)
class Screening:
    """What the screen says of one instance.

    Attributes
    ----------
    reason
        Why it is held or left out; None if it may go on.
    coverage
        The body part; a case asks about all but a chest.
    examined
        Whether its picture was really looked at, so that code 113101 and Burned In Annotation ``NO`` are
        true of it.
    """

    reason: Reason | None
    coverage: Coverage
    examined: bool


def needs_person(instance: Screened) -> bool:
    """Say whether a person has to look at the picture, whatever a search for text says of it.

    Those are all radiographs, anything that is not CT, and of CT what is said to have, or looks like it has, a page of
    text: colour, eight bits, a dose or protocol page. Burned In Annotation ``NO`` is never believed, ``YES`` is.
    """
    if instance.sop_class_uid not in CT_CLASSES or instance.burned_in == "YES":
        return True
    if instance.samples > 1 or instance.photometric not in {"", "MONOCHROME1", "MONOCHROME2"}:
        return True
    if 0 < instance.bits_stored <= _SECONDARY or 0 < instance.bits_allocated <= _SECONDARY:
        return True
    words = {word for value in instance.image_type for word in value.replace("_", " ").split()}
    return not words.isdisjoint(_CAPTURE_WORDS)


def screen(instance: Screened, verdict: Verdict | None = None, found: Examination | None = None) -> Screening:
    """Screen one instance.

    Parameters
    ----------
    verdict
        What a person decided about exactly these pixels, if anyone did. A head is held whatever was decided: clearing
        a picture of text does not clear a face.
    found
        What the search for text found in it, if it was searched. Until then nothing but the header speaks.
    """
    covers = coverage(instance)
    reason: Reason | None = None
    if verdict is Verdict.LEFT_OUT:
        reason = Reason.LEFT_OUT_BY_PERSON
    elif verdict is Verdict.REJECTED:
        reason = Reason.REJECTED_BY_PERSON
    elif covers is Coverage.HEAD:
        reason = Reason.HEAD_COVERED
    elif verdict is None and needs_person(instance):
        reason = Reason.NOT_LOOKED_AT
    elif verdict is None and found is not None:
        reason = found.doubt
    return Screening(reason, covers, examined=verdict is Verdict.CLEARED or found is not None)
