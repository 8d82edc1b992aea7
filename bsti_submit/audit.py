"""The local audit log: one line a step, chained to the one before by its SHA-256, with no identifier.

JSON Lines in RFC 8785 canonical form, so a line has one spelling and any changed byte is found. The head file
beside it holds how many lines there are and the last digest, so that a cut tail is found too. Whoever can
write here can write a whole new log: it shows accidents and quiet edits, and is proof against a forger only
together with the registry's signed receipts, whose ids it names.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

import rfc8785
from filelock import FileLock, Timeout

from bsti_submit import __version__
from bsti_submit.errors import HeldError, NotDeliveredError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

EVENTS: Final = frozenset(
    """
    begin deidentify package attest send upload pause deliver refuse amend withdraw drop recovered command
    """.split()
)
FIELDS: Final = tuple(
    """
    n at event tool_version case_id command exit_status step profile profile_version recipe_sha256 standard_edition
    key_id certified left_out held reasons package_sha256 manifest_sha256 clinical_sha256 size objects scope
    text_version text_sha256 attestation_sha256 destination receipt_id source lines prev hash
    """.split()
)
"""Every member that a line may have, in the order of the exported columns."""

_FREE: Final = frozenset(FIELDS) - {"n", "at", "event", "tool_version", "prev", "hash"}
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}|")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_HEAD: Final = re.compile(rb"([1-9][0-9]{0,15}) ([0-9a-f]{64})\r?\n")
_START: Final = "0" * 64
_LONGEST_LINE: Final = 64 << 10
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the log found. ``line`` is the first wrong one, from 1; 0 if the log is whole."""

    lines: int
    line: int
    problem: str

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


