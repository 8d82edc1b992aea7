"""How much of the writing on images is hidden: `python tools/pixels.py [--count N] [--modality CT] [--json FILE]`.

Makes cases (tests/pixels/lettering.py), runs the command `deid` over them as a hospital would, and compares the stored
values of what it wrote with what went in (tools/pixels_judge.py). Ends with 1 if one identifying line left readable, or a
value outside of a blanked rectangle changed. docs/pixels.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.pixels.lettering import MODALITIES, SORTS  # noqa: E402
from tests.pixels.real import real_series  # noqa: E402
from tests.pixels.typeface import typefaces  # noqa: E402
from tools.pixels_run import failures, jobs_for, run  # noqa: E402
from tools.pixels_table import table  # noqa: E402

PAGE = ROOT / "docs" / "pixels.md"


def main() -> None:
    """Evaluate, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="a whole number; a new one if left out")
    parser.add_argument("--count", type=int, default=40, help="cases of each modality: CT series, or radiographs")
    parser.add_argument("--modality", choices=MODALITIES, action="append", help="may be given again; CT and DX if not")
    parser.add_argument("--kinds", default=",".join(SORTS), help="some of: text,markers,plain")
    parser.add_argument("--small", action="store_true", help="small pictures, for a first look")
    parser.add_argument("--real", type=Path, help="a folder of real images to write on instead")
    parser.add_argument("--fonts", type=Path, help="a folder of further typefaces")
    parser.add_argument("--no-system-fonts", action="store_true", help="only Pillow's typefaces, and those of --fonts")
    parser.add_argument("--workers", type=int, default=1, help="runs of the command at a time")
    parser.add_argument("--json", type=Path, help="write every image and line here")
    parser.add_argument("--keep", type=Path, help="write pictures of missed lines and lost markers here")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/pixels.md")
    asked = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    sorts = tuple(sort for sort in SORTS if sort in asked.kinds.split(","))
    if not sorts:
        parser.error("--kinds: none of text, markers, plain")
    faces = typefaces(asked.fonts, system=not asked.no_system_fonts)
    modalities = tuple(asked.modality or ("CT", "DX"))
    if asked.real:
        there = {one.modality for one in real_series(asked.real)}
        modalities = tuple(one for one in modalities if one in there)
    jobs = [
        job
        for modality in modalities
        for job in jobs_for(
            seed, modality, asked.count, sorts=sorts, faces=faces, small=asked.small, real=asked.real, keep=asked.keep
        )
    ]
    images = run(jobs, asked.workers)
    facts = f"Seed {seed}, {asked.count} cases of each modality, {len(faces)} typefaces."
    made = table(images, facts)
    print(made)
    if asked.json:
        told = {"seed": seed, "count": asked.count, "faces": len(faces), "images": [asdict(one) for one in images]}
        asked.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if asked.docs:
        before, _, rest = PAGE.read_text("utf-8").partition("<!-- figures -->")
        _, _, after = rest.partition("<!-- end of figures -->")
        PAGE.write_text(f"{before}<!-- figures -->\n\n{made}\n\n<!-- end of figures -->{after}", "utf-8")
    missed, strayed = failures(images)
    print(f"{missed} identifying lines missed, {strayed} images changed outside of blanked rectangles", file=sys.stderr)
    sys.exit(1 if missed or strayed else 0)


if __name__ == "__main__":
    main()
