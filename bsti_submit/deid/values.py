"""One element's value and its rule → the encoded element, or nothing.

What does not have the form of its VR does not pass, and numbers are never read as text or text as numbers.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.dates import literal_days, shifted
from bsti_submit.deid.numeric import is_identifying, is_text, is_text_in_table, most_values, whole_numbers
from bsti_submit.deid.plan import Action, Rule
from bsti_submit.deid.registered import is_registered
from bsti_submit.deid.staged import encode
from bsti_submit.deid.texts import Texts
from bsti_submit.deid.vrs import BULK, PLAIN_TEXT, has_form
from bsti_submit.model import DUMMIES

if TYPE_CHECKING:
    from collections import Counter

    from bsti_submit.deid.characters import Characters
    from bsti_submit.deid.named import Named
    from bsti_submit.deid.profile_type import Profile
    from bsti_submit.deid.pseudonyms import PatientScope
    from bsti_submit.model import Buffer

_LOOK_UP_TABLES: Final = frozenset((0x00283006, 0x00281201, 0x00281202, 0x00281203, 0x00281204)) | frozenset(
    (0x00281221, 0x00281222, 0x00281223)
)
"""The only bulk data that a picture needs besides its pixels: tables of grey values and colours."""
_NUMBERS: Final = {"AT": "<L", "FD": "<d", "FL": "<f", "SL": "<l", "SS": "<h", "SV": "<q"} | {
    "UL": "<L",
    "US": "<H",
    "UV": "<Q",
}
_TABLES: Final = frozenset(("OB", "OW", "SS", "US"))
_NUMBER: Final = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_LONGEST_NUMBER: Final = 40
_SHORTEST_TEXT: Final = 3


class Values:
    """Applies rules to the values of one instance, and counts what it does.

    ``non_ascii`` tells whether any text that stays needs a character set.
    """

    def __init__(self, profile: Profile, scope: PatientScope, named: Named, counts: Counter[str]) -> None:
        self._texts = Texts(profile.descriptors, named)
        self._coded_terms = profile.coded_terms
        self._scope = scope
        self._named = named
        self._counts = counts
        self.non_ascii = False

    def apply(
        self,
        rule: Rule,
        tag: int,
        vr: str,
        stated: str,
        value: memoryview,
        raw: memoryview | None,
        characters: Characters,
    ) -> Buffer | None:
        """Return the element under the dictionary's VR as a rule lets it leave; None to leave it out.

        Parameters
        ----------
        stated
            The VR in the file.
        raw
            The whole element as it stands, if its bytes may be used again.
        characters
            The character set in force.

        Raises
        ------
        UnknownCharacterSet
            If text that could stay cannot be read for certain.
        """
        action = rule.action
        if action is Action.EMPTY:
            self._counts["emptied"] += 1
            return encode(tag, vr, b"")
        if action is Action.KEEP:
            if vr == "CS" and rule.value == "coded":
                return self._coded(rule, tag, stated, value, raw, characters)
            return self._keep(rule, tag, vr, stated, value, raw, characters)
        if action is Action.DUMMY:
            self._counts["dummy"] += 1
            return encode(tag, vr, DUMMIES[vr].encode() if vr in DUMMIES else bytes(_width(vr)))
        if action is Action.LITERAL:
            self._counts["replaced"] += 1
            return encode(tag, vr, self.literal(vr, rule.value))
        if action is Action.PSEUDONYM:
            self._counts["pseudonym"] += 1
            return encode(tag, vr, self._scope.pseudonym.encode())
        if action is Action.UID:
            return self._uids(tag, vr, value)
        text = characters.decode(value, vr, guess=action is Action.CLEAN_TEXT)
        if action is Action.SHIFT_DATE:
            return self._dates(rule, tag, vr, text)
        self._counts["cleaned"] += 1
        cleaned = self._texts.cleaned(text, tag, vr, rule.value)
        return encode(tag, vr, self._encoded(cleaned)) if cleaned else self._filled(rule, tag, vr, text)

    def _coded(
        self,
        rule: Rule,
        tag: int,
        stated: str,
        value: memoryview,
        raw: memoryview | None,
        characters: Characters,
    ) -> Buffer | None:
        text = bytes(value).strip(b" \0").decode("ascii", "replace").upper()
        known = self._coded_terms.cleaned(text)
        if known != text:
            self._counts["cleaned"] += 1
            value, raw = memoryview(known.encode("ascii")), None
        if not known.strip("\\ "):
            return self._filled(rule, tag, "CS", text)
        return self._keep(rule, tag, "CS", stated, value, raw, characters)

    def literal(self, vr: str, text: str) -> bytes:
        """Return the value of a literal of a recipe."""
        form = _NUMBERS.get(vr)
        if form is None:
            return self._encoded(text)
        number = float if vr in {"FD", "FL"} else int
        return b"".join(struct.pack(form, number(part)) for part in text.split("\\"))

    @staticmethod
    def _filled(rule: Rule, tag: int, vr: str, text: str) -> Buffer:
        """Return what stands where nothing of a value is left: a dummy where the IOD demands one, else nothing."""
        wanted = rule.otherwise is Action.DUMMY and text.strip(" \0\\") != "" and vr in DUMMIES
        return encode(tag, vr, DUMMIES[vr].encode() if wanted else b"")

    def _keep(
        self,
        rule: Rule,
        tag: int,
        vr: str,
        stated: str,
        value: memoryview,
        raw: memoryview | None,
        characters: Characters,
    ) -> Buffer | None:
        if tag in _LOOK_UP_TABLES:
            if len(value) & 1 or is_text_in_table(bytes(value)):
                self._counts["malformed"] += 1
                return None
            return raw if raw is not None and stated == vr else encode(tag, vr, value)
        if vr in _NUMBERS:
            if not has_form(vr, value) or self._is_no_number(tag, vr, value):
                self._counts["malformed"] += 1
                return None
            return raw if raw is not None and stated == vr else encode(tag, vr, value)
        if vr in BULK:
            self._counts["removed"] += 1
            return None
        if vr in PLAIN_TEXT:
            return encode(tag, vr, self._encoded(characters.decode(value, vr)))
        if vr in {"DA", "DT"}:
            return self._well_formed_date(rule, tag, vr, characters.decode(value, vr))
        whole = bytes(value)
        bare = whole.strip(b" \0")
        if vr == "CS" and not bare.isupper():
            bare = bare.upper()
        elif vr == "TM" and b":" in bare:
            bare = bare.replace(b":", b"")  # the old form of PS3.5 6.2
        if vr in {"DS", "IS"} and is_identifying(bare):
            self._counts["removed"] += 1
            return self._filled(rule, tag, vr, "identifying")
        if not has_form(vr, bare):
            self._counts["malformed"] += 1
            bare = repaired(vr, bare)
            if not bare.strip(b"\\ "):
                return self._filled(rule, tag, vr, "malformed")
        if self._named.somebody(bare, vr):
            self._counts["removed"] += 1
            bare = self._unnamed(bare) if vr == "CS" else b""
            if not bare.strip(b"\\ "):
                return self._filled(rule, tag, vr, "named")
        if raw is not None and stated == vr and not len(whole) & 1 and whole.rstrip(b" ") == bare:
            return raw
        return encode(tag, vr, bare)

    def _unnamed(self, value: bytes) -> bytes:
        """Return a coded string without the values that name somebody, and none if the others do so together."""
        left = b"\\".join(b"" if self._named.somebody(part, "CS") else part for part in value.split(b"\\"))
        return b"" if self._named.somebody(left, "CS") else left

    def _is_no_number(self, tag: int, vr: str, value: memoryview) -> bool:
        if len(value) < _SHORTEST_TEXT:
            return False
        most = most_values(tag)
        if most is not None and len(value) > most * struct.calcsize(_NUMBERS[vr]):
            return True
        raw = bytes(value)
        numbers = whole_numbers(vr, raw)
        if numbers and (is_identifying(numbers) or self._named.somebody(numbers, "IS")):
            return True
        return is_text(vr, raw) or (raw.isalnum() and self._named.somebody(raw, vr))

    def _well_formed_date(self, rule: Rule, tag: int, vr: str, text: str) -> Buffer:
        parts = [part.strip() for part in text.split("\\")]
        if all(part == "" or shifted(part, vr, 0) for part in parts):
            whole = [shifted(part, "DA", 0) if vr == "DA" and part else part for part in parts]
            return encode(tag, vr, "\\".join(whole).encode("ascii"))
        self._counts["malformed"] += 1
        return self._filled(rule, tag, vr, text)

    def _uids(self, tag: int, vr: str, value: memoryview) -> Buffer:
        self._counts["uid"] += 1
        parts = bytes(value).strip(b" \0").decode("ascii", "replace").split("\\")
        replaced = [part if not part or is_registered(part) else self._scope.uid(part) for part in map(_bare, parts)]
        return encode(tag, vr, "\\".join(replaced).encode("ascii"))

    def _dates(self, rule: Rule, tag: int, vr: str, text: str) -> Buffer:
        stated = literal_days(rule.value)
        days = self._scope.shift_days if stated is None else stated
        moved = [shifted(part.strip(" \0"), vr, days) for part in text.split("\\")]
        self._counts["date" if any(moved) or not text.strip(" \0") else "bad date"] += 1
        if not any(moved):
            return self._filled(rule, tag, vr, text)
        return encode(tag, vr, "\\".join(moved).encode("ascii"))

    def _encoded(self, text: str) -> bytes:
        if text.isascii():
            return text.encode("ascii")
        self.non_ascii = True
        return text.encode("utf-8")


def repaired(vr: str, value: bytes) -> bytes:
    """Return what can be told for certain of a value without the form of its VR; positions stay, for they mean something.

    Decimals written too long are rounded to the 16 characters that they may have, whole numbers lose a fraction of
    zero, and of several coded strings those without the form are emptied.
    """
    if vr in {"DS", "IS"}:
        parts = [_number(vr, part.strip(b" \0")) for part in value.split(b"\\")]
        return b"\\".join(parts) if all(parts) else b""
    if vr == "CS" and b"\\" in value:
        return b"\\".join(part if has_form(vr, part) else b"" for part in value.split(b"\\"))
    return b""


def _number(vr: str, text: bytes) -> bytes:
    if has_form(vr, text):
        return text
    if len(text) > _LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
        return b""
    number = float(text)
    if vr == "IS":
        whole = b"%d" % number if number.is_integer() else b""
        return whole if has_form("IS", whole) else b""
    for digits in range(15, 0, -1):
        shorter = f"{number:.{digits}g}".encode()
        if has_form("DS", shorter):
            return shorter
    return b""


def can_be_read(stated: str, vr: str, tag: int, *, big_endian: bool) -> bool:
    """Whether the bytes of a value mean the same under the dictionary's VR as under the stated one.

    A text where numbers belong, or numbers of another width, would turn into other numbers.
    """
    if vr in (stated, "SQ"):
        return True
    if tag in _LOOK_UP_TABLES:
        return stated in _TABLES | {"UN"} and not (big_endian and stated in {"OB", "UN"})
    if stated == "UN":
        return vr not in _NUMBERS or not big_endian  # nothing tells the order of its bytes
    return vr not in _NUMBERS and stated not in _NUMBERS and stated not in BULK


def _width(vr: str) -> int:
    return struct.calcsize(_NUMBERS[vr]) if vr in _NUMBERS else 2


def _bare(text: str) -> str:
    return text.strip(" \0")
