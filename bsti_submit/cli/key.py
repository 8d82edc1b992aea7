"""`key status|export|import`: the site key, on which every pseudonym hangs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Look after the site key. Every pseudonym, new UID and date shift of this site comes from it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="key")


@app.command()
def status() -> None:
    """Show whether this site has a key, and where it is kept."""
    from bsti_submit.cli import wiring
    from bsti_submit.cli.output import write
    from bsti_submit.settings import load_settings

    key = wiring.site_key(load_settings(), person=False)
    if not key.kept:
        write("There is no site key on this machine yet.")
        return
    write(f"Key id:  {key.key.key_id}")
    write(f"Kept in: {key.source}")


@app.command("export")
def export_key(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The backup file to write. It must not exist yet.", show_default=False),
    ],
) -> None:
    """Write a backup of the site key.

    The backup is protected by a passphrase that you are asked for. Without the key, later studies of a patient no longer link to earlier ones. Keep the backup apart from this machine.
    """
    from bsti_submit import keybackup
    from bsti_submit.cli import wiring
    from bsti_submit.cli.output import say
    from bsti_submit.errors import InputError
    from bsti_submit.settings import load_settings

    key = wiring.site_key(load_settings(), person=False)
    if not key.kept:
        raise InputError("There is no site key to back up yet.", hint="Type: bsti-submit setup")
    keybackup.find_place(file)
    phrase = wiring.ask_secret("Passphrase for the backup: ")
    if wiring.ask_secret("The same again: ").text() != phrase.text():
        raise InputError("The two passphrases differ. Nothing was written.")
    keybackup.write(file, key.secret, phrase)
    say("The backup is written. Keep it, and the passphrase, apart from this machine.")


@app.command("import")
def import_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup that `key export` wrote.", show_default=False)],
) -> None:
    """Put the site key of a backup on this machine.

    This machine then gives every patient the same pseudonym as the others of your site.
    """
    from bsti_submit import keybackup
    from bsti_submit.cli import wiring
    from bsti_submit.cli.output import say
    from bsti_submit.credentials import ask_keyring_again, keep_site_key
    from bsti_submit.errors import InputError
    from bsti_submit.settings import load_settings

    settings = load_settings()
    if wiring.site_key(settings, person=False).kept or ask_keyring_again() is not None:
        raise InputError(
            "This machine has a site key already; it is not replaced.",
            hint="Two keys on one site would give a patient two pseudonyms. Ask whoever set this machine up.",
        )
    backup = keybackup.read(file)
    key = backup.opened(wiring.ask_secret("Passphrase of the backup: "))
    found = keep_site_key(settings.home, key)
    say(f"The site key is in place, kept in {found.source}.")
