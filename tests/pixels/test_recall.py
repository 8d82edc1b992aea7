"""Each night, on images that nobody has seen: no identifying line leaves, and nothing but rectangles changes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.pixels.typeface import typefaces
from tools.pixels_run import failures, jobs_for, run
from tools.pixels_table import table

REAL = os.environ.get("BSTI_REAL_DATA", "")


def judged(seed, **counts):
    faces = typefaces(system=True)
    other = {"real": Path(REAL)} if REAL and "REAL" in counts else {}
    counts.pop("REAL", None)
    jobs = [job for modality, count in counts.items() for job in jobs_for(seed, modality, count, faces=faces, **other)]
    images = run(jobs, workers=2)
    print(table(images, f"seed {seed}, {len(faces)} typefaces"))  # noqa: T201 - the night's figures, and how to have them again
    return images


@pytest.mark.nightly
def test_no_identifying_line_leaves_on_images_nobody_has_seen():
    seed = secrets.randbelow(1_000_000)
    images = judged(seed, CT=60, DX=20, CR=20)
    assert failures(images) == (0, 0), f"again by: python tools/pixels.py --seed {seed} --count 60 --keep FOLDER"
    assert any(image.outcome == "certified" for image in images)


@pytest.mark.nightly
@pytest.mark.skipif(not REAL, reason="BSTI_REAL_DATA names no folder of real studies")
def test_no_identifying_line_leaves_on_real_images():
    seed = secrets.randbelow(1_000_000)
    images = judged(seed, CT=20, DX=5, CR=5, REAL=1)
    assert failures(images) == (0, 0), f"again by: python tools/pixels.py --seed {seed} --count 20 --real FOLDER"
