"""A profile's recipe compiled once: what becomes of one element, by its place, tag, VR and private creator.

Order of decision, as deid's (observed, `docs/recipes.md`): ADD, KEEP, the last of REPLACE, JITTER and BLANK,
with REPLACE and JITTER above REMOVE, and REMOVE above BLANK. What no line of the recipe names is decided by
default-deny: Table E.1-1 where it has a row, else by VR, and never for an unknown or private element.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bsti_submit.deid import beyond, dictionary, literals
from bsti_submit.deid.fields import Element, ExactField, PrivateField
from bsti_submit.deid.iod import Type, type_of
from bsti_submit.deid.recipe_reader import ActionLine, Verb
from bsti_submit.deid.table import Option, row_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Action(StrEnum):
    """What the engine does with one element."""

    KEEP = "keep"
    """Leave it; with the value ``coded`` only known terms of it. A sequence is cleaned inside."""
    REMOVE = "remove"
    EMPTY = "empty"
    """Zero length."""
    LITERAL = "literal"
    """Write `Rule.value`."""
    UID = "uid"
    """A new keyed UID; a UID that the standard registers stays."""
    SHIFT_DATE = "shift-date"
    """Keyed, or by ``days=N`` in `Rule.value`."""
    DUMMY = "dummy"
    CLEAN_TEXT = "clean-text"
    """Allowed words only; with the value ``code``, a well-formed code of a public scheme also stays."""
    PSEUDONYM = "pseudonym"


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do, and what to do instead where that leaves no value (a text of unknown words, a bad date)."""

    action: Action
    value: str = ""
    otherwise: Action = Action.EMPTY


class DatePolicy(StrEnum):
    """What becomes of dates that Table E.1-1 does not list."""

    MODIFIED = "modified"
    REMOVED = "removed"
    KEPT = "kept"
    """Only of a bare recipe that keeps dates; what it does not name is removed all the same."""


_FUNCTIONS = {
    "uid": Action.UID,
    "shift_date": Action.SHIFT_DATE,
    "dummy": Action.DUMMY,
    "clean_text": Action.CLEAN_TEXT,
    "clean_code": Action.CLEAN_TEXT,
    "pseudonym": Action.PSEUDONYM,
    "jitter": Action.SHIFT_DATE,
    "pydicom_uuid": Action.UID,
    "dicom_uuid": Action.UID,
    "suffix_uuid": Action.UID,
    "basic_uuid": Action.UID,
}
_YEAR_DAYS = 365  # deid's year
_META = 0x0002
_ALWAYS_DROPPED = frozenset({0x0000, 0x0004})
PSEUDONYMOUS = frozenset({0x00100010, 0x00100020})
"""Patient's Name and Patient ID: of one patient consistently, as PS3.15 E.1.1 wants it."""
ENGINE_WRITES = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280301, 0x00280303})
"""Removed from the input whatever it says, since the engine writes them anew where they are true."""
CHARACTER_SET = 0x00080005
KEPT_BINARY = frozenset(
    {0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223, 0x00283006, 0x7FE00010}
)
"""Binary attributes that an image needs: palettes, lookup table data, pixel data. All other binary goes."""
_FAMILIES = (
    dictionary.TEXT_VRS | {"AE", "AS", "CS", "PN", "UR"},
    dictionary.NUMBER_VRS,
    dictionary.DATE_VRS | {"TM"},
    dictionary.BINARY_VRS,
    frozenset({"SQ"}),
    frozenset({"UI"}),
)


