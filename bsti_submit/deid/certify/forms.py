"""One element's value held against the forms that the profile allows for it, and searched."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from bsti_submit.deid.certify.attributes import (
    BINARY_SIZES,
    EQUIPMENT,
    NUMBER_VRS,
    TABLES,
    TEXT_VRS,
    VRS_OF_TAG,
    Kind,
    name_of,
)
from bsti_submit.deid.certify.charsets import decodings
from bsti_submit.deid.certify.dates import is_date
from bsti_submit.deid.certify.search import Matcher, Mode
from bsti_submit.deid.certify.uids import is_ours, is_registered
from bsti_submit.model import DUMMIES, Allowed, Form, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable


class FindIdentifiers(Protocol):
    """Find national identifiers in text: each with its kind, start and end."""

    def __call__(self, text: str, /) -> Iterable[tuple[str, int, int]]:
        """Return what was found."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the final check found. ``attribute`` is a keyword, tag or name, ``kind`` a word: no values."""

    reason: Reason
    attribute: str = ""
    kind: str = ""


_DS = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_TIME = rb"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"


def _multi(one: bytes) -> re.Pattern[bytes]:
    value = rb" *(?:" + one + rb")? *"
    return re.compile(value + rb"(?:\\" + value + rb")*")


_SYNTAX: dict[bytes, re.Pattern[bytes]] = {
    b"AE": _multi(rb"[ -\[\]-~]{1,16}"),
    b"AS": _multi(rb"\d{3}[DWMY]"),
    b"CS": _multi(rb"[A-Za-z0-9_][A-Za-z0-9_ ]{0,15}"),
    b"DA": _multi(rb"\d{8}"),
    b"DS": _multi(_DS),
    b"DT": _multi(rb"\d{8}(?:" + _TIME + rb")?(?:[+-]\d{4})?"),
    b"IS": _multi(_DS),
    b"TM": _multi(_TIME),
    b"UI": re.compile(rb"[0-9.]+(?:\\[0-9.]+)*\0?"),
}
_BINARY = {b"FD": "<d", b"FL": "<f", b"SL": "<l", b"SV": "<q", b"UL": "<L", b"UV": "<Q"}
"""Binary numbers that have room for an id of six digits."""
_LONGEST_NUMBER = 64
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_LETTERS = re.compile(rb"[A-Za-z][A-Za-z ^,.'-]{11,}")
"""Text in the place of binary numbers."""
_WIDE_LETTERS = re.compile(rb"(?:[A-Za-z]\0){6}|(?:\0[A-Za-z]){6}")
_WIDE_SIZES = frozenset((4, 8))
_CODES = frozenset((0x00080100, 0x00080102, 0x00080103, 0x00080119))
_NOT_AS_AGREED = frozenset(("foreign-uid", "malformed-date", "encoding", "unknown-word"))
_CHARSET = 0x00080005
_PSEUDONYM = re.compile(r"BSTI-[A-Z2-7]{8,59}")
_WHOLE_NUMBER = re.compile(rb"[+-]?(\d{6,16})(?:\.0*)?")
_DATE_LENGTH = 8


