"""A slip in what was typed → a sentence that does not repeat it: a path or a stray word may name a patient, and logs keep what is said.

Typer's own errors quote what was typed. Their classes are private to it, so they are known by their names.
"""

from __future__ import annotations

from typing import Any

_AS_THEY_ARE = {"MissingParameter", "NoArgsIsHelpError"}


def is_usage_error(fault: BaseException) -> bool:
    """Whether Typer raised this, and knows how to show it with the usage of the command."""
    return callable(getattr(fault, "show", None)) and hasattr(fault, "exit_code")


def without_values(fault: Any) -> None:
    """Replace the text of a usage error by one that quotes nothing that was typed."""
    kind = type(fault).__name__
    if kind in _AS_THEY_ARE or (kind == "BadParameter" and fault.param is None):
        return  # what names our own options alone, and what a command of ours raised
    if kind == "NoSuchOption":
        fault.message = "There is no such option."
    elif kind == "BadOptionUsage":
        fault.message = "An option has a value that it does not take, or lacks the one that it needs."
    elif kind == "BadParameter":
        fault.message = "it cannot be used here. The help of the command says what can."
    elif getattr(getattr(fault.ctx, "command", None), "commands", None):
        fault.message = "There is no such command."
    else:
        fault.message = "There is an argument too many. A path with spaces in it needs quotes around it."
