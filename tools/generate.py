"""Write what is derived: both recipes from Table E.1-1, the allow-lists, docs/conformance.md and docs/commands.md.

Run it by `python tools/generate.py` after a change of the table, of `deid/beyond.py` or of a vocabulary; the
tests compare.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bsti_submit.deid import beyond, dictionary  # noqa: E402
from bsti_submit.deid.describe import conformance  # noqa: E402
from bsti_submit.deid.plan import KEPT_BINARY, PSEUDONYMOUS  # noqa: E402
from bsti_submit.deid.profile import export_allow_list, load_profile  # noqa: E402
from bsti_submit.deid.table import EDITION, ROW_COUNT, Option, field_of, row_for, rows  # noqa: E402
from tools.commands import commands_text  # noqa: E402

if TYPE_CHECKING:
    from bsti_submit.deid.table import Row

PROFILES = {
    "bsti-default": ("113100", "113105", "113107"),
    "bsti-dates-removed": ("113100", "113105"),
}
BLOCKS = {
    "insert": "Inserted. The tool adds the method, its codes and, where true, Burned In Annotation NO.",
    "pseudonym": "Z, Z/D: the patient's name and number. A pseudonym that only the site's key can make.",
    "U": "U: a new UID, the same wherever the old one stands. UIDs that the standard registers stay.",
    "date": "C (113107): dates move back by the patient's own number of days.",
    "time": "C (113107): times of day stay, since dates move by whole days.",
    "text": "C (113105): free text keeps the words of the vocabulary only.",
    "inside": "C (113105): a sequence keeps its frame, and each attribute inside goes by its own rule.",
    "type": "X/Z, X/D, X/Z/D, Z/D, X/Z/U*: removed, emptied or a dummy, by its type in the IOD.",
    "D": "D: a dummy value of the same kind; a sequence is emptied.",
    "Z": "Z: emptied.",
    "X": "X: removed.",
    "new": "X: removed. Attributes of edition 2026c that have no keyword in our dictionary yet.",
    "anchor": "Dates of devices and dates that others know: shifted with a patient's they would tell by how\n"
    "# much. They go as the Basic Profile says.",
    "beyond": "Not in the table, yet able to name a person, place, order or device, or to carry values.",
    "code": "Codes: kept if they are well-formed codes of a public scheme, else handled as free text.",
    "kept": "The picture, and the tables of grey values and colours that it needs.",
    "pattern": "X: curves (50xx), overlays (60xx) and private attributes (odd groups), at any depth.",
}
PATTERNS = (
    "REMOVE contains:^50[0-9a-f][02468ace][0-9a-f]{4}$",
    "REMOVE contains:^60[0-9a-f][02468ace][0-9a-f]{4}$",
    "REMOVE contains:^[0-9a-f]{3}[13579bdf][0-9a-f]{4}$",
)
CODES = ("CodeValue", "LongCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion")


def line_of(row: Row, options: tuple[str, ...]) -> tuple[str, str]:
    """Return the block that a row belongs to, and its line."""
    if row.tag is None:
        raise ValueError("a pattern has no line of its own")
    field, vrs, code = field_of(row), dictionary.vrs_of(row.tag), row.action(options)
    if row.tag in PSEUDONYMOUS:
        return "pseudonym", f"REPLACE {field} func:pseudonym"
    if not row.keyword:
        return "new", f"# {row.name}\nREMOVE {field}"
    held = row.is_device_date or row.tag in beyond.anchors()
    if code == "C" and Option.RETAIN_MODIFIED_DATES in row.options:
        if held or not {"DA", "DT", "TM"} & set(vrs):
            return "anchor", by_basic(row.basic, field)
        if vrs == ("TM",):
            return "time", f"KEEP {field}"
        return "date", f"REPLACE {field} func:shift_date"
    if code == "C" and not {"SQ", "CS", *dictionary.TEXT_VRS} & set(vrs):
        code = row.basic  # binary, which cannot be cleaned
    if code == "C":
        return ("inside", f"KEEP {field}") if "SQ" in vrs else ("text", f"REPLACE {field} func:clean_text")
    if "/" in code:
        return "type", by_basic(code, field)
    return code, by_basic(code, field)


def by_basic(code: str, field: str) -> str:
    """Return the line for a basic action."""
    functions = {"D": "dummy", "U": "uid"}
    if code in {"X", "Z"}:
        return f"{'REMOVE' if code == 'X' else 'BLANK'} {field}"
    return f"REPLACE {field} func:{functions.get(code, 'ps315')}"


def recipe_text(name: str, options: tuple[str, ...]) -> str:
    """Return the recipe of a shipped profile."""
    temporal = "MODIFIED" if "113107" in options else "REMOVED"
    blocks: dict[str, list[str]] = {block: [] for block in BLOCKS}
    blocks["insert"] = [
        "ADD PatientIdentityRemoved YES",
        f"ADD LongitudinalTemporalInformationModified {temporal}",
    ]
    for row in rows():
        if row.tag is not None:
            block, line = line_of(row, options)
            blocks[block].append(line)
    unlisted = sorted(beyond.identifying() | {tag for tag in beyond.anchors() if not _listed(tag)})
    blocks["beyond"] = [f"REMOVE {dictionary.label(tag)}" for tag in unlisted]
    blocks["code"] = [f"REPLACE {keyword} func:clean_code" for keyword in CODES]
    blocks["kept"] = [f"KEEP {dictionary.label(tag)}" for tag in sorted(KEPT_BINARY)]
    blocks["pattern"] = list(PATTERNS)
    lines = [
        "FORMAT dicom",
        "",
        f"# {name}: DICOM PS3.15 Table E.1-1, edition {EDITION}, {ROW_COUNT} rows,",
        f"# under the options {', '.join(options)}.",
        "# Each block says which action code of the table it carries out. In deid's language: ADD writes,",
        "# KEEP leaves, REMOVE takes away, BLANK empties, REPLACE changes; in nested sequences as well.",
        "# What no line names: an attribute of the standard keeps numbers and known coded strings, its text",
        "# is cleaned, its dates and UIDs are replaced, its names and addresses go, and so does all else.",
        "# Written by tools/generate.py from the table: change that, not this file.",
        "",
        "%header",
    ]
    for block, title in BLOCKS.items():
        if blocks[block]:
            count = sum(1 for _ in blocks[block])
            lines += ["", f"# {title} ({count})", *blocks[block]]
    return "\n".join(lines) + "\n"


def _listed(tag: int) -> bool:
    return row_for(tag) is not None


def allow_list_text(name: str) -> str:
    """Return profiles/NAME/allow-list.json."""
    return json.dumps(export_allow_list(load_profile(name)), separators=(",", ":")) + "\n"


def conformance_text() -> str:
    """Return docs/conformance.md."""
    return conformance([load_profile(name) for name in PROFILES])


def main() -> None:
    """Write everything."""
    for name, options in PROFILES.items():
        path = ROOT / "profiles" / name / "recipe.dicom"
        path.write_text(recipe_text(name, options), "utf-8", newline="\n")
    for name in PROFILES:
        path = ROOT / "profiles" / name / "allow-list.json"
        path.write_text(allow_list_text(name), "ascii", newline="\n")
    (ROOT / "docs" / "conformance.md").write_text(conformance_text(), "utf-8", newline="\n")
    (ROOT / "docs" / "commands.md").write_text(commands_text(), "utf-8", newline="\n")


if __name__ == "__main__":
    main()
