"""Nowhere: for dry runs. It takes the very same shipment and says what would have been sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bsti_submit.receipt import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from bsti_submit.transport.interface import Progress, Shipment


class CountingDestination:
    """Counts instead of sending."""

    name = "nowhere"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def origin(self) -> str:
        """None: nothing goes anywhere."""
        return ""

    def identity(self) -> str:
        """Return what an attestation would name."""
        return "nowhere"

    def deliver(self, shipment: Shipment, progress: Progress, keep: Callable[[str], None]) -> Receipt:
        """Say what would have been sent."""
        del keep
        progress(shipment.size, shipment.size)
        return Receipt(
            {
                "schema": "receipt/1.0",
                "kind": "dry-run",
                "id": "",
                "case_id": shipment.case_id,
                "package_sha256": shipment.package_sha256,
                "manifest_sha256": shipment.manifest_sha256,
                "clinical_sha256": shipment.clinical_sha256,
                "objects": shipment.objects,
            }
        )
