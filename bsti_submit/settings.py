"""Where things live and how this site is set up, resolved once into one frozen object.

Order of precedence: option, environment, the site file `site.toml` in the home folder, default.
Secrets are not settings; see `credentials`.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bsti_submit.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

NATIONS = ("england", "scotland", "wales", "northern-ireland")
BASES = ("de-identified-before-disclosure", "explicit-consent", "section-251-or-other-approval")
OPT_OUTS = ("not-applicable-deidentified", "checked-no-opt-out", "explicit-consent")

GIVE_UP_AFTER = 300.0
"""Seconds without any progress after which a case is left for later."""
_LONGEST = 86_400

SITE_KEYS = {
    "registry": str,
    "nation": str,
    "hospital_number_pattern": str,
    "approval_reference": str,
    "profile": str,
    "ca_bundle": str,
    "basis": str,
    "opt_out": str,
    "contributor": dict,
}
"""The keys of `site.toml`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run needs to know about this machine and site.

    ``home`` holds the outbox, receipts, decisions and logs: de-identified data and records only.
    ``approval_reference`` stays on this machine; it is never sent.
    """

    home: Path
    registry: str = ""
    ca_bundle: Path | None = None
    nation: str = "england"
    hospital_number_pattern: str = ""
    approval_reference: str = field(default="", repr=False)
    profile: str = "bsti-default"
    basis: str = BASES[0]
    opt_out: str = OPT_OUTS[0]
    contributor: Mapping[str, str] = field(default_factory=dict, repr=False)
    give_up_after: float = GIVE_UP_AFTER

    @property
    def site_file(self) -> Path:
        """Where the site file is looked for."""
        return self.home / "site.toml"


def default_home(environ: Mapping[str, str]) -> Path:
    """Return the folder for our state: ``BSTI_HOME``, or the user's data folder of this operating system."""
    if given := environ.get("BSTI_HOME"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_data_dir("bsti-submit", appauthor=False))


def make_home(home: Path) -> Path:
    """Create the home folder, for its owner only, and return it. Folders in it that others could enter are closed.

    Raises
    ------
    SettingsError
        If it cannot be created or written to.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "audit").mkdir(exist_ok=True, mode=0o700)
        if os.name == "posix":
            for folder in (home, *(Path(entry) for entry in os.scandir(home) if entry.is_dir(follow_symlinks=False))):
                if folder.stat().st_mode & 0o077:
                    folder.chmod(0o700)
    except OSError:
        raise SettingsError(
            "The folder for bsti-submit's own files cannot be created.",
            hint="Set BSTI_HOME to a folder on a local disk that you can write to.",
        ) from None
    if not os.access(home, os.W_OK):
        raise SettingsError(
            "The folder for bsti-submit's own files cannot be written to.",
            hint="Set BSTI_HOME to a folder on a local disk that you can write to.",
        )
    return home


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Resolve the settings from the environment and the site file.

    Raises
    ------
    SettingsError
        If the site file cannot be read, has an unknown key, or a value is not one of those allowed.
    """
    environ = os.environ if environ is None else environ
    home = default_home(environ)
    site = read_site_file(home / "site.toml") if (home / "site.toml").is_file() else {}
    ca_bundle = environ.get("BSTI_CA_BUNDLE") or str(site.get("ca_bundle", ""))
    contributor = site.get("contributor", {})
    registry = (environ.get("BSTI_REGISTRY") or str(site.get("registry", ""))).rstrip("/")
    if _has_sign_in(registry):
        raise SettingsError(
            "BSTI_REGISTRY must have no name or password in it.", hint="Sign in with: bsti-submit login"
        )
    return Settings(
        home=home,
        registry=registry,
        ca_bundle=Path(ca_bundle) if ca_bundle else None,
        nation=str(site.get("nation", NATIONS[0])),
        hospital_number_pattern=str(site.get("hospital_number_pattern", "")),
        approval_reference=str(site.get("approval_reference", "")),
        profile=str(site.get("profile", "bsti-default")),
        basis=str(site.get("basis", BASES[0])),
        opt_out=str(site.get("opt_out", OPT_OUTS[0])),
        contributor=dict(contributor) if isinstance(contributor, dict) else {},
        give_up_after=_seconds(environ.get("BSTI_GIVE_UP_AFTER", "")),
    )


def _seconds(text: str) -> float:
    if not text:
        return GIVE_UP_AFTER
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= _LONGEST:
        raise SettingsError("BSTI_GIVE_UP_AFTER must be seconds, from 1 to 86400.")
    return float(text)


def read_site_file(path: Path) -> dict[str, object]:
    """Read and check a site file.

    Raises
    ------
    SettingsError
        With every problem found, one a line.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError:
        raise SettingsError("The site file cannot be read.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise SettingsError("The site file is not valid TOML.", hint="See docs/setup.md for an example.") from None
    problems = [_unknown(number, key) for number, key in enumerate(found, 1) if key not in SITE_KEYS]
    problems += [
        f"{key}: must be {'a table' if SITE_KEYS[key] is dict else 'text in quotes'}"
        for key, value in found.items()
        if key in SITE_KEYS and not isinstance(value, SITE_KEYS[key])
    ]
    contributor = found.get("contributor", {})
    problems += [
        f"contributor.{key}: must be text in quotes"
        for key, value in (contributor.items() if isinstance(contributor, dict) else ())
        if not isinstance(value, str) and not (key == "anonymous" and isinstance(value, bool))
    ]
    for key, allowed in (("nation", NATIONS), ("basis", BASES), ("opt_out", OPT_OUTS)):
        if found.get(key, allowed[0]) not in allowed:
            problems.append(f"{key}: must be one of {', '.join(allowed)}")
    try:
        re.compile(str(found.get("hospital_number_pattern", "")))
    except (re.error, OverflowError):
        problems.append("hospital_number_pattern: must be a regular expression")
    registry = found.get("registry", "https://")
    if isinstance(registry, str) and registry and not registry.startswith("https://"):
        problems.append("registry: must start with https://")
    if isinstance(registry, str) and _has_sign_in(registry):
        problems.append("registry: must have no name or password in it")
    if problems:
        raise SettingsError("The site file has mistakes.", details=tuple(problems), hint="See docs/setup.md.")
    return found


def _has_sign_in(address: str) -> bool:
    """Whether an address holds a name or a password, which would be shown and kept wherever the address is."""
    return "@" in address.partition("//")[2].partition("/")[0]


def _unknown(number: int, key: str) -> str:
    """Return that a key is none of ours, by its place: what stands there by mistake may be a name."""
    from difflib import get_close_matches

    near = get_close_matches(key, SITE_KEYS, 1)
    return f"entry {number}: not a setting" + (f"; did you mean {near[0]}?" if near else "")
