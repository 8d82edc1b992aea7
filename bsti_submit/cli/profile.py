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

    output.write_lines(load_profile(profile).describe())


@app.command()
def describe(profile: Name = "bsti-default") -> None:
    """Say the same as `profile show`."""
    show(profile)


@app.command()
def lint(
    profile: Name,
    bench: Annotated[
        bool, typer.Option("--bench", help="Also run it over a planted study, and score leakage and over-removal.")
    ] = False,
) -> None:
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
    if bench and not _passes(profile):
        raise typer.Exit(int(ExitCode.BAD_INPUT))


def _passes(name: str) -> bool:
    """Run the bench, tell its score by kind, and keep the verdict."""
    from bsti_submit.cli import output, wiring
    from bsti_submit.deid.profile import load_profile
    from bsti_submit.pipeline.bench import score

    found = load_profile(name)
    judged = score(found)
    output.write("")
    output.write(f"{'planted in images that nobody is in':<40}{'planted':>8}{'leaked':>8}")
    for kind, count in judged.planted.items():
        where = ", ".join(sorted(judged.places.get(kind, ())))
        output.write(f"{kind:<40}{count:>8}{judged.leaked[kind]:>8}{'  in ' + where if where else ''}")
    output.write("")
    output.write(f"{'what should stay':<40}{'wanted':>8}{'lost':>8}")
    for kind, count in judged.kept.items():
        output.write(f"{kind:<40}{count:>8}{judged.lost[kind]:>8}")
    output.write("")
    if judged.held:
        output.write(f"{judged.held} images were held.")
    output.write(f"{judged.retention:.1%} of what should stay stayed.")
    wiring.verdicts(wiring.start()).keep(found, judged)
    if judged.leaks:
        output.write(
            f"{judged.leaked.total()} of {judged.planted.total()} identifiers leaked "
            f"({judged.passed} of them past the final check). Nothing is sent under this profile."
        )
        return False
    output.write(f"None of {judged.planted.total()} identifiers leaked.")
    return True
