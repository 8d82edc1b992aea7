"""One operation, tried until it goes through: with jitter, or as long as the server asks, up to a limit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

import stamina
import stamina.instrumentation

from bsti_submit.transport.answers import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

stamina.instrumentation.set_on_retry_hooks(())  # by default it logs every fault to the terminal

LEAST_TRIALS: Final = 3
"""So that one slow attempt does not use up the whole time."""


def patiently(
    attempt: Callable[[], T],
    give_up: float,
    told: Callable[[TransientError], None] | None = None,
) -> T:
    """Run an attempt until it goes through.

    Parameters
    ----------
    give_up
        Seconds after which the last fault is raised. The clock starts with each call, so with each step
        forward.
    told
        Called with each fault that is tried again.

    Raises
    ------
    TransientError
        The last one, once the time is over or the server asks for more of it; any other error at once.
    """
    start = time.monotonic()
    trials = 0

    def again(fault: Exception) -> bool | float:
        nonlocal trials
        trials += 1
        if not isinstance(fault, TransientError):
            return False
        late = time.monotonic() - start > give_up and trials >= LEAST_TRIALS
        if late or give_up <= 0 or (fault.wait or 0.0) > give_up:
            return False
        if told is not None:
            told(fault)
        return True if fault.wait is None else fault.wait

    for trial in stamina.retry_context(
        on=again, attempts=None, timeout=None, wait_initial=0.2, wait_max=30.0, wait_jitter=1.0
    ):
        with trial:
            return attempt()
    raise AssertionError("the loop ends by returning or raising")
