"""The ``%filter`` part of a recipe: which images a person's device rules mean, and which boxes they name.

The syntax is deid's; what deid reads otherwise than it looks is refused (`FilterError`), such as a line that
begins with ``||``, which deid joins with *and*.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from bsti_submit.deid import dictionary

TESTS_WITH_VALUE = ("contains", "notcontains", "equals", "notequals")
TESTS_WITHOUT_VALUE = ("missing", "present", "empty")
TESTS = TESTS_WITH_VALUE + TESTS_WITHOUT_VALUE
BOXES = ("coordinates", "keepcoordinates", "ctpcoordinates", "ctpkeepcoordinates")

_SPLIT = re.compile(r"\s*(\|\||\+)\s*(?=(?:" + "|".join(TESTS) + r")\s)")
_BOX = re.compile(r"\d{1,6}\s*(?:,\s*\d{1,6}\s*){3}")


class FilterError(Exception):
    """A line of a filter that deid would misread, and the nearest right spelling, or nothing."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Test:
    """One test on a top-level attribute. ``value`` is a regular expression in any case, or None."""

    kind: str
    tag: int
    value: str | None


@dataclass(frozen=True, slots=True)
class Condition:
    """One line: tests joined from left to right by ``or`` and ``and``; lines are joined by *and*."""

    tests: tuple[Test, ...]
    operators: tuple[str, ...]
    plus: bool = False
    """Whether the line began with ``+``; it changes nothing."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box in pixels: columns x0 to x1 and rows y0 to y1, both ends included; None is the whole image."""

    keep: bool
    corners: tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Label:
    """One rule for a device or kind of image."""

    name: str
    line: int
    conditions: tuple[Condition, ...]
    boxes: tuple[Box, ...]


def read_line(text: str) -> Condition | Box:
    """Read one line of a label.

    Raises
    ------
    FilterError
        If deid would drop it, or read it otherwise than it looks.
    """
    word = text.split(maxsplit=1)[0]
    if word.lower() in BOXES:
        return _box(word, text[len(word) :].strip())
    if text.startswith("||"):
        raise FilterError(
            "deid joins a line that begins with || by 'and'; put the alternative on the line above",
            f"... {text}",
        )
    plus = text.startswith("+")
    parts = _SPLIT.split(text.removeprefix("+").strip())
    operators = tuple("or" if operator == "||" else "and" for operator in parts[1::2])
    return Condition(tuple(_test(part) for part in parts[::2]), operators, plus)


def _test(text: str) -> Test:
    if "#" in text:
        raise FilterError(
            "deid takes a comment at the end of a line for part of the value",
            text.split("#", maxsplit=1)[0].rstrip(),
        )
    kind, _, rest = text.partition(" ")
    if kind not in TESTS:
        near = difflib.get_close_matches(kind.lower(), (*TESTS, *BOXES), n=1, cutoff=0.6)
        raise FilterError(
            f"{kind} is not a test; deid would drop the line, which makes the rule wider",
            f"{near[0]} {rest}" if near else "",
        )
    field, _, value = rest.strip().partition(" ")
    tag = dictionary.tag_of(field)
    if tag is None:
        near = [dictionary.nearest_keyword(field)] if field else []
        raise FilterError(
            f"{field or 'nothing'} is not a keyword of the standard",
            f"{kind} {near[0]} {value}".strip() if near else "",
        )
    value = value.strip()
    if kind in TESTS_WITHOUT_VALUE:
        if value:
            raise FilterError(f"{kind} takes no value", f"{kind} {field}")
        return Test(kind, tag, None)
    if not value:
        raise FilterError(f"{kind} needs a value after the keyword")
    try:
        re.compile(value)
    except (re.error, OverflowError):
        raise FilterError(f"{value} is not a valid regular expression", f"{kind} {field} {re.escape(value)}") from None
    return Test(kind, tag, value)


def _box(word: str, rest: str) -> Box:
    if word != word.lower():
        raise FilterError(f"{word} must be in lower case, or deid stops", f"{word.lower()} {rest}")
    keep = "keep" in word
    if rest == "all":
        return Box(keep, None)
    if rest.startswith("from:"):
        raise FilterError("boxes taken from another attribute are not supported: deid mixes them up between files")
    if not _BOX.fullmatch(rest):
        raise FilterError(f"{word} takes four whole numbers parted by commas, or all")
    x, y, third, fourth = (int(number) for number in rest.split(","))
    corners = (x, y, x + third, y + fourth) if word.startswith("ctp") else (x, y, third, fourth)
    if corners[2] < corners[0] or corners[3] < corners[1]:
        raise FilterError("the box ends before it begins")
    return Box(keep, corners)
