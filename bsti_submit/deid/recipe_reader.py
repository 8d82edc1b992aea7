"""Turns the text of a recipe into lines with a meaning, or into every problem it has.

deid drops what it does not understand, and most of what it drops would have removed an identifier. So each
line is read here first, strictly, and nothing is skipped.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from enum import StrEnum

from bsti_submit.deid import recipe_filters as filters
from bsti_submit.deid.fields import Field, FieldError, parse_field

FUNCTIONS = ("uid", "shift_date", "dummy", "clean_text", "clean_code", "pseudonym", "ps315")
"""What a recipe calls as ``func:NAME``."""

DEID_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "jitter": ("days", "years"),
    "pydicom_uuid": ("stable_remapping",),
    "dicom_uuid": (),
    "suffix_uuid": (),
    "basic_uuid": (),
}
"""deid's own functions by ``deid_func:NAME``, with the parameters that we honour."""

_SYNONYMS = {
    "DELETE": "REMOVE",
    "DROP": "REMOVE",
    "EMPTY": "BLANK",
    "CLEAR": "BLANK",
    "RETAIN": "KEEP",
    "SET": "REPLACE",
    "SHIFT": "JITTER",
}

SECTIONS = ("header", "filter", "fields")

_TOKENS = re.compile(r"""(?:[^\s"']+|"(?:\\.|[^"])*"|'(?:\\.|[^'])*')+""")
_PREFIX = re.compile(r"(func|deid_func|var):", re.IGNORECASE)


