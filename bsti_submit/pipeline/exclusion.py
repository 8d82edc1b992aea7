"""Patients who object: a list of their numbers, compared in memory with whom the images are about, never stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from bsti_submit.errors import HeldError, InputError
from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from pathlib import Path

    from bsti_submit.pipeline.prepared import Prepared

_MOST_BYTES: Final = 64 << 20
_SHORTEST: Final = 4
_TELLING: Final = 6


class ExclusionList:
    """Numbers of patients whose images must not be used. It masks itself."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: frozenset[str]) -> None:
        self._numbers = Identified(numbers)

    @classmethod
    def read(cls, path: Path) -> ExclusionList:
        """Read a list: a hospital or NHS number a line, or in the first column of a table.

        Empty lines and lines that start with ``#`` are passed over, and so is a heading in the first line.

        Raises
        ------
        InputError
            If it cannot be read, or a line holds nothing that is a number. Never quotes a line.
        """
        try:
            with path.open("rb") as stream:
                raw = stream.read(_MOST_BYTES + 1)
        except OSError:
            raise InputError("The exclusion list cannot be read, so nothing was done.") from None
        if len(raw) > _MOST_BYTES:
            raise InputError("The exclusion list is far too long to be one.")
        numbers: set[str] = set()
        wrong: list[int] = []
        for line_number, line in enumerate(_text(raw).splitlines(), 1):
            first = re.split(r"[,;\t]", line, maxsplit=1)[0].strip().strip('"').strip()
            if not first or first.startswith("#"):
                continue
            number = _plain(first)
            if len(number) >= _SHORTEST and any(character.isdigit() for character in number):
                numbers.add(number)
            elif line_number > 1:
                wrong.append(line_number)
        if wrong:
            raise InputError(
                "The exclusion list has lines without a hospital or NHS number, so nothing was done.",
                details=tuple(f"line {number}" for number in wrong[:20]),
                hint="One number a line, of at least four characters with a digit among them.",
            )
        return cls(frozenset(numbers))

    def names(self, prepared: Prepared) -> bool:
        """Whether anybody in a source is on the list, by any number in the images' headers.

        Spaces, hyphens, case and leading zeros, which a spreadsheet drops, make no difference.
        """
        numbers = self._numbers.reveal()
        own = {_plain(instance.patient_id.reveal()).lstrip("0") for instance in prepared.survey.instances} - {""}
        if any(number.lstrip("0") in own for number in numbers):
            return True
        # Further numbers of the patient stand in other elements; a short one there may number anything.
        return any(prepared.identity.words.contains(number) for number in numbers if len(number) >= _TELLING)

    def __len__(self) -> int:
        return len(self._numbers.reveal())

    def __repr__(self) -> str:
        return "ExclusionList(…)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be serialised."""
        raise TypeError("an exclusion list cannot be serialised")


def require_no_objection(prepared: Prepared, excluded: ExclusionList | None) -> None:
    """Stop where a patient objects.

    Raises
    ------
    HeldError
        Without saying who.
    """
    if excluded is not None and excluded.names(prepared):
        raise HeldError(
            "This patient is on the exclusion list, so nothing was done.",
            hint="Only the list's keeper can change that; there is no option to go on.",
        )


def _text(raw: bytes) -> str:
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _plain(number: str) -> str:
    return "".join(character for character in number.casefold() if character.isalnum())
