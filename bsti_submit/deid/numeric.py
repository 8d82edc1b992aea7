"""Whether a value of numbers is one: no text in the place of numbers, no date, and no more numbers than there may be.

A scanner or an archive can write anything into any value. Binary numbers are not read for their meaning, so text in
them would pass unseen; but text seen as numbers has a look of its own.
"""

from __future__ import annotations

import itertools
import re
import struct
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from stdnum.gb import nhs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXT: Final = re.compile(rb"[A-Za-z0-9 .,'^_/:=+()#;<*&|\"\t\r\n\\-]++[\0 ]*+")
_TEXT_OF_EIGHT: Final = re.compile(rb"(?s)(?:.{8})*?[A-Za-z0-9 .,'^_/:=+()#;<*&|\"\t\r\n\\-]{8}")
"""A double that is aligned on eight such characters; ``?`` and ``@`` are left out, the ends of common doubles."""
_WIDE: Final = re.compile(rb"(?:[\x20-\x7e]\0){4,}+[\0 ]*+|(?:\0[\x20-\x7e]){4,}+[\0 ]*+")
_WIDE_WORD: Final = re.compile(rb"(?:[A-Za-z]\0){5}|(?:\0[A-Za-z]){5}")
"""UTF-16. A word of it is told whatever stands around it, but among 16-bit numbers only where nothing else does: small
ones look like letters, digits and signs."""
_NAME: Final = re.compile(rb"[A-Za-z][A-Za-z ^,.'-]{9}")
"""A run that hardly any numbers look like, whatever stands around it; shorter ones would be met among floats."""
_SHORT_NAME: Final = re.compile(rb"[A-Za-z]{4}[A-Za-z ^,.'-]{2}")
_RUN_IN_TABLE: Final = re.compile(rb"[A-Za-z][A-Za-z ^,.'-]{11,}")
_WIDE_RUN_IN_TABLE: Final = re.compile(rb"(?:[A-Za-z]\0){6,}")
_STEP_OF_BYTES, _STEP_OF_WORDS = 8, 1024
"""The widest steps between the neighbours of a table of grey values or colours that has room for letters."""
_WHOLE_TEXT: Final = re.compile(rb"[\t\n\r\x1b\x20-\x7e\x80-\xfe]++[\0 ]*+")
"""Letters of any character set. In whole numbers of several bytes a small one has a byte that is none of these."""
_LONG_ENOUGH: Final = 8
_WORD: Final = 4
_SHORTEST_ID: Final = 6
_FORMS: Final = {"FD": "<d", "FL": "<f", "SL": "<l", "SV": "<q", "UL": "<L", "UV": "<Q"}
"""Binary numbers that have room for six digits."""
_MOST_BYTES: Final = 256
_FEWEST, _MOST = 100_000, 10**12
_RANGES: Final = {"FD": ("d", 1e-60, 1e60), "FL": ("f", 1e-15, 1e15)}
"""Sizes beyond which letters, seen as a floating-point number, lie, and no measurement."""
_NARROW: Final = frozenset(("SS", "US"))
_SINGLE: Final = frozenset(("AT", "SL", "UL"))

_MONTH = rb"(?:0[1-9]|1[0-2])"
_DAY = rb"(?:0[1-9]|[12][0-9]|3[01])"
_YEAR = rb"(?:19[0-9]{2}|20[0-4][0-9])"
_DATE: Final = re.compile(
    rb"(?<![0-9.])(?:%b%b%b|%b%b%b|%b%b%b)(?![0-9])" % (_YEAR, _MONTH, _DAY, _DAY, _MONTH, _YEAR, _MONTH, _DAY, _YEAR)
)
_PADDED: Final = re.compile(rb"(?<![0-9.])0[1-9][0-9]{4,6}(?![0-9.])")
"""A number with one nought before it: a short date or an id, no measurement."""
_TEN_DIGITS: Final = re.compile(rb"(?<![0-9.])[0-9]{10}(?![0-9.])")

_DESCRIPTORS: Final = {
    0x00283006: 0x00283002,
    0x00281201: 0x00281101,
    0x00281202: 0x00281102,
    0x00281203: 0x00281103,
    0x00281221: 0x00281101,
    0x00281222: 0x00281102,
    0x00281223: 0x00281103,
}
"""Tables of grey values and colours → what tells the number of their entries (PS3.3 C.11.1, C.7.9)."""
_SEGMENTED: Final = frozenset((0x00281221, 0x00281222, 0x00281223))
_WORDS_OF_SEGMENT: Final = {1: 3, 2: 4}
"""A linear segment and an indirect one have a fixed length; a discrete one tells its own."""
_MOST_ENTRIES: Final = 65_536


