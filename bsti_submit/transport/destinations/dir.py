"""A folder or a USB stick: the package is copied and read back. Nothing is signed, so the outbox keeps its copy."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bsti_submit.bundle import file_sha256
from bsti_submit.errors import NotDeliveredError, SettingsError
from bsti_submit.receipt import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from bsti_submit.transport.interface import Progress, Shipment

BLOCK: Final = 1 << 20


class DirDestination:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """What ``--to`` was given."""
        return f"dir:{self._folder}"

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
        """Copy the package under its case id, and read the copy back."""
        del keep
        if shipment.path is None:
            raise SettingsError("There is no package to copy.")
        target = self._folder / f"{shipment.case_id}.zip"
        part = target.with_suffix(".part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not (target.is_file() and file_sha256(target) == shipment.package_sha256):
                with shipment.path.open("rb") as source, part.open("wb") as copy:
                    while block := source.read(BLOCK):
                        copy.write(block)
                        progress(copy.tell(), shipment.size)
                    copy.flush()
                    os.fsync(copy.fileno())
                shutil.copymode(shipment.path, part)
                os.replace(part, target)
            whole = file_sha256(target) == shipment.package_sha256
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise NotDeliveredError(
                "The package cannot be copied there.", hint="Is the folder there, writable, and with enough space?"
            ) from None
        if not whole:
            raise NotDeliveredError("The copy does not read back as it was written.", hint="Try another medium.")
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
