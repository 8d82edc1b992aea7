"""A manifest CSV, one row a case → rows with their clinical records, or every problem with its row number.

RFC 4180, UTF-8, an exact header. All rows are looked at before any is used. ``study_path`` and ``id_suffix``
may identify a patient and stay masked; ``local_ref`` never enters a record.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from bsti_submit.clinical import entry, units
from bsti_submit.clinical.problem import Note, Problem, ProblemError
from bsti_submit.clinical.record import ClinicalRecord, suffix_form_problem, validate
from bsti_submit.clinical.screen import screen_reference
from bsti_submit.errors import InputError
from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bsti_submit.clinical.facts import Context
    from bsti_submit.clinical.structure import Json, Tree

COLUMNS = (
    *("study_path", "local_ref", "index_modality", "age_years", "sex", "symptom_onset_days"),
    *("wcc", "wcc_unit", "wcc_day", "crp", "crp_unit", "crp_day"),
    *("po2", "po2_unit", "po2_sample", "po2_fio2", "po2_day", "spo2", "spo2_fio2", "spo2_day"),
    *("indication_code", "indication_text", "pcr_status", "pcr_tests", "prior_imaging", "prior_studies"),
    *("ct_bsti", "cxr_bsti", "severity", "outcome", "outcome_day", "itu", "intubation"),
)
"""The columns that a manifest must have."""
ADDED_COLUMNS = (
    "id_suffix",
    "confirmed",
    "asymptomatic",
    "oxygen_flow_l_min",
    "pcr_specimens",
    "prior_case_id",
)
"""The columns that may be missing."""
REQUIRED_CELLS = (
    *("study_path", "index_modality", "age_years", "sex", "wcc", "crp", "po2", "indication_code"),
    *("pcr_status", "prior_imaging"),
)

MAX_BYTES = 64 * 1024 * 1024
MAX_CELL = 1000
_BOM = b"\xef\xbb\xbf"
_FORMULA = ("=", "+", "@", "\t")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?\Z", re.ASCII)
_PCR_STATUS = {"nd": "not-done", "u": "unknown", "p": "pending"}
_UNKNOWN = {"u": "unknown"}

COLUMN_OF: dict[str, str] = {
    "index_imaging": "index_modality",
    "age": "age_years",
    "symptom_onset": "symptom_onset_days",
    "white_cell_count": "wcc",
    "white_cell_count.day": "wcc_day",
    "crp.day": "crp_day",
    "po2.sample": "po2_sample",
    "po2.fio2": "po2_fio2",
    "po2.day": "po2_day",
    "spo2.fio2": "spo2_fio2",
    "spo2.day": "spo2_day",
    "spo2.oxygen_flow_l_min": "oxygen_flow_l_min",
    "indication": "indication_code",
    "indication.text": "indication_text",
    "rt_pcr": "pcr_status",
    "rt_pcr.tests": "pcr_tests",
    "prior_imaging.studies": "prior_studies",
    "reporting.ct_bsti": "ct_bsti",
    "reporting.cxr_bsti": "cxr_bsti",
    "reporting.severity": "severity",
    "outcome.day": "outcome_day",
    "outcome.itu_admission": "itu",
    "outcome.intubation": "intubation",
}
"""Where in the manifest a part of the record stands, if the column's name differs."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A problem of one row. ``row`` counts as a spreadsheet does: the header is row 1."""

    row: int
    column: str
    problem: Problem

    def __str__(self) -> str:
        where = f"row {self.row}, {self.column}" if self.column else f"row {self.row}"
        return f"{where}: {self.problem}"


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
            f"{bad} of {self.count} rows of the manifest must be corrected. Nothing was sent.",
            hint="Correct them and try again, or leave them out with --skip-invalid.",
            details=tuple(
                line
                for found in self.problems
                for line in (str(found), *([f"  {found.problem.hint}"] if found.problem.hint else []))
            ),
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
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"The manifest cannot be read: {error.strerror or 'unknown reason'}.") from None
    return parse(data, context)


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
    rows = list(_records(data))
    if not rows:
        raise _refuse("E-HEADER", "the manifest is empty. 'bsti-submit manifest init' writes a header.")
    header = [cell.strip() for cell in rows[0]]
    _check_header(header, rows[0])
    good: list[Row] = []
    problems: list[RowProblem] = []
    seen: dict[str, dict[str, int]] = {"study_path": {}, "local_ref": {}}
    count = 0
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        count += 1
        row, found = _read_row(number, header, cells, context)
        if row is not None:
            found = _repeats(row, seen)
            if not found:
                good.append(row)
        problems.extend(found)
    if not count:
        raise _refuse("E-HEADER", "the manifest has a header but no rows.")
    return Manifest(tuple(good), tuple(problems), count)


