"""Finds and reads profiles: by the name of a shipped one, a folder, a profile.toml, or a bare deid recipe.

Strict as the recipe reader is: an unknown setting, a missing vocabulary, a claim that the recipe does not
keep are problems, all told at once, and such a profile runs nowhere.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsti_submit.deid import claims
from bsti_submit.deid.descriptors import useless_entries
from bsti_submit.deid.dictionary import DATE_VRS, vrs_of
from bsti_submit.deid.plan import Action, DatePolicy, Plan
from bsti_submit.deid.profile_type import Profile
from bsti_submit.deid.recipe import Problem, Recipe, compose_problems, examine
from bsti_submit.deid.table import Option, rows
from bsti_submit.errors import InputError
from bsti_submit.identifiers import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT = "bsti-default"
FILE = "profile.toml"

_KEYS: dict[str, type] = {
    "name": str,
    "version": str,
    "title": str,
    "extends": str,
    "recipe": str,
    "options": list,
    "date_policy": str,
    "vocabulary": list,
    "patterns": list,
    "age_cap": int,
    "clinical_schema": str,
    "eligible": dict,
    "retained_creators": list,
}
_OWN = ("name", "version", "title", "recipe")
"""What a profile must say itself, even if it extends another."""
_OPTIONAL = ("extends", "retained_creators")
_STANDARD = "1.2.840.10008."
_LARGEST_AGE_CAP = 89
"""Ages of 90 and over are told as 90+ whatever a profile says."""


def profiles_folder() -> Path:
    """Return where the shipped profiles are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_profiles"
    return shipped if shipped.is_dir() else package.parent / "profiles"


def profile_names() -> tuple[str, ...]:
    """Return the names of the shipped profiles."""
    return tuple(sorted(path.parent.name for path in profiles_folder().glob(f"*/{FILE}")))


def load_profile(name_or_path: str) -> Profile:
    """Load a profile by its name, or from a folder, a profile.toml, or a bare deid recipe.

    Raises
    ------
    InputError
        If there is none, or it has any problem; ``details`` holds all of them, one a line.
    """
    path = _find(name_or_path)
    if path is None:
        raise InputError(
            "there is no profile of that name, and no file or folder there",
            hint=f"the profiles are {', '.join(profile_names())}; a path works too",
        )
    profile, problems = _examine(path)
    if profile is None or problems:
        count = len(problems)
        raise InputError(
            f"the profile has {count} problem{'' if count == 1 else 's'}, so it runs nowhere",
            hint="bsti-submit profile lint shows them again; docs/recipes.md explains the language",
            details=tuple(map(str, problems)),
        )
    return profile


def lint_profile(name_or_path: str) -> tuple[Problem, ...]:
    """Return everything that is wrong with a profile or a bare recipe, its claims included."""
    path = _find(name_or_path)
    if path is None:
        return (Problem("the profile", 0, "there is nothing of that name, and no file or folder there"),)
    return _examine(path)[1]


def _find(name_or_path: str) -> Path | None:
    if name_or_path in profile_names():
        return profiles_folder() / name_or_path / FILE
    path = Path(name_or_path)
    if path.is_dir():
        path = path / FILE
    return path if path.is_file() else None


@dataclass(slots=True)
class _Parts:
    """What a profile.toml and those it extends come to."""

    settings: dict[str, Any] = field(default_factory=dict)
    recipes: list[Recipe] = field(default_factory=list)
    vocabulary: list[Path] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def _examine(path: Path) -> tuple[Profile | None, tuple[Problem, ...]]:
    bare = path.suffix != ".toml"
    parts = _bare_parts(path) if bare else _parts(path)
    if parts.problems:
        return None, tuple(parts.problems)
    plan = Plan([recipe.actions for recipe in parts.recipes], DatePolicy(parts.settings["date_policy"]))
    if bare:
        parts.settings["options"] = sorted(true_claims(plan))
    else:
        parts.problems += claims.false_claims(plan, parts.settings["options"], path.name)
        parts.problems += _untrue_settings(plan, parts.settings, path.name)
    if parts.problems:
        return None, tuple(parts.problems)
    return _profile(path, parts, _warnings(plan) if bare else ()), ()


def _profile(path: Path, parts: _Parts, warnings: tuple[str, ...]) -> Profile:
    said = parts.settings
    return Profile(
        name=said["name"],
        version=said["version"],
        title=said["title"],
        recipes=tuple(parts.recipes),
        recipe_sha256=_digest([*parts.texts, *(each.read_bytes() for each in parts.vocabulary)]),
        options=frozenset(said["options"]),
        date_policy=said["date_policy"],
        vocabulary=tuple(parts.vocabulary),
        patterns=tuple(said["patterns"]),
        age_cap=said["age_cap"],
        clinical_schema=said["clinical_schema"],
        eligible={uid: name for name, uid in said["eligible"].items()},
        folder=path.parent,
        retained_creators=tuple(said.get("retained_creators", ())),
        extends=said.get("extends", ""),
        warnings=warnings,
    )


