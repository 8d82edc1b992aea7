"""A manifest as `batch` takes it: the rows whose study is there, and what there is to say of the others."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from bsti_submit.clinical.problem import Problem
from bsti_submit.clinical.sources.manifest import Manifest, RowProblem
from bsti_submit.errors import ExitCode
from bsti_submit.report.rows import RowOutcome, RowReport

if TYPE_CHECKING:
    from pathlib import Path

    from bsti_submit.clinical.sources.manifest import Row


def without_missing(manifest: Manifest, base: Path) -> Manifest:
    """Return a manifest in which rows whose study is not there count as invalid."""
    missing = Problem(
        "E-MISSING",
        "",
        "there is nothing at this path.",
        "The path is relative to the folder of the manifest. Is the drive there, and may this account read it?",
    )
    here = tuple(row for row in manifest.rows if is_there(row, base))
    gone = {row.number for row in manifest.rows} - {row.number for row in here}
    problems = (*manifest.problems, *(RowProblem(number, "study_path", missing) for number in gone))
    return Manifest(here, tuple(sorted(problems, key=lambda problem: problem.row)), manifest.count)


def is_there(row: Row, base: Path) -> bool:
    """Whether there is anything at the path of a row."""
    try:
        return row.folder(base).reveal().exists()
    except (OSError, ValueError):
        return False


def skipped(manifest: Manifest) -> list[RowReport]:
    """Return the reports of the invalid rows, which are only left if they are to be skipped."""
    return [
        RowReport(
            number,
            RowOutcome.SKIPPED,
            ExitCode.BAD_INPUT,
            message="Skipped, since it has to be corrected.",
            details=tuple(f"{found.column} {found.problem}".strip() for found in problems),
            hint="Correct the row and run the batch again.",
        )
        for number, problems in groupby(manifest.problems, key=lambda problem: problem.row)
    ]
