"""A hospital's side made by hand for whole runs of the command line: a key, a token, a record, an attestation."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bsti_submit.sample import SampleStudy


def secret_file(path: Path, text: str) -> Path:
    """Write what only its owner may read."""
    path.write_text(text, "ascii")
    path.chmod(0o600)
    return path


def site_key(path: Path) -> Path:
    """Write a new site key."""
    return secret_file(path, base64.b64encode(os.urandom(32)).decode())


def clinical(path: Path, sample: SampleStudy, **changes: object) -> Path:
    """Write a clinical record that fits the sample."""
    record = {
        "schema_version": "1.0",
        "index_imaging": {"modality": "CT"},
        "age": {"value": sample.age, "source": "dicom-birthdate"},
        "sex": {"value": sample.sex, "source": "dicom-sex"},
        "white_cell_count": {"value": 6.4, "unit": "10*9/L", "day": 0},
        "crp": {"value": 148, "unit": "mg/L", "day": 0},
        "po2": {"absent": "not-done"},
        "indication": {"code": "suspected-covid-diagnosis"},
        "rt_pcr": {"status": "positive", "tests": [{"result": "positive", "day": 1}]},
        "prior_imaging": {"value": "no"},
        **changes,
    }
    path.write_text(json.dumps(record), "utf-8")
    return path


def attestation(path: Path, template: bytes) -> Path:
    """Complete what `attestation template` wrote."""
    document = json.loads(template)
    document["facts"] = {name: True if value is False else value for name, value in document["facts"].items()}
    path.write_text(json.dumps(document), "utf-8")
    return path


def completed(environment: Mapping[str, str], folder: Path) -> Path:
    """Write a standing attestation for the registry that is set up, and complete it."""
    made = bsti(environment, "attestation", "template")
    assert made.returncode == 0, made.stderr
    return attestation(folder / "attestation.json", made.stdout)


def bsti(environment: Mapping[str, str], *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run one of our commands without a terminal."""
    return run([sys.executable, "-m", "bsti_submit", *map(str, arguments)], environment, seconds=300)


def run(
    command: Sequence[str | Path], environment: Mapping[str, str], folder: Path | None = None, seconds: float = 120
) -> subprocess.CompletedProcess[bytes]:
    """Run a command without a terminal."""
    return subprocess.run(
        [str(word) for word in command],
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=seconds,
    )
