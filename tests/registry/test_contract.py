from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.openapi import SOURCE
from tests.support.package import write_profile
from tests.support.registry import running_registry

if TYPE_CHECKING:
    from tests.support.registry import RunningRegistry

HERE = Path(__file__).resolve().parent / "contract"
BESIDE = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
SCHEMATHESIS = os.environ.get("SCHEMATHESIS") or shutil.which("st", path=BESIDE)


def faults(registry: RunningRegistry) -> str:
    return (registry.data / "logs" / "faults.jsonl").read_text()


@pytest.mark.nightly
@pytest.mark.server
@pytest.mark.skipif(not SCHEMATHESIS, reason="schemathesis is not installed (its command `st`, or SCHEMATHESIS=path)")
def test_schemathesis_finds_nothing(tmp_path: Path):
    profiles = write_profile(tmp_path)
    with running_registry(tmp_path, "--rate", "100000", "--burst", "100000", profiles=profiles) as registry:
        command = [
            str(SCHEMATHESIS),
            *("--config-file", str(HERE / "schemathesis.toml")),
            *("run", str(SOURCE)),
            *("--url", registry.url),
            *("-H", f"Authorization: Bearer {registry.token()}"),
            *("--tls-verify", str(registry.ca_bundle)),
            *("--max-examples", os.environ.get("SCHEMATHESIS_EXAMPLES", "40")),
            "--no-color",
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "chunks", "PYTHONPATH": str(HERE)}
        ended = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=900
        )
        assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
        assert faults(registry) == ""
