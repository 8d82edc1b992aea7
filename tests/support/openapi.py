"""Generate the registry's JSON description from docs/registry-api.yaml: ``python -m tests.support.openapi``."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "docs" / "registry-api.yaml"
TARGET = ROOT / "bsti_submit" / "registry" / "openapi.json"


def generated() -> bytes:
    """Return what the JSON file must hold."""
    document = yaml.safe_load(SOURCE.read_text("utf-8"))
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    TARGET.write_bytes(generated())
