"""A folder or a USB stick: the package is copied and read back; nothing is signed, so the outbox keeps it."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from bsti_submit.errors import HeldError, NotDeliveredError, SettingsError
from bsti_submit.receipt import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from bsti_submit.transport.interface import Progress, Shipment

BLOCK: Final = 1 << 20


class DirDestination:
    """A folder. It is made if it is not there; its parent must be, since a stick may not be plugged in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """What ``--to`` was given."""
        return f"dir:{self._folder}"

    @property
    def origin(self) -> str:
        """None: the folder is in the name."""
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def identity(self) -> str:
        """Return what a standing attestation names for a folder."""
        return "dir"

    def deliver(self, shipment: Shipment, progress: Progress, keep: Callable[[str], None]) -> Receipt:
        """Copy the package under its case id, read the copy back, and say so without a signature.

        A copy that is there already and whole is not made again. The copy has its name only once it is whole.

        Raises
        ------
        NotDeliveredError
            If the medium is full, read-only or gone, or does not read back what was written.
        HeldError
            If the package itself cannot be read or is not the one that was approved.
        """
        del keep
        if shipment.path is None:
            raise SettingsError("There is no package to copy.")
        target = self._folder / f"{shipment.case_id}.zip"
        part = self._folder / f"{shipment.case_id}.part"
        try:
            self._folder.mkdir(exist_ok=True)
            if not (target.is_file() and _read_back(target) == shipment.package_sha256):
                self._copy(shipment, shipment.path, part, progress)
                if _read_back(part) != shipment.package_sha256:
                    raise NotDeliveredError(
                        "The copy does not read back as it was written.", hint="Try another medium."
                    )
                part.replace(target)
                _sync(self._folder)
        except OSError as fault:
            raise _meaning(fault) from None
        finally:
            with suppress(OSError):
                part.unlink()
        progress(shipment.size, shipment.size)
        return Receipt(
            {
                "schema": "receipt/1.0",
                "kind": "submission",
                "id": f"F-{shipment.package_sha256[:8].upper()}",
                "registry": "dir",
                "case_id": shipment.case_id,
                "package_sha256": shipment.package_sha256,
                "manifest_sha256": shipment.manifest_sha256,
                "clinical_sha256": shipment.clinical_sha256,
                "objects": shipment.objects,
            }
        )

    @staticmethod
    def _copy(shipment: Shipment, source: Path, part: Path, progress: Progress) -> None:
        digest = hashlib.sha256()
        done = 0
        try:
            package = source.open("rb")
        except OSError:
            raise HeldError("The package in the outbox cannot be read.") from None
        with package, part.open("wb") as copy:
            while block := package.read(BLOCK):
                digest.update(block)
                copy.write(block)
                done += len(block)
                progress(done, shipment.size)
            copy.flush()
            os.fsync(copy.fileno())
        if digest.hexdigest() != shipment.package_sha256:
            raise HeldError("The package in the outbox is not the one that was approved, so no copy was made.")


def _read_back(path: Path) -> str:
    """Return a file's SHA-256, from the medium rather than from memory where the system can be asked to."""
    with path.open("rb") as stream:
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    if os.name == "posix":
        with suppress(OSError):  # not every medium can
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _meaning(fault: OSError) -> NotDeliveredError:
    if fault.errno in {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}:
        return NotDeliveredError(
            "The package does not fit there.", hint="Free some space. A FAT32 stick takes no file over 4 GB."
        )
    if fault.errno == errno.ENOENT:
        return NotDeliveredError("The folder to copy to is not there.", hint="Is the stick plugged in?")
    return NotDeliveredError("The package cannot be copied there.", hint="Is the folder writable?")
