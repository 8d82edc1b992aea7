"""The command line: one command a file, errors told in one place.

Importing this module stays light: what a command needs is imported when it runs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from bsti_submit import __version__
from bsti_submit.cli import (
    amend,
    approve,
    attestation,
    audit,
    batch,
    case,
    check,
    clinical,
    credit,
    deid,
    demo,
    key,
    login,
    manifest,
    outbox,
    package,
    profile,
    receipt,
    registry,
    review,
    setup,
    status,
    verify,
    withdraw,
)
from bsti_submit.cli.memory import keep_memory_off_disk
from bsti_submit.cli.usage import is_usage_error, without_values
from bsti_submit.errors import BstiError, ExitCode

if TYPE_CHECKING:
    from types import TracebackType


class Group(TyperGroup):
    """Lists its commands with the whole first sentence of each."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list, as Typer does, but cut nothing off."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(limit=500)) for name, command in found if command and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Shell(Group):
    """Turns our errors into a message and an exit code, for every command, however it is called."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read what was typed, up to the command."""
        try:
            return super().make_context(*arguments, **options)
        except Exception as fault:
            if is_usage_error(fault):
                without_values(fault)
            raise

    def invoke(self, ctx: Any) -> object:
        """Run a command, and note in the audit log which it was and how it ended.

        An unexpected error is told by its kind and its place in our code alone: its text may hold a value.
        """
        code = int(ExitCode.BAD_INPUT)  # what a usage error ends with
        try:
            found = self._told(ctx)
            code = int(ExitCode.DONE)
        except typer.Exit as ended:
            code = int(ended.exit_code)
            raise
        else:
            return found
        finally:
            if ctx.invoked_subcommand in _NOTED and not {"--help", "-h"} & set(sys.argv):
                from bsti_submit.cli.noting import note_command

                note_command(ctx.invoked_subcommand, code)

    def _told(self, ctx: Any) -> object:
        from bsti_submit.cli.output import tell_error, tell_fault
        from bsti_submit.cli.streams import unwritten

        try:
            return super().invoke(ctx)
        except BstiError as error:
            tell_error(error)
            raise typer.Exit(int(error.exit_code)) from None
        except (KeyboardInterrupt, EOFError):
            sys.stderr.write("\nStopped. To go on, run the same command again; nothing is sent twice.\n")
            raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
        except (typer.Exit, typer.Abort):
            raise
        except BaseException as fault:
            # Whatever it is: a library may end the process with a text, or raise what is no Exception.
            if is_usage_error(fault):
                without_values(fault)
                raise
            told = unwritten(fault)  # a help text, which no command of ours writes
            if told is None:
                tell_fault(fault)
            else:
                sys.stderr.write(told)
            raise typer.Exit(int(ExitCode.FAULT)) from None


_NOTED = frozenset("case batch check deid package review approve amend withdraw outbox key setup login logout".split())
"""The commands that do something with a case, a picture, a key or a token; those that only show are not noted."""


app = typer.Typer(
    name="bsti-submit",
    cls=Shell,
    help=(
        "De-identify chest imaging and submit it, with brief clinical metrics, to the BSTI COVID-19 imaging registry.\n\n"
        "Start with `bsti-submit check FOLDER` on a study of yours (nothing is sent), then `bsti-submit case FOLDER`."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"bsti-submit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version_flag: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    pass


_COMMANDS = (
    case,
    batch,
    check,
    deid,
    verify,
    package,
    review,
    approve,
    status,
    amend,
    withdraw,
    setup,
    login,
    demo,
)
for _module in _COMMANDS:
    _module.add_to(app)
_GROUPS = (
    outbox,
    receipt,
    audit,
    profile,
    clinical,
    manifest,
    attestation,
    key,
    credit,
)
for _group in _GROUPS:
    _group.add_to(app)
app.add_typer(registry.app, name="registry")


def _whole_sentences(parent: typer.Typer) -> None:
    for group in parent.registered_groups:
        group.cls = Group
        if group.typer_instance is not None:
            _whole_sentences(group.typer_instance)


_whole_sentences(app)


def _silent_hook(kind: type[BaseException], fault: BaseException, _trace: TracebackType | None) -> None:
    sys.stderr.write(f"bsti-submit stopped on a fault of its own ({kind.__name__}).\n")
    del fault


def main() -> NoReturn:
    """Run the command line and exit with the contract's codes."""
    from bsti_submit.cli.streams import finish_stdout, prepare_streams, unwritten

    keep_memory_off_disk()
    prepare_streams()
    sys.excepthook = _silent_hook
    code: str | int | None = int(ExitCode.DONE)
    try:
        app()
    except SystemExit as ended:
        code = ended.code
    except BaseException as fault:  # noqa: BLE001 - nothing may end in a traceback, which shows values
        told = unwritten(fault)
        if told is None:
            _silent_hook(type(fault), fault, None)
        else:
            sys.stderr.write(told)
        code = int(ExitCode.FAULT)
    if not finish_stdout() and code in {None, int(ExitCode.DONE)}:
        code = int(ExitCode.FAULT)
    sys.exit(code)
