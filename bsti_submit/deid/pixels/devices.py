"""Known devices: a header, and the rules of ``%filter`` → the regions that are blanked without looking for text.

The syntax is deid's, the judgement ours (`recipe_filters` refuses what the two would read differently). Every LABEL
that means an instance counts: its boxes apply in their order, and a box that one label keeps never takes back what
another blanks. Ends are included. Of ultrasound, whatever lies outside the regions that the header names goes too.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bsti_submit.deid import dictionary
from bsti_submit.deid.characters import Characters, UnknownCharacterSet
from bsti_submit.deid.pixels.regions import Region
from bsti_submit.deid.reader import parse
from bsti_submit.deid.staged import Refusal
from bsti_submit.deid.vrs import PLAIN_TEXT
from bsti_submit.deid.walker import Broken
from bsti_submit.model import Buffer, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bsti_submit.deid.profile import Profile
    from bsti_submit.deid.recipe_filters import Box, Condition, Label, Test
    from bsti_submit.deid.walker import Element

ULTRASOUND: Final = frozenset(
    (
        "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame (retired)
        "1.2.840.10008.5.1.4.1.1.3.1",  # Ultrasound Multi-frame
        "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound (retired)
        "1.2.840.10008.5.1.4.1.1.6.1",  # Ultrasound
    )
)
MOST_REGIONS: Final = 256
"""Regions of ultrasound in one header; more are no layout of a screen."""
_NO_TEXT: Final = "\ufffd"
"""Stands for a value that is there but is neither text nor number."""

_CHARACTER_SET, _SOP_CLASS, _ROWS, _COLUMNS = 0x00080005, 0x00080016, 0x00280010, 0x00280011
_REGIONS: Final = 0x00186011
_CORNERS: Final = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)
"""Region Location Min X0, Min Y0, Max X1, Max Y1 (PS3.3 C.8.5.5.1.1): counted from 0, ends included."""
_NUMBERS: Final = {"US": "<H", "SS": "<h", "UL": "<L", "SL": "<l", "UV": "<Q", "SV": "<q", "FL": "<f", "FD": "<d"}


class _Unclear(ValueError):  # noqa: N818 - caught here and turned into a refusal
    """A region that cannot be understood."""


@dataclass(frozen=True, slots=True)
class SourceHeader:
    """What the rules look at in one input header. Identified: it is shown nowhere.

    Attributes
    ----------
    values
        Tag → values as text, of the elements at the top level that the rules ask for; () of an empty one.
    ultrasound
        The corners of each region of ultrasound, ends included; None where the header names none.
    """

    rows: int
    columns: int
    sop_class_uid: str
    values: Mapping[int, tuple[str, ...]] = field(repr=False)
    ultrasound: tuple[tuple[int, ...], ...] | None


def regions_of(profile: Profile, data: Buffer) -> tuple[Region, ...] | Refusal:
    """Return the regions of an input file that a profile blanks whatever they show.

    Parameters
    ----------
    data
        The whole file.

    Returns
    -------
    tuple of Region, or Refusal
        A refusal if the header or the regions in it cannot be read for certain.
    """
    labels = device_labels(profile)
    if not labels and ULTRASOUND.isdisjoint(profile.eligible):
        return ()
    try:
        return device_regions(labels, read_header(data, labels))
    except Broken as broken:
        return Refusal(broken.reason)
    except UnknownCharacterSet:
        return Refusal(Reason.UNKNOWN_CHARACTER_SET, "SpecificCharacterSet")
    except _Unclear:
        return Refusal(Reason.PIXEL_CODING, "SequenceOfUltrasoundRegions")
    except Exception:  # noqa: BLE001 - bad input is a refusal, and no error's text may be shown
        return Refusal(Reason.UNREADABLE)


def device_labels(profile: Profile) -> tuple[Label, ...]:
    """Return the labels with boxes of all recipes of a profile."""
    return tuple(
        label
        for recipe in profile.recipes
        for labels in recipe.filters.values()
        for label in labels
        if any(not box.keep for box in label.boxes)
    )


def read_header(data: Buffer, labels: Iterable[Label]) -> SourceHeader:
    """Read what some labels ask of a header.

    Raises
    ------
    Broken, UnknownCharacterSet, struct.error
        If it cannot be read for certain.
    """
    asked = {test.tag for label in labels for condition in label.conditions for test in condition.tests}
    asked |= {_SOP_CLASS, _ROWS, _COLUMNS}
    elements = {element[0]: element for element in parse(data).elements}
    own = elements.get(_CHARACTER_SET)
    characters = Characters(bytes(own[2])) if own is not None and isinstance(own[2], memoryview) else Characters()
    values = {tag: _texts(elements[tag], characters) for tag in asked if tag in elements}

    def number(tag: int) -> int:
        return int(next(iter(values.get(tag, ())), "0"))

    found = elements.get(_REGIONS)
    ultrasound = None
    if found is not None and isinstance(found[2], list) and found[2]:
        ultrasound = tuple(tuple(_corner(item, tag) for tag in _CORNERS) for item in found[2])
    return SourceHeader(number(_ROWS), number(_COLUMNS), next(iter(values.get(_SOP_CLASS, ())), ""), values, ultrasound)


def _texts(element: Element, characters: Characters) -> tuple[str, ...]:
    """Return the values of an element as text."""
    tag, vr, value, _ = element
    if not isinstance(value, memoryview):
        return (_NO_TEXT,) if value else ()
    if not len(value):
        return ()
    vr = vr if vr != "UN" else next(iter(dictionary.vrs_of(tag)), "UN")
    if vr in _NUMBERS:
        return tuple(f"{number:g}" if vr in {"FL", "FD"} else str(number) for (number,) in _unpacked(vr, value))
    if vr not in dictionary.TEXT_VRS | dictionary.DATE_VRS | {"AE", "AS", "CS", "DS", "IS", "PN", "TM", "UI", "UR"}:
        return (_NO_TEXT,)
    text = characters.decode(value, vr if vr in PLAIN_TEXT else "LO", guess=True).strip()
    return tuple(each.strip() for each in text.split("\\")) if text else ()


def _unpacked(vr: str, value: memoryview) -> Iterable[tuple[int | float, ...]]:
    return struct.iter_unpack(_NUMBERS[vr], value)


def _corner(item: Sequence[Element], tag: int) -> int:
    found = [value for own, _, value, _ in item if own == tag]
    if len(found) != 1 or not isinstance(found[0], memoryview) or len(found[0]) != 4:
        raise _Unclear
    return int(struct.unpack("<L", found[0])[0])


def device_regions(labels: Iterable[Label], header: SourceHeader) -> tuple[Region, ...]:
    """Return the regions that labels, and the regions of ultrasound, blank in one instance, in every frame.

    Raises
    ------
    Broken, ValueError
        If a rule asks for text of what is none, or the regions of ultrasound contradict themselves or the picture.
    """
    found: set[Region] = set()
    for label in labels:
        if all(_holds(condition, header) for condition in label.conditions):
            found |= _blanked(label.boxes, header)
    if header.ultrasound is not None and header.sop_class_uid in ULTRASOUND:
        found |= _outside(header)
    return tuple(sorted(found, key=lambda each: (each.top, each.left, each.bottom, each.right)))


def _blanked(boxes: Iterable[Box], header: SourceHeader) -> set[Region]:
    found: set[Region] = set()
    for box in boxes:
        left, top, right, bottom = box.corners or (0, 0, header.columns - 1, header.rows - 1)
        region = Region(left, top, right + 1, bottom + 1).within(header.rows, header.columns)
        if region is None:
            continue
        if box.keep:
            found = {part for each in found for part in each.without(region)}
        else:
            found.add(region)
    return found


def _outside(header: SourceHeader) -> set[Region]:
    """Return the picture outside the union of its regions of ultrasound: its margins, with whatever is written there."""
    left_over = {Region(0, 0, header.columns, header.rows)}
    corners = header.ultrasound or ()
    if len(corners) > MOST_REGIONS:
        raise _Unclear
    for left, top, right, bottom in corners:
        if not (left <= right < header.columns and top <= bottom < header.rows):
            raise _Unclear
        region = Region(left, top, right + 1, bottom + 1)
        left_over = {part for each in left_over for part in each.without(region)}
    return left_over


def _holds(condition: Condition, header: SourceHeader) -> bool:
    """Return whether the tests of a line hold, joined from left to right."""
    held = _passes(condition.tests[0], header)
    for operator, test in zip(condition.operators, condition.tests[1:], strict=True):
        passed = _passes(test, header)
        held = held or passed if operator == "or" else held and passed
    return held


def _passes(test: Test, header: SourceHeader) -> bool:
    values = header.values.get(test.tag)
    if test.kind == "missing":
        return values is None
    if test.kind == "present":
        return values is not None
    if test.kind == "empty":
        return values is not None and not any(values)
    if values == (_NO_TEXT,):
        raise Broken(Reason.UNREADABLE)
    wanted = test.value or ""
    texts = [*(values or ()), "\\".join(values or ())]
    matches: Callable[[str], object]
    if test.kind.endswith("equals"):
        matches = lambda text: text.casefold() == wanted.casefold()  # noqa: E731
    else:
        matches = re.compile(wanted, re.IGNORECASE).search
    found = values is not None and any(matches(text) for text in texts)
    return not found if test.kind.startswith("not") else found
