"""One operation, tried until it goes through: with jitter, or as long as the server asks, up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import stamina

from bsti_submit.transport.http import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def patiently(attempt: Callable[[], T], give_up: float) -> T:
    """Run an attempt until it goes through.

    Parameters
    ----------
    give_up
        Seconds after which the last fault is raised. The clock starts with each call, so with each step forward.

    Raises
    ------
    TransientError
        The last one, once the time is over; any other error at once.
    """

    def again(fault: Exception) -> bool | float:
        if not isinstance(fault, TransientError):
            return False
        return True if fault.wait is None else fault.wait

    for trial in stamina.retry_context(
        on=again, attempts=None, timeout=give_up, wait_initial=0.2, wait_max=30.0, wait_jitter=1.0
    ):
        with trial:
            return attempt()
    raise AssertionError("the loop ends by returning or raising")
