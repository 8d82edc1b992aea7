"""Write `constraints.txt`: every distribution installed here, at the version that was tested."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

LEFT_OUT = {"bsti-submit", "pip", "setuptools", "wheel"}


def main() -> None:
    """Write the constraints file."""
    pins = {
        f"{name.lower().replace('_', '-')}=={found.version}"
        for found in distributions()
        if (name := found.metadata["Name"]).lower().replace("_", "-") not in LEFT_OUT
    }
    text = "# The versions that were tested. Made by `make lock`; used by `make`, and by `pip install -c constraints.txt .` next year.\n"
    Path("constraints.txt").write_text(text + "\n".join(sorted(pins)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
