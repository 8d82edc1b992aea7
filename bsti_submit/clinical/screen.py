"""Free text and local references → whether they may identify anybody. What is found is refused, never masked.

This patient's own words come first, for a search by form alone misses a name; then the national patterns, those for
typed text and those that the final check of everything that leaves will look for as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bsti_submit.clinical.problem import Problem
from bsti_submit.identifiers import Kind, Strength, find_identifiers

if TYPE_CHECKING:
    from bsti_submit.clinical.facts import Context

_OWN = "contains a word or number from this patient's own images"
_REFERENCE = re.compile(r"[A-Za-z0-9#][A-Za-z0-9 ._/#-]{0,63}\Z")
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
    if not what and context is not None and context.final_check is not None and context.final_check(text):
        what = _OWN
    return Problem("E-PHI", path, f"{what}. {_ADVICE}") if what else None


def screen_reference(local_ref: str, context: Context | None) -> Problem | None:
    """Look for identifiers in a manifest's ``local_ref``: it stays here, but is printed in results.

    It is plain ASCII, so that no look-alike letters or invisible characters can hide a name in it.
    """
    if not _REFERENCE.match(local_ref):
        return Problem(
            "E-CELL", "local_ref", "use up to 64 plain letters and digits, with . _ - / # or spaces between."
        )
    what = _find(local_ref, context)
    return Problem("E-PHI", "local_ref", f"{what}. Use a reference of your own that names nobody.") if what else None


def _find(text: str, context: Context | None) -> str:
    if context is not None and context.matches_patient is not None and context.matches_patient(text):
        return _OWN
    search = context.find_identifiers if context is not None else None
    hits = [*(search or find_identifiers)(text), *find_identifiers(text, strength=Strength.DESCRIPTOR)]
    if not hits:
        return ""
    # The most telling first: a number that passes for an NHS number is also a long number.
    ranks = {kind: rank for rank, kind in enumerate(Kind)}
    return f"looks like {min((hit.kind for hit in hits), key=ranks.__getitem__).label}"
