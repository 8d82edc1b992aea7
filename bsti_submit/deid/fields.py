r"""The left side of a recipe line: which elements a rule means.

deid's syntax, read strictly: keyword, ``(gggg,eeee)``, ``ggggeeee``, ``gggg,"CREATOR",ee``, nested
``Sequence__Child``, ``ALL``, the expanders ``contains: startswith: endswith: except:`` (regular expressions,
any case, matched against the nested name, both spellings of the tag, the name, the keyword and the private
spelling) and ``select:VR:XX``, ``select:group:gggg``. What deid would silently match to nothing is a
`FieldError` here.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from bsti_submit.deid import dictionary
from bsti_submit.deid.table import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPANDERS = ("contains", "startswith", "endswith", "except", "select", "fields")
"""The words before a colon that deid knows, less ``values``, which we refuse."""

_SYNONYMS = {"regex": "contains", "allexcept": "except", "group": "select:group", "vr": "select:VR"}

_BARE_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_TAG = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)")
_LOOSE_TAG = re.compile(r"\(?\s*(?:0x)?([0-9A-Fa-f]{4})\s*,?\s*(?:0x)?([0-9A-Fa-f]{4})\s*\)?")
_PRIVATE = re.compile(r'\(?([0-9A-Fa-f]{4}),"([^"]*)",([0-9A-Fa-f]{2})\)?')
_REPEATING = re.compile(r"\(?[56]0[xX]{2},?[0-9A-Fa-fxX]{4}\)?")
_CASED_ESCAPE = re.compile(r"\\[A-Z]")
_DIGITS_ONLY = re.compile(r"[0-9]+")
_UNLISTED = re.compile(r"""["\[{.\\]|__""")
_EXPANDER = re.compile(r'^([^:"]*(?:"[^"]*"[^:"]*)*):(.*)$')


