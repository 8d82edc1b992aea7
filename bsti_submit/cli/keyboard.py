"""Lines typed at a terminal."""

from __future__ import annotations

import os
import select
import signal
import sys


def typed_line() -> str:
    """Return the next line typed, without its end, as `input` does; Ctrl-C is heard at any moment.

    `input` looks for Ctrl-C before it starts to read and while it reads. One that falls between the two is only noticed
    after the next line, so the program would look as if it had not heard. The wait for a line is therefore made where a
    signal always ends it; a terminal hands over whole lines, so the read after it does not wait.

    Raises
    ------
    EOFError
        At the end of the input (Ctrl-D).
    KeyboardInterrupt
        On Ctrl-C.
    """
    if os.name == "posix" and sys.stdin is not None and sys.stdin.isatty():
        _wait_for_line(sys.stdin.fileno())
    return input()


def _wait_for_line(terminal: int) -> None:
    hears, wakes = os.pipe()
    os.set_blocking(wakes, False)  # as `signal.set_wakeup_fd` asks
    before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        while terminal not in select.select([terminal, hears], [], [])[0]:
            os.read(hears, 64)  # a signal whose handler let the program go on
    finally:
        signal.set_wakeup_fd(before)
        os.close(hears)
        os.close(wakes)
