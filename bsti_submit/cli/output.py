"""What commands write: the result on stdout, everything else on stderr."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from bsti_submit.cli.streams import result_stream
from bsti_submit.errors import BstiError, ExitCode, InputError
from bsti_submit.model import Outcome, Reason
from bsti_submit.printable import json_text, printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

    from bsti_submit.model import InstanceRef, InstanceReport
    from bsti_submit.report.console import Reporter

Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Write the result as one JSON document, for a program to read.")
]

_PACKAGE = Path(__file__).resolve().parent.parent
_json_mode = False


def set_json(json_mode: bool) -> None:
    """Remember whether the result is wanted as JSON, for errors as well."""
    global _json_mode  # noqa: PLW0603 - one process runs one command
    _json_mode = json_mode


def write_json(document: Mapping[str, object]) -> None:
    """Write the one JSON document of a command."""
    with result_stream() as out:
        out.write(json_text(document, indent=2) + "\n")


def write(text: str = "") -> None:
    """Write one line of the result for a person, whatever the text holds."""
    with result_stream() as out:
        out.write(printable(text) + "\n")


def write_lines(text: str) -> None:
    """Write several lines of the result for a person. The line breaks must be our own."""
    with result_stream() as out:
        out.write(printable_lines(text) + "\n")


def write_document(text: str) -> None:
    """Write a document that is meant for a file, such as a CSV: UTF-8 and its own line ends, whatever the console.

    A terminal, where it is only looked at, gets it as lines.
    """
    if sys.stdout.isatty():
        write_lines(text.removesuffix("\n").replace("\r\n", "\n"))
        return
    with result_stream() as out:
        out.flush()
        out.buffer.write(text.encode("utf-8"))
        out.buffer.flush()


def create_private(path: Path, text: str) -> None:
    """Write a new file for its owner alone: it holds a secret, or may name folders that name people.

    Raises
    ------
    InputError
        If it cannot be created.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8"))
    except OSError:
        raise InputError("The file cannot be written there.") from None


def say(text: str = "") -> None:
    """Tell a person something that is not the result: one line, wrapped between words where a terminal shows it."""
    for line in _wrapped(text) if sys.stderr.isatty() else [text]:
        sys.stderr.write(printable(line) + "\n")
    sys.stderr.flush()


def _wrapped(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()))
    width = max(shutil.get_terminal_size().columns - 1, 40)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]


def has_terminal() -> bool:
    """Whether a person can be asked: both ends are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def console() -> Console:
    """Return a rich console on stderr, plain where the terminal is dumb or NO_COLOR is set."""
    from rich.console import Console

    plain = os.environ.get("TERM", "") == "dumb" or bool(os.environ.get("NO_COLOR"))
    return Console(stderr=True, no_color=plain or None, highlight=False, markup=False, emoji=False, soft_wrap=False)


def reporter(*, json_mode: bool) -> Reporter:
    """Return the reporter that fits: silent for JSON, bars on a terminal, lines in a log."""
    from bsti_submit.report.console import LogReporter, QuietReporter, TerminalReporter

    if json_mode:
        return QuietReporter()
    return TerminalReporter(console()) if sys.stderr.isatty() else LogReporter()


def tell_error(error: BstiError) -> None:
    """Tell an error of ours: what, which, and what to do next."""
    if _json_mode:
        _write_error(
            {
                "message": error.message,
                "details": list(error.details),
                "hint": error.hint,
                "exit_code": int(error.exit_code),
                **({"problems": [dict(problem) for problem in error.problems]} if error.problems else {}),
            }
        )
    say(error.message)
    for line in error.details:
        say(f"  {line}")
    for line in error.hint.splitlines():
        say(line)


def _write_error(error: Mapping[str, object]) -> None:
    # Where stdout is lost as well, the first error is the one to end with.
    with suppress(BstiError, typer.Exit):
        write_json({"error": error})


def fault_text(fault: BaseException) -> str:
    """Return the kind and place of a fault of ours. Never its text, which may hold a value."""
    place = ""
    for frame in traceback.extract_tb(fault.__traceback__):
        with suppress(ValueError):
            place = f"{Path(frame.filename).resolve().relative_to(_PACKAGE.parent).as_posix()}:{frame.lineno}"
    return f"a fault of its own ({type(fault).__name__} at {place or 'an unknown place'})"


def tell_fault(fault: BaseException) -> None:
    """Tell a fault of ours by its kind and place."""
    message = f"bsti-submit stopped on {fault_text(fault)}."
    if _json_mode:
        _write_error({"message": message, "details": [], "hint": "", "exit_code": int(ExitCode.FAULT)})
    say(message)
    say("Nothing was sent by this. Please report that line; it holds nothing about the patient.")


def instances_json(reports: Iterable[InstanceReport]) -> list[dict[str, object]]:
    """Return the per-instance part of a JSON result."""
    return [
        {
            "ref": str(report.ref),
            "sop_class_uid": report.sop_class_uid,
            "outcome": str(report.outcome),
            "reason": str(report.reason) if report.reason else None,
            **({"attribute": report.attribute} if report.attribute else {}),
        }
        for report in sorted(reports, key=lambda report: report.ref)
    ]


def counts_json(reports: Iterable[InstanceReport]) -> dict[str, int]:
    """Return how many instances came to each outcome."""
    found = dict.fromkeys((str(outcome) for outcome in Outcome), 0)
    for report in reports:
        found[str(report.outcome)] += 1
    return found


def listed(refs: Sequence[InstanceRef], most: int = 8) -> str:
    """Return references for a person: the first few, and that there are others."""
    return ", ".join(str(ref) for ref in refs[:most]) + (" and others" if len(refs) > most else "")


def outcome_lines(reports: Iterable[InstanceReport]) -> list[str]:
    """Return the outcome of a run for a person: counts by outcome and reason, held instances by reference."""
    from collections import Counter, defaultdict

    reports = list(reports)
    left_out = Counter(report.reason for report in reports if report.outcome is Outcome.LEFT_OUT)
    held = defaultdict(list)
    for report in reports:
        if report.outcome is Outcome.HELD:
            held[report.reason, report.attribute].append(report.ref)
    lines = [f"Certified: {sum(report.outcome is Outcome.CERTIFIED for report in reports)}"]
    lines += [f"Left out:  {count:>4}  {reason.text}" for reason, count in left_out.most_common() if reason]
    for (reason, attribute), refs in held.items():
        if reason:
            shown = ", ".join(str(ref) for ref in sorted(refs)[:5]) + (" …" if len(refs) > 5 else "")
            where = f" [{attribute}]" if attribute else ""
            lines.append(f"Held:      {len(refs):>4}  {reason.text}{where}  {shown}")
    return lines


def held_hint(reports: Iterable[InstanceReport]) -> str:
    """Return what a person can do about held instances: look at the pictures, go on without the rest."""
    reasons = {report.reason for report in reports if report.outcome is Outcome.HELD}
    looked = reasons & {Reason.NOT_LOOKED_AT, Reason.POSSIBLE_TEXT, Reason.REJECTED_BY_PERSON}
    lines = ["Pictures in doubt are cleared by looking at them: bsti-submit review PATH."] if looked else []
    if reasons - looked:
        lines.append("A case can go on without an image that is held: bsti-submit case PATH --leave-out REF.")
    return "\n".join(lines)
