"""Free text and local references → whether they may identify anybody. What is found is refused, never masked.

This patient's own words come first, for a search by form alone misses a name; then the national patterns.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

from bsti_submit.clinical.problem import Problem

if TYPE_CHECKING:
    from bsti_submit.clinical.facts import Context, FindIdentifiers

KINDS: dict[str, str] = {
    "nhs-number": "an NHS number",
    "chi-number": "a CHI number",
    "hsc-number": "a Health and Care number",
    "postcode": "a postcode",
    "date": "a date",
    "title-name": "a person's name",
    "name": "a person's name",
    "email": "an e-mail address",
    "url": "a web address",
    "phone": "a telephone number",
    "gmc-number": "a GMC number",
    "hospital-number": "a hospital number",
    "long-number": "a long number",
    "age": "an age over 89",
    "place": "the name of a place",
}
"""The kind that a search reports → how it is called in a message."""

_AGE_OVER_89 = re.compile(
    r"\b(?:aged?|age of)\W{0,3}(?:9\d|1[01]\d)\b|\b(?:9\d|1[01]\d)\W{0,2}(?:y/?o|yrs?|years?)\b", re.I
)
# A named place, so that "hospital acquired pneumonia" may pass: a capitalised word before, or anything after "ward".
_PLACE = re.compile(
    r"\b(?!(?:In|At|To|From|The|Since|After|Out|Into|Non|No|Pre|Post)\b)[A-Z][\w']*\s+(?i:hospital|infirmary|trust)\b"
    r"|\b(?i:hospital|infirmary|trust)\s+(?:of\s+)?[A-Z][a-z]"
    r"|\b(?i:ward)\s+\w"
)
_ADVICE = "Remove it; the text was not saved."


def screen_text(text: str, path: str, context: Context | None) -> Problem | None:
    """Look for identifiers in a text that would be stored.

    Parameters
    ----------
    text
        As it would be stored.
    path
        Where it stands in the record.
    context
        For this patient's own words; without it only the forms of identifiers are searched.

    Returns
    -------
    Problem or None
        ``E-PHI``, which never repeats the text.
    """
    what = _find(text, context)
    return Problem("E-PHI", path, f"{what}. {_ADVICE}") if what else None


def screen_reference(local_ref: str, context: Context | None) -> Problem | None:
    """Look for identifiers in a manifest's ``local_ref``: it stays here, but is printed in results."""
    what = _find(local_ref, context)
    return (
        Problem("E-PHI", "local_ref", f"{what}. Use a reference of your own that names nobody.")
        if what
        else None
    )


def _find(text: str, context: Context | None) -> str:
    if context is not None and context.matches_patient is not None and context.matches_patient(text):
        return "contains a word or number from this patient's own images"
    search = context.find_identifiers if context is not None else None
    hits = (search or _national_patterns())(text)
    if hits:
        # The gravest first: a number that passes for an NHS number is also a long number.
        ranks = {kind: rank for rank, kind in enumerate(KINDS)}
        kind = min((hit.kind for hit in hits), key=lambda kind: ranks.get(kind, len(ranks)))
        return f"looks like {KINDS.get(kind, 'an identifier')}"
    if _AGE_OVER_89.search(text):
        return "looks like an age over 89"
    if _PLACE.search(text):
        return "looks like the name of a place"
    return ""


def _national_patterns() -> FindIdentifiers:
    search: FindIdentifiers = importlib.import_module("bsti_submit.identifiers").find_identifiers
    return search
