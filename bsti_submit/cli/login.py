"""`login`, `logout`, `whoami`: the registry token."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("login")(login)
    app.command("logout")(logout)
    app.command("whoami")(whoami)


def login() -> None:
    """Sign in to the registry with the token it gave you.

    The token is asked for, and kept in the keyring of this machine.
    """
    import getpass

    from bsti_submit.cli import wiring
    from bsti_submit.cli.output import has_terminal, say
    from bsti_submit.credentials import Secret, keep_token
    from bsti_submit.errors import InputError

    registry = wiring.registry_address()
    if not has_terminal():
        raise InputError(
            "A token can only be typed at a terminal.",
            hint="For unattended runs put it in an owner-only file and name that in BSTI_TOKEN_FILE.",
        )
    token = Secret(getpass.getpass("Token: ").strip())
    if not token.text():
        raise InputError("No token was typed.")
    keep_token(registry, token)
    say("The token is kept in this machine's keyring.")


def logout() -> None:
    """Remove the registry token from this machine's keyring."""
    from bsti_submit.cli import wiring
    from bsti_submit.cli.output import say
    from bsti_submit.credentials import forget_token

    say("The token was removed." if forget_token(wiring.registry_address()) else "There was no token in the keyring.")


def whoami() -> None:
    """Show whose token this is, and how long it is valid."""
    from bsti_submit.cli import wiring
    from bsti_submit.cli.output import write

    with wiring.registry() as destination:
        site = destination.whoami()
    write(f"Site:    {site.site}")
    write(f"Roles:   {', '.join(site.roles)}")
    if site.token_expires:
        write(f"Token:   valid until {site.token_expires}")
