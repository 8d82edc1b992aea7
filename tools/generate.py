"""Write what is derived: both recipes from Table E.1-1, the allow-lists, the list of linted recipes, the docs.

Run it by `make generate`; the tests compare.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PROFILES = {
    "bsti-default": ("113100", "113105", "113107"),
    "bsti-dates-removed": ("113100", "113105"),
}
PSEUDONYMS = {"PatientName", "PatientID"}


def recipe_text(name: str, options: tuple[str, ...]) -> str:
    """Return the recipe of a shipped profile."""
    from bsti_submit.deid import dictionary
    from bsti_submit.deid.table import EDITION, field_of, rows

    blocks: dict[str, list[str]] = {}
    for row in rows():
        if row.tag is None:
            continue
        field = field_of(row)
        vrs = dictionary.vrs_of(row.tag)
        action = row.action(options)
        if row.keyword in PSEUDONYMS:
            blocks.setdefault("pseudonym", []).append(f"REPLACE {field} func:pseudonym")
        elif row.tag >> 16 < 0x0008 or not dictionary.is_known(row.tag) or action == "X":
            blocks.setdefault("X", []).append(f"REMOVE {field}")
        elif action == "Z":
            blocks.setdefault("Z", []).append(f"BLANK {field}")
        elif action == "D":
            sequence = "SQ" in vrs
            blocks.setdefault("D", []).append(f"BLANK {field}" if sequence else f"REPLACE {field} func:dummy")
        elif action == "U":
            blocks.setdefault("U", []).append(f"REPLACE {field} func:uid" if "UI" in vrs else f"REMOVE {field}")
        elif action == "C" and row.is_device_date:
            blocks.setdefault("C device", []).append(f"REMOVE {field}")
        elif action == "C":
            blocks.setdefault("C", []).append(_clean(field, vrs))
        elif action == "K":
            blocks.setdefault("K", []).append(f"KEEP {field}")
        else:
            blocks.setdefault("IOD", []).append(
                f"KEEP {field}" if action == "X/Z/U*" and "SQ" in vrs else _by_type(field, vrs)
            )
    titles = {
        "pseudonym": "The patient: a keyed pseudonym in place of name and number.",
        "X": "Action X: removed. Attributes newer than our dictionary are removed as well.",
        "Z": "Action Z: emptied.",
        "D": "Action D: replaced by a dummy of the same kind; sequences are emptied.",
        "U": "Action U: replaced by a new UID, the same wherever the old one stands.",
        "C": "Action C under the options claimed: text keeps allowed words only, dates are shifted, times of day stay.",
        "C device": "Dates of devices, and the zone: removed, since they would betray the shift across patients.",
        "K": "Action K: kept.",
        "IOD": "X/Z, X/D, X/Z/D, Z/D, X/Z/U*: by the type of the attribute in the kind of object.",
    }
    lines = [
        "FORMAT dicom",
        "",
        f"# {name}: PS3.15 Table E.1-1, edition {EDITION}, under the options {', '.join(options)}.",
        "# One line for each row of the table. The four rows that are patterns (curves, overlay data, overlay comments,",
        "# private attributes) need no line: whatever the profile does not name and the standard does not list is removed.",
        "# Made by tools/generate.py; change the table or the options, not this file.",
        "",
        "%header",
    ]
    for block, title in titles.items():
        if block in blocks:
            lines += ["", f"# {title}", *sorted(blocks[block])]
    return "\n".join(lines) + "\n"


def _clean(field: str, vrs: tuple[str, ...]) -> str:
    if "SQ" in vrs or "TM" in vrs:
        return f"KEEP {field}"
    if set(vrs) & {"DA", "DT"}:
        return f"REPLACE {field} func:shift_date"
    if set(vrs) & {"LO", "LT", "SH", "ST", "UC", "UT"}:
        return f"REPLACE {field} func:clean_text"
    return f"REMOVE {field}"


def _by_type(field: str, vrs: tuple[str, ...]) -> str:
    return f"REMOVE {field}" if "SQ" in vrs else f"REPLACE {field} func:ps315"


def main() -> None:
    """Write everything."""
    data = ROOT / "bsti_submit" / "deid" / "data"
    digests = []
    for name, options in PROFILES.items():
        path = ROOT / "profiles" / name / "recipe.dicom"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(recipe_text(name, options), "utf-8", newline="\n")
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    (data / "linted-recipes.txt").write_text("\n".join(digests) + "\n", "ascii", newline="\n")
    from bsti_submit.deid.describe import conformance
    from bsti_submit.deid.profile import export_allow_list, load_profile

    for name in PROFILES:
        profile = load_profile(name)
        text = json.dumps(export_allow_list(profile), separators=(",", ":")) + "\n"
        (profile.folder / "allow-list.json").write_text(text, "ascii", newline="\n")
    statement = conformance([load_profile(name) for name in PROFILES])
    (ROOT / "docs" / "conformance.md").write_text(statement, "utf-8", newline="\n")


if __name__ == "__main__":
    main()
