"""Rows prepared by several processes at once, handed back in the order of the manifest.

Each process has its own interpreter, outbox connection and copy of the manifest; what identifies a patient is not passed
between them. A process that dies takes its row with it, and no other. None of them sends anything.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, Self

from bsti_submit.cli.memory import keep_memory_off_disk
from bsti_submit.errors import ExitCode
from bsti_submit.report.rows import RowOutcome, RowReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from pathlib import Path
    from types import TracebackType

    from bsti_submit.report.events import Event

AHEAD = 2
"""Rows in work or waiting to be sent, for each process; more would fill the disk while the line is slow."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs to prepare rows of a manifest."""

    manifest: bytes = field(repr=False)
    base: Path = field(repr=False)
    profile: str | None = field(repr=False)
    to: str = field(repr=False)
    exclude_list: Path | None = field(repr=False)
    counting: bool


class Workers:
    """Processes that prepare rows. Use it as a context manager; leaving it ends them all."""

    def __init__(self, job: Job, count: int, claim: Callable[[str, int], int]) -> None:
        self._job = job
        self._count = count
        self._claim = claim
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="row")
        self._own = threading.local()
        self._all: list[_Process] = []
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._stopped = True
            for process in self._all:
                process.end()
        self._threads.shutdown(cancel_futures=True)

    def prepared(self, numbers: Iterable[int]) -> Iterator[RowReport]:
        """Yield the reports of some rows in their order, with a few rows worked on ahead."""
        waiting = deque(numbers)
        running: deque[Future[RowReport]] = deque()
        while waiting or running:
            while waiting and len(running) < self._count * AHEAD:
                running.append(self._threads.submit(self._prepare, waiting.popleft()))
            yield running.popleft().result()

    def _prepare(self, number: int) -> RowReport:
        process: _Process | None = getattr(self._own, "process", None)
        try:
            if process is None:
                process = self._own.process = self._started()
            return process.prepare(number, self._claim)
        except (EOFError, OSError):
            if process is not None:
                process.end()
            self._own.process = None
            return RowReport(
                number,
                RowOutcome.FAULT,
                ExitCode.FAULT,
                message="The process that prepared this row ended unexpectedly, perhaps for want of memory.",
                hint="Run the batch again, with fewer --workers.",
            )

    def _started(self) -> _Process:
        with self._lock:
            process = _Process(self._job)
            self._all.append(process)
            if self._stopped:
                process.end()
        return process


class _Process:
    """One process, as the thread that feeds it sees it."""

    def __init__(self, job: Job) -> None:
        context = get_context("spawn")
        self._channel, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(job, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def prepare(self, number: int, claim: Callable[[str, int], int]) -> RowReport:
        self._channel.send(number)
        while True:
            said = self._channel.recv()
            if isinstance(said, RowReport):
                return said
            self._channel.send(claim(said, number))

    def end(self) -> None:
        with suppress(OSError):
            self._process.kill()
            self._process.join()


def _serve(job: Job, channel: Connection) -> None:
    """Prepare rows by number until there are no more. Nothing is written to the streams of the batch."""
    keep_memory_off_disk()  # a new program may be dumped again, whatever its parent had forbidden
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        _rows(job, channel)
    except BaseException:  # noqa: BLE001 - a traceback would show values
        os._exit(1)


def _rows(job: Job, channel: Connection) -> None:
    from bsti_submit.cli import wiring
    from bsti_submit.cli.rows import RowPreparer
    from bsti_submit.clinical.sources.manifest import parse

    settings = wiring.start()
    rows = {row.number: row for row in parse(job.manifest).rows}
    with ExitStack() as opened:
        preparer = RowPreparer(
            settings,
            wiring.site_profile(settings, job.profile),
            wiring.site_key(settings, person=False, must=True).key,
            job.base,
            job.to,
            None if job.counting else opened.enter_context(wiring.outbox(settings)),
            wiring.exclusions(job.exclude_list),
        )

        def claim(tag: str, number: int) -> int:
            del number  # the other end knows which row it is
            channel.send(tag)
            return int(channel.recv())

        def quiet(event: Event) -> None:
            del event

        while True:
            channel.send(preparer.prepare(rows[channel.recv()], claim, quiet))


def _end_with_the_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
