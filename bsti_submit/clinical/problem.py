"""What is wrong with a clinical record, and what is worth a second look, as values for a person to read.

A message repeats coded or numeric input only, never text that somebody typed freely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.errors import BstiError, HeldError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

HELD_CODES = frozenset(
    {"E-AGE-DIFFERS", "E-SEX-DIFFERS", "E-DAY-DIFFERS", "E-CASE-DIFFERS", "E-SUFFIX", "E-INDEX-MODALITY"}
)
"""The wrong-patient guard: the record and the images may be of two people, so the case is held, exit 3."""

CHECK_HINT = "Correct the lines above and try again. 'bsti-submit clinical schema' describes every field."
HELD_HINT = "Make sure that the record and the images belong to the same patient before you go on."


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Parameters
    ----------
    code
        Stable and short, such as ``E-UNIT``.
    path
        Where it is, in the names of the clinical schema, such as ``rt_pcr.tests[0].day``; empty for the
        whole.
    message
        Plain English, safe to print and to log.
    hint
        A guess at the cause, where there is a likely one.
    """

    code: str
    path: str
    message: str
    hint: str = ""

    @property
    def held(self) -> bool:
        """Whether this is a doubt about whose record it is, rather than a mistake in it."""
        return self.code in HELD_CODES

    def data(self) -> dict[str, object]:
        """Return it for a program: code, path and message, and the hint where there is one."""
        told: dict[str, object] = {"code": self.code, "path": self.path, "message": self.message}
        return {**told, "hint": self.hint} if self.hint else told

    @property
    def group(self) -> str:
        """The metric that it belongs to: the first part of the path."""
        return self.path.split(".")[0].split("[")[0]

    def __str__(self) -> str:
        where = f" {self.path}" if self.path else ""
        return f"{self.code}{where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Note:
    """Something to be told that stops nothing. ``level`` is ``notice`` (we changed it) or ``warning``."""

    level: str
    path: str
    text: str

    def __str__(self) -> str:
        where = f" {self.path}" if self.path else ""
        return f"{self.level}{where}: {self.text}"


class ProblemError(ValueError):
    """Carries one problem from a small reader of text to whoever collects them. Never leaves `clinical`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def error_for(problems: Sequence[Problem], *, subject: str = "The clinical record") -> BstiError:
    """Return the error to raise for some problems, one detail line each.

    Parameters
    ----------
    problems
        At least one.
    subject
        What the sentence is about; holds no value.

    Returns
    -------
    BstiError
        `InputError` (exit 2); `HeldError` (exit 3) when the wrong-patient guard is all that speaks.
    """
    details = tuple(
        line for problem in problems for line in (str(problem), *([f"  {problem.hint}"] if problem.hint else []))
    )
    data = tuple(problem.data() for problem in problems)
    if all(problem.held for problem in problems):
        return HeldError(f"{subject} does not match the images.", hint=HELD_HINT, details=details, problems=data)
    count = len(problems)
    return InputError(
        f"{subject} has {count} {'thing' if count == 1 else 'things'} to correct.",
        hint=CHECK_HINT,
        details=details,
        problems=data,
    )
