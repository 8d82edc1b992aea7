"""Raw header values into text and numbers: the file's character set applied, equal values kept once."""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING, Final

from pydicom.charset import convert_encodings, decode_bytes

from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsti_submit.intake.header import Header

_CHARACTER_SET: Final = 0x00080005
_ESCAPE: Final = b"\x1b"
_DELIMITERS: Final = set(b"\\^=\r\n\f\t")
_MOST_KEPT: Final = 50_000


class Decoder:
    """Decodes values and remembers them: the slices of a series share nearly all of theirs.

    Text that does not fit its character set is read as far as it goes; the engine holds such an instance.
    """

    def __init__(self) -> None:
        self._encodings: dict[bytes, list[str]] = {}
        self._texts: dict[tuple[bytes, bytes], Identified[str]] = {}
        self._many: dict[tuple[bytes, frozenset[bytes]], Identified[tuple[str, ...]]] = {}
        self._single: dict[str, Identified[str]] = {}

    def text(self, header: Header, tag: int) -> Identified[str]:
        """Return the value of a text attribute without padding, "" if it is absent."""
        raw = header.values.get(tag, b"")
        if len(self._texts) > _MOST_KEPT:
            self._texts.clear()
        key = (header.values.get(_CHARACTER_SET, b""), raw)
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = Identified(self._decode(*key))
        return found

    def texts(self, header: Header, raw: Iterable[bytes]) -> Identified[tuple[str, ...]]:
        """Return several values as one, sorted, empty ones dropped."""
        key = (header.values.get(_CHARACTER_SET, b""), frozenset(raw))
        found = self._many.get(key)
        if found is None:
            decoded = {self._decode(key[0], value) for value in key[1]} - {""}
            found = self._many[key] = Identified(tuple(sorted(decoded)))
        return found

    def _decode(self, character_set: bytes, raw: bytes) -> str:
        if not raw:
            return ""
        if raw.isascii() and _ESCAPE not in raw:
            return raw.decode("ascii").strip(" \0")
        encodings = self._encodings.get(character_set)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            if encodings is None:
                terms = [part.strip() for part in character_set.decode("ascii", "replace").split("\\")]
                try:
                    encodings = convert_encodings(terms)
                except (LookupError, ValueError):
                    encodings = ["latin-1"]
                self._encodings[character_set] = encodings
            try:
                return decode_bytes(raw, encodings, _DELIMITERS).strip(" \0")
            except (LookupError, ValueError):
                return raw.decode("latin-1").strip(" \0")


def code_string(header: Header, tag: int) -> str:
    """Return a CS value in upper case, its padding stripped. It may hold anything."""
    return header.values.get(tag, b"").decode("ascii", "replace").strip(" \0").upper()


def unsigned_short(header: Header, tag: int) -> int:
    """Return the first value of a US attribute, 0 if it is absent or malformed."""
    raw = header.values.get(tag, b"")
    if len(raw) < 2:
        return 0
    (value,) = struct.unpack_from("<H" if header.little else ">H", raw)
    return int(value)


def integer_string(header: Header, tag: int) -> int:
    """Return an IS value that is a positive number of at most nine digits, otherwise 0."""
    text = header.values.get(tag, b"").strip(b" \0")
    return int(text) if text.isdigit() and len(text) < 10 else 0


def uid(header: Header, tag: int) -> str:
    """Return a UI value without padding."""
    return header.values.get(tag, b"").strip(b" \0").decode("ascii", "replace")