class AuditLog:
    """The log in one folder.

    Parameters
    ----------
    folder
        Made at the first line, for its owner alone.
    now
        The clock, in UTC; lines are ordered by number, so it may jump.
    """

    def __init__(self, folder: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = folder / "audit.jsonl"
        self._head = folder / "audit.head"
        self._now = now

    def append(self, event: str, at: str = "", **members: str | int | bool | Mapping[str, int]) -> None:
        """Write a line and have it on the disk before this returns.

        Parameters
        ----------
        event
            One of `EVENTS`.
        at
            When it happened, as RFC 3339 in UTC to the second; without it, now.
        members
            Of `FIELDS`: codes, digests, counts, ids of ours. Words of letters, digits and ``._:@/+-`` only,
            so that no typed text and no name with a space or ``^`` can come in by mistake.

        Raises
        ------
        ValueError
            If a member is not one that may be logged: a mistake in our code.
        NotDeliveredError
            If the disk is full or fails.
        """
        if event not in EVENTS:
            raise ValueError("not an event of the audit log")
        for name, value in members.items():
            _require_safe(name, value)
        if at and not _TIME.fullmatch(at):
            raise ValueError("not a time of the audit log")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self.path.with_suffix(".lock"), mode=0o600).acquire(timeout=_PATIENCE):
                number, last = self._mend(*self._end())
                self._write(event, members, number + 1, last, at)
        except Timeout:
            raise NotDeliveredError("Another bsti-submit holds the audit log.", hint="Try again.") from None
        except OSError:
            raise NotDeliveredError("The audit log cannot be written to.", hint="Is the disk full?") from None

    def verify(self) -> Checked:
        """Check every line, the chain and the end.

        Raises
        ------
        SettingsError
            If the log cannot be read.
        """
        number, last, before = 0, _START, _START
        try:
            with self.path.open("rb") as stream:
                while line := stream.readline(_LONGEST_LINE):
                    document = _parsed(line)
                    if document is None:
                        return Checked(number, number + 1, "this line is not as it was written")
                    if document["n"] != number + 1 or document["prev"] != last:
                        return Checked(number, number + 1, "a line before this one is missing, added or changed")
                    number, before, last = number + 1, last, str(document["hash"])
        except FileNotFoundError:
            pass
        except OSError:
            raise SettingsError("The audit log cannot be read.", hint="Check BSTI_HOME.") from None
        head = self._read_head()
        if head is None:
            return Checked(
                number, number + 1 if number else 0, "the file of its end is missing or damaged" if number else ""
            )
        # After a crash between the two writes the head is one line behind.
        if head[0] > number:
            return Checked(number, number + 1, "lines are missing at the end")
        if head not in {(number, last), (number - 1, before)}:
            return Checked(number, number, "lines at the end were added or changed")
        return Checked(number, 0, "")

    def export_csv(self, out: TextIO) -> int:
        """Write the log as a table, one column a member, and return the number of lines.

        Cells that a spreadsheet would take for a formula cannot occur, by the form of the members.

        Raises
        ------
        HeldError
            If the log is not whole: what is exported is what was written.
        """
        checked = self._whole()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(FIELDS)
        for document in self.lines():
            writer.writerow(
                " ".join(f"{name}={count}" for name, count in sorted(value.items()))
                if isinstance(value := document.get(name, ""), dict)
                else value
                for name in FIELDS
            )
        return checked.lines

    def export_lines(self, out: TextIO) -> int:
        """Write the log as it is, one JSON document a line, and return the number of lines.

        Raises
        ------
        HeldError
            If the log is not whole.
        """
        checked = self._whole()
        out.writelines(_canonical(document).decode() + "\n" for document in self.lines())
        return checked.lines

    def _whole(self) -> Checked:
        checked = self.verify()
        if not checked.is_whole:
            raise HeldError(f"The audit log is not whole: line {checked.line}: {checked.problem}.")
        return checked

    def lines(self) -> Iterator[Mapping[str, object]]:
        """Yield the lines in order, up to the first that is not as it was written."""
        with suppress(FileNotFoundError), self.path.open("rb") as stream:
            while (line := stream.readline(_LONGEST_LINE)) and (document := _parsed(line)) is not None:
                yield document

    def _write(self, event: str, members: Mapping[str, object], number: int, last: str, at: str = "") -> None:
        document = {
            **members,
            "n": number,
            "at": at or self._now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "event": event,
            "tool_version": __version__,
            "prev": last,
        }
        document["hash"] = _hash(document)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self.path, flags, 0o600), "ab") as stream:
            stream.write(_canonical(document) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        part = self._head.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as head:
            head.write(f"{number} {document['hash']}\n")
            head.flush()
            os.fsync(head.fileno())
        part.replace(self._head)

    def _end(self) -> tuple[int, str, int]:
        """Return number and digest of the last whole line, and how many bytes of a torn one follow it."""
        try:
            with self.path.open("rb") as stream:
                size = stream.seek(0, 2)
                start = max(0, size - 2 * _LONGEST_LINE)
                stream.seek(start)
                tail = stream.read()
        except FileNotFoundError:
            return 0, _START, 0
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        whole = tail[: len(tail) - torn].splitlines(keepends=True)
        if not whole:
            return 0, _START, torn
        document = _parsed(whole[-1])
        if document is None:  # somebody changed it: go on behind it, so that the check names that very line
            head = self._read_head() or (0, _START)
            return head[0], head[1], torn
        return int(str(document["n"])), str(document["hash"]), torn

    def _mend(self, number: int, last: str, torn: int) -> tuple[int, str]:
        """Cut a line that a crash left half written, and say so in the log."""
        if not torn:
            return number, last
        with self.path.open("r+b") as stream:
            stream.truncate(stream.seek(0, 2) - torn)
        self._write("recovered", {"lines": 1}, number + 1, last)
        number, last, _ = self._end()
        return number, last

    def _read_head(self) -> tuple[int, str] | None:
        try:
            found = _HEAD.fullmatch(self._head.read_bytes())
        except OSError:
            return None
        return (int(found[1]), found[2].decode("ascii")) if found else None


def _parsed(line: bytes) -> dict[str, object] | None:
    """Return a line if every byte of it is as it was written."""
    try:
        document = json.loads(line)
        if not isinstance(document, dict) or _canonical(document) + b"\n" != line:
            return None
        body = {name: value for name, value in document.items() if name != "hash"}
        whole = document.get("hash") == _hash(body) and isinstance(document.get("n"), int) and "prev" in document
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return None
    return document if whole else None


def _hash(document: Mapping[str, object]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()


def _canonical(document: Mapping[str, object]) -> bytes:
    """Return a line's bytes (RFC 8785): what is in one was found to be plain JSON before, which the library's types cannot say."""
    return rfc8785.dumps(dict(document))  # type: ignore[arg-type]


def fitting(members: Mapping[str, object]) -> dict[str, Any]:
    """Return the members that a line may have; what could be typed text is left out."""
    return {name: value for name, value in members.items() if _is_safe(name, value)}


def _is_safe(name: str, value: object) -> bool:
    return name in _FREE and (
        isinstance(value, bool | int)
        or (isinstance(value, str) and _WORD.fullmatch(value) is not None)
        or (
            isinstance(value, dict)
            and all(_WORD.fullmatch(str(key)) and isinstance(count, int) for key, count in value.items())
        )
    )


def _require_safe(name: str, value: object) -> None:
    if not _is_safe(name, value):
        raise ValueError(f"{name if name in FIELDS else 'a member'} must not be logged like that")
