"""A profile → plain English, and → the Conformance Statement that PS3.15 E.1.3 asks for."""

from __future__ import annotations

from collections import defaultdict
from importlib.resources import files
from string import Template
from textwrap import fill
from typing import TYPE_CHECKING

from bsti_submit.deid import beyond, dictionary
from bsti_submit.deid.pixels.devices import ULTRASOUND, device_labels
from bsti_submit.deid.recipe_reader import Verb
from bsti_submit.deid.table import ANALOGIES, EDITION, ROW_COUNT, Option, field_of, row_for, rows
from bsti_submit.model import DUMMIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bsti_submit.deid.profile_type import Profile
    from bsti_submit.deid.recipe import ActionLine

_WIDTH = 100
_WORDS = {
    "func:dummy": "Replaced by a dummy of the same kind",
    "func:uid": "Replaced by a new UID, the same wherever the old one stands",
    "func:shift_date": "Shifted back by the patient's own number of days",
    "func:clean_text": "Cut down to allowed words",
    "func:clean_code": "Kept where it is a well-formed public code, else cut down to allowed words",
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
_DATES = {
    "modified": (
        "All dates of a patient move back by the same whole number of days, between 3,653 and 10,957, secret "
        "and different for each patient, so that intervals stay true. Times of day stay. Dates of devices, "
        "dates known to the public and the time zone are not shifted but removed or replaced by a dummy, "
        "since they would betray by how much."
    ),
    "removed": "All dates and times are removed, emptied or replaced by a dummy.",
    "kept": "Dates that the recipe keeps leave as they are: the final check holds such an image back.",
}


def _words(line: ActionLine) -> str:
    if line.verb in _VERBS and not (line.verb is Verb.JITTER and line.value in _WORDS):
        return _VERBS[line.verb]
    if line.value.startswith("deid_func:"):
        shifted = line.value.startswith("deid_func:jitter")
        return _VERBS[Verb.JITTER] if shifted else _WORDS["func:uid"]
    return _WORDS.get(line.value, "Replaced by a fixed text")


def _template(name: str) -> Template:
    return Template((files("bsti_submit.deid") / "data" / name).read_text(encoding="utf-8"))


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


def describe(profile: Profile) -> str:
    """Return a page of plain English."""
    options = [f"  {code}  {Option(code).meaning}" for code in sorted(profile.options)]
    if options:
        options.append("  113101  Clean Pixel Data Option, on those images only that were really examined")
    private = ", ".join(profile.retained_creators)
    paragraphs = (
        _template("describe.template.txt")
        .substitute(
            eligible="; ".join(sorted(profile.eligible.values())),
            dates=_DATES[profile.date_policy],
            age_cap=profile.age_cap,
            above_cap=profile.age_cap + 1,
            patterns=", ".join(profile.patterns),
            private=f" (but a few of {private})" if private else "",
        )
        .strip()
        .split("\n\n")
    )
    lines = [
        f"{profile.name} {profile.version}: {profile.title}.",
        f"Digest of profile, recipe and vocabulary: {profile.recipe_sha256}",
        *([f"It is laid over {profile.extends}: its own lines hold first."] if profile.extends else []),
        "",
        f"It claims, of DICOM PS3.15 Table E.1-1, edition {EDITION} ({ROW_COUNT} rows):",
        *(options or ["  nothing: it keeps more than the Basic Profile allows"]),
    ]
    for paragraph in (*paragraphs, *(f"Note: {warning}" for warning in profile.warnings)):
        lines += ["", fill(paragraph, _WIDTH)]
    lines += _devices(profile)
    lines += ["", "What the recipe names:"]
    lines += [f"  {len(names):4}  {words}" for words, names in grouped(profile).items()]
    return "\n".join(lines) + "\n"


def _devices(profile: Profile) -> list[str]:
    """Return what is blanked without looking."""
    labels = device_labels(profile)
    lines = ["", "Blanked in the pixels whatever stands there:"] if labels else []
    lines += [f"  {sum(not box.keep for box in label.boxes):4}  places, by the rule {label.name}" for label in labels]
    if not ULTRASOUND.isdisjoint(profile.eligible):
        said = "Of ultrasound, everything outside the regions that its header names is blanked (0018,6011)."
        lines += ["", fill(said, _WIDTH)]
    return lines


def _labels(tags: Iterable[int]) -> str:
    return ", ".join(dictionary.label(tag) for tag in sorted(tags))


def conformance(profiles: Sequence[Profile]) -> str:
    """Return docs/conformance.md: the statement of PS3.15 E.1.3 for some profiles."""
    unlisted = {tag for tag in beyond.anchors() if row_for(tag) is None} | beyond.identifying()
    analogies = [
        f"{field_of(row)} ({row.name}) as {dictionary.label(ANALOGIES[row.tag])}"
        for row in rows()
        if row.by_analogy and row.tag is not None
    ]
    common = _template("conformance.template.md").substitute(
        edition=EDITION,
        row_count=ROW_COUNT,
        analogies="; ".join(analogies),
        dummies=", ".join(f"{vr} `{value}`" for vr, value in sorted(DUMMIES.items())),
        unlisted=_labels(unlisted),
    )
    return common + "".join(map(_section, profiles))


def _section(profile: Profile) -> str:
    held = {row.tag for row in rows() if row.is_device_date} | {tag for tag in beyond.anchors() if row_for(tag)}
    lines = ["", f"## {profile.name} {profile.version}", "", f"{profile.title}.", ""]
    lines += [f"- {code} {Option(code).meaning}" for code in sorted(profile.options)]
    if profile.date_policy == "modified":
        manner = (
            "**Manner of date modification** (E.3.6). A patient's dates move back by one number of days, "
            "from 3,653 to 10,957, by the site's key; times of day stay. Bad dates are emptied or removed. "
            "Not shifted, but handled as the Basic Profile says: "
            + _labels(tag for tag in held if tag is not None)
            + "."
        )
        lines += ["", fill(manner, 115, break_long_words=False)]
    for words, names in grouped(profile).items():
        shown = ", ".join(f"`{name}`" if ":" in name or "=" in name else name for name in names)
        lines += ["", f"**{words}** ({len(names)}): {shown}."]
    return "\n".join(lines) + "\n"
