"""`profile list|show|describe|lint`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="See and check de-identification profiles.", no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[
    str, typer.Argument(metavar="PROFILE", help="The name of a profile, or a path to a profile or recipe.")
]


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="profile")


@app.command("list")
def list_profiles() -> None:
    """List the profiles that come with bsti-submit."""
    from bsti_submit.cli import output
    from bsti_submit.deid.profile import load_profile, profile_names

    for name in profile_names():
        found = load_profile(name)
        output.write(f"{found.name}  {found.version}  {found.title}")


@app.command()
def show(profile: Name = "bsti-default") -> None:
    """Say in plain English what a profile does.

    It is written for an information-governance officer.
    """
    from bsti_submit.cli import output
    from bsti_submit.deid.profile import load_profile

    output.write(load_profile(profile).describe())


@app.command()
def describe(profile: Name = "bsti-default") -> None:
    """Say the same as `profile show`."""
    show(profile)


@app.command()
def lint(profile: Name) -> None:
    """List everything that is wrong with a profile or recipe.

    It is read strictly, and every mistake is named with its line. The exit code is 2 if there is any.
    """
    from bsti_submit.cli import output
    from bsti_submit.deid.profile import lint_profile
    from bsti_submit.errors import ExitCode

    problems = lint_profile(profile)
    for problem in problems:
        output.write(str(problem))
    if problems:
        raise typer.Exit(int(ExitCode.BAD_INPUT))
    output.write("Nothing is wrong with it.")
