"""``python -m bsti_submit``."""

from bsti_submit.cli.app import main

main()
