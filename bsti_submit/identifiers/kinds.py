"""What an identifier looks like, how hard to look for it, and a find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a piece of text looks like. The value is the name by which a profile switches the pattern on."""

    EMAIL = "email"
    URL = "url"
    IP_ADDRESS = "ip-address"
    NHS_NUMBER = "nhs-number"
    CHI_NUMBER = "chi-number"
    HSC_NUMBER = "hsc-number"
    TEN_DIGITS = "ten-digits"
    GMC = "gmc"
    UK_PHONE = "uk-phone"
    UK_POSTCODE = "uk-postcode"
    DATE = "date"
    AGE = "age"
    AGE_90_PLUS = "age-90-plus"
    HOSPITAL_NUMBER = "hospital-number"
    LONG_NUMBER = "long-number"
    TITLE_NAME = "title-name"
    PLACE = "place"

    @property
    def label(self) -> str:
        """The kind with its article, to complete "looks like …"."""
        return _LABELS[self]


_LABELS: dict[Kind, str] = {
    Kind.EMAIL: "an email address",
    Kind.URL: "a web address",
    Kind.IP_ADDRESS: "a network address",
    Kind.NHS_NUMBER: "an NHS number",
    Kind.CHI_NUMBER: "a CHI number",
    Kind.HSC_NUMBER: "a Health and Care number",
    Kind.TEN_DIGITS: "a ten-digit identifier",
    Kind.GMC: "a professional registration number",
    Kind.UK_PHONE: "a telephone number",
    Kind.UK_POSTCODE: "a postcode",
    Kind.DATE: "a date",
    Kind.AGE: "an age",
    Kind.AGE_90_PLUS: "an age of 90 or over",
    Kind.HOSPITAL_NUMBER: "a hospital number",
    Kind.LONG_NUMBER: "a long number",
    Kind.TITLE_NAME: "a person's name",
    Kind.PLACE: "the name of a hospital, ward or other place",
}


class Strength(StrEnum):
    """How hard to look."""

    STRICT = "strict"
    """Free text that a person typed: anything doubtful is refused, and the person writes it again."""
    DESCRIPTOR = "descriptor"
    """Text being cleaned, of which only allowed words stay in any case: only what those words could hide."""


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One find: what it looks like, and where. It does not hold the text."""

    start: int
    end: int
    kind: Kind
