"""A profile: a recipe, what it claims, and which objects it sends. Found by name, or by a path."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bsti_submit.deid import dictionary
from bsti_submit.deid.iod import possible_types
from bsti_submit.deid.plan import Action, Plan, Rule
from bsti_submit.deid.recipe import Problem, Recipe, lint, read_recipe
from bsti_submit.deid.table import Option
from bsti_submit.errors import InputError
from bsti_submit.model import Allowed, AllowList, Form, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsti_submit.deid.descriptors import Descriptors

DEFAULT: Final = "bsti-default"
DATE_POLICIES: Final = ("modified", "removed")
METHOD: Final = "bsti-submit: {name} {version}"

_KEYS: Final[dict[str, type]] = {
    "name": str,
    "version": str,
    "title": str,
    "recipe": str,
    "options": list,
    "date_policy": str,
    "vocabulary": list,
    "patterns": list,
    "age_cap": int,
    "clinical_schema": str,
    "eligible": dict,
}
_REQUIRED: Final = tuple(_KEYS)

_STRUCTURED_REPORT: Final = "1.2.840.10008.5.1.4.1.1.88."
_KEY_OBJECT: Final = "1.2.840.10008.5.1.4.1.1.88.59"
_KINDS: Final = (
    ("1.2.840.10008.5.1.4.1.1.104.", Reason.ENCAPSULATED_DOCUMENT),
    ("1.2.840.10008.5.1.4.1.1.11.", Reason.PRESENTATION_STATE),
    ("1.2.840.10008.5.1.4.1.1.7", Reason.SECONDARY_CAPTURE),
    ("1.2.840.10008.5.1.4.1.1.66", Reason.RAW_DATA),
)


@dataclass(frozen=True)
class Profile:
    """The rules under which a case is de-identified.

    Attributes
    ----------
    recipe_sha256
        Over profile.toml, the recipe and the vocabulary: one changed byte is another profile.
    options
        The codes of CID 7050 that it claims.
    date_policy
        ``modified`` or ``removed``.
    eligible
        SOP class UID → its name in the profile.
    warnings
        What a bare recipe does not cover.
    """

    name: str
    version: str
    title: str
    recipe: Recipe = field(repr=False)
    recipe_sha256: str
    options: frozenset[str]
    date_policy: str
    vocabulary: tuple[Path, ...]
    patterns: tuple[str, ...]
    age_cap: int
    clinical_schema: str
    eligible: Mapping[str, str]
    folder: Path
    warnings: tuple[str, ...] = ()

    @cached_property
    def plan(self) -> Plan:
        """The compiled rules."""
        return Plan(self.recipe, self.options, self.date_policy)

    @cached_property
    def descriptors(self) -> Descriptors:
        """The cleaner of free text."""
        from bsti_submit.deid.descriptors import Descriptors, load_vocabulary  # noqa: PLC0415

        return Descriptors(load_vocabulary(self.vocabulary))

    @property
    def method_text(self) -> str:
        """What De-identification Method (0012,0063) says, at most 64 characters."""
        return METHOD.format(name=self.name, version=self.version)[:64]

    def sop_class_kind(self, sop_class_uid: str) -> Reason | None:
        """Return why objects of a class are left out; None if they are sent."""
        if sop_class_uid in self.eligible:
            return None
        if sop_class_uid == _KEY_OBJECT:
            return Reason.KEY_OBJECT
        if sop_class_uid.startswith(_STRUCTURED_REPORT):
            return Reason.STRUCTURED_REPORT
        for prefix, reason in _KINDS:
            if sop_class_uid == prefix.rstrip(".") or sop_class_uid.startswith(prefix.rstrip(".") + "."):
                return reason
        return Reason.OTHER_OBJECT

    def allow_list(self) -> AllowList:
        """Return what may leave under this profile, in which forms, for the final check and the registry."""
        return self._allow_list

    @cached_property
    def _allow_list(self) -> AllowList:
        plan = self.plan
        elements: dict[int, Allowed] = {}
        for tag in dictionary.tags():
            forms: set[Form] = set()
            literals: set[str] = set()
            for vr in dictionary.vrs_of(tag):
                for kind in possible_types(tag):
                    named = plan.named((), tag, vr, None)
                    rules = [plan.default(tag, vr, kind) if named is None else plan.compiled(named, tag, vr, kind)]
                    for rule in rules:
                        forms |= _forms(rule, tag, vr)
                        if rule.action is Action.LITERAL:
                            literals.add(rule.value)
            if forms:
                elements[tag] = Allowed(frozenset(forms), frozenset(literals))
        for tag, _, literal in plan.additions:
            elements[tag] = Allowed(frozenset({Form.LITERAL}), frozenset({literal}))
        elements |= self._written()
        return AllowList(self.name, self.version, self.recipe_sha256, elements)

    def _written(self) -> dict[int, Allowed]:
        """Return what the engine itself writes."""

        def literal(*values: str) -> Allowed:
            return Allowed(frozenset({Form.LITERAL}), frozenset(values))

        keep = Allowed(frozenset({Form.KEEP}))
        return {
            **dict.fromkeys((0x00020000, 0x00020001, 0x00020002, 0x00020010, 0x00020012, 0x00020013), keep),
            0x00020003: Allowed(frozenset({Form.UID})),
            0x00080005: literal("ISO_IR 192"),
            0x00080100: Allowed(frozenset({Form.KEEP, Form.TEXT, Form.EMPTY})),
            0x00080102: Allowed(frozenset({Form.KEEP, Form.TEXT, Form.EMPTY})),
            0x00080104: Allowed(frozenset({Form.KEEP, Form.TEXT, Form.EMPTY})),
            0x00120062: literal("YES"),
            0x00120063: literal(self.method_text),
            0x00120064: Allowed(frozenset({Form.SEQUENCE})),
            0x00280301: literal("NO"),
            0x00280303: literal("MODIFIED" if self.date_policy == "modified" else "REMOVED"),
            0x7FE00010: Allowed(frozenset({Form.PIXELS})),
        }

    def describe(self) -> str:
        """Return the profile in plain English, for an information-governance officer."""
        from bsti_submit.deid.describe import describe  # noqa: PLC0415

        return describe(self)


_FORM_OF: Final[dict[Action, tuple[Form, ...]]] = {
    Action.EMPTY: (Form.EMPTY,),
    Action.UID: (Form.UID, Form.EMPTY),
    Action.SHIFT_DATE: (Form.DATE, Form.EMPTY),
    Action.DUMMY: (Form.DUMMY,),
    Action.CLEAN_TEXT: (Form.TEXT, Form.EMPTY),
    Action.PSEUDONYM: (Form.PSEUDONYM,),
    Action.LITERAL: (Form.LITERAL,),
    Action.REMOVE: (),
}


def _forms(rule: Rule, tag: int, vr: str) -> set[Form]:
    if rule.action is not Action.KEEP:
        forms = set(_FORM_OF[rule.action])
        return {Form.SEQUENCE} if vr == "SQ" and forms else forms
    if vr == "SQ":
        return {Form.SEQUENCE}
    if vr in dictionary.BINARY_VRS and tag >> 16 == 0x7FE0:  # noqa: PLR2004
        return set()
    if vr in dictionary.DATE_VRS:
        return {Form.DATE, Form.EMPTY}
    return {Form.KEEP, Form.EMPTY}


def export_allow_list(profile: Profile) -> dict[str, object]:
    """Return the allow-list as plain data, as the registry reads it."""
    allow_list = profile.allow_list()
    return {
        "profile": allow_list.profile,
        "version": allow_list.version,
        "recipe_sha256": allow_list.recipe_sha256,
        "elements": {
            f"{tag:08X}": sorted(str(form) for form in allowed.forms)
            for tag, allowed in sorted(allow_list.elements.items())
        },
    }


def profiles_folder() -> Path:
    """Return where the shipped profiles are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_profiles"
    return shipped if shipped.is_dir() else package.parent / "profiles"


