"""The results of a batch as a CSV file: one line a row, safe on disk before the next row is begun."""

from __future__ import annotations

import csv
import io
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from bsti_submit.errors import InputError, NotDeliveredError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from bsti_submit.report.rows import RowReport

COLUMNS: Final = (
    "row",
    "local_ref",
    "outcome",
    "exit_code",
    "case_id",
    "receipt_id",
    "images",
    "bytes",
    "package_sha256",
    "message",
    "what_to_do",
    "at",
)
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")
_HEADER: Final = (",".join(COLUMNS) + "\r\n").encode()


class ResultsFile:
    """A results file for one run; readable by its owner alone.

    A results file of an earlier run gives way. Any other file is left as it is: it may be the manifest.
    Each line is written in one go and flushed to the disk, so that whatever stops the run leaves whole lines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Begin the file.

        Raises
        ------
        InputError
            If it cannot be written there, or is a file of another kind.
        """
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            if self._path.exists() and not self._is_ours():
                raise InputError(
                    "The results file exists already and is not one of an earlier batch, so it is left as it is.",
                    hint="Name another file with --results.",
                )
            with suppress(FileNotFoundError):
                fresh.unlink()
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            try:
                os.write(descriptor, _HEADER)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            fresh.replace(self._path)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        except OSError:
            raise InputError(
                "The results file cannot be written there.",
                hint="Is its folder there, and is the file closed in every other program? Or name another with --results.",
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def add(self, report: RowReport) -> None:
        """Write the line of a row, and see it on the disk.

        Raises
        ------
        NotDeliveredError
            If the disk is full or fails.
        """
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow([_cell(value) for value in _values(report)])
        data = memoryview(line.getvalue().encode("utf-8", "replace"))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError:
            raise NotDeliveredError(
                "The results file cannot be written to, so the batch was stopped. What was sent is not sent again.",
                hint="Free some space on the disk, then give the same command again.",
            ) from None

    def _is_ours(self) -> bool:
        with self._path.open("rb") as stream:
            start = stream.read(len(_HEADER))
        return not start or start == _HEADER


def _values(report: RowReport) -> tuple[object, ...]:
    return (
        report.row,
        report.local_ref,
        report.outcome,
        int(report.exit_code),
        report.case_id,
        report.receipt_id,
        report.objects,
        report.size,
        report.package_sha256,
        " ".join((report.message, *report.details)).strip(),
        report.hint,
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _cell(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
