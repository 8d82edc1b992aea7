"""A profile → plain English, and → the Conformance Statement that PS3.15 E.1.3 asks for."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bsti_submit.deid import dictionary
from bsti_submit.deid.table import EDITION, ROW_COUNT, Option, rows
from bsti_submit.model import DUMMIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bsti_submit.deid.profile import Profile

_WORDS = {
    ("REMOVE", ""): "Removed",
    ("BLANK", ""): "Emptied",
    ("KEEP", ""): "Kept (sequences keep their frame; what is inside is handled by its own rule)",
    ("REPLACE", "dummy"): "Replaced by a dummy",
    ("REPLACE", "uid"): "Replaced by a new UID, the same wherever the old one stands",
    ("REPLACE", "shift_date"): "Shifted back by the patient's own number of days",
    ("REPLACE", "clean_text"): "Cut down to allowed words",
    ("REPLACE", "pseudonym"): "Replaced by the patient's pseudonym",
    ("REPLACE", "ps315"): "Removed, emptied or replaced by a dummy, as the kind of object demands",
}


def grouped(profile: Profile) -> dict[str, list[str]]:
    """Return the attributes that the recipe names, by what is done with them."""
    found: dict[str, list[str]] = defaultdict(list)
    for rule in profile.recipe.rules:
        words = _WORDS.get((rule.action, rule.function)) or f"{rule.action.capitalize()} by the site's own recipe"
        found[words].append(rule.text)
    return dict(found)


def describe(profile: Profile) -> str:
    """Return a page of plain English."""
    options = [f"  {code}  {Option(code).meaning}" for code in sorted(profile.options)]
    dates = (
        "All dates of a patient move back by the same number of days, between 10 and 30 years, so that intervals stay "
        "true. Times of day stay. Dates of devices and time zones are removed."
        if profile.date_policy == "modified"
        else "All dates and times are removed or emptied."
    )
    lines = [
        f"{profile.name} {profile.version}: {profile.title}",
        f"Digest of profile, recipe and vocabulary: {profile.recipe_sha256}",
        "",
        f"It follows PS3.15 Table E.1-1, edition {EDITION} ({ROW_COUNT} rows), and claims:",
        *(options or ["  nothing"]),
        "",
        "What is sent: " + ", ".join(sorted(profile.eligible.values())) + ".",
        "Everything else is left out and counted: structured reports, documents, presentation states, key objects,",
        "secondary captures, raw data and any other kind of object.",
        "",
        dates,
        "The patient's name and number are replaced by a pseudonym that only your site's key can make.",
        "Age and sex are emptied in the header; they travel in the clinical record, ages over "
        f"{profile.age_cap} as {profile.age_cap + 1}+.",
        "Free text keeps only words of a published vocabulary of radiology, after this patient's own words and anything",
        "that looks like a national identifier are gone.",
        "Private attributes, overlays, curves, icons, comments inside compressed images, and anything that the standard's",
        "dictionary does not list are removed.",
        "",
        *(f"{words}: {len(names)} attributes" for words, names in grouped(profile).items()),
        *([""] if profile.warnings else []),
        *(f"Note: {warning}" for warning in profile.warnings),
    ]
    return "\n".join(lines) + "\n"


def conformance(profiles: Sequence[Profile]) -> str:
    """Return docs/conformance.md: the statement of PS3.15 E.1.3."""
    lines = [
        "# Conformance statement",
        "",
        "What PS3.15 E.1.3 asks a de-identifier to state. Made from the profiles by `make generate`; a test compares.",
        "",
        f"Edition of Table E.1-1: {EDITION}, {ROW_COUNT} rows; option columns of 2024e. For the "
        f"{sum(row.by_analogy for row in rows())} rows that are new since then and have a neighbour with option columns, "
        "those of the neighbour hold.",
        "",
        "**Referential integrity.** New UIDs, the pseudonym and the date shift are keyed by the site's key (HMAC-SHA-256).",
        "They are the same in every instance, study and later run of a site with the same key. Registered UIDs stay.",
        "",
        "**Dummies.** " + ", ".join(f"{vr} `{value}`" for vr, value in DUMMIES.items()) + "; binary values are zero.",
        "",
        "**Inserted.** Patient Identity Removed, De-identification Method and its Code Sequence, Longitudinal Temporal",
        "Information Modified; Burned In Annotation `NO` and code 113101 only on instances whose picture was examined.",
        "",
        "**Not in the table.** Attributes of the dictionary that the table does not list stay, with these exceptions: person",
        "names, AE titles and URIs are removed, text keeps allowed words, dates are shifted or removed, UIDs are replaced,",
        "bulk data other than look-up tables is removed. Private attributes and unknown ones are removed.",
        "",
        "**Restrictions.** CT, CR and DX images only. Sequences whose action is D are emptied. Instances with pixel data that",
        "cannot be examined, or that cover a head, are held back.",
    ]
    for profile in profiles:
        lines += ["", f"## {profile.name} {profile.version}", "", profile.title, ""]
        lines += [f"- {code} {Option(code).meaning}" for code in sorted(profile.options)]
        for words, names in grouped(profile).items():
            shown = ", ".join(sorted(names, key=lambda name: dictionary.tag_of(name) or 0))
            lines += ["", f"**{words}** ({len(names)}): {shown}."]
    return "\n".join(lines) + "\n"
