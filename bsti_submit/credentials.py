"""Secrets: the registry token and the site key. Found, kept and masked; never in argv, logs or errors.

The token is looked for in this order: ``BSTI_TOKEN_FILE``, ``BSTI_TOKEN``, the system keyring. The site key:
``BSTI_SITE_KEY_FILE``, the system keyring, then an owner-only file in the home folder (where a machine has
no keyring). Only a person at a terminal creates a key; unattended runs never do.
"""

from __future__ import annotations

import base64
import binascii
import concurrent.futures
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bsti_submit.errors import SettingsError
from bsti_submit.settings import make_home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVICE = "bsti-submit"
KEY_BYTES = 32
_IN_KEYRING = "site.key.in-keyring"
"""An empty file that says where the key is."""
_KEYRING_SECONDS = 5.0
"""A locked keyring over SSH may wait for ever for a password that nobody can type."""


class Secret:
    """A secret text or key that masks itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        self._value = value

    def text(self) -> str:
        """Return the secret as text."""
        return self._value if isinstance(self._value, str) else self._value.decode("ascii")

    def raw(self) -> bytes:
        """Return the secret as bytes."""
        return self._value if isinstance(self._value, bytes) else self._value.encode("utf-8")

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("<secret>", spec)

    def __reduce__(self) -> NoReturn:
        """Refuse to be serialised."""
        raise TypeError("a secret cannot be serialised")


@dataclass(frozen=True, slots=True)
class Found:
    """A secret and where it came from, in words that can be shown."""

    secret: Secret
    source: str


def find_token(registry: str, environ: Mapping[str, str]) -> Found | None:
    """Return the token for a registry, or None if there is none.

    Raises
    ------
    SettingsError
        If a token file is named but missing, empty or readable by others.
    """
    if named := environ.get("BSTI_TOKEN_FILE"):
        return Found(Secret(_read_private(Path(named), "BSTI_TOKEN_FILE").strip()), "the file BSTI_TOKEN_FILE names")
    if token := environ.get("BSTI_TOKEN", "").strip():
        return Found(Secret(token), "BSTI_TOKEN")
    if registry and (kept := _keyring_get(f"token {registry}")):
        return Found(Secret(kept), "the system keyring")
    return None


def keep_token(registry: str, token: Secret) -> None:
    """Keep a token in the system keyring.

    Raises
    ------
    SettingsError
        If this machine has no keyring that keeps secrets safely.
    """
    if not _keyring_set(f"token {registry}", token.text()):
        raise SettingsError(
            "This machine has no usable keyring, so the token was not kept.",
            hint="Put it in a file that only you can read, and name the file in BSTI_TOKEN_FILE.",
        )


def forget_token(registry: str) -> bool:
    """Remove a token from the keyring; return whether there was one."""
    import keyring

    if _keyring_get(f"token {registry}") is None:
        return False
    with suppress(Exception):
        keyring.delete_password(SERVICE, f"token {registry}")
        return True
    return False


def find_site_key(home: Path, environ: Mapping[str, str]) -> Found | None:
    """Return the site key, or None if this site has none yet.

    Raises
    ------
    SettingsError
        If the named key file is missing, readable by others, or does not hold 32 bytes in base64.
    """
    if named := environ.get("BSTI_SITE_KEY_FILE"):
        text = _read_private(Path(named), "BSTI_SITE_KEY_FILE")
        return Found(Secret(_decode_key(text, "BSTI_SITE_KEY_FILE")), "the file BSTI_SITE_KEY_FILE names")
    if kept := _keyring_get("site key"):
        return Found(Secret(_decode_key(kept, "the system keyring")), "the system keyring")
    file = home / "site.key"
    if file.is_file():
        return Found(Secret(_decode_key(_read_private(file, "site.key"), "site.key")), "site.key in the home folder")
    return None


def ask_keyring_again() -> Found | None:
    """Return the site key in the system keyring, None if there surely is none: asked before a key is made.

    Raises
    ------
    SettingsError
        If the keyring does not answer: a key in it would be written over, and the site's cases would link no more.
    """
    try:
        kept = _keyring_ask("site key")
    except _NoAnswerError:
        raise SettingsError(
            "The system keyring does not answer, so it is not known whether this site has a key already.",
            hint="Unlock it and give the same command again. If this machine has no keyring that works, set "
            "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring, and the key is kept in a file.",
        ) from None
    return Found(Secret(_decode_key(kept, "the system keyring")), "the system keyring") if kept else None


def create_site_key(home: Path) -> Found:
    """Make a site key and keep it. Only ever called when a person is there to be told to back it up.

    Raises
    ------
    SettingsError
        If the keyring holds the site's key, but not in this session: over SSH there may be none at all.
    """
    if (home / _IN_KEYRING).exists():
        raise SettingsError(
            "The site key was put in the system keyring, and the keyring of this session does not have it.",
            hint="Work in the desktop session in which it was made, or import its backup: bsti-submit key import FILE",
        )
    key = secrets.token_bytes(KEY_BYTES)
    return keep_site_key(home, key)


def keep_site_key(home: Path, key: bytes) -> Found:
    """Keep a site key in the system keyring or, where there is none, in an owner-only file."""
    text = base64.b64encode(key).decode("ascii")
    if _keyring_set("site key", text):
        with suppress(OSError):
            (make_home(home) / _IN_KEYRING).touch(0o600)
        return Found(Secret(key), "the system keyring")
    file = make_home(home) / "site.key"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        raise SettingsError("The site key cannot be written to the home folder.", hint="Check BSTI_HOME.") from None
    return Found(Secret(key), "site.key in the home folder")


def _decode_key(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(
            f"The site key in {where} is not 32 bytes in base64.",
            hint="Restore it from your backup; a new key would break the link to earlier cases.",
        )
    return key


def _read_private(path: Path, name: str) -> str:
    try:
        mode = path.stat().st_mode
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(
                f"The file of {name} can be read by others.",
                hint="Make it yours alone: chmod 600 on that file.",
            )
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"The file of {name} is missing or cannot be read.") from None
    if not text.strip():
        raise SettingsError(f"The file of {name} is empty.")
    return text


def _safe_backend() -> bool:
    import keyring

    module = type(keyring.get_keyring()).__module__
    return not module.startswith(("keyring.backends.fail", "keyring.backends.null", "keyrings.alt"))


class _NoAnswerError(Exception):
    """The keyring is locked, broken, or waits for a password."""


def _bounded(call: Callable[[], str | None]) -> str | None:
    """Run a keyring call in a thread, since a locked keyring may never answer.

    Raises
    ------
    _NoAnswerError
        If it does not, or fails.
    """
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="keyring")
    try:
        return pool.submit(call).result(timeout=_KEYRING_SECONDS)
    except Exception:  # noqa: BLE001 - every backend raises its own kinds, and their texts are not ours to show
        raise _NoAnswerError from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _keyring_ask(name: str) -> str | None:
    import keyring

    return _bounded(lambda: keyring.get_password(SERVICE, name) if _safe_backend() else None)


def _keyring_get(name: str) -> str | None:
    with suppress(_NoAnswerError):
        return _keyring_ask(name)
    return None


def _keyring_set(name: str, value: str) -> bool:
    import keyring

    def call() -> str | None:
        if not _safe_backend():
            return None
        keyring.set_password(SERVICE, name, value)
        return keyring.get_password(SERVICE, name)

    with suppress(_NoAnswerError):
        return _bounded(call) == value
    return False