def profile_names() -> tuple[str, ...]:
    """Return the names of the shipped profiles."""
    folder = profiles_folder()
    return tuple(sorted(path.parent.name for path in folder.glob("*/profile.toml")))


def load_profile(name_or_path: str) -> Profile:
    """Load a profile by its name, or from a folder, a profile.toml, or a bare deid recipe.

    Raises
    ------
    InputError
        If there is none, or it has mistakes; with every problem, one a line.
    """
    named = profiles_folder() / name_or_path
    if name_or_path in profile_names():
        return _read(named / "profile.toml")
    path = Path(name_or_path)
    if path.is_dir() and (path / "profile.toml").is_file():
        return _read(path / "profile.toml")
    if path.is_file():
        return _read(path) if path.suffix == ".toml" else _bare(path)
    raise InputError(
        "There is no profile of that name, and no file or folder there.",
        hint=f"The profiles are: {', '.join(profile_names())}.",
    )


def lint_profile(name_or_path: str) -> tuple[Problem, ...]:
    """Return everything that is wrong with a profile or recipe."""
    path = Path(name_or_path)
    if name_or_path in profile_names():
        path = profiles_folder() / name_or_path
    if path.is_dir():
        path = path / "profile.toml"
    if path.suffix != ".toml":
        return lint(path)
    problems, settings = _settings(path)
    recipe = settings.get("recipe")
    if isinstance(recipe, str):
        problems += lint(path.parent / recipe)
    return problems


