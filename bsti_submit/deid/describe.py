"""A profile → plain English, and → the Conformance Statement that PS3.15 E.1.3 asks for."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bsti_submit.deid import beyond, dictionary
from bsti_submit.deid.recipe_reader import Verb
from bsti_submit.deid.table import ANALOGIES, EDITION, ROW_COUNT, Option, field_of, row_for, rows
from bsti_submit.model import DUMMIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bsti_submit.deid.profile import Profile
    from bsti_submit.deid.recipe import ActionLine

_WORDS = {
    "func:dummy": "Replaced by a dummy of the same kind",
    "func:uid": "Replaced by a new UID, the same wherever the old one stands",
    "func:shift_date": "Shifted back by the patient's own number of days",
    "func:clean_text": "Cut down to allowed words",
    "func:clean_code": "Kept where it is a well-formed code of a public scheme, else cut down to allowed words",
    "func:pseudonym": "Replaced by the patient's pseudonym",
    "func:ps315": "Removed, emptied or replaced by a dummy, as the kind of object demands",
}
_VERBS = {
    Verb.ADD: "Inserted",
    Verb.BLANK: "Emptied",
    Verb.KEEP: "Kept; a sequence keeps its frame, and each attribute inside goes by its own rule",
    Verb.REMOVE: "Removed",
    Verb.JITTER: "Shifted by a fixed number of days",
}


def _words(line: ActionLine) -> str:
    if line.verb in _VERBS and not (line.verb is Verb.JITTER and line.value in _WORDS):
        return _VERBS[line.verb]
    if line.value.startswith("deid_func:"):
        shifted = line.value.startswith("deid_func:jitter")
        return _VERBS[Verb.JITTER] if shifted else _WORDS["func:uid"]
    return _WORDS.get(line.value, "Replaced by a fixed text")


def grouped(profile: Profile) -> dict[str, list[str]]:
    """Return what the recipes name, by what is done with it, in the order of the recipes.

    A line of a lower recipe whose field an upper one names is left out, since the upper one holds.
    """
    found: dict[str, list[str]] = defaultdict(list)
    decided: set[object] = set()
    for recipe in profile.recipes:
        for line in recipe.actions:
            if line.field not in decided:
                value = f" = {line.value}" if line.verb is Verb.ADD else ""
                found[_words(line)].append(line.text + value)
        decided |= {line.field for line in recipe.actions}
    return dict(found)


def _dates(profile: Profile) -> list[str]:
    if profile.date_policy == "modified":
        return [
            "All dates of a patient move back by the same whole number of days, between 3,653 and 10,957, secret and",
            "different for each patient, so that intervals stay true. Times of day stay. Dates of devices, dates known to",
            "the public and the time zone are not shifted but removed, since they would betray by how much.",
        ]
    if profile.date_policy == "removed":
        return ["All dates and times are removed, emptied or replaced by a dummy."]
    return ["Dates that the recipe keeps leave as they are: the registry does not take such a case."]


def describe(profile: Profile) -> str:
    """Return a page of plain English."""
    options = [f"  {code}  {Option(code).meaning}" for code in sorted(profile.options)]
    counts = [(len(names), words) for words, names in grouped(profile).items()]
    lines = [
        f"{profile.name} {profile.version}: {profile.title}.",
        f"Digest of profile, recipe and vocabulary: {profile.recipe_sha256}",
        *([f"It is laid over {profile.extends}: its own lines hold first."] if profile.extends else []),
        "",
        f"What it claims, of DICOM PS3.15 Table E.1-1, edition {EDITION} ({ROW_COUNT} rows):",
        *(options or ["  nothing: it keeps more than the Basic Profile allows"]),
        "  113101  Clean Pixel Data Option, on those instances only whose picture was really examined",
        "",
        "What is sent: " + ", ".join(sorted(profile.eligible.values())) + ".",
        "Left out and counted: structured reports, documents, presentation states, key objects, secondary captures, raw",
        "data and every other kind of object.",
        "",
        "The patient's name and number become a pseudonym that only your site's key can make. UIDs become new ones, the",
        "same ones whenever you send the same patient again, so that studies still belong together.",
        *_dates(profile),
        "Age and sex do not travel in the images; they travel in the clinical record, and ages above",
        f"{profile.age_cap} are told as {profile.age_cap + 1}+ only.",
        "Free text loses this patient's own words first, then whatever looks like an identifier "
        f"({', '.join(profile.patterns)}),",
        "then every word that is not in a published vocabulary of radiology.",
        "Removed wherever they stand: private attributes"
        + (f" (but those listed below of {', '.join(profile.retained_creators)})" if profile.retained_creators else "")
        + ", overlays, curves, icons, colour profiles, digital signatures,",
        "encrypted originals, comments inside compressed images, and whatever the standard's dictionary does not list.",
        "",
        "What the recipe names:",
        *(f"  {count:4}  {words}" for count, words in counts),
        *([""] if profile.warnings else []),
        *(f"Note: {warning}" for warning in profile.warnings),
    ]
    return "\n".join(lines) + "\n"


def _keywords(tags: Iterable[int]) -> str:
    return ", ".join(dictionary.label(tag) for tag in sorted(tags))


def conformance(profiles: Sequence[Profile]) -> str:
    """Return docs/conformance.md: the statement of PS3.15 E.1.3 for some profiles."""
    device = [row.tag for row in rows() if row.is_device_date and row.tag is not None]
    unlisted = {tag for tag in beyond.anchors() if row_for(tag) is None} | beyond.identifying()
    by_analogy = [
        f"{field_of(row)} ({row.name}) as {dictionary.label(ANALOGIES[row.tag])}"
        for row in rows()
        if row.by_analogy and row.tag is not None
    ]
    lines = [
        "# Conformance statement",
        "",
        "What PS3.15 E.1.3 asks a de-identifier to state. Written from the profiles by `tools/generate.py`; a test compares.",
        "",
        "## Common to all profiles",
        "",
        f"**Table.** E.1-1 of edition {EDITION}, {ROW_COUNT} rows. Its option columns are those of 2024e; rows new since then",
        "take the options of a neighbour, and are removed in any case where our dictionary does not have them yet:",
        "; ".join(by_analogy) + ".",
        "",
        "**Depth.** Every rule holds in the main data set and in items of sequences at any depth. The file meta information",
        "and the preamble are written anew. Of repeating groups, curves (50xx) and overlays (60xx) are removed whole.",
        "",
        "**Referential integrity.** New UIDs, the pseudonym and the shift of dates are made with HMAC-SHA-256 from the site's",
        "secret key. They are the same in every instance, study and later run of a site with the same key, and unrelated",
        "under another. UIDs that the standard registers stay. No table of old and new values is kept.",
        "",
        "**Dummies.** "
        + ", ".join(f"{vr} `{value}`" for vr, value in sorted(DUMMIES.items()))
        + "; binary values are zero. A",
        "sequence for which the table asks a dummy is emptied. UIDs get a new UID.",
        "",
        "**Type-dependent actions** (X/Z, X/D, X/Z/D, Z/D, X/Z/U*) follow the type of PS3.3 in the IOD at hand, the strongest where",
        "modules differ; conditional types count as if their condition were met; where no IOD has the attribute it is removed.",
        "",
        "**Inserted.** Patient Identity Removed `YES`, De-identification Method and its Code Sequence (scheme DCM), Longitudinal",
        "Temporal Information Modified; Burned In Annotation `NO` and code 113101 only on instances whose picture was examined.",
        "",
        "**Cleaned descriptors** (E.3.5). This patient's own words go first, then text in the form of national identifiers, then",
        "every word that is not in the vocabulary; numbers that could be a date or an identifier go too. Codes are kept where they",
        "are well-formed codes of a public scheme.",
        "",
        "**Attributes of the dictionary that are not in the table** stay if they are numbers or coded strings. Of the others, text",
        "is cleaned, UIDs are replaced, dates handled as those in the table, sequences entered; person names, application entity",
        "titles, URIs and binary values other than pixel data and lookup tables are removed. A value of another kind than the",
        "dictionary's is removed. These go as well, since they can identify: " + _keywords(unlisted) + ".",
        "",
        "**Unknown and private attributes** are removed (E.3.10: no safe private attribute is kept).",
        "",
        "**Patient characteristics** (E.3.7) are not kept; age and sex travel in the clinical record.",
        "",
        "**Restrictions.** Images of CT, CR and DX only. Instances whose pixel data cannot be examined, that cover a head, or of",
        "which the final check finds something are held back. Whoever has the originals can match pixels.",
    ]
    for profile in profiles:
        lines += ["", f"## {profile.name} {profile.version}", "", f"{profile.title}.", ""]
        lines += [f"- {code} {Option(code).meaning}" for code in sorted(profile.options)]
        if profile.date_policy == "modified":
            lines += [
                "",
                "**Manner of date modification** (E.3.6). All dates of one patient move back by one number of days, from 3,653 to",
                "10,957, by the site's key; times of day stay. Bad dates are emptied or removed. Not shifted, but handled as the",
                "Basic Profile says: " + _keywords({*device, *(t for t in beyond.anchors() if row_for(t))}) + ".",
            ]
        for words, names in grouped(profile).items():
            shown = ", ".join(f"`{name}`" if ":" in name or "=" in name else name for name in names)
            lines += ["", f"**{words}** ({len(names)}): {shown}."]
    return "\n".join(lines) + "\n"
