"""The bytes of a CSV → its rows, with a header that is held against the columns that may stand in it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.clinical.problem import Problem
from bsti_submit.clinical.sources.text import read_utf8
from bsti_submit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 64 * 1024 * 1024
_MANY = 5
_LONGEST_HEADER = 10_000
_QUOTES = "\"' \t"
_SEPARATORS = {";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A problem of one row. ``row`` counts as a spreadsheet does: the header is row 1."""

    row: int
    column: str
    problem: Problem

    def data(self) -> dict[str, object]:
        """Return it for a program."""
        return {"row": self.row, "column": self.column, **self.problem.data()}

    def __str__(self) -> str:
        where = f"row {self.row}, {self.column}" if self.column else f"row {self.row}"
        return f"{where}: {self.problem}"


def problem_lines(problems: tuple[RowProblem, ...]) -> tuple[str, ...]:
    """Return the lines that tell some problems, with their hints."""
    return tuple(
        line
        for found in problems
        for line in (str(found), *([f"  {found.problem.hint}"] if found.problem.hint else []))
    )


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a sheet.

    Raises
    ------
    InputError
        If it cannot be read. Its path is not repeated.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"The manifest cannot be read: {error.strerror or 'unknown reason'}.") from None


def read_rows(
    data: bytes, required: tuple[str, ...], optional: tuple[str, ...]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and every row that is not blank, with its number.

    Raises
    ------
    InputError
        If it is no CSV, its header is wrong, or there are no rows.
    """
    text = _text(data)
    _require_commas(text)
    filled = ((number, cells) for number, cells in enumerate(_records(text), start=1) if any(map(str.strip, cells)))
    _, first = next(filled, (0, None))
    if first is None:
        raise refuse("E-HEADER", "the manifest is empty. 'bsti-submit manifest init' writes a header.")
    header = [cell.strip() for cell in first]
    _check_header(header, required, optional)
    rows = list(filled)
    if not rows:
        raise refuse("E-HEADER", "the manifest has a header but no rows.")
    return header, rows


def cells_of(header: list[str], number: int, cells: list[str]) -> dict[str, str] | RowProblem:
    """Return the cells of a row by column, or what is wrong with their number."""
    if len(cells) == len(header):
        return dict(zip(header, cells, strict=True))
    message = f"has {len(cells)} cells where the header has {len(header)}. Put a cell with a comma in quotes."
    return RowProblem(number, "", Problem("E-CSV", "", message))


def refuse(code: str, message: str) -> InputError:
    """Return the error for a sheet that cannot be read at all."""
    problem = Problem(code, "", message)
    return InputError("The manifest cannot be read.", details=(str(problem),), problems=(problem.data(),))


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise refuse("E-FILE", "the manifest is larger than 64 MiB. Split it.")
    text = read_utf8(data)
    if text is None:
        raise refuse("E-FILE", "the manifest is not UTF-8 text. Save it as 'CSV UTF-8'.")
    return text


def _require_commas(text: str) -> None:
    """Tell a spreadsheet's other separators apart before every column seems to be missing.

    Raises
    ------
    InputError
        For semicolons, tabs, and the line ``sep=;`` that some programs write first.
    """
    start = text[:_LONGEST_HEADER].lstrip()
    line = start.splitlines()[0] if start else ""
    if line.strip(_QUOTES).casefold().startswith("sep="):
        raise refuse(
            "E-HEADER", "the first line is a mark for spreadsheets (sep=). Take it away; the header comes first."
        )
    for separator, name in _SEPARATORS.items():
        if line.count(separator) >= _MANY > line.count(","):
            raise refuse("E-HEADER", f"the columns are separated by {name}. Save the sheet as CSV with commas.")


def _records(text: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for cells in reader:
            number += 1
            yield cells
    except csv.Error:
        raise refuse(
            "E-CSV",
            f"row {number + 1} is not valid CSV: look for a quote that is not closed, or a very long cell.",
        ) from None


def _check_header(header: list[str], required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    known = (*required, *optional)
    found = [Problem("E-HEADER", name, "this column is missing.") for name in required if name not in header]
    # A wrong name may be anything, so only its place is told.
    found += [
        Problem(
            "E-HEADER",
            f"column {place}",
            "this column is not part of a manifest." if name else "this column has no name. Delete it.",
        )
        for place, name in enumerate(header, start=1)
        if name not in known
    ]
    found += [Problem("E-HEADER", name, "this column occurs twice.") for name in known if header.count(name) > 1]
    if found:
        raise InputError(
            "The header of the manifest (row 1) is not as it must be.",
            hint="'bsti-submit manifest init' writes the right header.",
            details=tuple(map(str, found)),
            problems=tuple(problem.data() for problem in found),
        )
