"""The type of an attribute in the IODs that can be sent: what must stay, and what must have a value.

Table E.1-1 leaves X/Z, X/D, X/Z/D, Z/D and X/Z/U* to the attribute's type in the IOD (PS3.15 E.1.1), so that
the output stays a valid object. Types are those of PS3.3, the strongest where modules of one IOD differ.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib.resources import files

from bsti_submit.deid.dictionary import keyword_of, tag_of

_IOD_OF = {
    "1.2.840.10008.5.1.4.1.1.2": "ct",
    "1.2.840.10008.5.1.4.1.1.2.1": "ect",
    "1.2.840.10008.5.1.4.1.1.2.2": "lect",
    "1.2.840.10008.5.1.4.1.1.1": "cr",
    "1.2.840.10008.5.1.4.1.1.1.1": "dx",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "dx",
}
IODS = ("ct", "ect", "lect", "cr", "dx")


class Type(StrEnum):
    """What an IOD demands of an attribute (PS3.5 7.4).

    Conditional types count as if their condition were true: an attribute that is there is kept valid.
    """

    VALUE = "1"
    """Type 1 or 1C: it must be there, with a value."""
    PRESENT = "2"
    """Type 2 or 2C: it must be there, and may be empty."""
    OPTIONAL = "3"
    """Type 3, or not in the IOD."""


@cache
def _types() -> dict[str, dict[tuple[str, int], Type]]:
    text = (files("bsti_submit.deid") / "data" / "iod-types.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    columns = {iod: lines[0].index(iod) for iod in IODS}
    types: dict[str, dict[tuple[str, int], Type]] = {iod: {} for iod in IODS}
    for cells in lines[1:]:
        tag = tag_of(cells[1])
        if tag is None:
            continue
        for iod, column in columns.items():
            if cells[column]:
                types[iod][cells[0], tag] = Type(cells[column][0])
    return types


def type_of(sop_class_uid: str, path: tuple[int, ...], tag: int) -> Type:
    """Return the type of an attribute where it stands.

    Parameters
    ----------
    sop_class_uid
        Of the instance. For a class that is not sent at all every attribute is optional.
    path
        The tags of the sequences around it, outermost first; () at top level.
    tag
        Of the attribute.
    """
    types = _types().get(_IOD_OF.get(sop_class_uid, ""), {})
    if not path:
        return types.get(("", tag), Type.OPTIONAL)
    return types.get((keyword_of(path[-1]), tag)) or types.get(("*", tag), Type.OPTIONAL)


def possible_types(tag: int) -> frozenset[Type]:
    """Return every type that the attribute has anywhere in the IODs; always with `Type.OPTIONAL`.

    Any attribute may turn up where no IOD wants it.
    """
    return _possible().get(tag, frozenset({Type.OPTIONAL}))


@cache
def _possible() -> dict[int, frozenset[Type]]:
    found: dict[int, set[Type]] = {}
    for types in _types().values():
        for (_parent, tag), each in types.items():
            found.setdefault(tag, {Type.OPTIONAL}).add(each)
    return {tag: frozenset(types) for tag, types in found.items()}