def _records(data: bytes) -> Iterator[list[str]]:
    if len(data) > MAX_BYTES:
        raise _refuse("E-FILE", "the manifest is larger than 64 MiB. Split it.")
    try:
        text = data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError:
        raise _refuse("E-FILE", "the manifest is not UTF-8 text. Save it as 'CSV UTF-8'.") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for cells in reader:
            number += 1
            yield cells
    except csv.Error:
        raise _refuse(
            "E-CSV",
            f"row {number + 1} is not valid CSV: look for a quote that is not closed, or a very long cell.",
        ) from None


def _check_header(header: list[str], raw: list[str]) -> None:
    lines: list[str] = []
    if len(raw) == 1 and raw[0].count(";") > len(COLUMNS) // 2:
        raise _refuse("E-HEADER", "the columns are separated by semicolons. Save the sheet as CSV with commas.")
    known = (*COLUMNS, *ADDED_COLUMNS)
    lines += [f"E-HEADER {name}: this column is missing." for name in COLUMNS if name not in header]
    # A wrong name may be anything, so only its place is told.
    lines += [
        f"E-HEADER column {place}: this column is not part of a manifest."
        for place, name in enumerate(header, start=1)
        if name not in known
    ]
    lines += [f"E-HEADER {name}: this column occurs twice." for name in known if header.count(name) > 1]
    if lines:
        raise InputError(
            "The header of the manifest (row 1) is not as it must be.",
            hint="'bsti-submit manifest init' writes the right header.",
            details=tuple(lines),
        )


def _refuse(code: str, message: str) -> InputError:
    return InputError("The manifest cannot be read.", details=(f"{code}: {message}",))


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
    if len(cells) != len(header):
        message = f"has {len(cells)} cells where the header has {len(header)}. Put a cell with a comma in quotes."
        return None, [RowProblem(number, "", Problem("E-CSV", "", message))]
    reader = _RowReader(dict(zip(header, cells, strict=True)))
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
                reader.add(_column_of(problem.path), problem)
    if reader.problems or path is None or not isinstance(result, ClinicalRecord):
        places = {name: place for place, name in enumerate(header)}
        found = [RowProblem(number, column, problem) for column, problem in reader.problems]
        return None, sorted(found, key=lambda problem: places.get(problem.column, len(places)))
    record = ClinicalRecord(result.canonical_json(), (*reader.notes, *result.notes))
    return Row(number, Identified(path), local_ref, record, Identified(suffix) if suffix else None), []


def _column_of(path: str) -> str:
    bare = re.sub(r"\[\d+\].*", "", path)
    while bare:
        if bare in COLUMN_OF:
            return COLUMN_OF[bare]
        if "." not in bare:
            return bare
        bare = bare.rpartition(".")[0]
    return ""


