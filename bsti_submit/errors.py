"""What can go wrong, in the user's words: one class for each thing a person can do about it.

A message never holds a value from a data set, a path, or a secret. Each class carries the exit code of
the contract (`docs/exit-codes.md`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAULT = 1
    BAD_INPUT = 2
    HELD = 3
    NO_APPROVAL = 4
    NOT_DELIVERED = 5
    REFUSED = 6
    SETTINGS = 7
    INTERRUPTED = 130


_GRAVEST_FIRST: Final = tuple(ExitCode(code) for code in (130, 1, 6, 3, 4, 7, 5, 2, 0))


def gravest(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code with which a command ends that did many things; 0 if it did none."""
    return min(codes, key=_GRAVEST_FIRST.index, default=ExitCode.DONE)


class BstiError(Exception):
    """The root of our errors.

    Parameters
    ----------
    message
        One sentence: what is wrong. Safe to print and to log.
    hint
        What to do or to type next, if we know it.
    details
        Further lines, such as one for each invalid field. Safe to print and to log.
    problems
        The same for a program, where there is a form of it, such as code, path and message of each invalid field.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAULT

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        details: tuple[str, ...] = (),
        problems: tuple[Mapping[str, object], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
        self.problems = problems


class InputError(BstiError):
    """Bad usage or input: a path, a clinical file, a manifest, a recipe or a profile."""

    exit_code = ExitCode.BAD_INPUT


class HeldError(BstiError):
    """A doubt holds the case, or a verification failed. Nothing was sent."""

    exit_code = ExitCode.HELD


class ApprovalError(BstiError):
    """The attestation or approval is missing, or void for these bytes."""

    exit_code = ExitCode.NO_APPROVAL


class NotDeliveredError(BstiError):
    """The destination could not be reached or is busy. The case is safe in the outbox."""

    exit_code = ExitCode.NOT_DELIVERED


class RefusedError(BstiError):
    """The registry looked at the case and refused it."""

    exit_code = ExitCode.REFUSED


class SettingsError(BstiError):
    """Sign-in, settings, certificate or key: something to set up before this can work."""

    exit_code = ExitCode.SETTINGS


class StoppedError(BstiError):
    """The person stopped, by Ctrl-C or at the end of the input. Says what is kept."""

    exit_code = ExitCode.INTERRUPTED
