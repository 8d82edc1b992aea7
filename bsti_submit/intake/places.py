"""Whether a place that is to be written to lies in a source, by what the folders are rather than what they are called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bsti_submit.intake.files import folders

if TYPE_CHECKING:
    from pathlib import Path


def lies_in(place: Path, source: Path) -> bool:
    """Say whether a place is the source or below it, whatever links and other names lead to either.

    Parameters
    ----------
    place
        Need not be there yet: what counts are its nearest folders that are, behind every link.
    source
        What the user points at. A DICOMDIR stands for its folder; beside any other single file may be written.
    """
    root = os.path.abspath(source)  # noqa: PTH100 - as the source itself is opened
    if os.path.basename(root).upper() == "DICOMDIR" and os.path.isfile(root):  # noqa: PTH113, PTH119
        root = os.path.dirname(root)  # noqa: PTH120
    above = _above(place)
    return any(folder in above for folder in folders(root))


def _above(place: Path) -> frozenset[tuple[int, int]]:
    """Return the identities of a place and of the folders above it, as far as they are there."""
    whole = os.path.realpath(place)
    found = set()
    while True:
        try:
            status = os.stat(whole)  # noqa: PTH116
            found.add((status.st_dev, status.st_ino))
        except OSError:
            pass
        parent = os.path.dirname(whole)  # noqa: PTH120
        if parent == whole:
            return frozenset(found)
        whole = parent
