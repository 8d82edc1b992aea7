"""Write `bsti_submit/deid/data/iod-types.tsv`: the type of each attribute in the IODs of chest imaging.

The facts (PS3.3, modules and macros by IOD) come from the JSON tables that the PyPI package `highdicom`
carries; it is not a dependency. Run it once for an edition of the standard::

    pip install --target /some/where highdicom
    python tools/iod_types.py /some/where/highdicom/_standard
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from pydicom import datadict

IODS = {
    "ct": "ct-image",
    "ect": "enhanced-ct-image",
    "lect": "legacy-converted-enhanced-ct-image",
    "cr": "computed-radiography-image",
    "dx": "digital-x-ray-image",
}
STRENGTH = ("1", "1C", "2", "2C", "3")
# Values of these VRs are never emptied or replaced by a rule, so that their types do not matter.
NUMERIC = {
    *("AT", "DS", "FD", "FL", "IS", "OB", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV"),
    *("US or SS", "OB or OW", "US or OW"),
}
OUT = Path(__file__).parents[1] / "bsti_submit" / "deid" / "data" / "iod-types.tsv"

Types = dict[str, str]


def strongest(types: set[str]) -> str:
    """Return the most demanding of some types, or nothing."""
    return min(types, key=STRENGTH.index) if types else ""


def read(folder: Path) -> dict[tuple[str, str], Types]:
    """Return (parent sequence or "", keyword) → IOD → type, the strongest where modules differ."""
    iods = json.loads((folder / "iod_module_map.json").read_text(encoding="utf-8"))
    modules = json.loads((folder / "module_attribute_map.json").read_text(encoding="utf-8"))
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for short, iod in IODS.items():
        for module in iods[iod]:
            for attribute in modules[module["key"]]:
                tag = datadict.tag_for_keyword(attribute["keyword"])
                if tag is None or datadict.dictionary_VR(tag) in NUMERIC:
                    continue
                parent = attribute["path"][-1] if attribute["path"] else ""
                found[parent, attribute["keyword"]][short].add(attribute["type"])
    return {key: {iod: strongest(types) for iod, types in by_iod.items()} for key, by_iod in found.items()}


def condense(found: dict[tuple[str, str], Types]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return rows: top level as it is; nested ones once as ``*``, then only where they differ from that."""
    rows = []
    usual: dict[str, Counter[str]] = defaultdict(Counter)
    for (parent, keyword), types in found.items():
        if parent:
            usual[keyword].update(types.values())
        else:
            rows.append(("", keyword, tuple(types.get(iod, "") for iod in IODS)))
    default = {
        keyword: max(counts, key=lambda each, of=counts: (of[each], -STRENGTH.index(each)))
        for keyword, counts in usual.items()
    }
    rows += [("*", keyword, (each,) * len(IODS)) for keyword, each in default.items()]
    for (parent, keyword), types in found.items():
        if parent and set(types.values()) != {default[keyword]}:
            rows.append((parent, keyword, tuple(types.get(iod, "") for iod in IODS)))
    return sorted(rows)


def main(folder: Path) -> None:
    """Write the table."""
    lines = [
        "# Types of attributes (PS3.3) in the IODs that can be sent, for VRs that a rule may change.",
        "# parent: the sequence an attribute stands in; nothing at top level, * in any sequence not named.",
        "# Of modules that differ, the strongest type. Written by tools/iod_types.py.",
        "\t".join(("parent", "keyword", *IODS)),
        *("\t".join((parent, keyword, *types)) for parent, keyword, types in condense(read(folder))),
    ]
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
