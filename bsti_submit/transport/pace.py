"""How fast and when to send, for sites with a thin line: a token bucket and a window of the day."""

from __future__ import annotations

import re
import time as clock
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import TYPE_CHECKING, Final, Self

from bsti_submit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_DAY: Final = 24 * 3600
_LONGEST_SLEEP: Final = 60.0
LEAST_RATE: Final = 1000


def parse_rate(text: str) -> int:
    """Return the bytes a second of ``500k``, ``2M`` or ``1.5M``.

    Raises
    ------
    InputError
        If it is none, or under 1 kB a second.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([kmg]?)(?:b|b/s)?", text.strip().lower(), re.ASCII)
    rate = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if rate < LEAST_RATE:
        raise InputError("The rate must be like 500k or 2M: bytes a second, at least 1k.")
    return rate


@dataclass(slots=True)
class Rate:
    """A token bucket. Call it with the bytes of each block before the block is sent.

    Parameters
    ----------
    per_second
        Bytes a second, on average; up to a second's worth may go at once.
    """

    per_second: int
    now: Callable[[], float] = clock.monotonic
    sleep: Callable[[float], None] = clock.sleep
    _tokens: float = field(default=0.0, init=False)
    _since: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._since = self.now()

    def __call__(self, count: int) -> None:
        """Wait until ``count`` bytes may go."""
        now = self.now()
        self._tokens = min(self.per_second, self._tokens + (now - self._since) * self.per_second)
        self._since = now
        self._tokens -= count
        if self._tokens < 0:
            self.sleep(-self._tokens / self.per_second)

    def chunk(self, largest: int) -> int:
        """Return how large a request may be so that it does not take much longer than half a minute."""
        return max(64 << 10, min(largest, self.per_second * 30))


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the day, by the local clock; it may go over midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``19:00-07:00``.

        Raises
        ------
        InputError
            If it is none, or empty.
        """
        found = re.fullmatch(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})", text.strip(), re.ASCII)
        try:
            start, end = (time(int(found[n]), int(found[n + 1])) for n in (1, 3)) if found else (time(), time())
        except ValueError:
            start = end = time()
        if start == end:
            raise InputError("The time of day must be like 19:00-07:00.")
        return cls(start, end)

    def is_open(self, now: time) -> bool:
        """Whether a time of day lies in it. The end is no longer in it."""
        if self.start < self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end

    def seconds_until_open(self, now: time) -> float:
        """Return how long to wait, by the wall clock; 0 if it is open."""
        if self.is_open(now):
            return 0.0
        return (_seconds(self.start) - _seconds(now)) % _DAY

    def wait(
        self,
        now: Callable[[], datetime] = datetime.now,
        sleep: Callable[[float], None] = clock.sleep,
    ) -> None:
        """Wait until it is open. The clock is read again each minute, so it may be set meanwhile."""
        while (left := self.seconds_until_open(now().time())) > 0:
            sleep(min(left, _LONGEST_SLEEP))


def _seconds(when: time) -> float:
    return when.hour * 3600 + when.minute * 60 + when.second + when.microsecond / 1e6
