"""A recipe and the standard → what is done with every element. Compiled once; a rule is then one look-up.

Default-deny: kept are only what the recipe keeps and attributes of the standard's dictionary that are absent from
Table E.1-1; there, too, names go, text is cleaned, dates are shifted and UIDs replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bsti_submit.deid import dictionary
from bsti_submit.deid.fields import Element, ExactField, PrivateField
from bsti_submit.deid.iod import Type, type_of
from bsti_submit.deid.table import row_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bsti_submit.deid.recipe import Recipe, RecipeRule


class Action(StrEnum):
    """What the engine does with an element."""

    KEEP = "keep"
    REMOVE = "remove"
    EMPTY = "empty"
    LITERAL = "literal"
    UID = "uid"
    SHIFT_DATE = "shift_date"
    DUMMY = "dummy"
    CLEAN_TEXT = "clean_text"
    PSEUDONYM = "pseudonym"


@dataclass(frozen=True, slots=True)
class Rule:
    """One action. ``value`` is the literal text or, for a literal shift of dates, ``days=N``."""

    action: Action
    value: str = ""


KEEP: Final = Rule(Action.KEEP)
REMOVE: Final = Rule(Action.REMOVE)
EMPTY: Final = Rule(Action.EMPTY)

_TEXT: Final = dictionary.TEXT_VRS
_BULK_KEPT: Final = frozenset((0x00283006, 0x00281201, 0x00281202, 0x00281203, 0x00281204)) | frozenset(
    (0x00281221, 0x00281222, 0x00281223)
)
"""Tables of grey values and colours: the only bulk data a picture needs besides its pixels."""


class Plan:
    """The compiled rules of one profile.

    Attributes
    ----------
    additions
        Tag, VR and literal of every ADD line, for the top level.
    """

    def __init__(self, recipe: Recipe, options: Iterable[str], date_policy: str) -> None:
        self._options = frozenset(options)
        self._date_policy = date_policy
        self._exact: dict[int, list[RecipeRule]] = {}
        self._private: dict[tuple[int, int], list[RecipeRule]] = {}
        self._others: list[RecipeRule] = []
        additions = []
        for rule in recipe.rules:
            if rule.action == "ADD" and isinstance(rule.field, ExactField):
                additions.append((rule.field.tag, dictionary.vrs_of(rule.field.tag)[0], rule.literal))
            elif isinstance(rule.field, ExactField):
                self._exact.setdefault(rule.field.tag, []).append(rule)
            elif isinstance(rule.field, PrivateField):
                self._private.setdefault((rule.field.group, rule.field.offset), []).append(rule)
            else:
                self._others.append(rule)
        self.additions: tuple[tuple[int, str, str], ...] = tuple(additions)

    def for_sop_class(self, sop_class_uid: str) -> InstancePlan:
        """Return the plan for one kind of instance, whose IOD decides type-dependent actions."""
        return InstancePlan(self, sop_class_uid)

    def named(self, path: tuple[int, ...], tag: int, vr: str, creator: str | None) -> RecipeRule | None:
        """Return the recipe's rule for an element, by deid's precedence; None if it has none.

        KEEP beats all; REPLACE and JITTER suppress REMOVE; otherwise the last of them holds.
        """
        element = Element(path, tag, vr, creator)
        candidates = [
            *self._exact.get(tag, ()),
            *(self._private.get((tag >> 16, tag & 0xFF), ()) if tag >> 16 & 1 else ()),
            *self._others,
        ]
        found = [rule for rule in candidates if rule.field.matches(element)]
        if not found:
            return None
        found.sort(key=lambda rule: rule.line)
        for wanted in ({"KEEP"}, {"REPLACE", "JITTER", "BLANK"}, {"REMOVE"}):
            chosen = [rule for rule in found if rule.action in wanted]
            if wanted == {"REPLACE", "JITTER", "BLANK"} and {rule.action for rule in chosen} == {"BLANK"}:
                removed = [rule for rule in found if rule.action == "REMOVE"]
                chosen = removed or chosen
            if chosen:
                return chosen[-1]
        return None

    def compiled(self, rule: RecipeRule, tag: int, vr: str, types: Type) -> Rule:
        """Return what a recipe's rule means for an element."""
        match rule.action, rule.function:
            case "KEEP", _:
                return KEEP
            case "REMOVE", _:
                return REMOVE
            case "BLANK", _:
                return EMPTY
            case _, "ps315":
                return self.standard(tag, vr, types)
            case _, "clean_text":
                return _cleaned(vr)
            case _, "dummy":
                return EMPTY if vr == "SQ" else Rule(Action.DUMMY)
            case _, "":
                if rule.days is not None:
                    return Rule(Action.SHIFT_DATE, f"days={rule.days}")
                return REMOVE if vr == "SQ" else Rule(Action.LITERAL, rule.literal)
            case _, function:
                return REMOVE if vr == "SQ" else Rule(Action(function))

    def standard(self, tag: int, vr: str, kind: Type) -> Rule:
        """Return what Table E.1-1 says, by the attribute's type in the IOD (PS3.15 E.1.1)."""
        row = row_for(tag)
        if row is None or row.tag is None:
            return REMOVE
        action = row.action(self._options)
        match action:
            case "X/Z" | "X/Z/D" | "X/D" | "X/Z/U*":
                if kind is Type.OPTIONAL:
                    return REMOVE
                if kind is Type.PRESENT or action == "X/Z":
                    return EMPTY
                return _descended(vr) if action == "X/Z/U*" else _dummy(vr)
            case "Z/D":
                return _dummy(vr) if kind is Type.VALUE else EMPTY
            case "Z":
                return EMPTY
            case "D":
                return _dummy(vr)
            case "U":
                return Rule(Action.UID) if vr == "UI" else REMOVE
            case "K":
                return KEEP
            case "C":
                return REMOVE if row.is_device_date else _cleaned(vr)
            case _:
                return REMOVE

    def default(self, tag: int, vr: str, kind: Type) -> Rule:  # noqa: PLR0911 - one line a kind of value
        """Return what is done with an element that no recipe rule names."""
        if not dictionary.is_known(tag) or dictionary.is_private(tag):
            return REMOVE
        group = tag >> 16
        if group < 0x0008 or group in {0xFFFA, 0xFFFC, 0xFFFE} or tag & 0xFFFF == 0:  # noqa: PLR2004
            return REMOVE
        if dictionary.is_curve(tag) or dictionary.is_overlay(tag):
            return REMOVE
        if row_for(tag) is not None:
            return self.standard(tag, vr, kind)
        if vr == "SQ":
            return KEEP
        if vr == "PN":
            return REMOVE
        if vr in _TEXT:
            return Rule(Action.CLEAN_TEXT)
        if vr in dictionary.DATE_VRS:
            return Rule(Action.SHIFT_DATE) if self._date_policy == "modified" else REMOVE
        if vr == "TM":
            return KEEP if self._date_policy == "modified" else REMOVE
        if vr == "UI":
            return Rule(Action.UID)
        if vr in {"AE", "UR"}:
            return REMOVE
        if vr in dictionary.BINARY_VRS:
            return KEEP if tag in _BULK_KEPT else REMOVE
        return KEEP


