"""Grey pictures → the lines of text in them, found by a process of its own that may die without harm.

The models need several hundred megabytes for a radiograph and are native code that meets untrusted pixels: so
they run in a process with bounded memory, which is started when it is first needed and again when it has died.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bsti_submit.deid.pixels.regions import Region

_REQUEST: Final = Struct("<IIHHI")
_PLACE: Final = Struct("<IIII")
_ANSWER: Final = Struct("<I")
_LONGEST_ANSWER: Final = 1 << 20
TIME_LIMIT: Final = 120.0
"""Seconds for one picture: a radiograph of 10 million pixels takes about ten on one slow core."""

MOST_FAILURES: Final = 4
"""In a row. Then nothing more is asked: a study of 500 slices would wait for a day and be held all the same."""


class ReaderError(Exception):
    """The picture could not be searched: the process died, took too long or answered nonsense."""


class Line(NamedTuple):
    """A line of text in pixels of the picture.

    ``score`` says how sure it is that this is text (0 to 1); ``apart`` is False for a piece of something larger. ``text`` is ""
    where it was not read; what was read may name the patient. ``least`` and ``mean`` are the confidence in its letters.
    """

    left: int
    top: int
    right: int
    bottom: int
    score: float
    apart: bool
    text: str
    least: float
    mean: float

    def __repr__(self) -> str:
        return f"Line({self.left}, {self.top}, {self.right}, {self.bottom}, {self.score:.2f})"


class Reader:
    """Finds and reads text. Nothing starts before the first `read`. Use it as a context manager."""

    def __init__(self, *, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.read_count = 0
        """Pictures that were searched."""
        self.started = 0
        """How often the process was started."""
        self._failures = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, also in the middle of a picture that another thread asked about."""
        self._closed = True
        if (process := self._process) is not None:
            with suppress(OSError):
                process.kill()
        with self._lock:
            self._end()

    def read(self, values: NDArray[np.uint16], window: tuple[int, int], places: Sequence[Region] = ()) -> list[Line]:
        """Return the lines of text in a picture, or what is written in some places of it.

        Parameters
        ----------
        values
            Shape (rows, columns); any linear scale of grey.
        window
            The values to show as black and white when it is read.
        places
            Each is read, and nothing else is looked for.

        Raises
        ------
        ReaderError
            If the process died, twice where it had been running before, or took longer than the time limit.
        """
        with self._lock:
            self.read_count += not places
            fresh = self._process is None or self._process.poll() is not None
            try:
                return self._answered(values, window, places)
            except ReaderError:
                if fresh:
                    raise
            return self._answered(values, window, places)  # what came before may have worn it out

    def _answered(self, values: NDArray[np.uint16], window: tuple[int, int], places: Sequence[Region]) -> list[Line]:
        """Ask once. Whatever goes wrong ends the process: its next answer would be that to another picture."""
        if self._closed or self._failures >= MOST_FAILURES:
            raise ReaderError("the text detector does not work")
        try:
            lines = self._ask(values, window, places)
        except BaseException:
            self._failures += 1
            self._end()
            raise
        self._failures = 0
        return lines

    def _ask(self, values: NDArray[np.uint16], window: tuple[int, int], places: Sequence[Region]) -> list[Line]:
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        timer = threading.Timer(self._time_limit, process.kill)
        timer.daemon = True
        timer.start()
        try:
            rows, columns = values.shape
            low, high = (min(max(int(value), 0), 0xFFFF) for value in window)
            process.stdin.write(_REQUEST.pack(rows, columns, low, high, len(places)))
            for place in places:
                process.stdin.write(_PLACE.pack(place.left, place.top, place.right, place.bottom))
            process.stdin.write(np.ascontiguousarray(values, "<u2").data)
            process.stdin.flush()
            (size,) = _ANSWER.unpack(_exactly(process, _ANSWER.size))
            if size > _LONGEST_ANSWER:
                raise ReaderError("the text detector answered nonsense")
            return [_line(item, rows, columns) for item in json.loads(_exactly(process, size))]
        except (OSError, ValueError, TypeError):
            raise ReaderError("the text detector ended") from None
        finally:
            timer.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        try:
            self._process = subprocess.Popen(
                # -P: nothing in the working directory may stand in for a module
                [sys.executable, "-P", "-m", "bsti_submit.deid.pixels.detector"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        except OSError:
            raise ReaderError("the text detector cannot be started") from None
        self.started += 1
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.wait()


def _environment() -> dict[str, str]:
    """Return what the process may know: none of our settings and tokens, and that it reports to nobody.

    Builds of onnxruntime from 1.29 on write an identifier to the disk and report each run to their makers unless
    told not to before they are loaded. Such versions are not asked for; should one be there all the same, it is told.
    """
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("BSTI_")}
    return {**kept, "ORT_DISABLE_TELEMETRY": "1", "ORT_TELEMETRY_DISABLED": "1"}


def _exactly(process: subprocess.Popen[bytes], size: int) -> bytes:
    assert process.stdout is not None  # noqa: S101
    data = process.stdout.read(size)
    if len(data) < size:
        raise ReaderError("the text detector ended")
    return data


def _line(item: Any, rows: int, columns: int) -> Line:
    left, top, right, bottom, score, apart, text, least, mean = item
    left, right = (min(max(int(value), 0), columns) for value in (left, right))
    top, bottom = (min(max(int(value), 0), rows) for value in (top, bottom))
    return Line(left, top, right, bottom, float(score), bool(apart), str(text), float(least), float(mean))