class Plan:
    """The lines of one recipe, or of several laid over each other, ready to be asked.

    Parameters
    ----------
    layers
        The action lines of each recipe, the topmost first. A layer that says anything of an element decides;
        only where it is silent is the next one asked.
    dates
        What becomes of dates and times that neither a recipe nor the table names.
    """

    def __init__(self, layers: Sequence[Sequence[ActionLine]], dates: DatePolicy = DatePolicy.MODIFIED) -> None:
        self._layers = tuple(_Layer(lines) for lines in layers)
        self.dates = dates
        self._instances: dict[str, InstancePlan] = {}
        added: dict[int, tuple[int, str, str]] = {}
        for layer in reversed(self._layers):
            added.update(layer.additions)
        self.additions: tuple[tuple[int, str, str], ...] = tuple(added[tag] for tag in sorted(added))
        """Tag, VR and value of what the recipe adds at top level, whether or not the input has it."""

    def for_sop_class(self, uid: str) -> InstancePlan:
        """Return the plan for instances of one SOP class, whose IOD decides the type-dependent actions."""
        if uid not in self._instances:
            self._instances[uid] = InstancePlan(self, uid)
        return self._instances[uid]

    def names(self, tag: int) -> bool:
        """Return whether a line names this very attribute, not a set of them."""
        return any(tag in layer.exact for layer in self._layers)

    def creators(self) -> frozenset[tuple[int, str, int]]:
        """Return group, creator and element byte of the private elements that a line keeps."""
        return frozenset(
            (line.field.group, line.field.creator, line.field.offset)
            for layer in self._layers
            for line in layer.wide
            if line.verb is Verb.KEEP and isinstance(line.field, PrivateField)
        )

    def paths(self, tag: int) -> frozenset[tuple[int, ...]]:
        """Return the sequences in which lines name a tag by a nested name."""
        lines = [line for layer in self._layers for line in layer.exact.get(tag, ())]
        return frozenset(
            line.field.path for line in lines if isinstance(line.field, ExactField) and line.field.path is not None
        )

    def decide(self, element: Element, kind: Type) -> Rule:
        """Return the rule for an element whose type in its IOD is known."""
        for layer in self._layers:
            rule = layer.decide(element, kind, self)
            if rule is not None:
                return rule
        return self.default(element, kind)

    def default(self, element: Element, kind: Type) -> Rule:
        """Return what default-deny says: of an element that no line names."""
        tag = element.tag
        if not _may_leave(tag):
            return Rule(Action.REMOVE)
        if tag in PSEUDONYMOUS:
            return Rule(Action.PSEUDONYM)
        row = row_for(tag)
        if row is not None:
            return from_table(row.basic, element, kind)
        if tag in beyond.identifying() or tag in beyond.anchors():
            return _dropped(element, kind)
        return by_vr(element, kind, self.dates)


class InstancePlan:
    """The plan for one SOP class."""

    def __init__(self, plan: Plan, sop_class_uid: str) -> None:
        self._plan = plan
        self._sop_class_uid = sop_class_uid

    def rule(self, path: tuple[int, ...], tag: int, vr: str, creator: str | None = None) -> Rule:
        """Return what becomes of an element. Deterministic, so the caller may remember the answer.

        Parameters
        ----------
        path
            The tags of the sequences around it, outermost first; () at top level and in the file meta.
        tag
            Of the element.
        vr
            As the file says, or as the dictionary says for implicit VR and UN.
        creator
            The private creator of its block, None for a public element or an orphan.
        """
        return self._plan.decide(Element(path, tag, vr, creator), type_of(self._sop_class_uid, path, tag))


