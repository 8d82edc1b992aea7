"""The registry's signing keys that this site trusts: pinned at first contact, renewed by the key before."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from bsti_submit.errors import SettingsError
from bsti_submit.receipt import is_signed_by
from bsti_submit.transport.address import origin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Pins:
    """Pinned keys, in one file of the home folder: origin of the registry → key id → public key."""

    def __init__(self, home: Path) -> None:
        self._path = home / "pins.json"

    def keys(self, registry: str) -> dict[str, str]:
        """Return the keys that are trusted for a registry: key id → public key, base64url."""
        return dict(self._all().get(origin(registry), {}))

    def every_key(self) -> dict[str, str]:
        """Return the keys of all registries, for checking a receipt offline."""
        return {kid: public for keys in self._all().values() for kid, public in keys.items()}

    def trust(self, registry: str, offered: object) -> bool:
        """Take in the keys that a discovery document offers; return whether this was the first contact.

        Raises
        ------
        SettingsError
            If a key is new and not signed by one that is trusted.
        """
        keys = [key for key in offered if isinstance(key, dict)] if isinstance(offered, list) else []
        known = self.keys(registry)
        first = not known
        waiting = [key for key in keys if str(key.get("kid", "")) not in known]
        for key in keys:
            if known.get(str(key.get("kid", "")), key.get("public")) != key.get("public"):
                raise SettingsError(_CHANGED, hint=_ASK)
        if first:
            known = {str(key["kid"]): str(key["public"]) for key in keys if "kid" in key and "public" in key}
            if not known:
                raise SettingsError("The registry names no signing key, so its receipts could not be checked.")
            self._write(registry, known)
            return True
        while waiting:
            taken = [key for key in waiting if _is_endorsed(key, known)]
            if not taken:
                raise SettingsError(_CHANGED, hint=_ASK)
            for key in taken:
                known[str(key["kid"])] = str(key["public"])
                waiting.remove(key)
            self._write(registry, known)
        return False

    def _all(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            raise SettingsError("The file of pinned registry keys cannot be read.", hint=_ASK) from None
        if not _is_sound(found):
            # Nothing pinned and a file that was spoilt are not the same: the first would trust whoever answers.
            raise SettingsError("The file of pinned registry keys is not as this program writes it.", hint=_ASK)
        whole: dict[str, dict[str, str]] = {}
        for registry, keys in found.items():
            known = whole.setdefault(origin(registry), {})
            if any(known.get(kid, public) != public for kid, public in keys.items()):
                raise SettingsError("The file of pinned registry keys contradicts itself.", hint=_ASK)
            known.update(keys)
        return whole

    def _write(self, registry: str, keys: Mapping[str, str]) -> None:
        whole = self._all() | {origin(registry): dict(keys)}
        part = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(json.dumps(whole, indent=2, sort_keys=True) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(self._path)
        except OSError:
            raise SettingsError("The home folder cannot be written to.", hint="Check BSTI_HOME.") from None


_CHANGED = "The registry signs with a key that this site does not know and that no known key vouches for."
_ASK = (
    "Nothing was sent. Ask the registry by telephone before you trust it; the pins are in pins.json in the home folder."
)


def _is_sound(found: object) -> bool:
    return isinstance(found, dict) and all(
        isinstance(keys, dict) and keys and all(isinstance(public, str) and public for public in keys.values())
        for keys in found.values()
    )


def _is_endorsed(key: Mapping[str, object], known: Mapping[str, str]) -> bool:
    endorsement = key.get("endorsement")
    if not isinstance(endorsement, dict) or str(endorsement.get("kid", "")) not in known:
        return False
    body = {name: key.get(name) for name in ("alg", "kid", "public")}
    return is_signed_by(known[str(endorsement["kid"])], body, str(endorsement.get("value", "")))