def _digest(texts: Iterable[bytes]) -> str:
    """Return the SHA-256 over several text files, whatever their line ends."""
    digest = hashlib.sha256()
    for raw in texts:
        text = raw.replace(b"\r\n", b"\n")
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()


def _parts(path: Path) -> _Parts:
    """Read a profile.toml, its recipe and its vocabulary, and a shipped profile that it extends."""
    parts = _Parts()
    try:
        raw = path.read_bytes()
        said = tomllib.loads(raw.decode("utf-8"))
    except (OSError, UnicodeDecodeError):
        parts.problems.append(Problem(path.name, 0, "the profile cannot be read as UTF-8 text"))
        return parts
    except tomllib.TOMLDecodeError as error:
        line = getattr(error, "lineno", 0) or 0
        parts.problems.append(Problem(path.name, line, "the profile is not valid TOML"))
        return parts
    base = _Parts()
    extends = said.get("extends")
    if extends is not None:
        if extends in profile_names():
            base = _parts(profiles_folder() / extends / FILE)
        else:
            parts.problems.append(
                Problem(path.name, 0, f"extends must name a shipped profile: {', '.join(profile_names())}")
            )
    parts.problems += [Problem(path.name, 0, text) for text in _wrong(said, extended=bool(base.settings))]
    parts.problems += base.problems
    parts.settings = {**base.settings, **said}
    if parts.problems:
        return parts
    recipe_path = path.parent / said["recipe"]
    recipe, problems = examine(recipe_path)
    parts.problems += problems
    for lower in base.recipes:
        parts.problems += compose_problems(recipe, lower)
    parts.recipes = [recipe, *base.recipes]
    parts.texts = [raw, recipe.text.encode(), *base.texts]
    own = [path.parent / name for name in said.get("vocabulary", ())]
    parts.problems += [problem for each in own for problem in _vocabulary_problems(each, path.name)]
    parts.vocabulary = [*base.vocabulary, *own]
    return parts


def _vocabulary_problems(vocabulary: Path, file: str) -> Iterable[Problem]:
    if not vocabulary.is_file():
        yield Problem(file, 0, f"vocabulary {vocabulary.name} is not there")
        return
    try:
        for line, suggestion in useless_entries(vocabulary):
            said = "an entry is one word in lower case without accents, or two; as it stands no text can match it"
            yield Problem(vocabulary.name, line, said, suggestion)
    except (OSError, UnicodeDecodeError):
        yield Problem(file, 0, f"vocabulary {vocabulary.name} cannot be read as UTF-8 text")


def _wrong(said: Mapping[str, Any], *, extended: bool) -> Iterable[str]:
    for key in said:
        if key not in _KEYS:
            yield f"{key} is not a setting of a profile" + _near(key, _KEYS)
    required = _OWN if extended else [key for key in _KEYS if key not in _OPTIONAL]
    yield from (f"{key} is missing" for key in required if key not in said)
    wrong = [key for key, kind in _KEYS.items() if key in said and type(said[key]) is not kind]
    yield from (f"{key} must be a {_words(_KEYS[key])}" for key in wrong)
    if not wrong:
        yield from _unknown_values(said)


def _words(kind: type) -> str:
    return {str: "text", list: "list of texts", int: "whole number", dict: "table of names and UIDs"}[kind]


def _unknown_values(said: Mapping[str, Any]) -> Iterable[str]:
    for key in ("options", "vocabulary", "patterns", "retained_creators"):
        if not all(isinstance(each, str) for each in said.get(key, ())):
            yield f"{key} must be a list of texts"
            return
    for code in said.get("options", ()):
        if code not in {str(option) for option in Option}:
            yield f"option {code} is not in CID 7050"
    if Option.RETAIN_FULL_DATES in said.get("options", ()):
        yield "option 113106 (full dates) is never allowed: a true date and an age can find a patient"
    if Option.CLEAN_PIXEL_DATA in said.get("options", ()):
        yield "option 113101 is claimed by itself, on instances that were examined; leave it out"
    if said.get("date_policy", "modified") not in {DatePolicy.MODIFIED, DatePolicy.REMOVED}:
        yield "date_policy must be modified or removed"
    schema = said.get("clinical_schema")
    if (
        schema is not None
        and not (resources.files("bsti_submit") / "schemas" / f"clinical-{schema}.schema.json").is_file()
    ):
        yield "clinical_schema is not a version of the clinical record that this program knows"
    for name in said.get("patterns", ()):
        if name not in PATTERNS:
            yield f"{name} is not a pattern that can be looked for" + _near(name, PATTERNS)
    yield from _out_of_range(said)


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}" if near else ""


