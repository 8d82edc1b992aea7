"""A manifest CSV, one row a case → rows with their clinical records, or every problem with its row number.

RFC 4180, UTF-8, an exact header. All rows are looked at before any is used. ``study_path`` and ``id_suffix``
may identify a patient and stay masked; ``local_ref`` never enters a record.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bsti_submit.clinical.problem import Problem, error_for
from bsti_submit.clinical.record import ClinicalRecord, accept, suffix_form_problem, validate
from bsti_submit.clinical.screen import screen_reference
from bsti_submit.clinical.sources.row import ADDED_COLUMNS, COLUMNS, RowReader, column_of
from bsti_submit.clinical.sources.sheet import RowProblem, cells_of, problem_lines, read_bytes, read_rows
from bsti_submit.errors import InputError
from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from bsti_submit.clinical.facts import Context

__all__ = [
    "ADDED_COLUMNS",
    "COLUMNS",
    "Manifest",
    "Row",
    "RowProblem",
    "manifest_header",
    "parse",
    "read",
    "read_bytes",
    "template",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One valid row: a study to send, and its clinical record."""

    number: int
    study_path: Identified[PurePosixPath]
    local_ref: str = field(repr=False)
    record: ClinicalRecord
    id_suffix: Identified[str] | None = None

    def folder(self, base: Path) -> Identified[Path]:
        """Return where the study is, below the folder of the manifest."""
        return Identified(base.joinpath(*self.study_path.reveal().parts))

    def accept(self, context: Context) -> ClinicalRecord:
        """Hold record, end of the hospital number and ``local_ref`` (S9) against the images.

        Raises
        ------
        InputError
            Exit 2.
        HeldError
            Exit 3: the row and the images may be of two people.
        """
        if self.local_ref and (problem := screen_reference(self.local_ref, context)):
            raise error_for((problem,), subject="The row")
        return accept(self.record.data, context, id_suffix=self.id_suffix)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every valid row and every problem, both in the order of the file."""

    rows: tuple[Row, ...]
    problems: tuple[RowProblem, ...]
    count: int

    def require_valid(self) -> tuple[Row, ...]:
        """Return all rows, or raise if any is invalid.

        Raises
        ------
        InputError
            With one detail line a problem.
        """
        if not self.problems:
            return self.rows
        bad = len({problem.row for problem in self.problems})
        raise InputError(
            f"{bad} of {self.count} {'row' if self.count == 1 else 'rows'} of the manifest must be corrected. Nothing was sent.",
            hint="Correct them and try again. bsti-submit batch --skip-invalid leaves such rows out.",
            details=problem_lines(self.problems),
            problems=tuple(found.data() for found in self.problems),
        )


def manifest_header() -> str:
    """Return the header line with every column."""
    return ",".join((*COLUMNS, *ADDED_COLUMNS)) + "\r\n"


def template() -> str:
    """Return a manifest with a header and two made-up rows to overwrite."""
    examples: tuple[dict[str, str], ...] = (
        {
            "study_path": "case01",
            "local_ref": "A1",
            "index_modality": "CT",
            "age_years": "58",
            "sex": "F",
            "symptom_onset_days": "7",
            "wcc": "5.2",
            "wcc_unit": "10*9/L",
            "wcc_day": "0",
            "crp": "96",
            "crp_unit": "mg/L",
            "crp_day": "0",
            "po2": "9.1",
            "po2_unit": "kPa",
            "po2_sample": "arterial",
            "po2_fio2": "0.24",
            "po2_day": "0",
            "spo2": "93",
            "spo2_fio2": "0.21",
            "indication_code": "confirmed-covid-severity",
            "pcr_status": "positive",
            "pcr_tests": "positive@-3",
            "prior_imaging": "yes",
            "prior_studies": "CXR@2",
            "ct_bsti": "probable",
            "severity": "mild",
        },
        {
            "study_path": "case02",
            "local_ref": "A2",
            "index_modality": "CXR",
            "age_years": "71",
            "sex": "M",
            "symptom_onset_days": "u",
            "wcc": "p",
            "crp": "<5",
            "crp_unit": "mg/L",
            "po2": "nd",
            "indication_code": "suspected-covid-diagnosis",
            "pcr_status": "pending",
            "pcr_tests": "pending@0",
            "prior_imaging": "no",
            "cxr_bsti": "indeterminate",
        },
    )
    out = io.StringIO()
    writer = csv.DictWriter(out, (*COLUMNS, *ADDED_COLUMNS), restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(examples)
    return out.getvalue()


def read(path: Path, context: Context | None = None) -> Manifest:
    """Read and check a manifest file; see `parse`.

    Raises
    ------
    InputError
        Also if the file cannot be read. Its path is not repeated.
    """
    return parse(read_bytes(path), context)


def parse(data: bytes, context: Context | None = None) -> Manifest:
    """Check every row of a manifest.

    Parameters
    ----------
    data
        The bytes of the file.
    context
        Not of one patient: only its search for identifiers is used.

    Raises
    ------
    InputError
        If it is no CSV, or its header is wrong: then no row can be read.
    """
    header, rows = read_rows(data, COLUMNS, ADDED_COLUMNS)
    good: list[Row] = []
    problems: list[RowProblem] = []
    seen: dict[str, dict[str, int]] = {"study_path": {}, "local_ref": {}}
    for number, cells in rows:
        row, found = _read_row(number, header, cells, context)
        if row is not None:
            found = _repeats(row, seen)
            if not found:
                good.append(row)
        problems.extend(found)
    return Manifest(tuple(good), tuple(problems), len(rows))


def _repeats(row: Row, seen: dict[str, dict[str, int]]) -> list[RowProblem]:
    """Refuse a second row for the same study or reference.

    A case would be sent twice, or receipts mixed up.
    """
    found = []
    for column, value in (("study_path", str(row.study_path.reveal())), ("local_ref", row.local_ref)):
        if not value:
            continue
        first = seen[column].setdefault(value.casefold(), row.number)
        if first != row.number:
            problem = Problem("E-REPEATED", column, f"the same as in row {first}.")
            found.append(RowProblem(row.number, column, problem))
    return found


def _read_row(
    number: int, header: list[str], cells: list[str], context: Context | None
) -> tuple[Row | None, list[RowProblem]]:
    by_column = cells_of(header, number, cells)
    if isinstance(by_column, RowProblem):
        return None, [by_column]
    reader = RowReader(by_column)
    reader.check_cells()
    tree = reader.record()
    path = reader.study_path()
    local_ref = reader.cell("local_ref")
    if local_ref and (problem := screen_reference(local_ref, context)):
        reader.add("local_ref", problem)
    suffix = reader.cell("id_suffix")
    if suffix and (problem := suffix_form_problem(suffix)):
        reader.add("id_suffix", problem)
    result = validate(tree, context)
    if not isinstance(result, ClinicalRecord):
        spoilt = {problem.group for _, problem in reader.problems}
        for problem in result:
            if problem.group not in spoilt:
                reader.add(column_of(problem.path), problem)
    if reader.problems or path is None or not isinstance(result, ClinicalRecord):
        places = {name: place for place, name in enumerate(header)}
        found = [RowProblem(number, column, problem) for column, problem in reader.problems]
        return None, sorted(found, key=lambda problem: places.get(problem.column, len(places)))
    record = ClinicalRecord(result.canonical_json(), (*reader.notes, *result.notes))
    return Row(number, Identified(path), local_ref, record, Identified(suffix) if suffix else None), []