class _RowReader:
    """Reads the cells of one row, keeping every problem with its column."""

    def __init__(self, cells: dict[str, str]) -> None:
        self._cells = cells
        self.problems: list[tuple[str, Problem]] = []
        self.notes: list[Note] = []
        self._spoilt: set[str] = set()

    def cell(self, column: str) -> str:
        """Return a cell without spaces around it; empty for a column that is not there or was refused."""
        return "" if column in self._spoilt else self._cells.get(column, "").strip()

    def add(self, column: str, problem: Problem) -> None:
        self.problems.append((column, problem))

    def check_cells(self) -> None:
        """Refuse formulas (spreadsheet injection), control characters and cells that hold a book."""
        for column, text in self._cells.items():
            if text.startswith(_FORMULA) and not _NUMBER.match(text.strip()):
                self._spoil(
                    column,
                    "E-FORMULA",
                    "a cell may not begin with =, + or @, or a tab: it could be a formula.",
                )
            elif _CONTROL.search(text):
                self._spoil(column, "E-CELL", "holds a line break or another control character.")
            elif len(text) > MAX_CELL:
                self._spoil(column, "E-CELL", "is far too long.")

    def _spoil(self, column: str, code: str, message: str) -> None:
        self._spoilt.add(column)
        self.add(column, Problem(code, _PATH_OF.get(column, column), message))

    def study_path(self) -> PurePosixPath | None:
        """Read the folder of the study: relative, below the manifest, and the same on every system."""
        if "study_path" in self._spoilt:
            return None
        text = self.cell("study_path")
        problem = ""
        if not text:
            problem = "is empty. Give the folder of the study."
        elif "\\" in text:
            problem = "write / between folders, not a backslash."
        elif PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive or ":" in text or text.startswith("~"):
            problem = "give a path relative to the manifest, not an absolute one."
        elif ".." in PurePosixPath(text).parts:
            problem = "may not lead out of the manifest's folder with '..'."
        if problem:
            self.add("study_path", Problem("E-PATH", "study_path", problem))
            return None
        return PurePosixPath(text)

    def record(self) -> Tree:
        """Return the record of the row; a metric with a problem of its own is left out."""
        tree: Tree = {"schema_version": "1.0"}
        readers: dict[str, Callable[[], Tree | None]] = {
            "index_imaging": lambda: {
                "modality": entry.read_choice(self.cell("index_modality"), "index_imaging.modality")
            },
            "age": self._age,
            "sex": lambda: entry.read_sex(self.cell("sex")),
            "symptom_onset": self._onset,
            "white_cell_count": lambda: self._result("white_cell_count", "wcc"),
            "crp": lambda: self._result("crp", "crp"),
            "po2": self._po2,
            "spo2": self._spo2,
            "indication": self._indication,
            "rt_pcr": self._rt_pcr,
            "prior_imaging": self._prior_imaging,
            "reporting": lambda: self._words("reporting", ("ct_bsti", "cxr_bsti", "severity")) or None,
            "outcome": self._outcome,
        }
        for name, reader in readers.items():
            column = COLUMN_OF.get(name, name)
            if any(_PATH_OF.get(spoilt, "").split(".")[0] == name for spoilt in self._spoilt):
                continue
            if column in REQUIRED_CELLS and not self.cell(column):
                self.add(
                    column,
                    Problem("E-REQUIRED", name, "the cell is empty. Give a value, or nd, p, u, w or na."),
                )
                continue
            try:
                part = reader()
            except ProblemError as error:
                self.add(_column_of(error.problem.path), error.problem)
                continue
            if part is not None:
                tree[name] = part
        if confirmed := self._list("confirmed"):
            listed: list[Json] = [*confirmed]
            tree["confirmed"] = listed
        return tree

    def _list(self, column: str) -> list[str]:
        text = self.cell(column)
        return [item.strip() for item in text.split(";")] if text else []

    def _age(self) -> Tree:
        age, notes = entry.read_age(self.cell("age_years"))
        self.notes.extend(notes)
        return age

    def _onset(self) -> Tree | None:
        text = self.cell("symptom_onset_days")
        asymptomatic = self.cell("asymptomatic").casefold()
        if asymptomatic not in {"", "yes", "no"}:
            raise entry.complaint("E-CHOICE", "symptom_onset.asymptomatic", "choose one of: yes, no.")
        if asymptomatic == "yes":
            if text:
                raise entry.complaint(
                    "E-BOTH", "symptom_onset", "asymptomatic is yes, yet an onset is given. Keep one."
                )
            return {"asymptomatic": True}
        if not text:
            return None
        if (reason := entry.read_absent(text)) is not None:
            return {"absent": reason}
        return {"value": entry.read_days(text, "symptom_onset.value")}

    def _result(self, metric: str, column: str) -> Tree:
        part = entry.read_result(metric, self.cell(column), self.cell(f"{column}_unit"))
        return self._with_day(metric, column, part)

    def _with_day(self, metric: str, column: str, part: Tree) -> Tree:
        if day := self.cell(f"{column}_day"):
            part["day"] = entry.read_days(day, f"{metric}.day")
        return part

    def _po2(self) -> Tree:
        part = self._result("po2", "po2")
        if sample := self.cell("po2_sample"):
            part["sample"] = entry.read_choice(sample, "po2.sample", _UNKNOWN)
        if fio2 := self.cell("po2_fio2"):
            part["fio2"] = entry.read_fio2(fio2, "po2.fio2")
        return part

    def _spo2(self) -> Tree | None:
        text, fio2, flow = self.cell("spo2"), self.cell("spo2_fio2"), self.cell("oxygen_flow_l_min")
        if not text:
            if fio2 or flow or self.cell("spo2_day"):
                raise entry.complaint("E-NO-VALUE", "spo2", "has a FiO2, a flow or a day, but no value for them.")
            return None
        part = entry.read_result("spo2", text, "" if entry.read_absent(text) else "%")
        if fio2:
            part["fio2"] = entry.read_fio2(fio2, "spo2.fio2")
        if flow:
            part["oxygen_flow_l_min"] = units.read_number(flow, "spo2.oxygen_flow_l_min")
        return self._with_day("spo2", "spo2", part)

    def _indication(self) -> Tree:
        code, text = self.cell("indication_code"), self.cell("indication_text")
        part: Tree
        if (reason := entry.read_absent(code)) is not None:
            part = {"absent": reason}
        else:
            part = {"code": entry.read_choice(code, "indication.code")}
        if text:
            part["text"] = entry.read_text(text)
        return part

    def _rt_pcr(self) -> Tree:
        status = self.cell("pcr_status")
        part: Tree = {"status": entry.read_choice(status, "rt_pcr.status", _PCR_STATUS)}
        tests: list[Json] = []
        for index, item in enumerate(self._list("pcr_tests")):
            result, at, day = item.partition("@")
            place = f"rt_pcr.tests[{index}]"
            if not at:
                raise entry.complaint("E-LIST", place, "write result@day, such as negative@-4, joined by ;")
            tests.append({"result": entry.read_result_word(result, place), "day": entry.read_days(day, f"{place}.day")})
        specimens = self._list("pcr_specimens")
        if specimens and len(specimens) != len(tests):
            raise entry.complaint("E-LIST", "rt_pcr.tests", "pcr_specimens must list as many items as pcr_tests.")
        for test, specimen in zip(tests, specimens, strict=False):
            if specimen and isinstance(test, dict):
                test["specimen"] = entry.read_specimen(specimen, "rt_pcr.tests")
        if tests:
            part["tests"] = tests
        return part

    def _prior_imaging(self) -> Tree:
        part: Tree = {"value": entry.read_choice(self.cell("prior_imaging"), "prior_imaging.value", _UNKNOWN)}
        studies: list[Json] = []
        for index, item in enumerate(self._list("prior_studies")):
            place = f"prior_imaging.studies[{index}]"
            modality, at, rest = item.partition("@")
            days, colon, included = rest.partition(":")
            if not at:
                raise entry.complaint("E-LIST", place, "write modality@days_before, such as CXR@4, joined by ;")
            study: Tree = {
                "modality": entry.read_modality(modality, place),
                "days_before": entry.read_days(days, f"{place}.days_before"),
            }
            if colon:
                if included not in INCLUDED:
                    raise entry.complaint("E-CHOICE", place, f"after the colon write {' or '.join(INCLUDED)}.")
                study["included"] = INCLUDED[included]
            studies.append(study)
        case_ids = self._list("prior_case_id")
        if case_ids and len(case_ids) != len(studies):
            raise entry.complaint(
                "E-LIST", "prior_imaging.studies", "prior_case_id must list as many items as prior_studies."
            )
        for study_json, case_id in zip(studies, case_ids, strict=False):
            if case_id and isinstance(study_json, dict):
                study_json["case_id"] = entry.read_case_id(case_id, "prior_imaging.studies")
        if studies:
            part["studies"] = studies
        return part

    def _words(self, metric: str, names: tuple[str, ...], words: dict[str, str] | None = None) -> Tree:
        part: Tree = {}
        for name in names:
            path = f"{metric}.{name}"
            if text := self.cell(COLUMN_OF.get(path, name)):
                part[name] = entry.read_choice(text, path, words)
        return part

    def _outcome(self) -> Tree | None:
        part: Tree = {}
        if status := self.cell("outcome"):
            part["status"] = entry.read_choice(status, "outcome.status", _UNKNOWN)
        if day := self.cell("outcome_day"):
            part["day"] = entry.read_days(day, "outcome.day")
        part |= self._words("outcome", ("itu_admission", "intubation"), _UNKNOWN)
        return part or None


INCLUDED = {"included": True, "not-included": False}
"""What may follow ``modality@days_before`` after a colon: whether that study goes along.

Left out, the folder says.
"""

_PATH_OF: dict[str, str] = {column: path for path, column in COLUMN_OF.items()} | {
    column: path
    for path, columns in {
        "white_cell_count": ("wcc", "wcc_unit"),
        "crp": ("crp", "crp_unit"),
        "po2": ("po2", "po2_unit", "po2_sample"),
        "spo2": ("spo2",),
        "sex": ("sex",),
        "rt_pcr": ("pcr_status", "pcr_specimens"),
        "prior_imaging": ("prior_imaging", "prior_case_id"),
        "outcome": ("outcome",),
        "symptom_onset": ("symptom_onset_days", "asymptomatic"),
        "confirmed": ("confirmed",),
    }.items()
    for column in columns
}
