"""A JSON file of one clinical record → its parsed value, read strictly.

Python's own reader takes ``NaN``, keeps the last of two equal names and blows up on long numbers; all of
these are told apart here and become problems with a place.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from bsti_submit.clinical.problem import Problem, error_for
from bsti_submit.clinical.sources.text import NOT_UTF8, read_utf8
from bsti_submit.clinical.structure import BadNumber, LongNumber, RepeatedNames

if TYPE_CHECKING:
    from pathlib import Path

from bsti_submit.errors import InputError

MAX_BYTES = 256 * 1024
"""A full record is about 2 kB."""
MAX_NUMBER_LENGTH = 40
_SPLIT_NUMBER = re.compile(r"(?<!\d)(-?\d{1,4}),(\d{1,3})(?![\d.])", re.ASCII)


def parse(data: bytes) -> object:
    """Parse the bytes of a file, for `record.validate` or `record.accept`.

    Parameters
    ----------
    data
        UTF-8, with or without a byte order mark.

    Returns
    -------
    object
        JSON values with exact decimals; `BadNumber`, `LongNumber` and `RepeatedNames` stand where something is wrong.

    Raises
    ------
    InputError
        If it is too large, not UTF-8 or not JSON; the place is given as line and column.
    """
    if len(data) > MAX_BYTES:
        raise _error("E-FILE", "the file is larger than 256 KiB; a clinical record is about 2 kB.")
    text = read_utf8(data)
    if text is None:
        raise _error("E-FILE", NOT_UTF8)
    if not text.strip():
        raise _error("E-JSON", "the file is empty.")
    try:
        return json.loads(
            text,
            parse_float=_number,
            parse_int=_number,
            parse_constant=lambda _: BadNumber(),
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _error("E-JSON", f"this is not JSON: see {where}. {_advice(text, error.pos)}") from None
    except RecursionError:
        raise _error("E-DEPTH", "the data are nested more deeply than any field of the schema.") from None


def read(path: Path) -> object:
    """Read and parse a file; see `parse`.

    Raises
    ------
    InputError
        Also if the file cannot be read. The path is not repeated: it may name a patient.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"The clinical file cannot be read: {error.strerror or 'unknown reason'}.") from None
    return parse(data)


def _number(text: str) -> object:
    return LongNumber() if len(text) > MAX_NUMBER_LENGTH else Decimal(text)


def _object(pairs: list[tuple[str, object]]) -> RepeatedNames:
    made = RepeatedNames(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        made.repeated = tuple(name for name, count in counts.items() if count > 1)
    return made


def _advice(text: str, position: int) -> str:
    before = text[max(position - 12, 0) : position].rstrip()
    for number in _SPLIT_NUMBER.finditer(text, max(position - 12, 0), position + 12):
        if number.start(2) == position:
            return f"Numbers take a full stop, not a comma: {number[1]}.{number[2]}"
    following = text[position : position + 3]
    if following.startswith("'"):
        return 'Names and words stand in double quotes: "...".'
    if following.startswith(("}", "]")) and before.endswith(","):
        return "There is a comma too many before it."
    return "Look for a missing comma, quote or bracket."


def _error(code: str, message: str) -> InputError:
    made = error_for((Problem(code, "", message),), subject="The clinical file")
    return made if isinstance(made, InputError) else InputError(message)
