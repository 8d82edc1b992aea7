"""A sheet that knows hospital numbers + a folder of studies → a manifest that knows neither.

The hospital number, accession number and study date of a sheet are compared with the headers in memory. What stays of
them is the path of the study and the last three characters of the hospital number. Nothing that identifies is told.
"""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bsti_submit.clinical.entry import read_date
from bsti_submit.clinical.facts import SUFFIX_LENGTH, modality_of
from bsti_submit.clinical.problem import Problem
from bsti_submit.clinical.sources.row import ADDED_COLUMNS, COLUMNS
from bsti_submit.clinical.sources.sheet import RowProblem, cells_of, problem_lines, read_rows
from bsti_submit.clinical.units import is_formula
from bsti_submit.errors import InputError
from bsti_submit.intake.source import open_source
from bsti_submit.intake.studies import group_patients, group_studies
from bsti_submit.intake.survey import survey_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from bsti_submit.intake.instance import SurveyedInstance
    from bsti_submit.intake.studies import Study

KEY_COLUMNS = ("patient_id", "accession_number", "study_date")
"""The columns of a sheet that find its studies. None of them is written."""
_SHORTEST_ID = 4


@dataclass(frozen=True, slots=True)
class Joined:
    """The manifest, and what could not be matched. ``unused`` counts the studies that no row is about."""

    manifest: str
    rows: int
    problems: tuple[RowProblem, ...]
    unused: int

    def require_all(self) -> None:
        """Stop if any row found no study.

        Raises
        ------
        InputError
            With one detail line a row.
        """
        if self.problems:
            count = len(self.problems)
            raise InputError(
                f"{count} {'row' if count == 1 else 'rows'} of the sheet could not be matched. Nothing was written.",
                hint="Correct them, or leave them out of the manifest with --skip-unmatched.",
                details=problem_lines(self.problems),
                problems=tuple(found.data() for found in self.problems),
            )


