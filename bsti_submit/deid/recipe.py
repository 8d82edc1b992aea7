"""A recipe: what a site writes in deid's language, read strictly, then held against deid's own parser.

The only module that imports `deid`, whose executor is never used. Of it only the parser is imported, and
late: that takes about ten milliseconds, where the executor would bring matplotlib and patch pydicom.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bsti_submit.deid import recipe_checks, recipe_reader
from bsti_submit.deid.recipe_reader import ActionLine, Problem
from bsti_submit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bsti_submit.deid.recipe_filters import Condition, Label

__all__ = ["ActionLine", "Problem", "Recipe", "compose_problems", "examine", "lint", "read_recipe"]

_MAX_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe without a problem: the lines of ``%header`` in order, and the device rules of ``%filter``."""

    file: str
    text: str
    sha256: str
    actions: tuple[ActionLine, ...]
    filters: Mapping[str, tuple[Label, ...]]


def digest(text: str) -> str:
    """Return the SHA-256 of a recipe, the same whatever the line ends are."""
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


def lint(path: Path) -> tuple[Problem, ...]:
    """Return every problem of a recipe file, by line, deid's own reading included; () if it may run."""
    return examine(path)[1]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    InputError
        If it has any problem; ``details`` holds all of them, one a line.
    """
    recipe, problems = examine(path)
    if problems:
        count = len(problems)
        raise InputError(
            f"the recipe has {count} problem{'' if count == 1 else 's'}, so it does not run",
            hint="bsti-submit profile lint FILE shows them again",
            details=tuple(map(str, problems)),
        )
    return recipe


def examine(path: Path) -> tuple[Recipe, tuple[Problem, ...]]:
    """Return a recipe and every problem it has; it may run only without any."""
    nothing = Recipe(path.name, "", "", (), {})
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return nothing, (Problem(path.name, 0, "there is no such file"),)
    except OSError:
        return nothing, (Problem(path.name, 0, "the file cannot be read"),)
    if len(data) > _MAX_BYTES:
        return nothing, (Problem(path.name, 0, "the file is too large to be a recipe"),)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return nothing, (Problem(path.name, 0, "the file is not text in UTF-8"),)
    reading = recipe_reader.read_text(text, path.name)
    labels = {name: tuple(each) for name, each in reading.labels.items()}
    recipe = Recipe(path.name, text, digest(text), tuple(reading.actions), labels)
    problems = list(reading.problems)
    problems += recipe_checks.problems(reading.actions, path.name)
    if not problems:
        problems += _deid_reads(path, recipe, reading.lists)
    return recipe, tuple(sorted(set(problems), key=lambda each: (each.line, each.message)))


def compose_problems(upper: Recipe, lower: Recipe) -> tuple[Problem, ...]:
    """Return what is lost if one recipe is laid over another: filter groups of the same name."""
    return tuple(
        Problem(upper.file, 0, f"%filter {name} also stands in the recipe below, and deid would drop one of them")
        for name in sorted(set(upper.filters) & set(lower.filters))
    )


def _deid_reads(path: Path, recipe: Recipe, lists: Mapping[str, Sequence[object]]) -> list[Problem]:
    """Return where deid's parser reads the recipe otherwise than ours."""
    parsed = _parse_with_deid(path)
    if parsed is None:
        return [Problem(path.name, 0, "deid cannot read this recipe")]
    theirs = [
        (str(line.get("action")), str(line.get("field")), str(line.get("value", "")))
        for line in parsed.get("header", [])
    ]
    ours = [(str(line.verb), line.text, line.value) for line in recipe.actions]
    problems = [
        Problem(path.name, line.line, f"deid reads this line otherwise, as {' '.join(other).strip()}")
        for line, mine, other in zip(recipe.actions, ours, theirs, strict=False)
        if mine != other
    ]
    if len(ours) != len(theirs):
        problems.append(Problem(path.name, 0, f"deid finds {len(theirs)} actions where {len(ours)} are written"))
    if {name: len(each) for name, each in lists.items()} != {
        name: len(each) for name, each in (parsed.get("fields") or {}).items()
    }:
        problems.append(Problem(path.name, 0, "deid reads the %fields sections otherwise"))
    return problems + _filters_differ(path, recipe, parsed.get("filter") or {})


def _filters_differ(path: Path, recipe: Recipe, theirs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Problem]:
    if {name: len(each) for name, each in recipe.filters.items()} != {n: len(each) for n, each in theirs.items()}:
        return [Problem(path.name, 0, "deid reads the %filter sections otherwise")]
    problems = []
    for name, labels in recipe.filters.items():
        for label, other in zip(labels, theirs[name], strict=True):
            mine = [_condition_as_deid(condition) for condition in label.conditions]
            if mine != [_deid_condition(each) for each in other["filters"]] or len(label.boxes) != len(
                other["coordinates"]
            ):
                problems.append(Problem(path.name, label.line, "deid reads this LABEL otherwise"))
    return problems


def _condition_as_deid(condition: Condition) -> tuple[list[str], list[str], list[str]]:
    return (
        [test.kind for test in condition.tests],
        [test.value for test in condition.tests if test.value is not None],
        list(condition.operators),
    )


def _deid_condition(entry: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    return list(entry["action"]), list(entry["value"]), list(entry["InnerOperators"])


def _parse_with_deid(path: Path) -> Mapping[str, Any] | None:
    """Parse with deid, silently: it prints, logs and exits where it should raise."""
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            bot, load_deid = _import_deid()
            streams = bot.errorStream, bot.outputStream
            bot.errorStream = bot.outputStream = quiet
            try:
                parsed = load_deid(str(path.absolute()))
            finally:
                bot.errorStream, bot.outputStream = streams
        except SystemExit:
            return None
        except Exception:  # noqa: BLE001 - whatever stops deid's parser, the recipe does not run
            return None
    return parsed if isinstance(parsed, dict) else None


def _import_deid() -> tuple[Any, Any]:
    from deid.config.utils import load_deid
    from deid.logger import bot

    return bot, load_deid