class Forms:
    """Check single values: by VR syntax, by allowed form, and against the patient's identifiers."""

    def __init__(self, matcher: Matcher, patterns: FindIdentifiers) -> None:
        self._matcher = matcher
        self._patterns = patterns
        self.original_dates = matcher.dates_of(None)

    def check(self, tag: int, vr: bytes, raw: bytes, allowed: Allowed | None, codec: str) -> Finding | None:
        """Return what is wrong with a value, or None.

        Parameters
        ----------
        tag, vr, raw
            The element; `raw` as it stands in the file, padding included.
        allowed
            What the profile allows for the tag; None where the profile is not known.
        codec
            The codec of the character set in force.
        """
        if not raw or (vr not in BINARY_SIZES and not raw.strip(b" ")):
            return None
        wrong = self._wrong_syntax(tag, vr, raw)
        if wrong:
            return Finding(Reason.ELEMENT_NOT_ALLOWED, name_of(tag), "syntax")
        if allowed is not None:
            written = self._as_written(vr, raw, allowed, codec)
            if written is not None:
                return None if written else Finding(Reason.RESIDUAL_IDENTIFIER, name_of(tag), Kind.IDENTIFIER.word)
            if not allowed.forms & _FREE_FORMS.get(vr, _KEPT_FORMS) and not self._is_text_date(vr, raw, allowed):
                return Finding(Reason.ELEMENT_NOT_ALLOWED, name_of(tag), "form")
        kind = self._identifying(tag, vr, raw, codec)
        if kind is None and vr in TEXT_VRS and tag not in _CODES:
            kind = self._unreadable(raw, codec) or self._unknown(vr, raw, allowed, codec)
        if kind is None:
            return None
        reason = Reason.ELEMENT_NOT_ALLOWED if kind in _NOT_AS_AGREED else Reason.RESIDUAL_IDENTIFIER
        return Finding(reason, name_of(tag), kind)

    @staticmethod
    def _wrong_syntax(tag: int, vr: bytes, raw: bytes) -> bool:
        syntax = _SYNTAX.get(vr)
        if syntax is not None:
            return syntax.fullmatch(raw) is None or (
                vr in NUMBER_VRS and max(map(len, raw.split(b"\\"))) > _LONGEST_NUMBER
            )
        size = BINARY_SIZES.get(vr)
        if size is not None:
            return len(raw) % size != 0 or _has_letters(tag, size, raw)
        return _CONTROLS.search(raw) is not None

    def _as_written(self, vr: bytes, raw: bytes, allowed: Allowed, codec: str) -> bool | None:
        """Whether the value is one that the profile or the key writes; None if it is not such a value.

        False means that it has the form of a pseudonym and is the patient's own id.
        """
        forms = allowed.forms
        if Form.DUMMY in forms:
            dummy = DUMMIES.get(vr.decode("ascii"))
            if raw.rstrip(b" \0") == (dummy or "").encode("ascii"):
                return True
            if vr in BINARY_SIZES and not any(raw) and len(raw) <= max(BINARY_SIZES[vr], 2):
                return True
        if not forms & {Form.LITERAL, Form.PSEUDONYM}:
            return None
        text = decodings(raw, codec)[0].rstrip(" \0")
        if Form.LITERAL in forms and text in allowed.literals:
            return True
        if Form.PSEUDONYM in forms and _PSEUDONYM.fullmatch(text):
            return not self._matcher.is_identifier(text)
        return None

    def _is_text_date(self, vr: bytes, raw: bytes, allowed: Allowed) -> bool:
        """Whether the profile shifts dates in a text attribute, and the value is dates alone."""
        if Form.DATE not in allowed.forms or vr not in TEXT_VRS or not _SYNTAX[b"DA"].fullmatch(raw):
            return False
        return self._date(raw) is None

    def _identifying(self, tag: int, vr: bytes, raw: bytes, codec: str) -> str | None:
        if vr == b"UI":
            return self._uid(raw)
        if vr in (b"DA", b"DT"):
            return self._date(raw)
        if vr in _BINARY:
            return self._binary(_BINARY[vr], raw)
        if vr in NUMBER_VRS:
            return self._number(raw) if vr != b"TM" else None
        if vr not in TEXT_VRS or tag == _CHARSET:
            return None
        return self._text(tag, vr, raw, codec)

    def _uid(self, raw: bytes) -> str | None:
        for part in raw.rstrip(b"\0").decode("ascii").split("\\"):
            if self._matcher.is_original_uid(part):
                return Kind.UID.word
            if part and not is_ours(part) and not is_registered(part):
                return "foreign-uid"
        return None

    def _date(self, raw: bytes) -> str | None:
        for part in raw.split(b"\\"):
            text = part.strip(b" ")[:_DATE_LENGTH]
            if not text:
                continue
            number = int(text)
            if not is_date(number // 10000, number // 100 % 100, number % 100):
                return "malformed-date"
            if number in self.original_dates:
                return Kind.DATE.word
        return None

    def _number(self, raw: bytes) -> str | None:
        for part in raw.split(b"\\"):
            whole = _WHOLE_NUMBER.fullmatch(part.strip(b" "))
            if whole and self._matcher.is_original_number(whole.group(1).decode("ascii")):
                return Kind.IDENTIFIER.word
        return None

    def _binary(self, form: str, raw: bytes) -> str | None:
        for (number,) in struct.iter_unpack(form, raw):
            whole = 10**5 <= abs(number) < 10**16 and number % 1 == 0
            if whole and self._matcher.is_original_number(str(abs(int(number)))):
                return Kind.IDENTIFIER.word
        return None

    @staticmethod
    def _unreadable(raw: bytes, codec: str) -> str | None:
        """Tell text that is not in the character set that is declared."""
        return "encoding" if not raw.isascii() and "\ufffd" in decodings(raw, codec)[0] else None

    def _unknown(self, vr: bytes, raw: bytes, allowed: Allowed | None, codec: str) -> str | None:
        """Tell cleaned text with a word that is none of the profile's."""
        if vr == b"CS" or allowed is None or Form.TEXT not in allowed.forms or Form.KEEP in allowed.forms:
            return None
        return None if self._matcher.wording.knows(decodings(raw, codec)[0]) else "unknown-word"

    def _text(self, tag: int, vr: bytes, raw: bytes, codec: str) -> str | None:
        mode = Mode.CODED if vr == b"CS" else Mode.EQUIPMENT if tag in EQUIPMENT else Mode.FREE
        for text in decodings(raw.strip(b" \0"), codec):
            kind = self._matcher.search_text(text, mode)
            if kind is not None:
                return kind.word
            if mode is not Mode.CODED and tag not in _CODES:
                kinds = _IN_EQUIPMENT if mode is Mode.EQUIPMENT else None
                found = first_national(self._patterns, text, self._matcher, kinds)
                if found is not None:
                    return found
        return None


def first_national(
    patterns: FindIdentifiers, text: str, matcher: Matcher, kinds: frozenset[str] | None = None
) -> str | None:
    """Return the kind of the first national identifier in a text, as findings tell it, or None.

    Parameters
    ----------
    kinds
        Only these kinds count; None for all.
    """
    for kind, start, end in patterns(text):
        if kind in _SOFT and matcher.is_ordinary(text[start:end]):
            continue
        if kinds is None or kind in kinds:
            return f"{Kind.NATIONAL.word}:{kind}"
    return None


_IN_EQUIPMENT = frozenset(("email", "nhs-number", "chi-number", "hsc-number"))
"""The patterns that count in names and versions of devices, which are full of numbers."""
IN_CREDIT = frozenset(
    ("nhs-number", "chi-number", "hsc-number", "ten-digits", "hospital-number", "long-number", "date")
)
"""The patterns that count in a contributor's credit, which names a person and a place on purpose."""
_SOFT = frozenset(("place", "hospital-number", "uk-phone", "gmc", "long-number"))
"""Kinds whose pattern takes words along: ``chest hospital`` names no hospital."""
_KEPT_FORMS = frozenset((Form.KEEP, Form.TEXT))
_FREE_FORMS: dict[bytes, frozenset[Form]] = {
    b"UI": frozenset((Form.KEEP, Form.UID)),
    b"DA": frozenset((Form.KEEP, Form.DATE)),
    b"DT": frozenset((Form.KEEP, Form.DATE)),
    b"TM": frozenset((Form.KEEP, Form.DATE)),
}
"""Forms under which a value of each VR may be other than written by the profile: it is searched then."""


def _has_letters(tag: int, size: int, raw: bytes) -> bool:
    """Tell text in binary numbers; a table of grey values or colours that rises through the letters is none."""
    if size in _WIDE_SIZES and _WIDE_LETTERS.search(raw) is not None:
        return True
    runs = _LETTERS.findall(raw)
    return any(tag not in TABLES or not _slopes(run) for run in runs)


def _slopes(run: bytes) -> bool:
    """Whether neighbours differ by little and in one direction but for one turn, read as bytes or as 16-bit words."""
    for step, widest in ((1, 8), (2, 1024)):
        for start in range(step):
            end = len(run) - (len(run) - start) % step
            values = [int.from_bytes(run[at : at + step], "little") for at in range(start, end, step)]
            differences = [after - before for before, after in pairwise(values) if after != before]
            turns = sum((one < 0) != (two < 0) for one, two in pairwise(differences))
            if turns <= 1 and all(abs(one) <= widest for one in differences):
                return True
    return False


def vr_is_right(tag: int, vr: bytes) -> bool:
    """Whether PS3.6 gives the tag this VR."""
    return vr in VRS_OF_TAG.get(tag, ())
