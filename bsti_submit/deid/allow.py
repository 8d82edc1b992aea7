"""What may leave under a profile, as data: for the final check here, and for the registry's on arrival."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from bsti_submit.deid import dictionary
from bsti_submit.deid.claims import SOMEWHERE
from bsti_submit.deid.fields import Element
from bsti_submit.deid.iod import possible_types
from bsti_submit.deid.plan import CHARACTER_SET, ENGINE_WRITES, Action, Rule
from bsti_submit.model import Allowed, AllowList, Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bsti_submit.deid.plan import Plan

SCHEMA = "allow-list/1.0"
PIXEL_DATA = 0x7FE00010

_KEEP = frozenset({Form.KEEP})
META: dict[int, frozenset[Form]] = {
    **dict.fromkeys((0x00020000, 0x00020001, 0x00020002, 0x00020010, 0x00020012, 0x00020013), _KEEP),
    0x00020003: frozenset({Form.UID}),
}
"""The file meta information, which the engine writes anew (PS3.10 7.1)."""

REWRITTEN = ENGINE_WRITES | {CHARACTER_SET}
"""Elements of which the input's value never leaves, only what the engine writes."""

_FORMS = {
    Action.KEEP: Form.KEEP,
    Action.EMPTY: Form.EMPTY,
    Action.LITERAL: Form.LITERAL,
    Action.UID: Form.UID,
    Action.SHIFT_DATE: Form.DATE,
    Action.DUMMY: Form.DUMMY,
    Action.CLEAN_TEXT: Form.TEXT,
    Action.PSEUDONYM: Form.PSEUDONYM,
}
_NEVER_FAILS = frozenset({Action.LITERAL, Action.DUMMY, Action.PSEUDONYM})


def forms_of(rule: Rule, vr: str, tag: int) -> frozenset[Form]:
    """Return the forms in which one rule lets a value of a VR leave; none for removal."""
    if rule.action is Action.REMOVE:
        return frozenset()
    if tag == PIXEL_DATA and rule.action is Action.KEEP:
        return frozenset({Form.PIXELS})
    if vr == "SQ" and rule.action is Action.KEEP:
        return frozenset({Form.SEQUENCE, Form.EMPTY})
    forms = {_FORMS[rule.action]}
    if rule.action not in _NEVER_FAILS:
        forms.add(Form.EMPTY)  # an empty value stays empty whatever the rule
        if rule.otherwise is Action.DUMMY:
            forms.add(Form.UID if vr == "UI" else Form.DUMMY)
    return frozenset(forms)


def compile_allow_list(
    plan: Plan, *, profile: str, version: str, recipe_sha256: str, inserted: Mapping[int, Iterable[str]]
) -> AllowList:
    """Return every tag that may leave, with the forms that any IOD, depth and VR could give it.

    Parameters
    ----------
    plan
        Of the profile.
    inserted
        Tag → values that the engine itself may write; a sequence has none.
    """
    forms: dict[int, set[Form]] = {tag: set(each) for tag, each in META.items()}
    literals: dict[int, set[str]] = defaultdict(set)
    for tag in dictionary.tags():
        if tag >> 16 == 0x0002:
            continue
        found: set[Form] = set()
        for path in ((), (SOMEWHERE,), *plan.paths(tag)):
            found |= _forms_at(plan, path, tag, literals)
        if found:
            forms[tag] = found
    for tag, values in inserted.items():
        written = set(values)
        if tag in REWRITTEN:
            forms[tag], literals[tag] = set(), set()
        forms.setdefault(tag, set()).add(Form.LITERAL if written else Form.SEQUENCE)
        literals[tag] |= written
    elements = {tag: Allowed(frozenset(forms[tag]), frozenset(literals.get(tag, ()))) for tag in sorted(forms)}
    private = {key: Allowed(frozenset({Form.KEEP, Form.SEQUENCE})) for key in sorted(plan.creators())}
    return AllowList(profile, version, recipe_sha256, elements, private)


def _forms_at(plan: Plan, path: tuple[int, ...], tag: int, literals: dict[int, set[str]]) -> set[Form]:
    found: set[Form] = set()
    for vr in dictionary.vrs_of(tag):
        element = Element(path, tag, vr)
        for kind in possible_types(tag):
            rule = plan.decide(element, kind)
            found |= forms_of(rule, vr, tag)
            if rule.action is Action.LITERAL:
                literals[tag].add(rule.value)
    return found


def export(allowed: AllowList, **facts: object) -> dict[str, Any]:
    """Return an allow-list as JSON-able data; `parse` reads it back.

    A tag ``GGGGEEEE`` maps to its forms or, where it has literals, to both by name.
    """
    elements: dict[str, object] = {}
    for tag, each in allowed.elements.items():
        forms = sorted(str(form) for form in each.forms)
        literals = sorted(each.literals)
        elements[f"{tag:08X}"] = {"forms": forms, "literals": literals} if literals else forms
    return {
        "schema": SCHEMA,
        "profile": allowed.profile,
        "version": allowed.version,
        "recipe_sha256": allowed.recipe_sha256,
        **facts,
        "elements": elements,
        "private": [
            {
                "group": f"{group:04X}",
                "creator": creator,
                "element": f"{element:02X}",
                "forms": sorted(each.forms),
            }
            for (group, creator, element), each in allowed.private.items()
        ],
    }


def parse(data: Mapping[str, Any]) -> AllowList:
    """Read what `export` wrote.

    Raises
    ------
    ValueError
        If it is not an allow-list of this schema.
    """
    if data.get("schema") != SCHEMA:
        raise ValueError("not an allow-list of a known schema")
    elements: dict[int, Allowed] = {}
    for tag, entry in data["elements"].items():
        forms = entry["forms"] if isinstance(entry, dict) else entry
        literals = entry["literals"] if isinstance(entry, dict) else ()
        elements[int(tag, 16)] = Allowed(frozenset(map(Form, forms)), frozenset(literals))
    private = {
        (int(each["group"], 16), str(each["creator"]), int(each["element"], 16)): Allowed(
            frozenset(map(Form, each["forms"]))
        )
        for each in data["private"]
    }
    return AllowList(data["profile"], data["version"], data["recipe_sha256"], elements, private)
