"""What became of each row of a batch, as values that are safe to show, log and keep.

A row is named by its number. ``local_ref`` is in a report only once it was held against the identifiers of the
images that it stands for, and those images were found to be of the row's own patient.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from bsti_submit.errors import BstiError, ExitCode, gravest

if TYPE_CHECKING:
    from collections.abc import Iterable


class RowOutcome(StrEnum):
    """Where a row stands when the batch has done with it."""

    PACKAGED = "packaged"
    """Only on the way: its package is in the outbox, and it is to be delivered next."""
    DELIVERED = "delivered"
    SENT_BEFORE = "sent-before"
    WITHDRAWN = "withdrawn"
    COUNTED = "counted"
    HELD = "held"
    REFUSED = "refused"
    NOT_APPROVED = "not-approved"
    WAITING = "waiting"
    INVALID = "invalid"
    SKIPPED = "skipped-invalid"
    DUPLICATE = "duplicate"
    FAULT = "fault"


_BY_CODE: Final = {
    ExitCode.FAULT: RowOutcome.FAULT,
    ExitCode.BAD_INPUT: RowOutcome.INVALID,
    ExitCode.HELD: RowOutcome.HELD,
    ExitCode.NO_APPROVAL: RowOutcome.NOT_APPROVED,
    ExitCode.NOT_DELIVERED: RowOutcome.WAITING,
    ExitCode.REFUSED: RowOutcome.REFUSED,
    ExitCode.SETTINGS: RowOutcome.WAITING,
}


@dataclass(frozen=True, slots=True)
class RowReport:
    """One row. ``row`` counts as a spreadsheet does: the header is row 1."""

    row: int
    outcome: RowOutcome = RowOutcome.FAULT
    exit_code: ExitCode = ExitCode.DONE
    local_ref: str = ""
    case_id: str = ""
    receipt_id: str = ""
    objects: int = 0
    size: int = 0
    package_sha256: str = ""
    message: str = ""
    details: tuple[str, ...] = ()
    hint: str = ""

    def failed(self, error: BstiError, *, hint: str = "") -> Self:
        """Return the report of a row that an error of ours stopped."""
        return replace(
            self,
            outcome=_BY_CODE[error.exit_code],
            exit_code=error.exit_code,
            message=error.message,
            details=error.details,
            hint=hint or error.hint,
        )

    @property
    def name(self) -> str:
        """The row's number and, where it is safe to show, its reference."""
        return f"row {self.row} ({self.local_ref})" if self.local_ref else f"row {self.row}"

    def document(self) -> dict[str, object]:
        """Return the report as it goes into the JSON result."""
        return {
            "row": self.row,
            "local_ref": self.local_ref or None,
            "outcome": str(self.outcome),
            "exit_code": int(self.exit_code),
            "case_id": self.case_id or None,
            "receipt_id": self.receipt_id or None,
            "images": self.objects,
            "bytes": self.size,
            "package_sha256": self.package_sha256 or None,
            "message": self.message,
            "details": list(self.details),
            "hint": self.hint,
        }


def exit_code_of(reports: Iterable[RowReport]) -> ExitCode:
    """Return the gravest code of some rows."""
    return gravest(report.exit_code for report in reports)


def counted(reports: Iterable[RowReport]) -> dict[str, int]:
    """Return how many rows came to each outcome that occurs, in the order of `RowOutcome`."""
    found = Counter(report.outcome for report in reports)
    return {str(outcome): found[outcome] for outcome in RowOutcome if found[outcome]}
