"""A recipe in deid's language, read strictly: every line is understood, or the recipe runs nowhere.

deid drops what it does not know: a misspelt keyword, an action in the wrong case, a comment behind a value. The
identifier then stays and nothing is said. Here each is a `Problem` with its line and the nearest right spelling, and all
are told at once. What deid itself parses from the text must then equal what we read.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import logging
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from bsti_submit.deid import dictionary
from bsti_submit.deid.fields import (
    AllFields,
    ExactField,
    Field,
    FieldError,
    PatternField,
    PrivateField,
    can_match,
    parse_field,
)
from bsti_submit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

ACTIONS: Final = ("ADD", "BLANK", "JITTER", "KEEP", "REMOVE", "REPLACE")
SECTIONS: Final = ("header", "fields", "filter", "labels", "values")
FUNCTIONS: Final = ("clean_text", "dummy", "ps315", "pseudonym", "shift_date", "uid")
"""What ``func:`` can name. See docs/recipes.md."""
DEID_FUNCTIONS: Final = {
    "basic_uuid": "uid",
    "dicom_uuid": "uid",
    "pydicom_uuid": "uid",
    "suffix_uuid": "uid",
    "jitter": "shift_date",
}
"""deid's own function → ours, which is keyed where deid's is not."""
MAX_BYTES: Final = 4 << 20
_SHIFTABLE: Final = frozenset(("DA", "DT"))
_NUMERIC: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_CRITERIA: Final = ("contains", "empty", "equals", "missing", "notcontains", "notequals", "present")
_COORDINATES: Final = ("coordinates", "ctpcoordinates", "ctpkeepcoordinates", "keepcoordinates")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a recipe or profile, and the nearest right spelling if there is one."""

    file: str
    line: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        better = f" Did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.file}, line {self.line}: {self.message}.{better}"


@dataclass(frozen=True, slots=True)
class RecipeRule:
    """One action line. ``function`` is ours, ``literal`` a text to write, ``days`` a literal shift."""

    line: int
    action: str
    field: Field
    text: str
    literal: str = ""
    function: str = ""
    days: int | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe that has no problems."""

    rules: tuple[RecipeRule, ...]
    filters: tuple[str, ...]
    sha256: str


def lint(path: Path) -> tuple[Problem, ...]:
    """Return everything that is wrong with a recipe file; nothing if it may run."""
    try:
        raw = path.read_bytes()
    except OSError:
        return (Problem(path.name, 0, "the recipe file is missing or cannot be read"),)
    reader = _Reader(path.name, raw)
    reader.read()
    if not reader.problems and not _was_linted(raw):
        reader.compare_with_deid(path)
    return tuple(sorted(reader.problems, key=lambda problem: problem.line))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    InputError
        With every problem, one a line.
    """
    problems = lint(path)
    if problems:
        raise InputError(
            "The recipe has mistakes, so it runs nowhere.",
            details=tuple(str(problem) for problem in problems),
            hint="See docs/recipes.md.",
        )
    raw = path.read_bytes()
    reader = _Reader(path.name, raw)
    reader.read()
    return Recipe(tuple(reader.rules), tuple(reader.filters), hashlib.sha256(raw).hexdigest())


def _was_linted(raw: bytes) -> bool:
    """Whether this very text has been held against deid already: importing deid takes most of a second."""
    listed = (files("bsti_submit.deid") / "data" / "linted-recipes.txt").read_text("ascii").split()
    return hashlib.sha256(raw).hexdigest() in listed


