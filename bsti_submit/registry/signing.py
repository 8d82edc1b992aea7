"""The registry's signing key: plain objects into signed receipts, and keys that endorse their successors."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bsti_submit.registry import strictjson
from bsti_submit.registry.folder import replace_file

if TYPE_CHECKING:
    from bsti_submit.registry.folder import Folder
    from bsti_submit.registry.strictjson import Object


class Signer:
    """Signs with the folder's Ed25519 key (RFC 8032), made on first use.

    The private half of a replaced key is forgotten; its public half stays listed so that old receipts verify.
    The file is read at each use, so a rotation by another process takes effect at once.
    """

    def __init__(self, folder: Folder) -> None:
        self._file = folder.keys / "signing.json"

    def ensure(self) -> None:
        """Make the first key if there is none."""
        if not self._file.exists():
            private, entry = _new_key()
            self._write(private, [entry])

    def rotate(self) -> str:
        """Replace the key by a new one that the old one endorses. Return the new key's id."""
        old, entries = self._read()
        private, entry = _new_key()
        value = _b64(old.sign(strictjson.canonical(dict(entry))))
        entry["endorsement"] = {"kid": entries[0]["kid"], "value": value}
        self._write(private, [entry, *entries])
        return str(entry["kid"])

    def keys(self) -> list[Object]:
        """Return the public keys as the discovery document shows them, the signing one first."""
        return self._read()[1]

    def sign(self, document: Object) -> Object:
        """Return the document with its member ``signature``: Ed25519 over the RFC 8785 form without it."""
        private, entries = self._read()
        value = _b64(private.sign(strictjson.canonical(document)))
        return {**document, "signature": {"alg": "EdDSA", "kid": entries[0]["kid"], "value": value}}

    def _read(self) -> tuple[Ed25519PrivateKey, list[Object]]:
        stored = cast("Object", strictjson.loads(self._file.read_bytes()))
        seed = _unb64(cast("str", stored["private"]))
        return Ed25519PrivateKey.from_private_bytes(seed), cast("list[Object]", stored["keys"])

    def _write(self, private: Ed25519PrivateKey, entries: list[Object]) -> None:
        stored: Object = {"private": _b64(private.private_bytes_raw()), "keys": list(entries)}
        replace_file(self._file, strictjson.canonical(stored))


def _new_key() -> tuple[Ed25519PrivateKey, Object]:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    kid = _b64(hashlib.sha256(public).digest())[:16]
    return private, {"alg": "EdDSA", "kid": kid, "public": _b64(public)}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
