"""Print the lowest versions that pyproject.toml allows, as a constraints file: what `make lowest` installs and tests.

They are read from pyproject.toml, so that a bound that is written down is a bound that is tested.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent


def requirements(pyproject: Path) -> list[Requirement]:
    """Return what an install with every extra asks for by name."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values():
        lines += extra
    return [Requirement(line) for line in lines]


def lowest(needed: Iterable[Requirement]) -> list[str]:
    """Return one pin for each requirement.

    Raises
    ------
    ValueError
        If a requirement has no lower bound, for then nobody knows what was tested.
    """
    pins = []
    for requirement in needed:
        bounds = [bound.version for bound in requirement.specifier if bound.operator in {">=", "=="}]
        if len(bounds) != 1:
            raise ValueError(f"{requirement.name} needs exactly one lower bound")
        pins.append(f"{requirement.name}=={bounds[0]}")
    return sorted(pins)


def main() -> None:
    """Write the pins to stdout."""
    pyproject = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "pyproject.toml"
    sys.stdout.write("\n".join(lowest(requirements(pyproject))) + "\n")


if __name__ == "__main__":
    main()