class FieldError(Exception):
    """A field that names nothing. ``suggestion`` is the nearest right spelling, or nothing."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Element:
    """An element as a rule sees it: its tag, its VR, its private creator and the sequences around it."""

    path: tuple[int, ...]
    tag: int
    vr: str
    creator: str | None = None

    def subjects(self) -> Iterator[str]:
        """Yield the texts that deid matches an expression against."""
        keyword = dictionary.keyword_of(self.tag)
        tag = dictionary.format_tag(self.tag)
        yield "__".join([*map(dictionary.keyword_of, self.path), keyword])
        yield tag
        yield f"{self.tag:08X}"
        yield dictionary.name_of(self.tag)
        yield keyword
        if self.creator is not None and dictionary.is_private(self.tag):
            spelling = f'{self.tag >> 16:04X},"{self.creator}",{self.tag & 0xFF:02X}'
            yield spelling
            yield f"({spelling})"


@dataclass(frozen=True, slots=True)
class ExactField:
    """One tag at any depth or, with a path, the child of just these sequences from the top."""

    tag: int
    path: tuple[int, ...] | None = None

    def matches(self, element: Element) -> bool:
        """Return whether it means this element."""
        return element.tag == self.tag and (self.path is None or self.path == element.path)


@dataclass(frozen=True, slots=True)
class PrivateField:
    """One private element by its creator, whatever block it landed in."""

    group: int
    creator: str
    offset: int

    def matches(self, element: Element) -> bool:
        """Return whether it means this element."""
        return (
            element.tag >> 16 == self.group
            and element.tag & 0xFF == self.offset
            and element.creator is not None
            and element.creator.casefold() == self.creator.casefold()
        )


@dataclass(frozen=True, slots=True)
class PatternField:
    """Elements whose name or tag matches a regular expression; with ``negated``, those that do not."""

    expression: re.Pattern[str]
    negated: bool = False

    def matches(self, element: Element) -> bool:
        """Return whether it means this element."""
        return any(map(self.expression.search, element.subjects())) != self.negated


@dataclass(frozen=True, slots=True)
class SelectField:
    """Elements of one VR or one group."""

    vr: str = ""
    group: int = -1

    def matches(self, element: Element) -> bool:
        """Return whether it means this element."""
        return element.vr == self.vr if self.vr else element.tag >> 16 == self.group


@dataclass(frozen=True, slots=True)
class AllFields:
    """Every element."""

    def matches(self, element: Element) -> bool:  # noqa: ARG002
        """Return True."""
        return True


@dataclass(frozen=True, slots=True)
class AnyOf:
    """What any of several fields means: ``fields:NAME``."""

    members: tuple[Field, ...]

    def matches(self, element: Element) -> bool:
        """Return whether one of them means this element."""
        return any(member.matches(element) for member in self.members)


Field: TypeAlias = ExactField | PrivateField | PatternField | SelectField | AllFields | AnyOf


def is_exact(field: Field) -> bool:
    """Return whether a field names one attribute, not a set of them."""
    return isinstance(field, ExactField | PrivateField)


def parse_field(text: str, lists: dict[str, tuple[Field, ...]] | None = None) -> Field:
    """Read the field of a recipe line.

    Parameters
    ----------
    text
        As it stands in the recipe.
    lists
        The ``%fields`` sections read so far, by name.

    Raises
    ------
    FieldError
        If it can never match anything, or would match something else than it says.
    """
    if text == "ALL":
        return AllFields()
    private = _PRIVATE.fullmatch(text)
    if private:
        return _private(private)
    split = _EXPANDER.match(text)
    if split:
        return _expanded(split[1], split[2], lists or {})
    if "__" in text:
        return _nested(text)
    return _named(text)


def _private(match: re.Match[str]) -> PrivateField:
    group = int(match[1], 16)
    if not group & 1:
        raise FieldError(f"group {match[1]} is even, so no private creator can own it")
    if not match[2].strip():
        raise FieldError("the private creator between the quotes is empty")
    return PrivateField(group, match[2], int(match[3], 16))


def _named(text: str) -> ExactField:
    tag = dictionary.tag_of(text)
    if tag is not None:
        return ExactField(tag)
    if _BARE_TAG.fullmatch(text):
        return _tagged(int(text, 16))
    match = _TAG.fullmatch(text)
    if match:
        return _tagged(int(match[1] + match[2], 16))
    if text in dictionary.repeating_keywords() or _REPEATING.fullmatch(text):
        raise FieldError(
            f"{text} stands for repeating groups, which deid matches to nothing; "
            "overlays and curves are removed without a rule",
            "contains:^60[0-9a-f][02468ace]3000$" if text == "OverlayData" else "",
        )
    loose = _LOOSE_TAG.fullmatch(text)
    if loose:
        raise FieldError(f"{text} is not how deid writes a tag, and would match nothing", f"({loose[1]},{loose[2]})")
    near = "ALL" if text.upper() == "ALL" else dictionary.nearest_keyword(text)
    raise FieldError(f"{text} is not a keyword of the standard", near)


def _tagged(tag: int) -> ExactField:
    if dictionary.is_private(tag):
        if tag & 0xFFFF < 0x1000:
            raise FieldError("a rule on a private creator would leave its block without an owner")
        return ExactField(tag)
    if dictionary.is_overlay(tag) or dictionary.is_curve(tag):
        return ExactField(tag)
    if not dictionary.is_known(tag) and all(row.tag != tag for row in rows()):
        raise FieldError(f"the standard has no attribute {dictionary.format_tag(tag)}")
    return ExactField(tag)


def _nested(text: str) -> ExactField:
    parts = text.split("__")
    if any(part.isdigit() for part in parts):
        raise FieldError(
            "a rule cannot mean one item of a sequence by its number",
            "__".join(p for p in parts if not p.isdigit()),
        )
    tags = []
    for part in parts:
        field = _named(part)
        tags.append(field.tag)
    for part, tag in zip(parts[:-1], tags[:-1], strict=True):
        if "SQ" not in dictionary.vrs_of(tag):
            raise FieldError(f"{part} is not a sequence, so nothing can be nested in it")
    return ExactField(tags[-1], tuple(tags[:-1]))


def _expanded(expander: str, expression: str, lists: dict[str, tuple[Field, ...]]) -> Field:
    if expander == "values":
        raise FieldError(
            "values: lists are not supported, since deid reads their values as regular expressions; "
            "the final check looks for this patient's values everywhere"
        )
    if expander == "fields":
        if expression not in lists:
            near = difflib.get_close_matches(expression, lists, n=1)
            raise FieldError(f"there is no %fields {expression} above", f"fields:{near[0]}" if near else "")
        return AnyOf(lists[expression])
    if expander not in EXPANDERS:
        near = difflib.get_close_matches(expander.lower(), EXPANDERS, n=1, cutoff=0.5)
        found = _SYNONYMS.get(expander.lower()) or (near[0] if near else "")
        raise FieldError(f"{expander}: is not an expander that deid knows", f"{found}:{expression}" if found else "")
    if not expression:
        raise FieldError(f"nothing stands after {expander}:")
    if expander == "select":
        return _select(expression)
    if _CASED_ESCAPE.search(expression):
        raise FieldError(
            "deid puts an expression into lower case, which turns \\D into \\d and the like; write it without"
        )
    if expander != "except" and _DIGITS_ONLY.fullmatch(expression):
        raise FieldError(
            f"{expander}:{expression} also matches digits in the middle of tags",
            f"select:group:{expression}" if len(expression) == 4 else "",
        )
    wrapped = {"endswith": f"({expression.lower()})$", "startswith": f"^({expression.lower()})"}
    try:
        pattern = re.compile(wrapped.get(expander, expression.lower()), re.IGNORECASE)
    except (re.error, OverflowError):
        raise FieldError(f"{expression} is not a valid regular expression") from None
    return PatternField(pattern, negated=expander == "except")


def _select(expression: str) -> SelectField:
    attribute, colon, value = expression.partition(":")
    if attribute.upper() == "VR" and colon:
        if value.upper() not in dictionary.VRS:
            raise FieldError(f"{value} is not a VR")
        return SelectField(vr=value.upper())
    if attribute.lower() == "group" and colon:
        if not re.fullmatch("[0-9A-Fa-f]{4}", value):
            raise FieldError(f"{value} is not a group: four hexadecimal digits")
        return SelectField(group=int(value, 16))
    near = difflib.get_close_matches(attribute, ("VR", "group"), n=1, cutoff=0.4)
    raise FieldError("select: takes VR:XX or group:gggg", f"select:{near[0]}:{value}" if near and colon else "")


def can_match(field: Field) -> bool:
    """Return whether a set of fields means at least one attribute of the dictionary, or private ones."""
    if not isinstance(field, PatternField | SelectField):
        return True
    if isinstance(field, SelectField):
        if field.vr:
            return True
        group = field.group
        if group & 1 or group in {0x5000, 0x6000} or dictionary.is_overlay(group << 16):
            return True
        return any(tag >> 16 == group for tag in dictionary.tags())
    # An expression may mean private or repeating elements, or children of a named sequence.
    if _UNLISTED.search(field.expression.pattern):
        return True
    return any(field.matches(Element((), tag, "")) for tag in dictionary.tags())
