"""Receipts: what a destination signed, checked offline. Ed25519 (RFC 8032) over canonical JSON (RFC 8785)."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bsti_submit.errors import HeldError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as the destination gave it. ``document`` is the whole of it."""

    document: Mapping[str, object]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a stored receipt.

        Raises
        ------
        HeldError
            If it is no receipt.
        """
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or document.get("schema") != "receipt/1.0":
            raise HeldError("That is not a receipt.")
        return cls(document)

    def text(self, name: str) -> str:
        """Return a member as text, empty if it has none."""
        value = self.document.get(name, "")
        return str(value) if isinstance(value, str | int) else ""

    @property
    def id(self) -> str:
        """The receipt's id."""
        return self.text("id")

    @property
    def is_signed(self) -> bool:
        """Whether somebody signed it: a folder does not."""
        return isinstance(self.document.get("signature"), dict)

    @property
    def kid(self) -> str:
        """The id of the key that signed it."""
        signature = self.document.get("signature")
        return str(signature.get("kid", "")) if isinstance(signature, dict) else ""

    def canonical(self) -> bytes:
        """Return the bytes that are stored."""
        import rfc8785

        try:
            return rfc8785.dumps(dict(self.document))  # type: ignore[arg-type]
        except (rfc8785.CanonicalizationError, RecursionError):
            raise HeldError("The receipt has no canonical form, so it is none.") from None

    def verify(self, keys: Mapping[str, str]) -> None:
        """Check the signature.

        Parameters
        ----------
        keys
            Key id → public key, 32 bytes in base64url.

        Raises
        ------
        HeldError
            If it is not signed, not by one of these keys, or was changed.
        """
        signature = self.document.get("signature")
        if not isinstance(signature, dict) or signature.get("alg") != "EdDSA":
            raise HeldError("The receipt is not signed.")
        if self.kid not in keys:
            raise HeldError("The receipt is signed by a key that is not the registry's.")
        body = {name: value for name, value in self.document.items() if name != "signature"}
        if not is_signed_by(keys[self.kid], body, str(signature.get("value", ""))):
            raise HeldError("The receipt's signature is wrong: it was changed, or is not the registry's.")

    def require(self, expected: Mapping[str, object]) -> None:
        """Check that it is about what was sent.

        Raises
        ------
        HeldError
            If a digest, the case or the profile differs.
        """
        wrong = [name for name, value in expected.items() if self.document.get(name) != value]
        if wrong:
            raise HeldError(
                "The registry's receipt is for something else, so the case does not count as delivered.",
                details=tuple(f"{name}: differs" for name in wrong),
                hint="Ask the registry before you send again.",
            )


def is_signed_by(public: str, body: Mapping[str, object], signature: str) -> bool:
    """Whether a base64url signature over the canonical form of a document is by a public key."""
    import rfc8785
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(_decoded(public))
        key.verify(_decoded(signature), rfc8785.dumps(dict(body)))  # type: ignore[arg-type]
    except (
        InvalidSignature,
        ValueError,
        binascii.Error,
        TypeError,
        RecursionError,
        rfc8785.CanonicalizationError,
    ):
        return False
    return True


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
