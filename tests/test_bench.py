"""The measurements run, and memory does not grow with a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bsti_submit.sample import make_sample
from tools import bench

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not say what a process used")
def test_memory_does_not_grow_with_the_study_or_the_file(tmp_path):
    sample = make_sample(tmp_path / "study", slices=40, radiograph=False, extras=False)
    _, of_many, of_large = bench.memory(sample, tmp_path, 256)
    assert of_many.value < 64
    assert of_large.value < 100


@pytest.mark.nightly
def test_the_measurements_are_printed_and_written(tmp_path):
    figures = tmp_path / "figures.json"
    command = [sys.executable, ROOT / "tools" / "bench.py", "--slices", "2", "--rounds", "1", "--mebibytes", "32"]
    done = subprocess.run([*command, "--json", figures], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads(figures.read_text("utf-8"))
    assert all(row["what"] in done.stdout for row in rows)
    assert {"engine + final check", "`profile list`"} <= {row["what"] for row in rows}
