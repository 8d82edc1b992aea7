"""Any parsed JSON → a tree of plain types with exact decimals, and every breach of the schema in plain words.

The structure is checked by JSON Schema (2020-12). The library's own messages quote values, so none is used:
ours come from the table in `wording`, by path and keyword.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

from bsti_submit.clinical import units
from bsti_submit.clinical.field_names import meant, shown_name
from bsti_submit.clinical.form import QUANTITIES
from bsti_submit.clinical.problem import Note, Problem, ProblemError
from bsti_submit.clinical.wording import COMPARATOR, NEVER_COMPARED, word
from bsti_submit.model import normalise_case_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json: TypeAlias = "bool | int | float | Decimal | str | list[Json] | dict[str, Json] | None"
Tree: TypeAlias = "dict[str, Json]"

SCHEMA_VERSION = "1.0"
MAX_DEPTH = 8
MAX_ITEMS = 200
_TOO_LARGE = Decimal("1e999")
_TYPOGRAPHY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00a0": " "})


class BadNumber:
    """Stands in a parsed tree for a number that cannot be a value: NaN or Infinity."""


class LongNumber:
    """Stands in a parsed tree for a number with more digits than are worth reading."""


class RepeatedNames(dict[str, object]):
    """A JSON object in which some names occur more than once."""

    repeated: tuple[str, ...] = ()


@cache
def schema_text() -> str:
    """Return the clinical schema as shipped."""
    return (resources.files("bsti_submit") / "schemas" / "clinical-1.0.schema.json").read_text(encoding="utf-8")


@cache
def _exact_schema() -> Mapping[str, Any]:
    # Decimals, because 0.21 as a binary float is less than the 0.21 that a person types.
    loaded: Mapping[str, Any] = json.loads(schema_text(), parse_float=Decimal)
    return loaded


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(_exact_schema())


def plain_tree(raw: object) -> tuple[Json, tuple[Problem, ...]]:
    """Copy a parsed JSON value into plain types, with every number a whole number or an exact decimal.

    Parameters
    ----------
    raw
        What a JSON parser, a manifest row or the dialogue made; may hold `BadNumber` and `RepeatedNames`.

    Returns
    -------
    tuple
        The copy, and what cannot be stored: ``E-NUMBER``, ``E-DUPLICATE``, ``E-DEPTH``, ``E-TYPE``.
    """
    problems: list[Problem] = []
    return _copy(raw, "", 0, problems), tuple(problems)


def _copy(raw: object, path: str, depth: int, problems: list[Problem]) -> Json:
    if depth > MAX_DEPTH:
        problems.append(Problem("E-DEPTH", path, "the data are nested more deeply than any field of the schema."))
        return None
    if isinstance(raw, dict):
        problems.extend(
            Problem("E-DUPLICATE", _join(path, shown_name(name)), "this name occurs twice. Keep one of them.")
            for name in getattr(raw, "repeated", ())
        )
        return {
            str(name): _copy(value, _join(path, shown_name(name)), depth + 1, problems) for name, value in raw.items()
        }
    if isinstance(raw, list | tuple):
        if len(raw) > MAX_ITEMS:
            problems.append(Problem("E-TYPE", path, "this list is far too long."))
            return []
        return [_copy(value, f"{path}[{index}]", depth + 1, problems) for index, value in enumerate(raw)]
    if raw is None or isinstance(raw, bool | str):
        return raw
    return _copy_number(raw, path, problems)


def _copy_number(raw: object, path: str, problems: list[Problem]) -> Json:
    try:
        match raw:
            case Decimal():
                number = raw
            case int():
                number = Decimal(raw)
            case float():
                number = Decimal(repr(raw))
            case BadNumber():
                number = Decimal("nan")
            case LongNumber():
                number = _TOO_LARGE
            case _:
                problems.append(Problem("E-TYPE", path, "this is not a JSON value."))
                return None
        # The parent is where a person looks: "crp", not "crp.value".
        units.bounded(number, path.removesuffix(".value"))
    except ProblemError as error:
        problems.append(error.problem)
        return None
    return int(number) if number == number.to_integral_value() else number


def tidy(tree: Json) -> tuple[Json, tuple[Note, ...]]:
    """Forgive what can be read in one way only.

    Letter case of units, typographic quotes, the form of case ids.

    Returns
    -------
    tuple
        The tree, changed in place, and a notice for each thing that a person may want to know.
    """
    notes: list[Note] = []
    if not isinstance(tree, dict):
        return tree, ()
    for metric in QUANTITIES:
        entry = tree.get(metric)
        if isinstance(entry, dict) and isinstance(unit := entry.get("unit"), str):
            entry["unit"] = units.fold_case(metric, unit)
            if entry["unit"] != unit:
                notes.append(Note("notice", metric, f"the unit is stored as {entry['unit']}."))
            if entry.get("reported") == {"value": entry.get("value"), "unit": entry["unit"]}:
                del entry["reported"]  # it says nothing more
    indication = tree.get("indication")
    if isinstance(indication, dict) and isinstance(text := indication.get("text"), str):
        indication["text"] = tidy_text(text)
    _tidy_case_id(tree)
    prior = tree.get("prior_imaging")
    if isinstance(prior, dict) and isinstance(studies := prior.get("studies"), list):
        for study in studies:
            _tidy_case_id(study)
    if isinstance(confirmed := tree.get("confirmed"), list) and not confirmed:
        del tree["confirmed"]
    return tree, tuple(notes)


def tidy_text(text: str) -> str:
    """Return free text on one line, with plain quotes and hyphens."""
    return " ".join(text.translate(_TYPOGRAPHY).split())


def _tidy_case_id(holder: Json) -> None:
    if isinstance(holder, dict) and isinstance(text := holder.get("case_id"), str):
        holder["case_id"] = normalise_case_id(text[:40]) or text


def structural_problems(tree: Json) -> tuple[Problem, ...]:
    """Return every breach of the schema, in the order of the schema, each once."""
    found: dict[Problem, None] = {}
    for error in _validator().iter_errors(tree):
        for problem in _translate(error):
            found.setdefault(problem)
    found.update(dict.fromkeys(_case_id_problems(tree)))
    order = {name: index for index, name in enumerate(_exact_schema()["properties"])}
    problems = _without_echoes(list(found))
    return tuple(sorted(problems, key=lambda problem: order.get(problem.group, len(order))))


def _translate(error: Any) -> Iterator[Problem]:
    """Turn one library error into ours.

    The path with indices, the keyword, and the name that is missing or extra.
    """
    steps = list(error.absolute_path)
    path = _path(steps)
    key = ".".join("[]" if isinstance(step, int) else str(step) for step in steps).replace(".[]", "[]")
    keyword: str = error.validator
    instance = error.instance
    if keyword == "additionalProperties":
        known = error.schema["properties"]
        for name in instance:
            if name == "comparator" and key in NEVER_COMPARED:
                yield Problem("E-COMPARATOR", path, COMPARATOR)
            elif name not in known:
                problem = word(key, keyword, _join(path, shown_name(name)), instance)
                likely = meant(name, known)
                yield replace(problem, hint=f"Did you mean {likely}?") if likely else problem
    elif keyword == "required":
        for name in error.validator_value:
            if name not in instance:
                yield word(_join(key, name), keyword, _join(path, name), instance)
    elif keyword == "dependentRequired":
        for holder, names in error.validator_value.items():
            for name in names:
                if holder in instance and name not in instance:
                    yield word(_join(key, name), keyword, _join(path, name), instance)
    elif keyword == "not":
        yield word(key, f"not:{'+'.join(error.validator_value['required'])}", path, instance)
    else:
        yield word(key, keyword, path, instance)


def _without_echoes(problems: list[Problem]) -> list[Problem]:
    """Drop what only repeats a graver problem of the same metric, so that one mistake gives one message."""
    missing = {problem.path for problem in problems if problem.code == "E-REQUIRED"}
    both = {problem.path for problem in problems if problem.code == "E-BOTH"}
    wrong = {problem.group for problem in problems if problem.code in {"E-UNIT", "E-NUMBER"}}
    # A value that is no object passes for one that has every member.
    bare = {problem.path for problem in problems if problem.code == "E-TYPE"}
    return [
        problem
        for problem in problems
        if not (problem.code in {"E-NO-VALUE", "E-TEXT"} and problem.path in missing | both)
        and not (problem.code == "E-REQUIRED" and f"{problem.path}.value" in missing)
        and not (problem.code == "E-RANGE" and problem.group in wrong)
        and not (problem.code != "E-TYPE" and problem.path in bare)
    ]


def _case_id_problems(tree: Json) -> Iterator[Problem]:
    """Check the check characters, which a pattern cannot."""
    if not isinstance(tree, dict):
        return
    holders: list[tuple[str, Json]] = [("", tree)]
    prior = tree.get("prior_imaging")
    if isinstance(prior, dict) and isinstance(studies := prior.get("studies"), list):
        holders += [(f"prior_imaging.studies[{index}]", study) for index, study in enumerate(studies)]
    for path, holder in holders:
        if isinstance(holder, dict) and isinstance(text := holder.get("case_id"), str) and not normalise_case_id(text):
            yield word("case_id", "check", _join(path, "case_id"), text)


def _path(steps: list[str | int]) -> str:
    path = ""
    for step in steps:
        path = f"{path}[{step}]" if isinstance(step, int) else _join(path, step)
    return path


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
