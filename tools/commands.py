"""The command line → docs/commands.md: every command, argument and option, in the words of its own help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from bsti_submit.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """# Commands

Written by `tools/generate.py` from the program itself: change the help there, not this file. Every command takes `--help`.
The result goes to stdout, everything else to stderr; the exit codes are in [exit-codes.md](exit-codes.md), the settings and
the environment in [setup.md](setup.md).
"""


def leaves(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command that does something, with the words that call it."""
    command = command or typer.main.get_command(app)
    below = getattr(command, "commands", {})
    if not below:
        yield path, command
    for word, one in below.items():
        if not one.hidden:
            yield from leaves(one, (*path, word))


def commands_text() -> str:
    """Return docs/commands.md."""
    return _HEAD + "".join(_section(path, command) for path, command in leaves())


def _section(path: tuple[str, ...], command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
    words = ["bsti-submit", *path, *(_metavar(one) if one.required else f"[{_metavar(one)}]" for one in arguments)]
    lines = [f"\n## {' '.join(path)}\n", f"    {' '.join([*words, *(['[OPTIONS]'] if options else [])])}\n"]
    lines += [" ".join(part.split()) + "\n" for part in (command.help or "").split("\n\n")]
    rows = [f"| `{_metavar(one)}` | {_told(one)} |" for one in arguments]
    rows += [f"| `{_names(one)}` | {_told(one)} |" for one in options]
    if rows:
        lines.append("\n".join(["| argument or option | meaning |", "|---|---|", *rows]) + "\n")
    return "\n".join(lines)


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _names(option: Any) -> str:
    names = ", ".join(option.opts)
    return names if getattr(option, "is_flag", False) else f"{names} {_metavar(option)}"


def _told(param: Any) -> str:
    return " ".join((param.help or "").split()).replace("|", "\\|")
