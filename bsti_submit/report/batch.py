"""The progress of a batch: a bar on a terminal, one plain line a row in a log, silence for JSON. All on stderr."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self

from bsti_submit.errors import ExitCode
from bsti_submit.printable import printable
from bsti_submit.report.console import readable
from bsti_submit.report.events import Progress
from bsti_submit.report.rows import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from tqdm import tqdm

    from bsti_submit.report.events import Event
    from bsti_submit.report.rows import RowReport


class BatchProgress:
    """Tells how far a batch is.

    Parameters
    ----------
    total
        The number of rows.
    terminal
        Whether stderr is a terminal. A bar redraws its line, which a log file cannot.
    quiet
        Whether to say nothing at all.
    """

    def __init__(self, total: int, *, terminal: bool, quiet: bool) -> None:
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._has_bar = terminal and not quiet
        self._bar: tqdm[None] | None = None

    def __enter__(self) -> Self:
        if self._has_bar:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._total, desc="Rows", unit=" rows", dynamic_ncols=True, leave=False, file=sys.stderr
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def __call__(self, event: Event) -> None:
        """Show how far the row at hand is, where there is a bar."""
        if self._bar is not None and isinstance(event, Progress) and event.total:
            self._bar.set_postfix_str(f"{event.step} {100 * event.done // event.total} %")

    def row(self, report: RowReport) -> None:
        """Tell what became of a row, in one line."""
        self._done += 1
        if self._quiet:
            return
        line = f"{datetime.now().astimezone():%H:%M:%S}  {self._done}/{self._total}  {printable(row_line(report))}"
        if self._bar is None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
            return
        self._bar.set_postfix_str("", refresh=False)
        self._bar.write(line, file=sys.stderr)
        self._bar.update(1)


def row_line(report: RowReport) -> str:
    """Return a row in one line."""
    parts = [f"{report.name}: {report.outcome}"]
    if report.case_id:
        parts.append(f"case {report.case_id}")
    if report.receipt_id:
        parts.append(f"receipt {report.receipt_id}")
    if report.objects:
        parts.append(f"{report.objects} {'image' if report.objects == 1 else 'images'}, {readable(report.size)}")
    line = ", ".join(parts)
    if report.exit_code is not ExitCode.DONE:
        line += f" (exit {int(report.exit_code)}). {report.message} {' '.join(report.details)}".rstrip()
    return line


def summary_lines(reports: Sequence[RowReport]) -> list[str]:
    """Return how the rows stand and, for those that are not done, what to do: one entry for all with the same advice."""
    found = ", ".join(f"{count} {outcome}" for outcome, count in counted(reports).items())
    lines = [f"{len(reports)} {'row' if len(reports) == 1 else 'rows'}: {found or 'nothing done'}."]
    advice: dict[tuple[str, str], list[int]] = {}
    for report in reports:
        if report.hint:
            advice.setdefault((str(report.outcome), report.hint), []).append(report.row)
    for (outcome, hint), rows in advice.items():
        shown = ", ".join(map(str, rows[:SHOWN])) + (" and more" if len(rows) > SHOWN else "")
        lines.append(f"{outcome}, {'row' if len(rows) == 1 else 'rows'} {shown}: {hint}")
    return lines


SHOWN: Final = 12
