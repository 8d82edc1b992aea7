"""The site key as a backup file under a passphrase: scrypt (RFC 7914) and AES-256-GCM."""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from bsti_submit.credentials import KEY_BYTES
from bsti_submit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from bsti_submit.credentials import Secret

SHORTEST_PASSPHRASE = 12
_COST = {"n": 1 << 17, "r": 8, "p": 1}
_SCHEMA = "site-key-backup/1.0"


def find_place(path: Path) -> None:
    """Make sure that a backup can go there, before anybody types a passphrase.

    Raises
    ------
    InputError
        If the file exists, or its folder does not or cannot be written to.
    """
    if os.path.lexists(path) or not os.access(path.parent, os.W_OK | os.X_OK):
        raise _no_place()


def _no_place() -> InputError:
    return InputError("The backup cannot be written there, or a file of that name exists.")


def write(path: Path, key: Secret, passphrase: Secret) -> None:
    """Write a backup, for its owner only.

    Raises
    ------
    InputError
        If the passphrase is too short, or the file exists or cannot be written.
    """
    if len(passphrase.text()) < SHORTEST_PASSPHRASE:
        raise InputError(f"The passphrase needs at least {SHORTEST_PASSPHRASE} characters.")
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = AESGCM(_derive(passphrase, salt)).encrypt(nonce, key.raw(), _SCHEMA.encode())
    document = {
        "schema": _SCHEMA,
        "kdf": {"name": "scrypt", **_COST, "salt": _text(salt)},
        "cipher": {"name": "AES-256-GCM", "nonce": _text(nonce)},
        "key": _text(sealed),
    }
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(json.dumps(document, indent=2) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        raise _no_place() from None


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup as it was read, still sealed."""

    salt: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    sealed: bytes = field(repr=False)

    def opened(self, passphrase: Secret) -> bytes:
        """Return the key.

        Raises
        ------
        InputError
            If the passphrase is another, or the backup was changed.
        """
        try:
            key = AESGCM(_derive(passphrase, self.salt)).decrypt(self.nonce, self.sealed, _SCHEMA.encode())
        except (InvalidTag, ValueError):
            raise InputError("The passphrase is not the one of this backup, or the file was changed.") from None
        if len(key) != KEY_BYTES:
            raise _no_backup()
        return key


def read(path: Path) -> Backup:
    """Read a backup, for which nobody need have typed a passphrase yet.

    Raises
    ------
    InputError
        If there is no such file, or it is not a backup.
    """
    try:
        document = json.loads(path.read_text("ascii"))
        if document["schema"] != _SCHEMA or document["kdf"]["n"] != _COST["n"]:
            raise ValueError  # noqa: TRY301 - as any other flaw of the file
        return Backup(_raw(document["kdf"]["salt"]), _raw(document["cipher"]["nonce"]), _raw(document["key"]))
    except FileNotFoundError:
        raise InputError("There is no such backup file.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise _no_backup() from None


def _no_backup() -> InputError:
    return InputError("That file is not a backup of a site key.")


def _derive(passphrase: Secret, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, **_COST).derive(passphrase.raw())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _raw(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError):
        raise ValueError from None
