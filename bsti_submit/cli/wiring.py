"""Builds what the commands use, from settings and secrets: the only place that does."""

from __future__ import annotations

import getpass
import json
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsti_submit import credentials
from bsti_submit.cli.output import has_terminal, say
from bsti_submit.errors import InputError, SettingsError
from bsti_submit.model import InstanceRef
from bsti_submit.settings import load_settings, make_home

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bsti_submit.attestation import Release
    from bsti_submit.audit import AuditLog
    from bsti_submit.clinical.facts import FindIdentifiers
    from bsti_submit.credentials import Secret
    from bsti_submit.deid.pixels.decisions import DecisionStore
    from bsti_submit.deid.profile import Profile
    from bsti_submit.deid.pseudonyms import SiteKey
    from bsti_submit.outbox import Outbox, OutboxCase
    from bsti_submit.pipeline.exclusion import ExclusionList
    from bsti_submit.pipeline.last_check import ApprovalStands
    from bsti_submit.pipeline.verdicts import Verdicts
    from bsti_submit.settings import Settings
    from bsti_submit.transport.destinations.registry import RegistryDestination
    from bsti_submit.transport.interface import Destination


@dataclass(frozen=True, slots=True)
class Key:
    """The site key in use. ``kept`` is false for one that is forgotten when the command ends."""

    key: SiteKey
    secret: Secret
    source: str
    kept: bool


def environment() -> Mapping[str, str]:
    """Return the environment."""
    return os.environ


def start(*sources: Path | None, writes: Iterable[Path | None] = ()) -> Settings:
    """Load the settings and make the home folder.

    Parameters
    ----------
    sources
        What is only ever read: nothing is written, the home folder included, if any place to write to lies in there.
    writes
        Those places, besides the home folder.

    Raises
    ------
    InputError, SettingsError
        If one lies there.
    """
    from bsti_submit.intake.places import lies_in

    settings = load_settings()
    places = [place for place in writes if place is not None]
    for source in sources:
        if source is None:
            continue
        if any(lies_in(place, source) for place in places):
            raise InputError(
                "What is written must not be the source, nor lie in it: a source is never written to.",
                hint="Name another place.",
            )
        if lies_in(settings.home, source):
            raise SettingsError(
                "The folder for bsti-submit's own files lies in the source, which is never written to.",
                hint="Set BSTI_HOME to a folder elsewhere.",
            )
    make_home(settings.home)
    return settings


def site_key(settings: Settings, *, person: bool, must: bool = False) -> Key:
    """Return the site key.

    Parameters
    ----------
    person
        Whether somebody is there; only then a missing key is made, and the person told to back it up.
    must
        Whether a key that is forgotten will not do: what can be sent must link to other cases of the site.

    Raises
    ------
    SettingsError
        If there is none and one is needed.
    """
    from bsti_submit.deid.pseudonyms import SiteKey

    found = credentials.find_site_key(settings.home, environment())
    if found is None and person:
        found = credentials.ask_keyring_again()
    if found is None and person:
        found = credentials.create_site_key(make_home(settings.home))
        say(f"A site key was made and is kept in {found.source}.")
        say("Back it up now: bsti-submit key export FILE. Without it later studies no longer link to earlier ones.")
    if found is not None:
        return Key(SiteKey(found.secret.raw()), found.secret, found.source, kept=True)
    if must:
        raise SettingsError(
            "This site has no key yet, and an unattended run never makes one.",
            hint="Type bsti-submit setup at a terminal, or name the site's key file in BSTI_SITE_KEY_FILE.",
        )
    raw = os.urandom(32)
    return Key(SiteKey(raw), credentials.Secret(raw), "this run only", kept=False)


def local_key(settings: Settings) -> Key:
    """Return the site key or, where there is none, one for this run, and say so."""
    key = site_key(settings, person=False)
    if not key.kept:
        say("This site has no key yet, so this run uses one of its own: its results link to no other run.")
    return key


def profile(settings: Settings, name: str | None) -> Profile:
    """Return the profile asked for, or the site's, as it holds at this site, and say what it does not cover."""
    found = site_profile(settings, name)
    for warning in found.warnings:
        say(f"Note: {warning}")
    return found


def site_profile(settings: Settings, name: str | None) -> Profile:
    """Return the profile asked for, or the site's, with the site's own hospital numbers among what is looked for."""
    from bsti_submit.deid.profile import load_profile

    return load_profile(name or settings.profile).for_site(settings.hospital_number_pattern)


