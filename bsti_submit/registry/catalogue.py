"""What the registry knows by heart: the API description, the JSON Schemas and the profiles' allow-lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jsonschema import Draft202012Validator

from bsti_submit.model import Allowed, AllowList, Form
from bsti_submit.registry import strictjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from bsti_submit.registry.strictjson import Json, Object

_SCHEMA_FILE = re.compile(r"(?P<name>[a-z][a-z-]*)-(?P<version>\d+\.\d+)\.schema\.json")

_CT_CR_DX = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
)
"""CR, DX for presentation and for processing, CT, Enhanced CT, Legacy Converted Enhanced CT (PS3.4 B.5)."""


@cache
def openapi() -> Object:
    """Return the API's description, generated from ``docs/registry-api.yaml``."""
    return _load(files("bsti_submit.registry") / "openapi.json")


@cache
def _schemas() -> dict[tuple[str, str], Object]:
    found = {}
    for entry in (files("bsti_submit") / "schemas").iterdir():
        match = _SCHEMA_FILE.fullmatch(entry.name)
        if match:
            found[match["name"], match["version"]] = _load(entry)
    for name, component in (("case", "CasePut"), ("receipt", "Receipt")):
        found.setdefault((name, "1.0"), _component_schema(component))
    return found


def schema(name: str, version: str) -> Object | None:
    """Return a JSON Schema by name and version."""
    return _schemas().get((name, version))


@cache
def schema_validator(name: str, version: str) -> Draft202012Validator | None:
    """Return the validator of a named schema, or None if there is no such schema."""
    document = schema(name, version)
    return None if document is None else _validator(document)


@cache
def body_validator(component: str) -> Draft202012Validator:
    """Return the validator of one of the API description's body schemas."""
    return _validator(_component_schema(component))


def _validator(document: Object) -> Draft202012Validator:
    return Draft202012Validator(_anchored(document))


def _anchored(value: Json) -> Json:
    """Make every pattern's end mean the end: Python's ``$`` also matches before a last line feed."""
    if isinstance(value, dict):
        return {
            name: member[:-1] + r"\Z"
            if name == "pattern" and isinstance(member, str) and member.endswith("$")
            else _anchored(member)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_anchored(item) for item in value]
    return value


def _component_schema(component: str) -> Object:
    """Return a schema of the API description as a document of its own."""
    schemas = cast("Object", cast("Object", openapi()["components"])["schemas"])
    wanted, queue = {}, [component]
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted[name] = schemas[name]
            queue.extend(_references(schemas[name]))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"#/$defs/{component}",
        "$defs": {name: _relocated(definition) for name, definition in sorted(wanted.items())},
    }


_COMPONENT = "#/components/schemas/"


def _references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref" and isinstance(member, str):
                yield member.removeprefix(_COMPONENT)
            else:
                yield from _references(member)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _relocated(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _relocated(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_relocated(item) for item in value]
    if isinstance(value, str):
        return value.replace(_COMPONENT, "#/$defs/")
    return value


@dataclass(frozen=True, slots=True)
class KnownProfile:
    """A profile the registry can re-check: its allow-list and the SOP Classes it may send."""

    allow_list: AllowList
    sop_classes: frozenset[str]


class Profiles:
    """The profiles whose exported allow-list is at hand.

    Parameters
    ----------
    extra
        A folder with one more folder a profile, beside those shipped; it wins over them.
    """

    def __init__(self, extra: Path | None = None) -> None:
        self._known: dict[str, KnownProfile] = {}
        for root in (_shipped(), extra):
            if root is None or not root.is_dir():
                continue
            for entry in root.iterdir():
                exported = entry / "allow-list.json"
                if exported.is_file():
                    known = parse_allow_list(_load(exported))
                    self._known[known.allow_list.profile] = known

    def get(self, name: str, version: str, recipe_sha256: str) -> KnownProfile | None:
        """Return a profile if exactly this version of exactly this recipe is known."""
        known = self._known.get(name)
        if known is None:
            return None
        ours = (known.allow_list.version, known.allow_list.recipe_sha256)
        return known if ours == (version, recipe_sha256) else None

    def listed(self) -> list[Object]:
        """Return names and versions for the discovery document."""
        return [{"name": name, "version": known.allow_list.version} for name, known in sorted(self._known.items())]


def parse_allow_list(document: Object) -> KnownProfile:
    """Read an exported allow-list.

    A tag maps to a list of forms, or to an object with ``forms`` and ``literals``.
    """
    elements = {}
    for tag, entry in cast("Object", document["elements"]).items():
        if isinstance(entry, dict):
            forms = cast("list[str]", entry["forms"])
            literals = cast("list[str]", entry.get("literals", []))
        else:
            forms, literals = cast("list[str]", entry), []
        elements[int(tag, 16)] = Allowed(frozenset(Form(form) for form in forms), frozenset(literals))
    private = {
        (int(str(each["group"]), 16), str(each["creator"]), int(str(each["element"]), 16)): Allowed(
            frozenset(Form(form) for form in cast("list[str]", each["forms"]))
        )
        for each in cast("list[Object]", document.get("private", []))
    }
    profile, version, recipe = (str(document[member]) for member in ("profile", "version", "recipe_sha256"))
    allow_list = AllowList(profile, version, recipe, elements, private)
    sop_classes = cast("list[str]", document.get("sop_classes", list(_CT_CR_DX)))
    return KnownProfile(allow_list, frozenset(sop_classes))


def _shipped() -> Traversable | None:
    """Return the shipped profiles: inside the wheel, or at the top of a checkout."""
    inside = files("bsti_submit") / "_profiles"
    if inside.is_dir():
        return inside
    checkout = Path(__file__).resolve().parents[2] / "profiles"
    return checkout if checkout.is_dir() else None


def _load(file: Traversable) -> Object:
    return cast("Object", strictjson.loads(file.read_bytes()))