class _Layer:
    """The lines of one recipe by what they name."""

    def __init__(self, lines: Iterable[ActionLine]) -> None:
        self.exact: dict[int, list[ActionLine]] = {}
        self.wide: list[ActionLine] = []
        self.additions: dict[int, tuple[int, str, str]] = {}
        for line in lines:
            if not isinstance(line.field, ExactField):
                self.wide.append(line)
            elif line.verb is Verb.ADD:
                tag = line.field.tag
                vrs = dictionary.vrs_of(tag)
                vr = next((each for each in vrs if literals.fits(each, line.value)), "")
                if vr:
                    self.additions[tag] = (tag, vr, line.value)
            else:
                self.exact.setdefault(line.field.tag, []).append(line)

    def decide(self, element: Element, kind: Type, plan: Plan) -> Rule | None:
        """Return what this recipe says of an element, or None where it says nothing."""
        if not element.path and element.tag in self.additions:
            return Rule(Action.LITERAL, self.additions[element.tag][2])
        lines = [line for line in self.exact.get(element.tag, ()) if line.field.matches(element)]
        wide = [line for line in self.wide if line.field.matches(element)]
        if wide:
            lines = sorted([*lines, *wide], key=lambda line: line.line)
        if not lines:
            return None
        verbs = {line.verb for line in lines}
        if Verb.KEEP in verbs:
            return self._keep(element, lines, kind, plan)
        changing = [line for line in lines if line.verb in {Verb.REPLACE, Verb.JITTER}]
        if changing:
            last = [line for line in lines if line.verb is not Verb.REMOVE][-1]
            rule = Rule(Action.EMPTY) if last.verb is Verb.BLANK else _changed(last, element, kind)
            if rule is not None:
                return rule if _may_leave(element.tag) or rule.action is Action.REMOVE else Rule(Action.REMOVE)
            # What the line asks for cannot be done with this VR: deid would keep the original.
            return Rule(Action.REMOVE) if Verb.REMOVE in verbs else plan.default(element, kind)
        if Verb.REMOVE in verbs or not _may_leave(element.tag):
            return Rule(Action.REMOVE)
        return Rule(Action.EMPTY)

    def _keep(self, element: Element, lines: Sequence[ActionLine], kind: Type, plan: Plan) -> Rule:
        if dictionary.is_private(element.tag):
            by_creator = any(line.verb is Verb.KEEP and isinstance(line.field, PrivateField) for line in lines)
            return Rule(Action.KEEP) if by_creator else Rule(Action.REMOVE)
        if not _may_leave(element.tag) or element.tag in ENGINE_WRITES:
            return plan.default(element, kind)
        return Rule(Action.KEEP, otherwise=_filler(kind))


def _may_leave(tag: int) -> bool:
    """Return whether default-deny lets this attribute leave at all, in whatever form."""
    group = tag >> 16
    return (
        dictionary.is_known(tag)
        and not dictionary.is_private(tag)
        and not dictionary.is_curve(tag)
        and not dictionary.is_overlay(tag)
        and group not in _ALWAYS_DROPPED
        and (tag & 0xFFFF != 0 or group == _META)
        and tag not in ENGINE_WRITES
    )


def _filler(kind: Type) -> Action:
    """Return what stands where no value is left (PS3.5 7.4): type 1 needs one, the others may be empty."""
    return Action.DUMMY if kind is Type.VALUE else Action.EMPTY


def _dropped(element: Element, kind: Type) -> Rule:
    """Return removal as far as the IOD allows it."""
    if kind is Type.OPTIONAL:
        return Rule(Action.REMOVE)
    return _emptied(element, kind)


def _emptied(element: Element, kind: Type) -> Rule:
    if kind is Type.VALUE:
        return _dummy(element)
    return Rule(Action.EMPTY)


def _dummy(element: Element) -> Rule:
    if element.vr == "SQ":
        # No dummy item can be made that is surely without identity: an empty sequence is the safest left.
        return Rule(Action.EMPTY)
    return Rule(Action.UID) if element.vr == "UI" else Rule(Action.DUMMY)


def is_reference(tag: int) -> bool:
    """Return whether the option to retain UIDs retains an attribute: it holds nothing but references."""
    row = row_for(tag)
    return row is not None and Option.RETAIN_UIDS in row.options


def from_table(code: str, element: Element, kind: Type) -> Rule:
    """Return the rule for a basic action code of Table E.1-1 and a type in the IOD."""
    if code.startswith("X"):
        if kind is Type.OPTIONAL or code == "X":
            return Rule(Action.REMOVE)
        if kind is Type.VALUE and element.vr == "SQ":
            # Of a sequence of references the items stay, with new UIDs in them. Any other that an IOD
            # demands is conditional, and cannot be made of dummies.
            return Rule(Action.KEEP if is_reference(element.tag) else Action.REMOVE)
        return _dummy(element) if kind is Type.VALUE and "D" in code else _emptied(element, kind)
    if code in {"Z", "Z/D"}:
        return _emptied(element, kind)
    if code == "D":
        return _dummy(element)
    if code == "U":
        return Rule(Action.UID) if element.vr == "UI" else Rule(Action.REMOVE)
    return Rule(Action.REMOVE)


