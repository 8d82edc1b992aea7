"""Who wants the credit for a case, and how.

Kept apart from the clinical record and sent in a field of its own.

A contributor's data are personal too, and a named radiologist with a named hospital narrows down a patient,
so they never join a case in public. Anonymous is always possible.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsti_submit.clinical.problem import Problem, error_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CREDITS = ("named", "organisation", "anonymous")
NAME_LENGTH, ORGANISATION_LENGTH = 120, 160
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4})-?(\d{4})-?(\d{4})-?(\d{3}[\dX])/?\Z", re.ASCII | re.IGNORECASE)
_FIELDS = ("credit", "name", "orcid", "organisation")
_FORMULA = ("=", "+", "-", "@", "\t")


@dataclass(frozen=True, slots=True)
class Contributor:
    """One contributor.

    Parameters
    ----------
    credit
        ``named``, ``organisation`` (the organisation alone is named) or ``anonymous``.
    name
        As it shall be shown; ``Family, Given`` or in the usual order.
    orcid
        ``0000-0002-1825-0097``, or empty.
    organisation
        A hospital, trust or department, or empty.
    """

    credit: str
    name: str = ""
    orcid: str = ""
    organisation: str = ""

    def data(self) -> dict[str, str]:
        """Return the field as it is sent; nothing but the wish for an anonymous one."""
        given = {"name": self.name, "orcid": self.orcid, "organisation": self.organisation}
        shown = {"named": given, "organisation": {"organisation": self.organisation}}.get(self.credit, {})
        return {"credit": self.credit, **{field: value for field, value in shown.items() if value}}


def normalise_orcid(text: str) -> str | None:
    """Return an ORCID iD in its usual form, or None if its check digit (ISO 7064 MOD 11-2) is wrong.

    The address form ``https://orcid.org/...`` and missing hyphens are forgiven.
    """
    from stdnum.iso7064 import mod_11_2

    found = _ORCID.match(text.strip())
    if found is None:
        return None
    groups = [group.upper() for group in found.groups()]
    return "-".join(groups) if mod_11_2.is_valid("".join(groups)) else None


def read_contributor(raw: Mapping[str, object]) -> Contributor:
    """Check a contributor from the settings, from options or from JSON.

    Parameters
    ----------
    raw
        Members ``credit``, ``name``, ``orcid``, ``organisation``. Without ``credit`` it is ``named`` if
        there is a name, ``organisation`` if there is one, else ``anonymous``. ``anonymous: true`` is
        understood too.

    Raises
    ------
    InputError
        With one detail line a problem.
    """
    values, problems = _fields(raw)
    problems += _text_problems(values)
    orcid = ""
    if values.get("orcid"):
        orcid = normalise_orcid(values["orcid"]) or ""
        if not orcid:
            message = "this is no ORCID iD: 16 characters with a check digit, as 0000-0002-1825-0097."
            problems.append(Problem("E-ORCID", "orcid", message))
    credit = "anonymous" if raw.get("anonymous") is True else values.get("credit") or _implied(values)
    if credit not in CREDITS:
        problems.append(Problem("E-CHOICE", "credit", f"choose one of: {', '.join(CREDITS)}."))
    elif credit == "named" and not values.get("name"):
        problems.append(Problem("E-REQUIRED", "name", "missing. Give a name, or choose another credit."))
    elif credit == "organisation" and not values.get("organisation"):
        problems.append(Problem("E-REQUIRED", "organisation", "missing. Give it, or choose another credit."))
    if problems:
        raise error_for(tuple(dict.fromkeys(problems)), subject="The contributor's credit")
    return Contributor(credit, values.get("name", ""), orcid, values.get("organisation", ""))


def _fields(raw: Mapping[str, object]) -> tuple[dict[str, str], list[Problem]]:
    problems: list[Problem] = []
    values: dict[str, str] = {}
    for field, value in raw.items():
        if field == "anonymous" and isinstance(value, bool):
            continue
        if field not in _FIELDS:
            problems.append(Problem("E-UNKNOWN-FIELD", "", "only credit, name, orcid and organisation."))
        elif not isinstance(value, str):
            problems.append(Problem("E-TYPE", field, "give text."))
        else:
            values[field] = " ".join(value.split())
    return values, problems


def _implied(values: Mapping[str, str]) -> str:
    if values.get("name"):
        return "named"
    return "organisation" if values.get("organisation") else "anonymous"


def _text_problems(values: Mapping[str, str]) -> list[Problem]:
    problems = []
    for field, limit in (("name", NAME_LENGTH), ("organisation", ORGANISATION_LENGTH)):
        text = values.get(field, "")
        if len(text) > limit:
            problems.append(Problem("E-TEXT", field, f"give at most {limit} characters."))
        elif not text.isprintable() or text.startswith(_FORMULA):
            problems.append(Problem("E-TEXT", field, "holds characters that a name does not have."))
    return problems


def _distinct(contributors: Iterable[Contributor]) -> list[Contributor]:
    """Return those that want to be seen, each once, in the order of first contribution."""
    return list(dict.fromkeys(person for person in contributors if person.credit != "anonymous"))


def citation_cff(contributors: Iterable[Contributor], *, title: str = "BSTI COVID-19 imaging registry") -> str:
    """Return a CITATION.cff (Citation File Format 1.2.0) of everyone who wants to be named.

    The format wants at least one author; where nobody is to be named, the registry stands there itself.
    """
    lines = [
        "cff-version: 1.2.0",
        "message: Please cite the contributors of the cases that you use.",
        f"title: {_quoted(title)}",
        "type: dataset",
        "authors:",
    ]
    people = _distinct(contributors)
    for person in people:
        lines += _author(person)
    if not people:
        lines.append(f"  - name: {_quoted(title)}")
    return "\n".join(lines) + "\n"


def _author(person: Contributor) -> list[str]:
    if person.credit == "organisation":
        return [f"  - name: {_quoted(person.organisation)}"]
    family, comma, given = (part.strip() for part in person.name.partition(","))
    if not comma:
        # The format has no field for a whole name; given and family read together as the name was given.
        given, _, family = (part.strip() for part in person.name.rpartition(" "))
    lines = [f"  - family-names: {_quoted(family)}"]
    if given:
        lines.append(f"    given-names: {_quoted(given)}")
    if person.organisation:
        lines.append(f"    affiliation: {_quoted(person.organisation)}")
    if person.orcid:
        lines.append(f'    orcid: "https://orcid.org/{person.orcid}"')
    return lines


def _quoted(text: str) -> str:
    # A JSON string is a YAML double-quoted scalar.
    return json.dumps(text, ensure_ascii=False)


def contributors_csv(contributors: Iterable[Contributor]) -> str:
    """Return a CSV with the columns name, orcid, organisation.

    Anonymous contributors are counted, not listed.
    """
    everyone = list(contributors)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("name", "orcid", "organisation"))
    for person in _distinct(everyone):
        shown = person.data()
        writer.writerow([shown.get(field, "") for field in ("name", "orcid", "organisation")])
    hidden = sum(person.credit == "anonymous" for person in everyone)
    if hidden:
        writer.writerow((f"{hidden} anonymous", "", ""))
    return out.getvalue()
