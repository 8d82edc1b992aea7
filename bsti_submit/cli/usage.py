"""A slip in what was typed → a sentence that does not repeat it: a path or a stray word may name a patient, and logs keep what is said.

Typer's own errors quote what was typed. Their classes are private to it, so they are known by their names.
"""

from __future__ import annotations

import re
from typing import Any, Final

_AS_THEY_ARE = {"MissingParameter", "NoArgsIsHelpError"}
_EXPECTED: Final = re.compile(
    r"(?:Input should be |.* is not )"
    r"(a valid \w+|in the range [\d.<>=x ]+|(?:greater|less) than (?:or equal to )?[\d.]+"
    r"|(?:one of )?'[\w.-]+'(?:(?:, | or )'[\w.-]+')*)(?:, unable to [a-z ]+| range)?\.?",
    re.DOTALL,
)
"""What Typer may say of a value that it does not take: only what it expects is repeated, never the value itself."""


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
        expected = _EXPECTED.fullmatch(str(fault.message))
        fault.message = (
            f"it must be {expected[1]}."
            if expected
            else "it cannot be used here. The help of the command says what can."
        )
    elif getattr(getattr(fault.ctx, "command", None), "commands", None):
        fault.message = f"There is no such command.{_suggested(fault)}"
    else:
        fault.message = "There is an argument too many. A path with spaces in it needs quotes around it."


def _suggested(fault: Any) -> str:
    """Return Typer's suggestion, if it is one of our own commands."""
    near = re.findall(r"'([^']*)'", str(fault.message).rpartition(" Did you mean ")[2])
    return f" Did you mean '{near[0]}'?" if near and near[0] in fault.ctx.command.commands else ""
