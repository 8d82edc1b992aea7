"""``python -m bsti_submit.registry``: the registry's commands alone."""

from __future__ import annotations

from bsti_submit.cli.registry import app

if __name__ == "__main__":
    app(prog_name="bsti-submit registry")
