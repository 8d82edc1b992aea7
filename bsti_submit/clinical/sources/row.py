"""The cells of one manifest row → a clinical record as raw values, and every problem with its column."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from bsti_submit.clinical import entry, units
from bsti_submit.clinical.form import ABSENT_KEYS
from bsti_submit.clinical.problem import Note, Problem, ProblemError
from bsti_submit.clinical.wording import FORMULA

if TYPE_CHECKING:
    from collections.abc import Callable

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

MAX_CELL = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
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


MISSING = (
    "missing. Give a value or say why not: "
    + units.either(tuple(f"{key} ({reason})" for key, reason in ABSENT_KEYS.items()))
    + "."
)
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


def column_of(path: str) -> str:
    """Return the column in which a part of the record stands."""
    bare = re.sub(r"\[\d+\].*", "", path)
    while bare:
        if bare in COLUMN_OF:
            return COLUMN_OF[bare]
        if "." not in bare:
            return bare
        bare = bare.rpartition(".")[0]
    return ""


class RowReader:
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
        """Keep a problem with its column."""
        self.problems.append((column, problem))

    def check_cells(self) -> None:
        """Refuse formulas (spreadsheet injection), control characters and cells that hold a book."""
        for column, text in self._cells.items():
            if units.is_formula(text):
                self._spoil(column, "E-FORMULA", FORMULA)
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
                    Problem("E-REQUIRED", name, MISSING),
                )
                continue
            try:
                part = reader()
            except ProblemError as error:
                self.add(column_of(error.problem.path), error.problem)
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
        # A spreadsheet shows a percentage with its sign.
        part = entry.read_result("spo2", text.removesuffix("%"), "" if entry.read_absent(text) else "%")
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
        part: Tree = {"status": entry.read_choice(status, "rt_pcr.status", entry.STATUSES)}
        tests: list[Json] = []
        for index, item in enumerate(self._list("pcr_tests")):
            result, at, day = item.partition("@")
            place = f"rt_pcr.tests[{index}]"
            if not at:
                raise entry.complaint("E-LIST", place, "write result@day, such as negative@-4, joined by ;")
            tests.append({"result": entry.read_result_word(result, place), "day": entry.read_days(day, f"{place}.day")})
        self.notes.extend(entry.result_notes([item.partition("@")[0] for item in self._list("pcr_tests")]))
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
