"""The ``%filter`` part of a recipe: which images a person's device rules mean, and which boxes they name.

The syntax is deid's; what deid reads otherwise than it looks is refused (`FilterError`), such as a line that
begins with ``||``, which deid joins with *and*.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.deid import dictionary

if TYPE_CHECKING:
    from collections.abc import Sequence

TESTS_WITH_VALUE = ("contains", "notcontains", "equals", "notequals")
TESTS_WITHOUT_VALUE = ("missing", "present", "empty")
TESTS = TESTS_WITH_VALUE + TESTS_WITHOUT_VALUE
BOXES = ("coordinates", "keepcoordinates", "ctpcoordinates", "ctpkeepcoordinates")

COMPARED_VRS = (
    dictionary.TEXT_VRS
    | dictionary.DATE_VRS
    | (dictionary.NUMBER_VRS - {"AT"})
    | frozenset({"AE", "AS", "CS", "PN", "TM", "UI", "UR"})
)
"""VRs of values that a test can be held against; of the others it can only be asked whether they are there."""

_EXPRESSION = re.compile(r"[|^$*\[\]]")
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
    """One test on a top-level attribute.

    ``value`` is None, the very text for ``equals`` and ``notequals``, or else an expression; capitals do not matter.
    """

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
    """One rule for a device or kind of image: all conditions hold; then its boxes count in their order."""

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
    if "or and" in " ".join(operators):
        raise FilterError("a + behind a || can be read in two ways; put what follows the + on a line of its own")
    return Condition(tuple(_test(part) for part in parts[::2]), operators, plus)


def useless_box(boxes: Sequence[Box]) -> bool:
    """Return whether a box keeps what no box above it in the label blanks: deid would blank it afterwards."""
    return bool(boxes) and boxes[0].keep


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
    return _with_value(kind, field, tag, value.strip())


def _with_value(kind: str, field: str, tag: int, value: str) -> Test:
    if kind in TESTS_WITHOUT_VALUE:
        if value:
            raise FilterError(f"{kind} takes no value", f"{kind} {field}")
        return Test(kind, tag, None)
    if not value:
        raise FilterError(f"{kind} needs a value after the keyword")
    if not set(dictionary.vrs_of(tag)) <= COMPARED_VRS:
        raise FilterError(f"{field} holds no text and no number that could be compared", f"present {field}")
    if kind.endswith("equals"):
        if _EXPRESSION.search(value):
            contains = kind.replace("equals", "contains")
            raise FilterError(
                f"{kind} compares the very text; only contains reads an expression", f"{contains} {field} {value}"
            )
        return Test(kind, tag, value)
    if re.search(r"(?<!\\)(?:\\\\)*\\[A-Z]", value):
        raise FilterError("deid turns a value into lower case, which makes \\D, \\S or \\W mean the opposite")
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
    # CTP's third and fourth number are width and height; a box of width 1 begins and ends in the same column.
    corners = (x, y, x + third - 1, y + fourth - 1) if word.startswith("ctp") else (x, y, third, fourth)
    if corners[2] < corners[0] or corners[3] < corners[1]:
        raise FilterError("the box ends before it begins")
    return Box(keep, corners)