def is_text(vr: str, value: bytes) -> bool:
    """Tell binary numbers that are text: a name where a length belongs."""
    if _NAME.search(value) is not None or (vr not in _NARROW and _WIDE_WORD.search(value) is not None):
        return True
    if vr in _RANGES:
        form, smallest, largest = _RANGES[vr]
        numbers = array(form, value)
        if any(number and not smallest < abs(number) < largest for number in numbers if number - number == 0):
            return True
    if vr == "FD":
        return _TEXT_OF_EIGHT.match(value) is not None
    if len(value) < _LONG_ENOUGH:
        return (vr in _SINGLE and len(value) == _WORD and value.isalnum()) or _SHORT_NAME.fullmatch(value) is not None
    if (_TEXT if vr == "FL" else _WHOLE_TEXT).fullmatch(value) is not None:
        return True
    return _WIDE.fullmatch(value) is not None and (vr not in _NARROW or _WIDE_WORD.search(value) is not None)


def is_text_in_table(value: bytes) -> bool:
    """Tell text in a table of grey values or colours.

    Any table that passes the values of letters looks like them, but rises or falls evenly, and text does not.
    """
    narrow = (run for run in _RUN_IN_TABLE.findall(value) if not _is_even(run))
    wide = (run for run in _WIDE_RUN_IN_TABLE.findall(value) if not _is_smooth(run[::2], _STEP_OF_BYTES))
    return any(narrow) or any(wide)


def _is_even(run: bytes) -> bool:
    """Whether a run of bytes is a piece of a table, of 8-bit entries or of 16-bit ones."""
    pairs = (memoryview(run[start : start + (len(run) - start & ~1)]).cast("H") for start in (0, 1))
    return _is_smooth(run, _STEP_OF_BYTES) or any(_is_smooth(words, _STEP_OF_WORDS) for words in pairs)


def _is_smooth(entries: Sequence[int], widest: int) -> bool:
    steps = [after - before for before, after in itertools.pairwise(entries)]
    rising = [step > 0 for step in steps if step]
    turns = sum(before != after for before, after in itertools.pairwise(rising))
    return turns <= 1 and max(map(abs, steps)) <= widest


def whole_numbers(vr: str, value: bytes) -> bytes:
    """Return the binary numbers of six digits or more as decimals are written: a date or an id may be one of them."""
    form = _FORMS.get(vr)
    if form is None or len(value) > _MOST_BYTES:
        return b""
    numbers = (number for (number,) in struct.iter_unpack(form, value))
    return b"\\".join(b"%d" % number for number in numbers if _FEWEST <= abs(number) < _MOST and number % 1 == 0)


def is_identifying(value: bytes) -> bool:
    """Tell a list of decimal numbers (DS, IS) in which a date stands, or a patient's number of the country."""
    if len(value) < _SHORTEST_ID:
        return False
    return (
        _PADDED.search(value) is not None
        or _DATE.search(value) is not None
        or any(nhs.is_valid(digits.decode("ascii")) for digits in _TEN_DIGITS.findall(value))
    )


@lru_cache(maxsize=16_384)
def most_values(tag: int) -> int | None:
    """Return how many values an attribute may have at most (PS3.6), None where there is no bound."""
    from pydicom.datadict import DicomDictionary

    entry = DicomDictionary.get(tag)
    most = entry[1].rpartition("-")[2] if entry is not None else "n"
    return int(most) if most.isdigit() else None


def is_table(tag: int, value: object, around: Mapping[int, object]) -> bool:
    """Tell whether the data of a table of grey values or colours is as long as its descriptor says.

    Parameters
    ----------
    tag
        Of the table's data; for every other attribute the answer is yes.
    around
        The values that stand beside it.
    """
    place = _DESCRIPTORS.get(tag)
    if place is None:
        return True
    descriptor = around.get(place)
    if not isinstance(descriptor, memoryview) or len(descriptor) != 6 or not isinstance(value, bytes | memoryview):
        return False
    entries = struct.unpack_from("<H", descriptor)[0] or _MOST_ENTRIES
    if tag in _SEGMENTED:
        return _is_segmented(value)
    return len(value) in {entries, entries + 1, 2 * entries}


def _is_segmented(value: bytes | memoryview) -> bool:
    words = memoryview(bytes(value)[: len(value) & ~1]).cast("H")
    place = 0
    while place + 1 < len(words):
        segment, count = words[place], words[place + 1]
        length = 2 + count if segment == 0 else _WORDS_OF_SEGMENT.get(segment)
        if length is None:
            return False
        place += length
    return place == len(words) > 0
