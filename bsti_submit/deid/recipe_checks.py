"""What a recipe's lines mean together: rules that never apply, contradict each other or cannot be done.

deid's precedence surprises: KEEP beats everything but ADD, and REPLACE or JITTER cancels a REMOVE of the same
field even if it then fails. Whatever hangs on that is an error here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from bsti_submit.deid import dictionary, literals
from bsti_submit.deid.fields import AllFields, Element, ExactField, can_match, is_exact
from bsti_submit.deid.recipe_reader import ActionLine, Problem, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The engine writes these anew, so a rule on them could only lie.
_WRITTEN = {0x00120062: "YES", 0x00120063: None, 0x00120064: None, 0x00280303: None}
_CHARACTER_SET = 0x00080005
_STRUCTURE = frozenset({0x00020000, 0x00020001, 0x00020010, 0x00020012, 0x7FE00010})
_NEEDS_DATE = frozenset({"DA", "DT", "TM"})
_CLEANABLE = dictionary.TEXT_VRS | {"CS", "PN", "SQ", "UR", "AE"}

_LOST = {
    Verb.KEEP: "KEEP always wins",
    Verb.REMOVE: "REMOVE always wins over BLANK",
    Verb.REPLACE: "REPLACE cancels REMOVE, and otherwise the last line wins",
    Verb.JITTER: "JITTER cancels REMOVE, and otherwise the last line wins",
    Verb.BLANK: "the last line wins",
    Verb.ADD: "ADD always wins",
}


def problems(actions: Sequence[ActionLine], file: str) -> Iterator[Problem]:
    """Yield what is wrong with the lines of one recipe, in no particular order."""
    for action in actions:
        yield from _alone(action, file)
    yield from _contradictions(actions, file)


def _alone(action: ActionLine, file: str) -> Iterator[Problem]:
    if not can_match(action.field):
        yield Problem(file, action.line, f"{action.text} matches no attribute of the standard")
    if not isinstance(action.field, ExactField):
        if action.verb is Verb.ADD:
            yield Problem(file, action.line, "ADD needs one attribute, named by keyword or tag")
        return
    tag = action.field.tag
    if action.verb is Verb.ADD and action.field.path:
        yield Problem(file, action.line, "ADD writes at top level only")
    if action.verb is Verb.ADD and dictionary.is_private(tag):
        yield Problem(file, action.line, "ADD cannot write a private element, which has no creator here")
    yield from _structural(action, tag, file)
    vrs = dictionary.vrs_of(tag)
    if vrs:
        yield from _value(action, vrs, file)


def _structural(action: ActionLine, tag: int, file: str) -> Iterator[Problem]:
    if tag in _STRUCTURE and action.verb is not Verb.KEEP:
        yield Problem(file, action.line, f"no rule can change {dictionary.label(tag)}: the file is rebuilt around it")
    if tag == _CHARACTER_SET and action.verb is not Verb.KEEP:
        yield Problem(file, action.line, "a rule on SpecificCharacterSet would garble every name and text")
    if action.verb is Verb.KEEP and dictionary.is_private(tag):
        yield Problem(
            file,
            action.line,
            "a private element is kept by its creator only",
            f'KEEP {tag >> 16:04X},"CREATOR",{tag & 0xFF:02X}',
        )
    elif action.verb is Verb.KEEP and not dictionary.is_known(tag):
        yield Problem(file, action.line, "an element that the dictionary does not know never leaves")
    if tag in _WRITTEN and action.verb is not Verb.ADD:
        yield Problem(file, action.line, f"{dictionary.label(tag)} is always written by the tool itself")
    elif _WRITTEN.get(tag) and action.value != _WRITTEN[tag]:
        yield Problem(file, action.line, f"{dictionary.label(tag)} can only be {_WRITTEN[tag]}")


def _value(action: ActionLine, vrs: tuple[str, ...], file: str) -> Iterator[Problem]:
    if action.verb not in {Verb.ADD, Verb.REPLACE, Verb.JITTER} or not action.value:
        return
    name, vr = action.text, " or ".join(vrs)
    kind, _, function = action.value.partition(":")
    function = function.split(" ")[0]
    dates = _NEEDS_DATE & set(vrs)
    if action.verb is Verb.JITTER or (kind, function) in {("func", "shift_date"), ("deid_func", "jitter")}:
        if not dates:
            yield Problem(
                file,
                action.line,
                f"{name} has VR {vr}, which holds no date; deid would keep the value",
                f"REMOVE {name}",
            )
        elif dates == {"TM"}:
            yield Problem(
                file,
                action.line,
                f"{name} is a time of day, which a shift by whole days leaves as it is",
                f"KEEP {name}",
            )
    elif kind == "func" and action.verb is not Verb.ADD:
        yield from _function(action, function, vrs, file)
    elif kind == "deid_func" and action.verb is not Verb.ADD:
        if "UI" not in vrs:
            yield Problem(
                file,
                action.line,
                f"{name} has VR {vr}, and {function} makes UIDs",
                f"REPLACE {name} func:dummy",
            )
    elif kind == "var" or kind.lower() in {"func", "deid_func"}:
        return  # told by the reader
    elif "SQ" in vrs:
        yield Problem(file, action.line, f"{name} is a sequence, which no literal can fill", f"REMOVE {name}")
    elif not any(literals.fits(each, action.value) for each in vrs):
        yield Problem(file, action.line, f"{name} has VR {vr} and takes {literals.describe(vrs[0])}, not this literal")


def _function(action: ActionLine, function: str, vrs: tuple[str, ...], file: str) -> Iterator[Problem]:
    name, vr = action.text, " or ".join(vrs)
    if function == "uid" and "UI" not in vrs:
        yield Problem(file, action.line, f"{name} has VR {vr}, not UI", f"REPLACE {name} func:dummy")
    if function in {"clean_text", "clean_code"} and not _CLEANABLE & set(vrs):
        yield Problem(file, action.line, f"{name} has VR {vr}, which holds no text to clean", f"REMOVE {name}")
    if function == "pseudonym" and not {"LO", "PN", "SH", "UC", "UT", "LT", "ST"} & set(vrs):
        yield Problem(file, action.line, f"{name} has VR {vr}, which cannot hold a pseudonym", f"REMOVE {name}")


def _contradictions(actions: Sequence[ActionLine], file: str) -> Iterator[Problem]:
    exact = [action for action in actions if is_exact(action.field)]
    by_field: dict[object, list[ActionLine]] = {}
    for action in exact:
        by_field.setdefault(action.field, []).append(action)
    for same in by_field.values():
        for earlier, later in pairwise(same):
            if (earlier.verb, earlier.value) != (later.verb, later.value):
                lost = _LOST[_winner(earlier, later).verb]
                said = f"line {earlier.line} says {earlier.verb} of the same field; {lost}. Leave one out"
                yield Problem(file, later.line, said)
    sets = [action for action in actions if not is_exact(action.field)]
    for action in exact:
        for wide in sets:
            if _overrules(wide, action) and isinstance(action.field, ExactField):
                yield from _overruled(action, wide, action.field, file)


def _winner(earlier: ActionLine, later: ActionLine) -> ActionLine:
    for verb in (Verb.ADD, Verb.KEEP):
        for action in (earlier, later):
            if action.verb is verb:
                return action
    changing = {Verb.REPLACE, Verb.JITTER}
    if Verb.REMOVE in {earlier.verb, later.verb}:
        wanted = changing if {earlier.verb, later.verb} & changing else {Verb.REMOVE}
        return earlier if earlier.verb in wanted else later
    return later


def _overrules(wide: ActionLine, action: ActionLine) -> bool:
    """Return whether a rule on a set of fields undoes a rule that names one of them."""
    if wide.verb is Verb.KEEP:
        return action.verb not in {Verb.KEEP, Verb.ADD}
    if action.verb is Verb.ADD:
        return wide.line > action.line and not isinstance(wide.field, AllFields)
    if action.verb is Verb.REMOVE:
        return wide.verb in {Verb.REPLACE, Verb.JITTER}
    if action.verb is Verb.BLANK:
        return wide.verb is Verb.REMOVE or (wide.verb in {Verb.REPLACE, Verb.JITTER} and wide.line > action.line)
    if action.verb in {Verb.REPLACE, Verb.JITTER}:
        return wide.verb in {Verb.REPLACE, Verb.JITTER, Verb.BLANK} and wide.line > action.line
    return False


def _overruled(action: ActionLine, wide: ActionLine, field: ExactField, file: str) -> Iterator[Problem]:
    vrs = dictionary.vrs_of(field.tag) or ("UN",)
    if any(wide.field.matches(Element(field.path or (), field.tag, vr)) for vr in vrs):
        yield Problem(
            file,
            action.line,
            f"{wide.verb} {wide.text} in line {wide.line} overrules this {action.verb}; {_LOST[wide.verb]}",
        )
