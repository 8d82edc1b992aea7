"""Certified instances → files below a folder, under pseudonymous names short enough for every system."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from bsti_submit.errors import HeldError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from bsti_submit.model import Certified


def copy_new(file: Path, out: Path) -> None:
    """Copy a file to a new one; a link that is there already is not followed.

    Raises
    ------
    OSError
        If there is something of that name, or it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with file.open("rb") as package, os.fdopen(os.open(out, flags, 0o666), "wb") as copy:
        shutil.copyfileobj(package, copy, 1 << 20)


class FolderWriter:
    """Writes certified instances below a folder.

    Raises
    ------
    InputError
        If the folder holds anything already, or cannot be made.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        try:
            out.mkdir(parents=True, exist_ok=True)
            empty = not any(out.iterdir())
        except OSError:
            raise InputError("The output folder cannot be made, or is a file.") from None
        if not empty:
            raise InputError(
                "The output folder is not empty, and nothing there is ever overwritten.",
                hint="Give a new folder.",
            )

    def write(self, certified: Certified) -> None:
        """Write one instance whole, or not at all.

        Raises
        ------
        HeldError
            If the bytes are no longer those that were certified.
        InputError
            If the folder cannot be written to.
        """
        folder = self._out / f"ST{short(certified.study_instance_uid)}" / f"SE{short(certified.series_instance_uid)}"
        target = folder / f"IM{short(certified.sop_instance_uid)}.dcm"
        part = target.with_suffix(".part")
        digest = hashlib.sha256()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as stream:
                for chunk in certified.payload.chunks():
                    digest.update(chunk)
                    stream.write(chunk)
            if digest.hexdigest() != certified.sha256:
                raise HeldError("An image changed after its final check, so it was not written.")
            part.replace(target)
        except OSError:
            raise InputError("The output folder cannot be written to.", hint="Is the disk full?") from None
        finally:
            with suppress(OSError):
                part.unlink()


_OURS = re.compile(r"ST[A-Z2-7]{10}/SE[A-Z2-7]{10}/IM[A-Z2-7]{10}\.dcm")


def is_our_name(name: str) -> bool:
    """Whether a name below an output folder is of the form we give; any other may name a patient."""
    return _OURS.fullmatch(name) is not None


def short(uid: str) -> str:
    """Return ten characters that stand for one of our own UIDs in a file name."""
    return base64.b32encode(hashlib.sha256(uid.encode()).digest())[:10].decode("ascii")
