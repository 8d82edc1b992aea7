"""What the standard calls an attribute: keyword ↔ tag, its VRs and its name (PS3.6, as pydicom has it).

Repeating groups are seen as the standard means them: curves 50xx and overlays 60xx are *even* groups up to
501E and 601E (PS3.5 7.6), with a margin to FE; (5200,9229) and (5200,9230) are functional groups, not curves.
"""

from __future__ import annotations

import difflib
from functools import cache

from pydicom import datadict
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary

TEXT_VRS = frozenset({"LO", "LT", "SH", "ST", "UC", "UT"})
DATE_VRS = frozenset({"DA", "DT"})
NUMBER_VRS = frozenset({"AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
VRS = TEXT_VRS | DATE_VRS | NUMBER_VRS | BINARY_VRS | {"AE", "AS", "CS", "PN", "SQ", "TM", "UI", "UR"}

_CURVES = range(0x5000, 0x5100, 2)
_OVERLAYS = range(0x6000, 0x6100, 2)


def is_private(tag: int) -> bool:
    """Return whether the group is odd (PS3.5 7.8)."""
    return bool(tag >> 16 & 1)


def is_curve(tag: int) -> bool:
    """Return whether it is an element of a (retired) curve, groups 5000-50FE."""
    return tag >> 16 in _CURVES


def is_overlay(tag: int) -> bool:
    """Return whether it is an element of an overlay, groups 6000-60FE."""
    return tag >> 16 in _OVERLAYS


def is_known(tag: int) -> bool:
    """Return whether the standard's dictionary has the very tag; repeating groups do not count."""
    return tag in DicomDictionary


@cache
def vrs_of(tag: int) -> tuple[str, ...]:
    """Return the VRs that the dictionary allows for a tag, () if it does not have it or says none."""
    entry = DicomDictionary.get(tag)
    if entry is None:
        return ()
    return tuple(vr for vr in entry[0].split(" or ") if vr in VRS)


@cache
def keyword_of(tag: int) -> str:
    """Return the keyword of a tag, or nothing."""
    entry = DicomDictionary.get(tag)
    return str(entry[4]) if entry else ""


def name_of(tag: int) -> str:
    """Return the name of a tag, such as ``Patient's Name``, or nothing."""
    entry = DicomDictionary.get(tag)
    return str(entry[2]) if entry else ""


@cache
def tag_of(keyword: str) -> int | None:
    """Return the tag of a keyword in its exact spelling, or None."""
    return datadict.tag_for_keyword(keyword)


def tags() -> tuple[int, ...]:
    """Return every tag of the dictionary, in order."""
    return tuple(sorted(DicomDictionary))


def repeating_keywords() -> frozenset[str]:
    """Return the keywords that stand for repeating groups, such as ``OverlayData``."""
    return frozenset(entry[4] for entry in RepeatersDictionary.values())


@cache
def _folded() -> dict[str, str]:
    return {keyword_of(tag).lower(): keyword_of(tag) for tag in tags() if keyword_of(tag)}


def nearest_keyword(text: str) -> str:
    """Return the keyword most like a misspelt one, or nothing."""
    folded = _folded()
    squeezed = text.lower().replace("'", "").replace(" ", "")
    if squeezed in folded:
        return folded[squeezed]
    found = difflib.get_close_matches(squeezed, folded, n=1, cutoff=0.75)
    return folded[found[0]] if found else ""


def format_tag(tag: int) -> str:
    """Return ``(gggg,eeee)`` in upper-case hexadecimal."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def label(tag: int) -> str:
    """Return the keyword, or the tag where there is none."""
    return keyword_of(tag) or format_tag(tag)
