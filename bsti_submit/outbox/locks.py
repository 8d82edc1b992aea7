"""Who may do what at the same time: file locks, which the system lets go of when a process dies.

A lock's file stays: removing it would let a third process lock another file of the same name.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from bsti_submit.errors import NotDeliveredError, SettingsError
from bsti_submit.outbox.database import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE: Final = 60.0
"""Seconds to wait for another process that moves a package in or recovers; both are short."""


class Locks:
    """The locks of one outbox. Each raises NotDeliveredError where another process has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that opens the outbox or moves files in it."""
        with self._held("outbox", "Another bsti-submit holds the outbox.", timeout=_PATIENCE):
            yield

    @contextmanager
    def building(self, study_set: str) -> Iterator[None]:
        """Hold some studies, so that two runs do not make two cases of them."""
        with self._held(_studies(study_set), "Another run is working on these very studies."):
            yield

    @contextmanager
    def holding(self, case_id: str) -> Iterator[None]:
        """Hold one case: what is being sent is not withdrawn, amended or dropped at the same time."""
        with self._held(f"case-{case_id}", "Another bsti-submit on this machine is at work on that very case."):
            yield

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Be the one sender of this machine."""
        with self._held("sender", "Another bsti-submit on this machine is sending; the case is safe in the outbox."):
            yield

    @contextmanager
    def if_not_building(self, study_set: str) -> Iterator[bool]:
        """Yield whether no run is working on some studies, and keep it so for the block."""
        lock = self._lock(_studies(study_set))
        taken = False
        with suppress(Timeout, OSError):
            lock.acquire(timeout=0)
            taken = True
        try:
            yield taken
        finally:
            if taken:
                lock.release()

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._folder / f"{name}.lock", mode=0o600)

    @contextmanager
    def _held(self, name: str, busy: str, *, timeout: float = 0) -> Iterator[None]:
        lock = self._lock(name)
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            raise NotDeliveredError(busy, hint="Wait for it, then try again.") from None
        except OSError:
            raise SettingsError("The outbox cannot be locked.", hint=LOCAL) from None
        try:
            yield
        finally:
            lock.release()


def _studies(study_set: str) -> str:
    return f"studies-{study_set[:32]}"
