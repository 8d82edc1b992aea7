"""Errors in how a command was typed, told without what was typed: a wrong word may be a name or a number of a patient."""

from __future__ import annotations

import re
from typing import Any, Final

_EXPECTED: Final = re.compile(
    r"(?:Input should be |.* is not )"
    r"(a valid \w+|in the range [\d.<>=x ]+|(?:greater|less) than (?:or equal to )?[\d.]+"
    r"|(?:one of )?'[\w.-]+'(?:(?:, | or )'[\w.-]+')*)(?:, unable to [a-z ]+)?\.?",
    re.DOTALL,
)
"""What the parser may say of a value it does not take: only what it expects, never the value itself."""
_SAFE: Final = frozenset({"MissingParameter", "BadOptionUsage", "BadArgumentUsage", "NoArgsIsHelpError"})
"""The kinds that name nothing but our own options."""


def is_usage_error(fault: BaseException) -> bool:
    """Whether an error is the parser's, which knows how to show itself; the base class is private to it."""
    return callable(getattr(fault, "show", None)) and hasattr(fault, "exit_code")


def without_values(error: Any) -> None:
    """Take what the person typed out of the message of a usage error, in place."""
    kind = type(error).__name__
    if kind in _SAFE or not hasattr(error, "message"):
        return
    message = str(error.message)
    if kind == "NoSuchOption":
        error.message = "No such option."
    elif kind == "BadParameter":
        if getattr(error, "param", None) is not None:  # otherwise it is one of our own
            expected = _EXPECTED.fullmatch(message)
            error.message = f"it must be {expected[1]}." if expected else "it cannot be taken."
    elif message.startswith("No such command"):
        error.message = f"No such command.{_suggested(error, message)}"
    elif message.startswith("Got unexpected extra argument"):
        error.message = "There are more words than the command takes. A path with a space in it wants quotes."
    elif message != "Missing command.":
        error.message = "The command cannot be understood."


def _suggested(error: Any, message: str) -> str:
    """Return the parser's suggestion, if it is one of our own commands."""
    commands = getattr(getattr(getattr(error, "ctx", None), "command", None), "commands", {})
    near = re.findall(r"'([^']*)'", message.rpartition(" Did you mean ")[2])
    return f" Did you mean '{near[0]}'?" if near and near[0] in commands else ""
