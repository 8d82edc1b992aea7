"""PS3.15 Table E.1-1 as data: what the Basic Profile and each option say about an attribute.

Edition 2026c for the attributes and the basic action; the option columns are those of 2024e. The 35 rows
that are new since then have no option columns yet: each takes those of a neighbour, see `ANALOGIES`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from bsti_submit.deid.dictionary import format_tag, is_curve, is_overlay, is_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EDITION = "2026c"
ROW_COUNT = 656

_OVERLAY_DATA = 0x3000
_OVERLAY_COMMENTS = 0x4000


class Option(StrEnum):
    """The profile and its options by their codes of CID 7050 (PS3.16)."""

    BASIC = "113100"
    CLEAN_PIXEL_DATA = "113101"
    CLEAN_RECOGNIZABLE_VISUAL_FEATURES = "113102"
    CLEAN_GRAPHICS = "113103"
    CLEAN_STRUCTURED_CONTENT = "113104"
    CLEAN_DESCRIPTORS = "113105"
    RETAIN_FULL_DATES = "113106"
    RETAIN_MODIFIED_DATES = "113107"
    RETAIN_PATIENT_CHARACTERISTICS = "113108"
    RETAIN_DEVICE_IDENTITY = "113109"
    RETAIN_UIDS = "113110"
    RETAIN_SAFE_PRIVATE = "113111"
    RETAIN_INSTITUTION_IDENTITY = "113112"

    @property
    def meaning(self) -> str:
        """The code meaning of CID 7050."""
        return _MEANINGS[self]


_MEANINGS = {
    Option.BASIC: "Basic Application Confidentiality Profile",
    Option.CLEAN_PIXEL_DATA: "Clean Pixel Data Option",
    Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES: "Clean Recognizable Visual Features Option",
    Option.CLEAN_GRAPHICS: "Clean Graphics Option",
    Option.CLEAN_STRUCTURED_CONTENT: "Clean Structured Content Option",
    Option.CLEAN_DESCRIPTORS: "Clean Descriptors Option",
    Option.RETAIN_FULL_DATES: "Retain Longitudinal Temporal Information Full Dates Option",
    Option.RETAIN_MODIFIED_DATES: "Retain Longitudinal Temporal Information Modified Dates Option",
    Option.RETAIN_PATIENT_CHARACTERISTICS: "Retain Patient Characteristics Option",
    Option.RETAIN_DEVICE_IDENTITY: "Retain Device Identity Option",
    Option.RETAIN_UIDS: "Retain UIDs Option",
    Option.RETAIN_SAFE_PRIVATE: "Retain Safe Private Option",
    Option.RETAIN_INSTITUTION_IDENTITY: "Retain Institution Identity Option",
}

_COLUMNS = {
    "retain_safe_private": Option.RETAIN_SAFE_PRIVATE,
    "retain_uids": Option.RETAIN_UIDS,
    "retain_device_identity": Option.RETAIN_DEVICE_IDENTITY,
    "retain_institution_identity": Option.RETAIN_INSTITUTION_IDENTITY,
    "retain_patient_characteristics": Option.RETAIN_PATIENT_CHARACTERISTICS,
    "retain_full_dates": Option.RETAIN_FULL_DATES,
    "retain_modified_dates": Option.RETAIN_MODIFIED_DATES,
    "clean_descriptors": Option.CLEAN_DESCRIPTORS,
    "clean_structured_content": Option.CLEAN_STRUCTURED_CONTENT,
    "clean_graphics": Option.CLEAN_GRAPHICS,
}

ANALOGIES: dict[int, int] = {
    # diagnosis code sequences as Admitting Diagnoses Code Sequence
    **dict.fromkeys((0x00081301, 0x00081302, 0x00081303, 0x00081304), 0x00081084),
    # comments on the patient as Patient Comments
    **dict.fromkeys((0x00100013, 0x00100016, 0x00100042, 0x00100045), 0x00104000),
    # sex, gender and ethnic group as Patient's Sex and Ethnic Group
    **dict.fromkeys((0x00100041, 0x00100043, 0x00100044, 0x00100046, 0x00100047), 0x00100040),
    **dict.fromkeys((0x00102161, 0x00102162), 0x00102160),
    # devices as Generator ID
    **dict.fromkeys((0x00181010, 0x00181011), 0x00181005),
    # waveform labels and descriptions as Waveform Filter Description
    **dict.fromkeys((0x003A0020, 0x003A0203, 0x003A020C, 0x0040B03B, 0x0040B03F), 0x003A0329),
    0x00400556: 0x00204000,  # Acquisition Context Description as Image Comments
    # effective, annotation and segment times as Observation Start DateTime
    **dict.fromkeys((0x0040A034, 0x0040A035, 0x0040B034, 0x0040B036), 0x0040A033),
    0x0040B020: 0x0040A730,  # Waveform Annotation Sequence as Content Sequence
    0x00700006: 0x00700001,  # Unformatted Text Value as Graphic Annotation Sequence
    0x300A0054: 0x300A0609,  # Table Top Position Alignment UID as Treatment Position Group UID
    # Person Names to Use, Name to Use, pronouns and Display URI have no neighbour with an option
}
"""Row new since 2024e → the row whose option columns it takes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of Table E.1-1. ``tag`` is None for the four rows that are patterns, ``pattern`` the column."""

    pattern: str
    tag: int | None
    keyword: str
    name: str
    basic: str
    options: Mapping[Option, str] = field(default_factory=dict)
    by_analogy: bool = False

    def action(self, claimed: Iterable[str]) -> str:
        """Return the action code under some claimed options (PS3.15 E.1.1: an option overrides the basic).

        Where two options differ, the one that protects more holds: C before K.
        """
        said = {self.options[option] for option in self.options if option in set(claimed)}
        for code in ("C", "K"):
            if code in said:
                return code
        return self.basic

    @property
    def is_device_date(self) -> bool:
        """Whether it tells when a device was made, installed or calibrated.

        The same for every patient of a scanner, such a date would betray one patient's offset to another.
        """
        return {Option.RETAIN_DEVICE_IDENTITY, Option.RETAIN_MODIFIED_DATES} <= set(self.options)


CURVES = "(50XX,XXXX)"
OVERLAY_DATA = "(60XX,3000)"
OVERLAY_COMMENTS = "(60XX,4000)"
PRIVATE = "(GGGG,EEEE) where GGGG is odd"
PATTERNS = (CURVES, OVERLAY_DATA, OVERLAY_COMMENTS, PRIVATE)


@cache
def rows() -> tuple[Row, ...]:
    """Return the 656 rows in the order of the table."""
    text = (files("bsti_submit.deid") / "data" / "ps3.15-table-e1-1.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    head = lines[0]
    columns = [(head.index(name), option) for name, option in _COLUMNS.items()]
    at = {name: head.index(name) for name in ("tag", "keyword", "name", "basic")}
    read = []
    for cells in lines[1:]:
        pattern = cells[at["tag"]]
        read.append(
            Row(
                pattern,
                None if pattern in PATTERNS else int(pattern[1:5] + pattern[6:10], 16),
                cells[at["keyword"]],
                cells[at["name"]],
                cells[at["basic"]],
                {option: cells[index] for index, option in columns if index < len(cells) and cells[index]},
            )
        )
    by_tag = {row.tag: row for row in read if row.tag is not None}
    return tuple(
        Row(
            row.pattern,
            row.tag,
            row.keyword,
            row.name,
            row.basic,
            by_tag[ANALOGIES[row.tag]].options,
            by_analogy=True,
        )
        if row.tag in ANALOGIES
        else row
        for row in read
    )


@cache
def _by_tag() -> tuple[dict[int, Row], dict[str, Row]]:
    return (
        {row.tag: row for row in rows() if row.tag is not None},
        {row.pattern: row for row in rows() if row.tag is None},
    )


def row_for(tag: int) -> Row | None:
    """Return the row of a tag, the four patterns included as the standard means them, or None."""
    exact, patterns = _by_tag()
    row = exact.get(tag)
    if row is not None:
        return row
    if is_private(tag):
        return patterns[PRIVATE]
    if is_curve(tag):
        return patterns[CURVES]
    if is_overlay(tag) and tag & 0xFFFF == _OVERLAY_DATA:
        return patterns[OVERLAY_DATA]
    if is_overlay(tag) and tag & 0xFFFF == _OVERLAY_COMMENTS:
        return patterns[OVERLAY_COMMENTS]
    return None


def field_of(row: Row) -> str:
    """Return how a recipe names a row: its keyword, or its tag where our dictionary has no keyword yet."""
    if row.tag is None:
        raise ValueError("a pattern has no single name")
    return row.keyword or format_tag(row.tag)
