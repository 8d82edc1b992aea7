"""Planted markers: made-up identifiers that a search can find again, whatever encoding they leaked in."""

from __future__ import annotations

import contextlib
import itertools
import random
import unicodedata
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from stdnum.gb import nhs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ahocorasick_rs import BytesAhoCorasick

_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
_SHORT_DIGITS = 8
"""Digit markers up to this length turn up by chance inside long numbers: digits on both sides excuse them."""


@dataclass(frozen=True, slots=True)
class Marker:
    """One planted string and the place where it was planted. Invented, so it is safe to print."""

    value: str
    where: str


def _spellings(value: str) -> set[bytes]:
    """Return every byte string that would show `value` had leaked, its ASCII letters in lower case."""
    cases = itertools.product(*({c.lower(), c.upper()} if ord(c) > 127 else {c.lower()} for c in value))
    plain = "".join(c for c in unicodedata.normalize("NFKD", value.lower()) if not unicodedata.combining(c))
    texts = {plain, unicodedata.normalize("NFD", value.lower()), *map("".join, cases)}
    found = set()
    for text, encoding in itertools.product(texts, _ENCODINGS):
        with contextlib.suppress(UnicodeEncodeError):
            found.add(text.encode(encoding).lower())
    return found


@dataclass(frozen=True)
class MarkerSearch:
    """A search for all markers at once, compiled once and used on many byte strings."""

    markers: tuple[Marker, ...]

    @cached_property
    def _compiled(self) -> tuple[BytesAhoCorasick, list[Marker]]:
        from ahocorasick_rs import BytesAhoCorasick

        patterns: list[bytes] = []
        owners: list[Marker] = []
        for marker in self.markers:
            for pattern in sorted(_spellings(marker.value)):
                patterns.append(pattern)
                owners.append(marker)
        return BytesAhoCorasick(patterns), owners

    def find(self, data: bytes | bytearray | memoryview) -> list[Marker]:
        """Return the markers that occur in `data`, in the order in which they were planted.

        Parameters
        ----------
        data
            The bytes to search, in UTF-8, Latin-1 and UTF-16 of both byte orders, in any case, with accents
            or without.
        """
        automaton, owners = self._compiled
        lowered = bytes(data).lower()
        found: set[Marker] = set()
        for index, start, end in automaton.find_matches_as_indexes(lowered, overlapping=True):
            owner = owners[index]
            if owner in found or _by_chance(lowered, start, end):
                continue
            found.add(owner)
        return [marker for marker in self.markers if marker in found]


def everything_below(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of every file below a folder, and of every member of those that are ZIP archives."""
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        yield name, path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    yield f"{name}/{member}", archive.read(member)


def _by_chance(data: bytes, start: int, end: int) -> bool:
    """Tell a short digit marker in the middle of a long number, such as one of our 39-digit UIDs."""
    if end - start > _SHORT_DIGITS or not data[start:end].isdigit():
        return False
    return data[start - 1 : start].isdigit() and data[end : end + 1].isdigit()


def find_markers(data: bytes | bytearray | memoryview, markers: Iterable[Marker]) -> list[Marker]:
    """Return those of `markers` that occur in `data`. For many searches, keep a `MarkerSearch`."""
    return MarkerSearch(tuple(markers)).find(data)


@dataclass
class Planter:
    """Makes markers and remembers them. The same seed gives the same markers."""

    seed: int
    planted: dict[str, Marker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - the same sample each time is the point
        self.stem = "ZZ" + "".join(self._random.choice("KQVWXZ") for _ in range(3))

    def plant(self, value: str, where: str) -> str:
        """Remember `value` as planted at `where`, and return it."""
        self.planted.setdefault(value, Marker(value, where))
        return value

    def word(self, suffix: str, where: str = "") -> str:
        """Plant a recognisable made-up word such as ``ZZKQXREFERRER``, of at most 16 characters."""
        value = self.stem + suffix
        if len(value) > 16:
            raise ValueError("the marker would not fit an SH value")
        return self.plant(value, where or suffix)

    def digits(self, count: int, where: str, prefix: str = "") -> str:
        """Plant a made-up number of `count` digits after `prefix`."""
        first = self._random.choice("3456789")
        return self.plant(prefix + first + "".join(self._random.choice("0123456789") for _ in range(count - 1)), where)

    def nhs_number(self, where: str) -> str:
        """Plant a valid NHS number of the range 999 that is kept for tests, without spaces."""
        while True:
            number = "999" + "".join(self._random.choice("0123456789") for _ in range(7))
            if nhs.is_valid(number):
                return self.plant(number, where)

    @property
    def markers(self) -> tuple[Marker, ...]:
        """Everything planted so far."""
        return tuple(self.planted.values())
