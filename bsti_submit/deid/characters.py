"""Bytes of a text value → text, under Specific Character Set (0008,0005) (PS3.3 C.12.1.1.2, PS3.5 6.1)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from bsti_submit.deid.vrs import PLAIN_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from bsti_submit.model import Buffer

_ESCAPE: Final = 0x1B
_DELIMITERS: Final = {"PN": {0x5C, 0x5E, 0x3D}}
_USUAL: Final = {0x5C, 0x0D, 0x0A, 0x09, 0x0C}
_CONTROLS: Final = {code: " " for code in range(32) if code not in (0x09, 0x0A, 0x0C, 0x0D)}
_SPELLING: Final = re.compile(r"ISO[ _-]?(2022[ _-]?)?IR[ _-]?(\d{1,3})", re.IGNORECASE)


class UnknownCharacterSet(ValueError):  # noqa: N818 - a fact about the header
    """Text outside ASCII under a character set that is not one of the standard's, or that it is no text of."""


class Characters:
    """The character set in force for a data set or an item."""

    __slots__ = ("_terms",)

    def __init__(self, value: bytes = b"") -> None:
        self._terms = tuple(_term(term.strip(b" \0").decode("ascii", "replace")) for term in value.split(b"\\"))

    def decode(self, value: Buffer, vr: str, *, guess: bool = False) -> str:
        """Return a value as text, without its padding.

        Parameters
        ----------
        guess
            Where no character set is stated but the text is not ASCII, read it as Latin-1. Safe only for text of
            which no more than allowed words will stay.

        Raises
        ------
        UnknownCharacterSet
            If it cannot be read for certain.
        """
        raw = bytes(value)
        if raw.isascii() and _ESCAPE not in raw:
            return raw.decode("ascii").rstrip(" \0").translate(_CONTROLS)
        if vr not in PLAIN_TEXT:
            return raw.decode("ascii", "replace").rstrip(" \0").translate(_CONTROLS)
        decode_bytes = _decoder()

        if guess and self._terms == ("",):
            return raw.decode("latin-1").rstrip(" \0").translate(_CONTROLS)
        encodings = _encodings(self._terms)
        delimiters = _DELIMITERS.get(vr, _USUAL)
        text = decode_bytes(raw, list(encodings), delimiters).rstrip(" \0")
        if "\ufffd" in text or "\x1b" in text:
            raise UnknownCharacterSet
        return text.translate(_CONTROLS)


def _term(text: str) -> str:
    """Return a defined term, its usual misspellings (``ISO IR 100``, ``iso-ir-100``) put right."""
    found = _SPELLING.fullmatch(text)
    if found is None:
        return text
    return f"ISO 2022 IR {found[2]}" if found[1] else f"ISO_IR {found[2]}"


@lru_cache(maxsize=1)
def _decoder() -> Callable[[bytes, list[str], set[int]], str]:
    from pydicom import config
    from pydicom.charset import decode_bytes

    config.logger.disabled = True  # its warnings quote values
    return decode_bytes


@lru_cache(maxsize=256)
def _encodings(terms: tuple[str, ...]) -> tuple[str, ...]:
    from pydicom.charset import python_encoding

    found = []
    for term in terms:
        if term not in python_encoding:
            raise UnknownCharacterSet
        found.append(python_encoding[term])
    if found == ["iso8859"] and terms == ("",):
        # Nothing is stated, so the default repertoire holds, which is ASCII: there is no telling what this is.
        raise UnknownCharacterSet
    return tuple(found)