def earned_profile(settings: Settings, name: str | None) -> Profile:
    """Return the profile asked for, for work that can end in sending.

    Raises
    ------
    InputError
        If it leaks identifiers of the planted study.
    """
    found = profile(settings, name)
    verdicts(settings).require(found)
    return found


def verdicts(settings: Settings) -> Verdicts:
    """Return which profiles have earned their use."""
    from bsti_submit.pipeline.verdicts import Verdicts

    return Verdicts(settings.home / "bench")


def decisions(settings: Settings) -> DecisionStore:
    """Return what people decided about pictures."""
    from bsti_submit.deid.pixels.decisions import DecisionStore

    return DecisionStore(settings.home / "decisions.sqlite")


@contextmanager
def last_check(settings: Settings) -> Iterator[ApprovalStands]:
    """Return what the sender asks about each approved case."""
    from bsti_submit.pipeline.last_check import ApprovalStands

    with decisions(settings) as decided:
        yield ApprovalStands(decided)


@contextmanager
def outbox(settings: Settings) -> Iterator[Outbox]:
    """Open the outbox."""
    from bsti_submit.outbox import Outbox

    with Outbox(settings.home) as opened:
        yield opened


def identifier_search(settings: Settings) -> FindIdentifiers:
    """Return the search of typed text for the forms of identifiers, the site's own hospital number among them."""
    from functools import partial

    from bsti_submit.identifiers import find_identifiers

    if not settings.hospital_number_pattern:
        return find_identifiers
    return partial(find_identifiers, hospital_pattern=re.compile(settings.hospital_number_pattern, re.IGNORECASE))


def contributor(stated: Mapping[str, object]) -> bytes:
    """Return who wants the credit, as it is sent in a field of its own; empty where the site does not say.

    Parameters
    ----------
    stated
        The table ``contributor`` of the site file.

    Raises
    ------
    SettingsError
        If the site file's contributor is not as it must be.
    """
    if not stated:
        return b""
    from bsti_submit.clinical.credit import read_contributor

    try:
        found = read_contributor(stated)
    except InputError as error:
        raise SettingsError(
            "The contributor in the site file is not as it must be.",
            details=error.details,
            hint="Correct [contributor] in the site file, then: bsti-submit setup SITE.toml",
        ) from None
    return json.dumps(found.data(), ensure_ascii=False, sort_keys=True).encode()


