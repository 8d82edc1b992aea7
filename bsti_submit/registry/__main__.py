"""``python -m bsti_submit.registry``: the registry's commands alone."""

from __future__ import annotations

from bsti_submit.registry.terminal import main

if __name__ == "__main__":
    main()
