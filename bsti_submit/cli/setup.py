"""`setup`: put the site file in place and check that it works."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("setup")(setup)


def setup(
    site: Annotated[
        Path | None,
        typer.Argument(
            metavar="SITE.toml",
            help="Your site's settings: registry address, nation, hospital-number pattern, approval reference, credit.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Set this machine up for your site.

    What is still missing is said. With a file, its settings are checked and kept. Without one, the settings in force are checked. At a terminal a site
    key is made if there is none; back it up with `bsti-submit key export`.
    """
    from bsti_submit.cli import wiring
    from bsti_submit.cli.output import has_terminal, say, write
    from bsti_submit.credentials import find_token
    from bsti_submit.settings import load_settings, make_home, read_site_file

    settings = load_settings()
    make_home(settings.home)
    if site is not None:
        stated = read_site_file(site).get("contributor")
        wiring.contributor(stated if isinstance(stated, dict) else {})
        part = settings.site_file.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(site.read_bytes())
        part.replace(settings.site_file)
        settings = load_settings()
        write("The site's settings are in place.")
    credited = json.loads(wiring.contributor(settings.contributor) or b"{}").get(
        "credit", "nobody is named in the site file"
    )
    write(f"Registry:  {settings.registry or 'not set: name it in the site file, or set BSTI_REGISTRY'}")
    write(f"Nation:    {settings.nation}")
    write(f"Profile:   {settings.profile}")
    key = wiring.site_key(settings, person=has_terminal())
    write(
        f"Site key:  {'in ' + key.source if key.kept else 'none yet: run this at a terminal, or set BSTI_SITE_KEY_FILE'}"
    )
    write(f"Credit:    {credited}")
    token = find_token(settings.registry, wiring.environment())
    write(f"Token:     {'from ' + token.source if token else 'none yet: type bsti-submit login'}")
    if not settings.registry:
        say("Nothing can be sent until the registry is set; `check` and `deid` work without it.")
