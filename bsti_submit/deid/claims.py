"""Whether a compiled recipe does what its profile claims: each row of Table E.1-1 against each IOD.

An action that protects more than the table asks for is fine; one that protects less is a false claim
(PS3.15 E.1.3), whatever (0012,0064) would say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsti_submit.deid import dictionary, table
from bsti_submit.deid.fields import Element
from bsti_submit.deid.iod import possible_types
from bsti_submit.deid.plan import Action, Plan, is_reference
from bsti_submit.deid.recipe_reader import Problem
from bsti_submit.deid.table import Option, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SOMEWHERE = 0x00081140
"""A sequence that stands for "nested": rules by path are rare, and a claim must hold at every depth."""

_GONE = frozenset({Action.REMOVE, Action.EMPTY, Action.DUMMY})
_REPLACED = _GONE | {Action.LITERAL, Action.PSEUDONYM}
_ENOUGH: dict[str, frozenset[Action]] = {
    "X": frozenset({Action.REMOVE}),
    "Z": _REPLACED,
    "D": _REPLACED | {Action.UID},
    "C": _REPLACED | {Action.CLEAN_TEXT, Action.SHIFT_DATE, Action.UID},
    "U": frozenset({Action.UID, Action.REMOVE, Action.LITERAL}),
    "X/Z": _REPLACED,
    "X/D": _REPLACED,
    "X/Z/D": _REPLACED,
    "Z/D": _REPLACED,
    "X/Z/U*": _REPLACED,
}
_PATTERN_EXAMPLES = {
    table.CURVES: (0x50000010, 0x50FE3000),
    table.OVERLAY_DATA: (0x60003000, 0x60FE3000),
    table.OVERLAY_COMMENTS: (0x60004000, 0x60FE4000),
    table.PRIVATE: (0x00191008, 0x60011000),
}


def false_claims(plan: Plan, options: Iterable[str], file: str) -> Iterator[Problem]:
    """Yield a problem for each row of the table that the plan protects less than the claimed options ask for.

    Nothing is asked for without 113100 among the options.
    """
    claimed = frozenset(options)
    if Option.BASIC not in claimed:
        return
    for row in table.rows():
        code = row.action(claimed)
        if code != "K" and not all(_is_enough(code, each, plan) for each in _examples(row)):
            name = row.keyword or row.pattern
            yield Problem(
                file, 0, f"the profile claims {_because(row, claimed)}, which asks {code} of {name}, not less"
            )


def _because(row: Row, claimed: frozenset[str]) -> str:
    return next((option for option in row.options if option in claimed), Option.BASIC)


def _examples(row: Row) -> Iterator[Element]:
    for tag in (row.tag,) if row.tag is not None else _PATTERN_EXAMPLES[row.pattern]:
        for vr in dictionary.vrs_of(tag) or ("LO",):
            for path in ((), (SOMEWHERE,)):
                creator = "SOME CREATOR" if dictionary.is_private(tag) else None
                yield Element(path, tag, vr, creator)


def _is_enough(code: str, element: Element, plan: Plan) -> bool:
    enough = _ENOUGH[code]
    if code.startswith("X/") and element.vr == "SQ" and is_reference(element.tag):
        enough |= {Action.KEEP}  # its UIDs are replaced
    if code == "C" and element.vr in {"SQ", "TM"}:
        enough |= {Action.KEEP}  # cleaned inside; times of day stay (E.3.6: the manner is stated)
    return all(plan.decide(element, kind).action in enough for kind in possible_types(element.tag))
