"""The data folder: owner-only paths and writes that are durable before they count."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folder:
    """Where one registry keeps everything."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "registry.sqlite3"

    @property
    def packages(self) -> Path:
        """Uploads and packages: one file each, named at random, never moved."""
        return self.root / "packages"

    @property
    def tls(self) -> Path:
        """The local certificate authority and the server's certificate."""
        return self.root / "tls"

    @property
    def keys(self) -> Path:
        """The signing key."""
        return self.root / "keys"

    @property
    def logs(self) -> Path:
        """The access and fault logs."""
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        """Held by the one process that serves this folder."""
        return self.root / "serve.lock"

    def package(self, file_id: str) -> Path:
        """Return the path of an upload's or package's bytes."""
        return self.packages / f"{file_id}.zip"

    def create(self) -> Folder:
        """Make what is missing, for the owner alone."""
        for folder in (self.root, self.packages, self.tls, self.keys, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "posix":
                folder.chmod(0o700)
        return self


def owner_only(path: str, flags: int) -> int:
    """Open a file that only its owner may read; an `opener` for `open`."""
    return os.open(path, flags, 0o600)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a small file as one durable step: the old bytes or the new, never a mix."""
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "wb", opener=owner_only) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
