"""Events → a person's terminal, or a plain log. Everything here goes to stderr; stdout is the result alone."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Protocol, Self

from bsti_submit.printable import printable
from bsti_submit.report.events import Delivered, InstanceDone, Note, Packaged, Progress, Step

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from tqdm import tqdm

    from bsti_submit.report.events import Event


class Reporter(Protocol):
    """Takes the events of a run."""

    def __call__(self, event: Event) -> None:
        """Show, log or ignore an event."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and leave the terminal as it was."""


class QuietReporter:
    """Says nothing: for ``--json``, where stderr is for errors."""

    def __call__(self, event: Event) -> None:
        """Ignore it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class TerminalReporter:
    """Shows progress bars and notes on a terminal, by rich."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: RichProgress | None = None
        self._tasks: dict[Step, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()

    def pause(self) -> None:
        """Take the bars away, so that a question can be asked."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = None
        self._tasks = {}

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Progress():
                self._progress(event)
            case InstanceDone(report=report) if report.outcome == "held" and report.reason is not None:
                self._say(f"  {report.ref} held: {report.reason.text}")
            case InstanceDone():
                pass
            case Packaged():
                self.pause()
                self._say(f"The package is ready: {event.instances} images, {readable(event.size)}.")
            case Delivered():
                self.pause()
                self._say("Received, and the receipt is kept.")
            case Note():
                self._say(event.text)

    def _say(self, text: str) -> None:
        (self._bars.console if self._bars is not None else self._console).print(
            printable(text), markup=False, highlight=False
        )

    def _progress(self, event: Progress) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%") if event.unit == "bytes" else MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        if event.step not in self._tasks:
            for task in self._tasks.values():
                self._bars.remove_task(task)
            self._tasks = {event.step: self._bars.add_task(str(event.step), total=event.total)}
        self._bars.update(self._tasks[event.step], completed=event.done, total=event.total)
        if event.done >= event.total:
            self.pause()


_LOG_SECONDS = 10
"""A step that takes less says nothing of its progress in a log; a longer one, a line in so many seconds."""


class _OwnLines(io.TextIOBase):
    """Takes what tqdm draws over one line of a terminal, and writes each drawing as a line of its own."""

    def write(self, text: str) -> int:
        """Write the drawing, if there is one."""
        if line := text.strip("\r\n "):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        return len(text)


class LogReporter:
    """Writes lines that read well in a log file, for unattended runs."""

    def __init__(self) -> None:
        self._bar: tqdm[None] | None = None
        self._step: Step | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
        self._step = None

    def __call__(self, event: Event) -> None:
        """Log an event."""
        match event:
            case Progress():
                self._progress(event)
            case InstanceDone(report=report) if report.outcome == "held" and report.reason is not None:
                self._line(f"{report.ref} held: {report.reason}")
            case InstanceDone():
                pass
            case Packaged():
                self._close()
                self._line(f"case {event.case_id} packaged: {event.instances} images, {readable(event.size)}")
            case Delivered():
                self._close()
                self._line(f"case {event.case_id} delivered: receipt {event.receipt_id}")
            case Note():
                self._line(event.text)

    @staticmethod
    def _line(text: str) -> None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def _progress(self, event: Progress) -> None:
        from tqdm import tqdm

        if event.step != self._step:
            self._close()
            self._step = event.step
            scale = event.unit == "bytes"
            self._bar = tqdm(
                total=event.total,
                desc=str(event.step),
                unit="B" if scale else " files",
                unit_scale=scale,
                delay=_LOG_SECONDS,
                mininterval=_LOG_SECONDS,
                maxinterval=_LOG_SECONDS,
                bar_format="{desc}: {n_fmt} of {total_fmt}{unit}, {percentage:.0f}%, {remaining} to go",
                leave=False,
                file=_OwnLines(),
            )
        if self._bar is not None:
            self._bar.update(event.done - self._bar.n)
        if event.done >= event.total:
            self._close()


def readable(size: int) -> str:
    """Return a size in bytes as a person reads it, such as ``31.4 MB``."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{int(value)} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
