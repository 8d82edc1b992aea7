"""Request rates: a token bucket for each token, and one for each address whose tokens are wrong."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from bsti_submit.registry.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

_REMEMBERED = 10_000


class Rates:
    """Buckets by name.

    Parameters
    ----------
    rate
        Requests a second that flow back into a bucket.
    burst
        What a full bucket holds.
    clock
        Monotonic seconds.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """Take one request out of a bucket.

        Raises
        ------
        Problem
            ``rate-limited`` with ``Retry-After`` if it is empty.
        """
        now = self._clock()
        with self._lock:
            level, at = self._buckets.pop(name, (self._burst, now))
            level = min(self._burst, level + (now - at) * self._rate)
            enough = level >= 1
            self._buckets[name] = (level - 1 if enough else level, now)
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        if not enough:
            raise Problem("rate-limited", headers={"Retry-After": str(math.ceil((1 - level) / self._rate))})