def by_vr(element: Element, kind: Type, dates: DatePolicy) -> Rule:
    """Return what becomes of a standard attribute that Table E.1-1 does not list.

    A value whose VR is of another family than the dictionary's (a text where a number belongs) goes.
    """
    vr, known = element.vr, dictionary.vrs_of(element.tag)
    if vr not in known:
        family = next((each for each in _FAMILIES if vr in each), frozenset())
        related = [each for each in known if each in family]
        if vr == "UN" and known:
            vr = known[0]
        elif not related:
            return Rule(Action.REMOVE)
        elif vr in _FAMILIES[0]:
            # A text in another text VR than its own is judged as free text, coded strings as well.
            vr = "PN" if "PN" in {vr, *known} else "LO"
    otherwise = _filler(kind)
    if vr in dictionary.TEXT_VRS:
        return Rule(Action.CLEAN_TEXT, otherwise=otherwise)
    if vr in dictionary.DATE_VRS and dates is DatePolicy.MODIFIED:
        return Rule(Action.SHIFT_DATE, otherwise=otherwise)
    if vr == "UI":
        return Rule(Action.UID, otherwise=otherwise)
    if vr == "CS":
        return Rule(Action.KEEP, "coded", otherwise)
    keeps = vr in dictionary.NUMBER_VRS | {"SQ"} or (vr == "TM" and dates is DatePolicy.MODIFIED)
    if keeps or (vr in dictionary.BINARY_VRS and element.tag in KEPT_BINARY):
        return Rule(Action.KEEP, otherwise=otherwise)
    return _dropped(Element(element.path, element.tag, vr), kind)


def _changed(line: ActionLine, element: Element, kind: Type) -> Rule | None:
    """Return what a REPLACE or JITTER means for an element, None where its VR cannot take it."""
    prefix, colon, rest = line.value.partition(":")
    if line.verb is Verb.JITTER and prefix != "func":
        return _shifted(element, kind, f"days={int(line.value)}")
    if not colon or prefix not in {"func", "deid_func"}:
        fits = element.vr != "SQ" and literals.fits(element.vr, line.value)
        return Rule(Action.LITERAL, line.value) if fits else None
    name, *pairs = rest.split(" ")
    if name == "ps315":
        row = row_for(element.tag)
        return from_table(row.basic, element, kind) if row is not None else None
    action = _FUNCTIONS[name]
    if action is Action.SHIFT_DATE:
        return _shifted(element, kind, _days(pairs) if name == "jitter" else "")
    if action is Action.UID:
        return Rule(Action.UID, otherwise=_filler(kind)) if element.vr == "UI" else None
    if action is Action.DUMMY:
        return _dummy(element)
    if action is Action.CLEAN_TEXT:
        return _cleaned(element, kind, "code" if name == "clean_code" else "")
    return Rule(action) if element.vr in dictionary.TEXT_VRS | {"PN"} else None


def _days(pairs: Iterable[str]) -> str:
    options = dict(pair.split("=", 1) for pair in pairs)
    return f"days={int(options.get('days', 1)) + _YEAR_DAYS * int(options.get('years', 0))}"


def _shifted(element: Element, kind: Type, days: str) -> Rule | None:
    if element.vr == "TM":
        return Rule(Action.KEEP, otherwise=_filler(kind))
    if element.vr in dictionary.DATE_VRS:
        return Rule(Action.SHIFT_DATE, days, _filler(kind))
    return None


def _cleaned(element: Element, kind: Type, value: str) -> Rule | None:
    if element.vr == "SQ":
        return Rule(Action.KEEP)
    if element.vr in dictionary.TEXT_VRS | {"CS"}:
        return Rule(Action.CLEAN_TEXT, value, _filler(kind))
    return None