def _out_of_range(said: Mapping[str, Any]) -> Iterable[str]:
    if not 0 <= said.get("age_cap", 0) <= _LARGEST_AGE_CAP:
        yield f"age_cap must be from 0 to {_LARGEST_AGE_CAP}"
    eligible = said.get("eligible", {"": _STANDARD})
    if not eligible or not all(isinstance(uid, str) and uid.startswith(_STANDARD) for uid in eligible.values()):
        yield "eligible must name at least one SOP class of the standard, as name = UID"
    name = said.get("name", "name")
    if not name.isascii() or not name.replace("-", "").isalnum():
        yield "name must be ASCII letters, digits and hyphens"


def _untrue_settings(plan: Plan, said: Mapping[str, Any], file: str) -> Iterable[Problem]:
    """Yield where options, dates and private creators do not agree with the recipe."""
    modified = said["date_policy"] == DatePolicy.MODIFIED
    if modified != (Option.RETAIN_MODIFIED_DATES in said["options"]):
        yield Problem(file, 0, "option 113107 is claimed if and only if date_policy is modified")
    kept = {creator for _group, creator, _offset in plan.creators()}
    listed = set(said.get("retained_creators", ()))
    for creator in sorted(kept - listed):
        yield Problem(file, 0, f"the recipe keeps elements of {creator}, which retained_creators does not list")
    for creator in sorted(listed - kept):
        yield Problem(file, 0, f"retained_creators lists {creator}, of whom the recipe keeps nothing")
    if (Option.RETAIN_SAFE_PRIVATE in said["options"]) != bool(listed):
        yield Problem(file, 0, "option 113111 is claimed if and only if retained_creators lists some")
    temporal = [value for tag, _vr, value in plan.additions if tag == 0x00280303]
    if temporal and temporal != [said["date_policy"].upper()]:
        yield Problem(file, 0, "the recipe adds a LongitudinalTemporalInformationModified that is not true")


def _bare_parts(path: Path) -> _Parts:
    """Return a bare recipe as a profile: all but the recipe and its claims as in the default one."""
    recipe, problems = examine(path)
    parts = _parts(profiles_folder() / DEFAULT / FILE)
    parts.recipes, parts.problems = [recipe], [*parts.problems, *problems]
    parts.texts = [recipe.text.encode()]
    if parts.problems:
        return parts  # such a recipe has no plan that could be asked
    parts.settings |= {
        "name": f"recipe-{recipe.sha256[:8]}",  # a file's name may name a site or a person
        "version": "0",
        "title": "A recipe of this site without a profile",
        "date_policy": _dates_of(Plan([recipe.actions], DatePolicy.REMOVED)).value,
    }
    return parts


def _dates_of(plan: Plan) -> DatePolicy:
    """Return what a recipe does with the dates of the table, by the worst of them."""
    named = [row.tag for row in rows() if row.tag is not None and Option.RETAIN_MODIFIED_DATES in row.options]
    done = {plan.for_sop_class("").rule((), tag, vr).action for tag in named for vr in vrs_of(tag) if vr in DATE_VRS}
    if Action.KEEP in done:
        return DatePolicy.KEPT
    return DatePolicy.MODIFIED if Action.SHIFT_DATE in done else DatePolicy.REMOVED


def true_claims(plan: Plan) -> frozenset[str]:
    """Return the fewest options of the basic profile that a plan keeps to; none if it keeps to none."""
    optional = (Option.CLEAN_DESCRIPTORS, Option.RETAIN_MODIFIED_DATES)
    for extra in ((), optional[:1], optional[1:], optional):
        tried = frozenset(map(str, (Option.BASIC, *extra)))
        if next(iter(claims.false_claims(plan, tried, "")), None) is None:
            return tried
    return frozenset()


def _warnings(plan: Plan) -> tuple[str, ...]:
    named = sum(1 for row in rows() if row.tag is not None and plan.names(row.tag))
    claimed = " and ".join(sorted(true_claims(plan)))
    claim = claimed or "no profile of PS3.15, because it keeps too much"
    return (
        (
            f"The recipe names {named} of the {len(rows())} rows of Table E.1-1. The others are handled as "
            "the Basic Profile says; what is in neither the table nor the standard's dictionary is removed."
        ),
        f"It claims {claim}.",
        (
            "Vocabulary, kinds of objects and age cap are those of the default profile. Boxes under %filter "
            "are blanked in every image that their LABEL means; a LABEL without boxes judges no picture."
        ),
    )