class Verb(StrEnum):
    """The actions of ``%header``."""

    ADD = "ADD"
    BLANK = "BLANK"
    JITTER = "JITTER"
    KEEP = "KEEP"
    REMOVE = "REMOVE"
    REPLACE = "REPLACE"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line of a recipe or profile. Line 0 means the file as a whole."""

    file: str
    line: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        hint = f" Did you mean: {self.suggestion}" if self.suggestion else ""
        return f"{place}: {self.message}.{hint}"


@dataclass(frozen=True, slots=True)
class ActionLine:
    """One line of ``%header``. ``value`` is as written, spaces condensed; nothing where none is taken."""

    line: int
    verb: Verb
    text: str
    field: Field
    value: str = ""


@dataclass(slots=True)
class Reading:
    """What a recipe says, and what is wrong with it."""

    actions: list[ActionLine] = field(default_factory=list)
    labels: dict[str, list[filters.Label]] = field(default_factory=dict)
    lists: dict[str, tuple[Field, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_text(text: str, file: str) -> Reading:
    """Read a whole recipe; ``file`` is the name told in problems."""
    return _Reader(file).read(text)


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._out = Reading()
        self._line = 0
        self._format = False
        self._section = ""
        self._name = ""
        self._label: tuple[str, int, list[filters.Condition], list[filters.Box]] | None = None

    def _problem(self, message: str, suggestion: str = "", line: int | None = None) -> None:
        self._out.problems.append(Problem(self._file, self._line if line is None else line, message, suggestion))

    def read(self, text: str) -> Reading:
        if text.startswith("\ufeff"):
            self._problem("the file begins with a byte order mark, which deid takes for part of the first line", line=1)
        for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
            self._line = number
            line = raw.strip()
            if line and not line.startswith("#"):
                self._read_line(line)
        self._close_label()
        if not self._format:
            self._problem("the line FORMAT dicom is missing", "FORMAT dicom", line=1)
        if not self._out.actions and not self._out.problems:
            self._problem("there is no action in a %header section, so the recipe does nothing", line=0)
        return self._out

    def _read_line(self, line: str) -> None:
        if re.match("format", line, re.IGNORECASE):
            self._read_format(line)
        elif line.startswith("%"):
            self._read_section(line)
        elif not self._format and not self._section:
            self._problem("the first line must be FORMAT dicom", "FORMAT dicom")
            self._format = True
        elif self._section == "header":
            self._read_action(line)
        elif self._section == "fields":
            self._read_list_line(line)
        elif self._section == "filter":
            self._read_filter_line(line)
        elif self._section == "":
            self._problem("an action stands before any section", "%header")

    def _read_format(self, line: str) -> None:
        if self._format:
            self._problem("FORMAT may stand only once, in the first line")
        elif line.split() != ["FORMAT", "dicom"]:
            self._problem(f"{line} is not a format that deid knows", "FORMAT dicom")
        self._format = True

    def _read_section(self, line: str) -> None:
        self._close_label()
        word, _, name = line.split("#", 1)[0].strip().partition(" ")
        section, name = word[1:], name.strip()
        if section not in SECTIONS:
            self._section = "unknown"
            self._refuse_section(section)
            return
        self._section, self._name = section, name
        if not self._format:
            self._problem("the first line must be FORMAT dicom", "FORMAT dicom")
            self._format = True
        if section == "header" and name:
            self._problem("%header takes no name", "%header")
        if section != "header" and not name:
            self._problem(f"%{section} needs a name", f"%{section} NAME")
        if section == "fields" and name:
            if name in self._out.lists:
                self._problem(f"%fields {name} stands here a second time")
            self._out.lists.setdefault(name, ())
        if section == "filter" and name:
            self._out.labels.setdefault(name, [])

    def _refuse_section(self, section: str) -> None:
        if section == "values":
            self._problem(
                "%values is not supported, since deid reads the values as regular expressions; "
                "the final check looks for this patient's values everywhere"
            )
        elif section == "labels":
            self._problem("nothing in deid ever reads %labels; write the actions under %header", "%header")
        else:
            near = difflib.get_close_matches(section.lower(), SECTIONS, n=1, cutoff=0.5)
            self._problem(f"%{section} is not a section that deid knows", f"%{near[0]}" if near else "")

    def _read_action(self, line: str) -> None:
        if "#" in line:
            self._problem(
                "a comment at the end of a line becomes part of the rule; give it a line of its own",
                line.split("#", 1)[0].strip(),
            )
            return
        parts = _TOKENS.findall(line)
        if re.sub(r"\s", "", "".join(parts)) != re.sub(r"\s", "", line):
            self._problem("a quote is never closed, so deid drops it")
            return
        word, *rest = parts
        if word not in Verb.__members__:
            near = difflib.get_close_matches(word.upper(), Verb.__members__, n=1, cutoff=0.5)
            found = _SYNONYMS.get(word.upper()) or next(
                (verb for verb in Verb if word.upper().startswith(verb)), near[0] if near else ""
            )
            self._problem(
                f"{word} is not an action; deid would drop the line",
                " ".join((found, *rest)) if found else "",
            )
            return
        verb = Verb(word)
        if not rest:
            self._problem(f"{word} needs a field")
            return
        if len(rest) > 1 and re.fullmatch(r"\([0-9A-Fa-f]{4},", rest[0]):
            self._problem(
                "a tag is written without a space, or deid matches nothing",
                " ".join((word, rest[0] + rest[1], *rest[2:])),
            )
            return
        value = " ".join(rest[1:])
        self._check_value(verb, value, rest[0])
        parsed = self._parse_field(word, rest[0], value)
        if parsed is not None:
            self._out.actions.append(ActionLine(self._line, verb, rest[0], parsed, value))

    def _parse_field(self, word: str, text: str, value: str) -> Field | None:
        try:
            return parse_field(text, self._out.lists)
        except FieldError as error:
            suggestion = f"{word} {error.suggestion} {value}".rstrip() if error.suggestion else ""
            self._problem(error.message, suggestion)
            return None

    def _check_value(self, verb: Verb, value: str, field_text: str) -> None:
        if verb in {Verb.KEEP, Verb.BLANK, Verb.REMOVE}:
            if value:
                extra = "; deid would ignore it" if verb is not Verb.REMOVE else ""
                self._problem(f"{verb} takes no value{extra}", f"{verb} {field_text}")
            return
        if not value:
            self._problem(f"{verb} needs a value after the field")
            return
        prefix = _PREFIX.match(value)
        if prefix is None:
            if verb is Verb.JITTER and not re.fullmatch(r"[+-]?0*[1-9]\d{0,5}", value):
                self._problem("JITTER takes a number of days other than 0, or func:shift_date", "func:shift_date")
            return
        kind, name = prefix[1], value[prefix.end() :]
        if kind != kind.lower():
            self._problem(
                f"{kind}: must be in lower case, or deid writes it as text",
                f"{verb} {field_text} {value.lower()}",
            )
        elif kind == "var":
            self._problem(
                f"there is no variable {name or 'without a name'}; a recipe here takes none",
                self._near_function(name),
            )
        elif verb is Verb.ADD:
            self._problem("ADD writes a literal value; to change what is there use REPLACE")
        elif kind == "func":
            self._check_function(verb, name)
        else:
            self._check_deid_function(verb, name)

    def _near_function(self, name: str) -> str:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), FUNCTIONS, n=1, cutoff=0.5)
        return f"func:{near[0]}" if near else ""

    def _check_function(self, verb: Verb, name: str) -> None:
        if name not in FUNCTIONS:
            self._problem(f"{name or 'nothing'} is not a function that a recipe can call", self._near_function(name))
        elif verb is Verb.JITTER and name != "shift_date":
            self._problem("JITTER can call func:shift_date only", "func:shift_date")

    def _check_deid_function(self, verb: Verb, text: str) -> None:
        name, *pairs = text.split(" ")
        if verb is Verb.JITTER:
            self._problem("JITTER takes a number of days; deid would shift by the value of the date", "func:shift_date")
            return
        if name not in DEID_FUNCTIONS:
            near = difflib.get_close_matches(name, DEID_FUNCTIONS, n=1, cutoff=0.5)
            self._problem(f"{name or 'nothing'} is not a function of deid", f"deid_func:{near[0]}" if near else "")
            return
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals or key not in DEID_FUNCTIONS[name]:
                self._problem(f"{name} takes no {key or 'such parameter'} here: new UIDs are always keyed, under 2.25")
            elif name == "jitter" and not re.fullmatch(r"[+-]?\d{1,6}", value):
                self._problem(f"{key} of jitter must be a whole number")
            elif name == "pydicom_uuid" and value != "true":
                self._problem("without stable_remapping every UID would become the same one", "stable_remapping=true")

    def _read_list_line(self, line: str) -> None:
        parts = _TOKENS.findall(line)
        if parts[0] != "FIELD":
            self._problem(f"{parts[0]} is not allowed under %fields", " ".join(("FIELD", *parts[1:])))
        elif "#" in line or len(parts) != 2:
            self._problem("FIELD takes exactly one field")
        else:
            parsed = self._parse_field("FIELD", parts[1], "")
            if parsed is not None and self._name:
                self._out.lists[self._name] += (parsed,)

    def _read_filter_line(self, line: str) -> None:
        word = line.split(maxsplit=1)[0]
        if word.upper() == "LABEL":
            self._close_label()
            name = line[len(word) :].split("#", 1)[0].strip()
            if word != "LABEL":
                self._problem("LABEL must be in upper case", f"LABEL {name}")
            self._label = (name, self._line, [], [])
        elif word.upper() in Verb.__members__:
            self._problem("an action under %filter stops deid; actions belong under %header", "%header")
        elif self._label is None:
            self._problem("a filter begins with a LABEL line", "LABEL name of the rule")
        else:
            try:
                read = filters.read_line(line)
            except filters.FilterError as error:
                self._problem(error.message, error.suggestion)
                self._label[2].append(filters.Condition((), ()))  # so that it is not told twice
                return
            if isinstance(read, filters.Box):
                self._label[3].append(read)
            else:
                self._label[2].append(read)

    def _close_label(self) -> None:
        if self._label is None:
            return
        name, line, conditions, boxes = self._label
        self._label = None
        if not conditions:
            self._problem("the LABEL has no test, so it would mean every image", line=line)
        elif filters.useless_box(boxes):
            self._problem("a box that is kept needs one above it, in the same LABEL, that is blanked", line=line)
        elif self._name:
            self._out.labels[self._name].append(filters.Label(name, line, tuple(conditions), tuple(boxes)))