def join(studies: Path, sheet: bytes, base: Path, progress: Callable[[int, int], None] | None = None) -> Joined:
    """Match the rows of a sheet with the studies of a folder.

    Parameters
    ----------
    studies
        The folder, at any depth, of any number of patients.
    sheet
        A CSV: columns of a manifest but ``study_path``, and at least one of ``patient_id`` and ``accession_number``.
    base
        The folder that the manifest will be in: its paths are relative to it.
    progress
        Is told files done and files in all.

    Raises
    ------
    InputError
        If the sheet cannot be read, or the studies are not in a folder below that of the manifest.
    """
    header, rows = read_rows(sheet, (), (*COLUMNS, *ADDED_COLUMNS, *KEY_COLUMNS))
    if not {"patient_id", "accession_number"} & set(header):
        raise InputError(
            "The sheet does not say whose studies its rows are about.",
            hint="Give it a column patient_id, the hospital number, or accession_number.",
        )
    if not studies.is_dir():
        raise InputError("The studies must be in a folder.")
    shelf = _Shelf(studies, base, progress)
    out = io.StringIO()
    writer = csv.DictWriter(out, (*COLUMNS, *ADDED_COLUMNS), restval="", extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    problems: list[RowProblem] = []
    for number, row in rows:
        found = cells_of(header, number, row)
        cells = found if isinstance(found, RowProblem) else shelf.match(number, found)
        if isinstance(cells, RowProblem):
            problems.append(cells)
        else:
            writer.writerow(cells)
    return Joined(out.getvalue(), len(rows) - len(problems), tuple(problems), shelf.unused)


class _Shelf:
    """The studies of a folder, by what the headers say of them. Kept in memory for one join."""

    def __init__(self, root: Path, base: Path, progress: Callable[[int, int], None] | None) -> None:
        self._base = Path(os.path.abspath(base))  # noqa: PTH100 - links stay as the user knows them
        with open_source(root) as source:
            survey = survey_source(source, progress=progress)
            images = [instance for instance in survey.instances if instance.pixels]
            folders = {instance.ref: Path(source.locate(instance.ref).reveal()).parent for instance in images}
        self._studies = group_studies(images)
        self._used: set[int] = set()
        self._by_id: dict[str, set[int]] = defaultdict(set)
        self._by_accession: dict[str, set[int]] = defaultdict(set)
        self._folders: dict[int, set[Path]] = defaultdict(set)
        self._within: dict[Path, set[int]] = defaultdict(set)
        self._people: dict[Path, dict[object, SurveyedInstance]] = defaultdict(dict)
        for study in self._studies:
            for instance in study.instances:
                folder = folders[instance.ref]
                self._by_id[_id(instance.patient_id.reveal())].add(study.number)
                self._by_accession[_id(instance.accession_number.reveal())].add(study.number)
                self._folders[study.number].add(folder)
                self._within[folder].add(study.number)
                person = (instance.issuer, instance.patient_id, instance.birth_date, instance.patient_name)
                self._people[folder].setdefault(person, instance)

    @property
    def unused(self) -> int:
        """How many studies no row led to, as an index or beside one."""
        return len(self._studies) - len(self._used)

    def match(self, number: int, cells: Mapping[str, str]) -> dict[str, str] | RowProblem:
        """Return the row of the manifest for a row of the sheet."""

        def problem(column: str, text: str) -> RowProblem:
            return RowProblem(number, column, Problem("E-MATCH", column, text))

        if cells.get("study_path", "").strip():
            return problem("study_path", "leave this cell empty: it is filled in.")
        keys = {column: cells.get(column, "").strip() for column in KEY_COLUMNS}
        column = "patient_id" if keys["patient_id"] else "accession_number"
        if not keys[column]:
            return problem(column, "is empty. Give the hospital number or the accession number.")
        if column == "patient_id" and len(_squash(keys[column])) < _SHORTEST_ID:
            return problem(column, "is too short to tell patients apart.")
        day = read_date(keys["study_date"])
        if keys["study_date"] and day is None:
            return problem("study_date", "is no date. Write 2020-04-03, or 03/04/2020 with the day first.")
        found = self._fitting(keys, day)
        if not found:
            return problem(column, "no study in the folder fits this row.")
        if len(group_patients(instance for study in found for instance in study.instances)) > 1:
            return problem(column, "studies of more than one patient fit this row.")
        wanted = cells.get("index_modality", "").strip().upper()
        index = next((study for study in found if not wanted or wanted in map(modality_of, study.modalities)), None)
        if index is None:
            return problem("index_modality", "no study of this kind fits this row.")
        folder = self._folder(index)
        if folder is None:
            return problem(column, _MIXED)
        return _written(cells, keys, folder) or problem("study_path", "the folder's name cannot stand in a sheet.")

    def _fitting(self, keys: Mapping[str, str], day: date | None) -> list[Study]:
        """Return the studies that have every key which a row gives, newest first."""
        numbers = set(range(1, len(self._studies) + 1))
        if keys["patient_id"]:
            numbers &= self._by_id.get(_id(keys["patient_id"]), set())
        if keys["accession_number"]:
            numbers &= self._by_accession.get(_id(keys["accession_number"]), set())
        found = [self._studies[number - 1] for number in sorted(numbers)]
        return [study for study in found if day is None or study.date.reveal() == f"{day:%Y%m%d}"]

    def _folder(self, index: Study) -> Path | None:
        """Return the folder of an index study, relative to the manifest.

        It holds one patient alone, and no newer study than the index. If all of the patient's studies lie so, it is the
        folder of all, and the older ones are offered as earlier imaging; else it is that of the index.
        """
        of_patient = self._by_id[_id(index.instances[0].patient_id.reveal())]
        for numbers in (of_patient, {index.number}):
            folder = Path(os.path.commonpath([path for number in numbers for path in self._folders[number]]))
            below = [path for path in self._within if path == folder or folder in path.parents]
            held = set().union(*(self._within[path] for path in below))
            people = [instance for path in below for instance in self._people[path].values()]
            if min(held) == index.number and len(group_patients(people)) == 1:
                if not folder.is_relative_to(self._base):
                    raise InputError(
                        "The studies are not below the folder of the manifest, so it cannot name them.",
                        hint="Write the manifest into the folder that holds the studies, or into one above it.",
                    )
                self._used |= held
                return folder.relative_to(self._base)
        return None


_MIXED = "its images lie beside those of other patients or of newer studies. Put this study into a folder of its own."


def _written(cells: Mapping[str, str], keys: Mapping[str, str], folder: Path) -> dict[str, str] | None:
    """Return a row of the manifest, or None if a manifest could not name the folder."""
    path = folder.as_posix()
    if not path.isprintable() or "\\" in path or ":" in path or path != path.strip() or is_formula(path):
        return None
    suffix = _squash(keys["patient_id"])[-SUFFIX_LENGTH:]
    return {
        **cells,
        "study_path": path,
        "id_suffix": cells.get("id_suffix", "").strip() or (suffix if len(suffix) == SUFFIX_LENGTH else ""),
    }


def _squash(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def _id(text: str) -> str:
    """Return an id without spacing, letter case, and the leading zeros that spreadsheets drop."""
    return re.sub(r"\A0+(?=.)", "", _squash(text))