def registry_address(settings: Settings | None = None) -> str:
    """Return the registry's address.

    Raises
    ------
    SettingsError
        If none is set.
    """
    settings = settings or load_settings()
    if not settings.registry:
        raise SettingsError(
            "No registry is set up yet.",
            hint="Type bsti-submit setup SITE.toml, with your site's settings in that file; or set BSTI_REGISTRY to the "
            "registry's https:// address.\n"
            "To watch a made-up case first: bsti-submit demo\n"
            "To see whether your images would pass, with nothing sent: bsti-submit check PATH",
        )
    return settings.registry


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and when to send; both empty for at once."""

    limit_rate: str = ""
    only_between: str = ""

    def options(self) -> dict[str, Any]:
        """Return what the registry destination takes.

        Raises
        ------
        InputError
            If one cannot be read.
        """
        from bsti_submit.transport.pace import Rate, Window, parse_rate

        found: dict[str, Any] = {}
        if self.limit_rate:
            rate = Rate(parse_rate(self.limit_rate))
            found |= {"pace": rate, "largest_chunk": rate.chunk(16 << 20)}
        if self.only_between:
            found["before_piece"] = Window.parse(self.only_between).wait
        return found

    def is_open(self) -> bool:
        """Whether it is an hour of sending."""
        from datetime import datetime

        from bsti_submit.transport.pace import Window

        return not self.only_between or Window.parse(self.only_between).is_open(datetime.now().time())  # noqa: DTZ005 - the wall clock

    def wait(self) -> None:
        """Wait for the hours of sending, before anything is locked or connected."""
        if self.only_between:
            from bsti_submit.transport.pace import Window

            Window.parse(self.only_between).wait()


def registry(settings: Settings | None = None, pace: Pace | None = None) -> RegistryDestination:
    """Return the registry as a destination."""
    from bsti_submit.transport.destinations.registry import RegistryDestination
    from bsti_submit.transport.http import Connection
    from bsti_submit.transport.pins import Pins

    settings = settings or start()
    address = registry_address(settings)

    def token() -> str | None:
        found = credentials.find_token(address, environment())
        return found.secret.text() if found else None

    return RegistryDestination(
        Connection(address, token, settings.ca_bundle),
        Pins(make_home(settings.home)),
        give_up=settings.give_up_after,
        on_first_contact=lambda: say("First contact with this registry: its signing key is now pinned."),
        **(pace or Pace()).options(),
    )


def destination(settings: Settings, to: str, pace: Pace | None = None) -> Destination:
    """Return the destination that ``--to`` names.

    Raises
    ------
    InputError
        If it is neither ``registry`` nor ``dir:FOLDER``.
    """
    if to == "registry":
        return registry(settings, pace)
    kind, colon, folder = to.partition(":")
    if kind == "dir" and colon and folder:
        from bsti_submit.transport.destinations.dir import DirDestination

        try:
            folder.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(
                "The name of the folder to copy to cannot be written down.",
                hint="Give a folder whose name is plain text (UTF-8).",
            ) from None
        return DirDestination(Path(folder))
    raise InputError("The destination must be registry or dir:FOLDER.")


def folder_of(to: str) -> Path | None:
    """Return the folder that ``--to`` names, None where it names none."""
    kind, _, folder = to.partition(":")
    return Path(folder) if kind == "dir" and folder else None


def place(settings: Settings, to: str) -> str:
    """Return where a case goes, in words for the last look."""
    return settings.registry if to == "registry" else f"the folder {to.removeprefix('dir:')}"


def require_destination(settings: Settings, to: str) -> None:
    """See, before anybody spends time on a case, that it could be sent: the place is named and a token is there.

    Raises
    ------
    InputError, SettingsError
        If it could not, with what to type next.
    """
    if to != "registry":
        destination(settings, to)
        return
    if credentials.find_token(registry_address(settings), environment()) is None:
        raise SettingsError(
            "You are not signed in to the registry yet.",
            hint="Type bsti-submit login, and paste the token that the registry gave you; or name a file that holds it in "
            "BSTI_TOKEN_FILE.\n"
            "To see whether your images would pass, with nothing sent: bsti-submit check PATH",
        )


def refs(texts: Iterable[str] | None) -> frozenset[InstanceRef]:
    """Read references such as ``#000123``.

    Raises
    ------
    InputError
        If one is none.
    """
    try:
        return frozenset(InstanceRef.parse(text) for text in texts or ())
    except ValueError:
        raise InputError("A reference is a number such as #000123.", hint="The report of a run names them.") from None


def release(found: Profile, package_sha256: str, identity: str) -> Release:
    """Return what an attestation has to cover."""
    from bsti_submit.attestation import Release

    return Release(package_sha256, found.name, found.version, found.recipe_sha256, identity)


def ask_secret(prompt: str) -> Secret:
    """Ask for a secret at the terminal, unseen.

    Raises
    ------
    InputError
        If there is no terminal.
    """
    if not has_terminal():
        raise InputError("A passphrase can only be typed at a terminal.")
    return credentials.Secret(getpass.getpass(prompt))


def with_registry(settings: Settings, address: str, ca_bundle: Path) -> Settings:
    """Return settings for another registry, as the demonstration uses."""
    return replace(settings, registry=address, ca_bundle=ca_bundle)


def keep_paths(settings: Settings, paths: Mapping[InstanceRef, str]) -> Path:
    """Write the local map from reference to source path, for its owner alone, and return where it is.

    It is the one thing with names in it that is ever written: a person must be able to find the file that is held.
    """
    folder = settings.home / "paths"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    earlier = sorted(folder.glob("*.csv"))
    for old in earlier[:-19]:
        with suppress(OSError):
            old.unlink()
    number = 1 + max((int(path.stem) for path in earlier if path.stem.isdigit()), default=0)
    file = folder / f"{number:06d}.csv"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        import csv

        writer = csv.writer(stream)
        writer.writerow(("ref", "path"))
        writer.writerows((str(ref), path) for ref, path in sorted(paths.items()))
    return file


def exclusions(path: Path | None) -> ExclusionList | None:
    """Read the list of patients who object, if there is one."""
    from bsti_submit.pipeline.exclusion import ExclusionList

    return None if path is None else ExclusionList.read(path)


def recognised(settings: Settings, path: Path, outbox: Outbox) -> tuple[OutboxCase, ...]:
    """Return the cases that were made of the images in a folder; only their headers are read."""
    from bsti_submit.pipeline.prepared import prepare
    from bsti_submit.pipeline.recognise import cases_of

    key = site_key(settings, person=False, must=True).key
    with prepare(path, profile(settings, None), key, lambda _event: None) as prepared:
        return cases_of(prepared, outbox)


def audit_log(settings: Settings) -> AuditLog:
    """Return this machine's audit log."""
    from bsti_submit.audit import AuditLog

    return AuditLog(settings.home / "audit")