class InstancePlan:
    """The rules for one kind of instance."""

    def __init__(self, plan: Plan, sop_class_uid: str) -> None:
        self._plan = plan
        self._sop_class_uid = sop_class_uid

    def rule(self, path: tuple[int, ...], tag: int, vr: str, creator: str | None) -> Rule:
        """Return the rule for an element.

        Parameters
        ----------
        path
            The tags of the sequences around it, outermost first; () at the top level.
        vr
            As the dictionary has it, or as stated where it has none.
        creator
            The private creator that owns it, for a private element.
        """
        if dictionary.is_private(tag) or not dictionary.is_known(tag):
            return REMOVE  # no recipe keeps what nobody can vouch for
        kind = type_of(self._sop_class_uid, path, tag)
        named = self._plan.named(path, tag, vr, creator)
        if named is None:
            return self._plan.default(tag, vr, kind)
        return self._plan.compiled(named, tag, vr, kind)


def _dummy(vr: str) -> Rule:
    return EMPTY if vr == "SQ" else Rule(Action.DUMMY)


def _descended(vr: str) -> Rule:
    return KEEP if vr == "SQ" else Rule(Action.UID)


def _cleaned(vr: str) -> Rule:
    if vr in _TEXT:
        return Rule(Action.CLEAN_TEXT)
    if vr in dictionary.DATE_VRS:
        return Rule(Action.SHIFT_DATE)
    return KEEP if vr in {"TM", "SQ"} else REMOVE