class _Reader:
    def __init__(self, name: str, raw: bytes) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.rules: list[RecipeRule] = []
        self.filters: list[str] = []
        self._lists: dict[str, tuple[Field, ...]] = {}
        self._section = ""
        self._list = ""
        self._line = 0
        self._format = False
        self._raw_rules: list[tuple[str, str, str]] = []
        try:
            self._text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            self._text = ""
            self._wrong("the recipe is not UTF-8 text")
        if len(raw) > MAX_BYTES:
            self._text = ""
            self._wrong("the recipe is too large to be one")

    def _wrong(self, message: str, suggestion: str = "") -> None:
        self.problems.append(Problem(self.name, self._line, message, suggestion))

    def read(self) -> None:
        """Read every line and collect rules and problems."""
        for number, whole in enumerate(self._text.splitlines(), 1):
            self._line = number
            line = whole.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("%"):
                self._open(line[1:])
            elif line.upper().startswith("FORMAT"):
                self._read_format(line)
            elif self._section == "header":
                self._rule(line)
            elif self._section == "fields":
                self._field_list(line)
            elif self._section == "filter":
                self._filter_line(line)
            elif self._section:
                self._wrong(f"nothing under %{self._section} is ever read, so this line would do nothing")
            else:
                self._wrong("this line stands before any section", "%header")
        self._line = 0
        if not self._format:
            self._wrong("the line FORMAT dicom is missing", "FORMAT dicom")
        if not self.rules and not self.problems:
            self._wrong("there is no rule under %header")
        self._contradictions()

    def _read_format(self, line: str) -> None:
        if line == "FORMAT dicom":
            self._format = True
        else:
            self._wrong("the format must be exactly this", "FORMAT dicom")

    def _open(self, rest: str) -> None:
        name, _, label = rest.strip().partition(" ")
        label = label.strip()
        if name not in SECTIONS:
            near = difflib.get_close_matches(name.lower(), SECTIONS, n=1, cutoff=0.5)
            self._wrong(f"%{name} is not a section", f"%{near[0]}" if near else "")
            self._section = "unknown"
            return
        self._section = name
        if name == "values":
            self._wrong("%values lists are not supported: deid reads the values as regular expressions")
        if name == "fields":
            self._list = label
            if not label or label in self._lists:
                self._wrong("a %fields section needs a name of its own")
            self._lists.setdefault(label, ())
        if name == "filter":
            if not label:
                self._wrong("a %filter section needs a name")
            elif label in self.filters:
                self._wrong(f"%filter {label} stands twice, and deid would drop the first")
            self.filters.append(label)

    def _field_list(self, line: str) -> None:
        action, _, field = line.partition(" ")
        if action != "FIELD":
            self._wrong(f"{action} is not known under %fields", "FIELD")
            return
        try:
            self._lists[self._list] = (*self._lists[self._list], parse_field(field.strip(), self._lists))
        except FieldError as error:
            self._wrong(error.message, error.suggestion)

    def _filter_line(self, line: str) -> None:
        word = re.split(r"[ |+]+", line.lstrip("|+ "), maxsplit=1)[0]
        if word == "LABEL" or word in _CRITERIA or word in _COORDINATES:
            if line.startswith("||"):
                self._wrong("deid joins a line that starts with || by AND; put the || inside one line")
            return
        if word.upper() in ACTIONS:
            self._wrong(f"{word} stands under %filter, where no action is carried out", "%header")
            return
        near = difflib.get_close_matches(word, ("LABEL", *_CRITERIA, *_COORDINATES), n=1, cutoff=0.5)
        if word.lower() in _COORDINATES:
            near = [word.lower()]
        self._wrong(f"{word} is not known under %filter, and the rule would become wider", near[0] if near else "")

    def _rule(self, line: str) -> None:
        action, _, rest = line.partition(" ")
        if action not in ACTIONS:
            near = action.upper() if action.upper() in ACTIONS else ""
            near = near or next(iter(difflib.get_close_matches(action.upper(), ACTIONS, n=1, cutoff=0.5)), "")
            self._wrong(f"{action} is not an action, and deid would skip the line", near)
            return
        text, value = _split_field(rest.strip())
        if "#" in value or (text and "#" in text):
            self._wrong("a comment behind a rule becomes part of its value; put it on a line of its own")
            return
        if not text:
            self._wrong(f"{action} names no field")
            return
        try:
            field = parse_field(text, self._lists)
        except FieldError as error:
            self._wrong(error.message, error.suggestion)
            return
        if not can_match(field):
            self._wrong(f"{text} can never match anything")
            return
        found = self._checked(action, field, text, value)
        if found is not None:
            self.rules.append(found)
            self._raw_rules.append((action, text, value))

    def _checked(self, action: str, field: Field, text: str, value: str) -> RecipeRule | None:
        vrs = dictionary.vrs_of(field.tag) if isinstance(field, ExactField) else ()
        if action in {"KEEP", "BLANK", "REMOVE"}:
            if value:
                self._wrong(f"{action} takes no value")
                return None
            return RecipeRule(self._line, action, field, text)
        if not value:
            self._wrong(f"{action} needs a value")
            return None
        if action == "ADD":
            return self._addition(field, text, value, vrs)
        if vrs == ("SQ",):
            self._wrong(f"{action} cannot write a sequence")
            return None
        kind, colon, name = value.partition(":")
        if action == "JITTER":
            return self._jitter(field, text, value, vrs)
        if colon and kind == "var":
            self._wrong("a variable has no value here, and deid would keep the original")
            return None
        if colon and kind in {"func", "deid_func"}:
            function = self._function(kind, name)
            return None if function is None else RecipeRule(self._line, action, field, text, function=function)
        if colon and kind.lower() in {"var", "func", "deid_func"}:
            self._wrong(f"{kind}: is written in lower case", f"{kind.lower()}:{name}")
            return None
        return self._literal(action, field, text, value, vrs)

    def _literal(
        self, action: str, field: Field, text: str, value: str, vrs: tuple[str, ...]
    ) -> RecipeRule | None:
        if vrs and set(vrs) <= dictionary.NUMBER_VRS and not _NUMERIC.fullmatch(value):
            self._wrong(f"{text} is a number, and deid would keep the original instead of this text")
            return None
        if vrs and set(vrs) <= (dictionary.NUMBER_VRS - {"DS", "IS"}) | dictionary.BINARY_VRS:
            self._wrong(f"{text} is stored in binary and cannot be written by a recipe")
            return None
        if not value.isascii():
            self._wrong("a literal must be plain ASCII")
            return None
        return RecipeRule(self._line, action, field, text, literal=value)

    def _addition(self, field: Field, text: str, value: str, vrs: tuple[str, ...]) -> RecipeRule | None:
        if not isinstance(field, ExactField) or field.path is not None:
            self._wrong("ADD needs the keyword or tag of one attribute")
            return None
        if "SQ" in vrs:
            self._wrong("ADD cannot write a sequence")
            return None
        if value.partition(":")[0] in {"var", "func", "deid_func"}:
            self._wrong("ADD takes a literal text only")
            return None
        return self._literal("ADD", field, text, value, vrs)

    def _jitter(self, field: Field, text: str, value: str, vrs: tuple[str, ...]) -> RecipeRule | None:
        if vrs and not set(vrs) & _SHIFTABLE:
            self._wrong(f"{text} is neither a date nor a date-time, so deid would keep the original")
            return None
        kind, colon, name = value.partition(":")
        if colon and kind in {"func", "deid_func"}:
            function = self._function(kind, name)
            if function not in {None, "shift_date"}:
                self._wrong("JITTER takes a number of days or func:shift_date")
                return None
            return None if function is None else RecipeRule(self._line, "JITTER", field, text, function=function)
        if not re.fullmatch(r"[+-]?\d{1,5}", value):
            self._wrong("JITTER needs a whole number of days, and deid would keep the original", "func:shift_date")
            return None
        return RecipeRule(self._line, "JITTER", field, text, days=int(value))

    def _function(self, kind: str, name: str) -> str | None:
        word = name.split(" ", 1)[0]
        if kind == "func" and word in FUNCTIONS and word == name:
            return word
        if kind == "deid_func" and word in DEID_FUNCTIONS:
            return DEID_FUNCTIONS[word]
        near = difflib.get_close_matches(word, FUNCTIONS if kind == "func" else DEID_FUNCTIONS, n=1, cutoff=0.4)
        self._wrong(f"{kind}:{name} is not a function", f"{kind}:{near[0]}" if near else "")
        return None

    def _contradictions(self) -> None:
        by_field: dict[Field, list[RecipeRule]] = {}
        for rule in self.rules:
            if isinstance(rule.field, ExactField | PrivateField | AllFields | PatternField):
                by_field.setdefault(rule.field, []).append(rule)
        for rules in by_field.values():
            actions = [rule.action for rule in rules]
            if len(rules) > 1 and not isinstance(rules[0].field, PatternField):
                self._line = rules[-1].line
                if len(set(actions)) > 1:
                    listed = " and ".join(dict.fromkeys(actions))
                    self._wrong(f"{rules[0].text} has {listed}, and only one of them would hold")
                else:
                    self._wrong(f"{rules[0].text} has the same action twice")

    def compare_with_deid(self, path: Path) -> None:
        """Hold what we read against what deid parses from the same file."""
        try:
            parsed = _parse_by_deid(path)
        except (Exception, SystemExit):  # noqa: BLE001 - deid exits from inside
            self._line = 0
            self._wrong("deid itself cannot read this recipe")
            return
        ours = [(action, text.replace(" ", ""), value) for action, text, value in self._raw_rules]
        if [(a, t.replace(" ", ""), v) for a, t, v in parsed] != ours:
            self._line = 0
            self._wrong("deid reads other rules from this recipe than we do")


def _parse_by_deid(path: Path) -> list[tuple[str, str, str]]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from deid.config.utils import load_deid  # noqa: PLC0415
        from deid.logger import bot  # noqa: PLC0415

        bot.level = -5
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        config = load_deid(str(path))
    return [
        (str(entry["action"]), str(entry["field"]), str(entry.get("value") or ""))
        for entry in (config or {}).get("header", [])
    ]


def _split_field(rest: str) -> tuple[str, str]:
    """Split a rule into its field and its value. A private creator in quotes may hold spaces."""
    quoted = re.match(r'(\(?[0-9A-Fa-f]{4},"[^"]*",[0-9A-Fa-f]{2}\)?)(?:\s+(.*))?$', rest)
    if quoted:
        return quoted[1], (quoted[2] or "").strip()
    spaced = re.match(r"(\((?:0x)?[0-9A-Fa-f]{4}\s*,\s*(?:0x)?[0-9A-Fa-f]{4}\))(?:\s+(.*))?$", rest)
    if spaced:
        return spaced[1], (spaced[2] or "").strip()
    field, _, value = rest.partition(" ")
    return field, value.strip()
