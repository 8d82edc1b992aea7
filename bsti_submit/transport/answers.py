"""A server's answers, and what an unwelcome one means to a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from bsti_submit.errors import BstiError, NotDeliveredError, RefusedError, SettingsError
from bsti_submit.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

BUSY: Final = frozenset((408, 423, 425, 429, 460))
"""Statuses after which the same request may go through; 460 says that it was damaged on its way."""
_SERVER_FAULT: Final = 500
_TELLABLE: Final = 200
_MOST_DIGITS: Final = 18
_MOST_ERRORS: Final = 20
_LONGEST_WAIT: Final = 3600.0
_SAFE: Final = "The case is safe; bsti-submit outbox send tries again."


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: status, headers in lower case, and its JSON, empty if it had none.

    ``is_damaged`` says that its body is not the one of which it gives the digest (RFC 9530).
    """

    status: int
    headers: Mapping[str, str]
    json: Mapping[str, object]
    is_damaged: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it says yes."""
        return 200 <= self.status < 300

    def number(self, header: str) -> int | None:
        """Return a header as a whole number."""
        value = self.headers.get(header, "")
        whole = value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS
        return int(value) if whole else None

    @property
    def problem(self) -> str:
        """The slug of a problem type (RFC 9457); empty if it is none."""
        kind = self.json.get("type", "")
        return kind.rpartition("/")[2] if isinstance(kind, str) else ""

    def retry_after(self, now: datetime | None = None) -> float | None:
        """Return the seconds that the server asks to wait (RFC 9110, 10.2.3), at most an hour."""
        seconds = self.number("retry-after")
        if seconds is not None:
            return float(min(seconds, _LONGEST_WAIT))
        try:
            until = parsedate_to_datetime(self.headers.get("retry-after", ""))
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        wait = (until - (now or datetime.now(UTC))).total_seconds()
        return min(max(wait, 0.0), _LONGEST_WAIT)


class TransientError(NotDeliveredError):
    """It may go through when tried again. ``wait`` is what the server asked for, in seconds."""

    def __init__(self, message: str, *, hint: str = "", wait: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wait = wait


class BusyError(TransientError):
    """The server was reached and said that it is busy."""


def is_busy(answer: Answer) -> bool:
    """Whether the same request may go through later."""
    return answer.status in BUSY or answer.status >= _SERVER_FAULT


def refusal(answer: Answer) -> BstiError:
    """Return the error that an unwelcome answer means.

    Only an answer in the registry's own form (RFC 9457) refuses a case. A proxy, a filter or a sign-in page
    of the network answers too, and must not decide about a case.
    """
    status = answer.status
    if is_busy(answer):
        return BusyError("The registry is busy or out of order.", hint=_SAFE, wait=answer.retry_after())
    if status == 401 or (status == 403 and answer.problem):
        return SettingsError(
            "The registry does not accept the token.",
            hint="It may have expired, or lack the right. Type bsti-submit login, or put a new one where "
            "BSTI_TOKEN_FILE points. The case is safe.",
        )
    if 300 <= status < 400:
        return SettingsError(
            "The registry's address leads elsewhere, which is not followed.",
            hint="Check BSTI_REGISTRY. A sign-in page of this network may stand between.",
        )
    if not answer.problem:
        return NotDeliveredError(
            f"An answer came that is not the registry's (status {status}).",
            hint=f"A proxy or filter may stand between, or the address be wrong: ask IT. {_SAFE}",
        )
    title = plain(answer.json.get("title")) or f"status {status}"
    details = [plain(answer.json.get("detail"))]
    errors = answer.json.get("errors")
    if isinstance(errors, list):
        details += [
            f"{plain(error.get('pointer'))}: {plain(error.get('detail'))}"
            for error in errors[:_MOST_ERRORS]
            if isinstance(error, dict)
        ]
    return RefusedError(f"The registry refused: {title}", details=tuple(line for line in details if line))


def plain(value: object) -> str:
    """Return what a server says as one bounded line without control characters."""
    text = value if isinstance(value, str) else ""
    return printable(text[:_TELLABLE]).strip()
