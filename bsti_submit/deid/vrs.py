"""The value representations (PS3.5 6.2) of the standard's attributes, and the forms that values must have."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bsti_submit.model import Buffer

PLAIN_TEXT: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""VRs whose text depends on the character set (PS3.5 6.1.2.3)."""
BULK: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))


_TIME: Final = (
    rb"(?:(?:[01][0-9]|2[0-3])(?:[0-5][0-9](?:(?:[0-5][0-9]|60)(?:\.[0-9]{1,6})?)?)?"
    rb"|(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?)? *"
)
_TIMES: Final = _TIME + rb"(?:\\" + _TIME + rb")*"
"""Also in the old form with colons."""
# Each value matches in one way only, so that a long list that fails cannot take exponential time.
_NUMBER: Final = rb" *+[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)? *+"
_FORMS: Final = {
    "AE": re.compile(rb"[\x20-\x5b\x5d-\x7e]{0,16}(?:\\[\x20-\x5b\x5d-\x7e]{0,16})*"),
    "AS": re.compile(rb"(?:[0-9]{3}[DWMY])?(?:\\[0-9]{3}[DWMY])*"),
    "CS": re.compile(rb"[A-Z0-9 _]*(?:\\[A-Z0-9 _]*)*"),
    "DS": re.compile(rb"(?:" + _NUMBER + rb")?(?:\\(?:" + _NUMBER + rb")?)*+"),
    "IS": re.compile(rb"(?: *[+-]?[0-9]{1,12} *)?(?:\\(?: *[+-]?[0-9]{1,12} *)?)*"),
    "TM": re.compile(_TIMES),
    "UI": re.compile(rb"[0-9.]{0,64}(?:\\[0-9.]{0,64})*"),
    "UR": re.compile(rb"[\x21-\x7e]*"),
}
_LONGEST: Final = {"AS": 4, "CS": 16, "DS": 16, "IS": 12, "TM": 16}
_WIDTHS: Final = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8} | {
    "OD": 8,
    "OF": 4,
    "OL": 4,
    "OV": 8,
    "OW": 2,
}


@lru_cache(maxsize=16_384)
def dictionary_vrs(tag: int) -> tuple[str, ...]:
    """Return the VRs that the dictionary allows for a tag; none for a tag that it does not have."""
    from pydicom.datadict import DicomDictionary, RepeatersDictionary, mask_match

    entry = DicomDictionary.get(tag)
    if entry is None:
        mask = mask_match(tag)
        entry = RepeatersDictionary.get(mask) if mask is not None else None
    if entry is None:
        return ()
    return tuple(vr for vr in entry[0].replace(" or ", " ").replace("_", " ").split() if len(vr) == 2)


@lru_cache(maxsize=16_384)
def dictionary_vr(tag: int, *, signed: bool = False) -> str:
    """Return the VR of a tag where none is stated (PS3.5 A.1); ``UN`` for what the dictionary does not have."""
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    if tag & 0xFFFF == 0:
        return "UL"
    vrs = dictionary_vrs(tag)
    if not vrs:
        return "UN"
    if "OW" in vrs:
        return "OW"
    if set(vrs) == {"US", "SS"}:
        return "SS" if signed else "US"
    return vrs[0]


@lru_cache(maxsize=16_384)
def is_text(tag: int) -> bool:
    """Whether the dictionary has only text for a tag: its bytes have one order, under whatever VR they stand."""
    vrs = dictionary_vrs(tag)
    return bool(vrs) and not any(vr in _WIDTHS or vr in BULK or vr == "SQ" for vr in vrs)


def has_form(vr: str, value: Buffer) -> bool:
    """Whether a value, padding stripped, has the form of its VR. Text VRs and dates are not judged here."""
    form = _FORMS.get(vr)
    if form is None:
        return len(value) % _WIDTHS.get(vr, 1) == 0
    longest = _LONGEST.get(vr)
    if longest is not None and len(value) > longest and max(map(len, bytes(value).split(b"\\"))) > longest:
        return False
    return form.fullmatch(value) is not None
