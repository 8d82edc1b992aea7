"""The three standard streams: what happens where one is closed, full, or no longer read.

The result of a command goes to stdout, and a result that was not written must not look like one that was. What is
said to a person goes to stderr, and a log that cannot be written must not stop a case.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, TextIO

import typer

from bsti_submit.errors import BstiError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNWRITTEN = "The result could not be written to standard output: the disk may be full."


class _Messages(io.TextIOWrapper):
    """A stderr that goes quiet where it can no longer be written: its disk is full, or its reader is gone."""

    def __init__(self, given: TextIO) -> None:
        super().__init__(given.buffer, given.encoding, "replace", line_buffering=True)
        self._given = given  # stays open beside this one: a log may hold on to it

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def prepare_streams() -> None:
    """Let neither a stream nor a character that it cannot show, or that cannot be read from it, end a run.

    A stream that was closed before we started is opened on nothing: the next file opened would take its number, and
    what is written to the stream would land in that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = _reopened(0, "r")
    if sys.stdout is None:
        sys.stdout = _reopened(1, "w")
    for stream, errors in ((sys.stdout, "replace"), (sys.stdin, "surrogateescape")):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors=errors)  # type: ignore[union-attr]
    with suppress(AttributeError, ValueError, OSError):
        sys.stderr = _Messages(sys.stderr or _reopened(2, "w"))


def _reopened(number: int, mode: Literal["r", "w"]) -> TextIO:
    return open(number, mode, encoding="utf-8", closefd=False)


@contextmanager
def result_stream() -> Iterator[TextIO]:
    """Give stdout to write a result to, and see that it arrived.

    Raises
    ------
    typer.Exit
        If nobody reads it any more, as in ``| head``: the command ends without a word, with code 1.
    BstiError
        If it cannot be written for another reason, such as a full disk.
    """
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
        raise typer.Exit(int(ExitCode.FAULT)) from None
    except OSError:
        _give_up_stdout()
        raise BstiError(
            _UNWRITTEN,
            hint="What the command did stands. To see the result, make room and run it again.",
        ) from None


def finish_stdout() -> bool:
    """Write what waits in stdout, and return whether it arrived."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _give_up_stdout()
        return False
    return True


def unwritten(fault: BaseException) -> str | None:
    """Return what to say of a fault that stdout raised, nothing if its reader has merely gone; None of any other fault."""
    if not isinstance(fault, OSError) or finish_stdout():
        return None
    return "" if isinstance(fault, BrokenPipeError) else f"{_UNWRITTEN}\n"


def _give_up_stdout() -> None:
    # The interpreter flushes stdout once more when it ends, and would tell of the failure in its own words.
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