def _settings(path: Path) -> tuple[tuple[Problem, ...], dict[str, object]]:
    try:
        settings = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return (Problem(path.name, 0, "the profile is missing or cannot be read"),), {}
    except tomllib.TOMLDecodeError:
        return (Problem(path.name, 0, "the profile is not valid TOML"),), {}
    wrong = [f"{key} is not a setting of a profile" for key in settings if key not in _KEYS]
    wrong += [f"{key} is missing" for key in _REQUIRED if key not in settings]
    wrong += [f"{key} has the wrong type" for key, kind in _KEYS.items() if key in settings and type(settings[key]) is not kind]
    if not wrong:
        known = {str(option) for option in Option}
        wrong += [f"option {code} is not in CID 7050" for code in settings["options"] if code not in known]
        if settings["date_policy"] not in DATE_POLICIES:
            wrong.append("date_policy must be modified or removed")
        claims_shift = str(Option.RETAIN_MODIFIED_DATES) in settings["options"]
        if claims_shift != (settings["date_policy"] == "modified"):
            wrong.append("option 113107 and date_policy must agree")
        if str(Option.RETAIN_FULL_DATES) in settings["options"]:
            wrong.append("option 113106 (full dates) is never allowed")
        wrong += [f"vocabulary {name} is not there" for name in settings["vocabulary"] if not (path.parent / name).is_file()]
        if not settings["eligible"]:
            wrong.append("eligible names no SOP class")
    return tuple(Problem(path.name, 0, text) for text in wrong), settings


def _read(path: Path) -> Profile:
    problems, settings = _settings(path)
    if problems:
        raise InputError(
            "The profile has mistakes, so it runs nowhere.", details=tuple(str(problem) for problem in problems)
        )
    folder = path.parent
    recipe_path = folder / str(settings["recipe"])
    recipe = read_recipe(recipe_path)
    vocabulary = tuple(folder / str(name) for name in _list(settings["vocabulary"]))
    eligible = settings["eligible"]
    return Profile(
        name=str(settings["name"]),
        version=str(settings["version"]),
        title=str(settings["title"]),
        recipe=recipe,
        recipe_sha256=_digest(path, recipe_path, *vocabulary),
        options=frozenset(str(code) for code in _list(settings["options"])),
        date_policy=str(settings["date_policy"]),
        vocabulary=vocabulary,
        patterns=tuple(str(name) for name in _list(settings["patterns"])),
        age_cap=int(str(settings["age_cap"])),
        clinical_schema=str(settings["clinical_schema"]),
        eligible={str(uid): str(name) for name, uid in eligible.items()} if isinstance(eligible, dict) else {},
        folder=folder,
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _bare(path: Path) -> Profile:
    """Return a profile around a bare recipe: default-deny, and nothing claimed."""
    recipe = read_recipe(path)
    base = _read(profiles_folder() / DEFAULT / "profile.toml")
    named = {rule.field for rule in recipe.rules}
    unnamed = sum(rule.field not in named for rule in base.recipe.rules)
    return Profile(
        name="recipe",
        version="0",
        title="A recipe of this site, without a profile",
        recipe=recipe,
        recipe_sha256=_digest(path, *base.vocabulary),
        options=frozenset(),
        date_policy="removed",
        vocabulary=base.vocabulary,
        patterns=base.patterns,
        age_cap=base.age_cap,
        clinical_schema=base.clinical_schema,
        eligible=base.eligible,
        folder=path.parent,
        warnings=(
            "A bare recipe claims no profile of PS3.15. What it does not name is handled as the Basic Profile says.",
            f"It does not name {unnamed} of the attributes that {DEFAULT} names.",
        ),
    )


def _digest(*paths: Path) -> str:
    """Return the SHA-256 over several text files, whatever their line ends."""
    digest = hashlib.sha256()
    for path in paths:
        text = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()
