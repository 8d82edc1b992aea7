"""Site tokens: made and shown once, stored hashed, with a role and an expiry."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bsti_submit.registry import audit
from bsti_submit.registry.problems import Problem
from bsti_submit.registry.settings import DAY

if TYPE_CHECKING:
    from bsti_submit.registry.store import Store

_PREFIX = "bsti_"
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_MAX_DAYS = 3660


class Role(StrEnum):
    """What a token may do."""

    SITE = "site"
    """Submit, amend, withdraw and read the site's own cases."""
    PANEL = "panel"
    """Read every received case, and decide."""
    ADMIN = "admin"
    """What the panel may, and withdraw any case."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. ``token_id`` names the token without giving it away."""

    token_id: str
    site: str
    role: Role
    expires: int


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What is listed of a token."""

    token_id: str
    site: str
    role: Role
    created: int
    expires: int
    revoked: int | None


class Tokens:
    """The tokens of one registry."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, site: str, role: Role = Role.SITE, days: int = 365) -> str:
        """Make a token and return it; it cannot be shown again.

        Raises
        ------
        ValueError
            If the site's name or the number of days is not usable.
        """
        if not _SITE.fullmatch(site):
            raise ValueError("a site's name is 1 to 64 letters, digits, spaces, dots, hyphens or underscores")
        if not 0 < days <= _MAX_DAYS:
            raise ValueError(f"a token lasts 1 to {_MAX_DAYS} days")
        token = _PREFIX + secrets.token_urlsafe(32)
        now = self._store.now()
        with self._store.transaction() as db:
            token_id = secrets.token_hex(4)
            db.execute(
                "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (token_id, _hash(token), site, role.value, now, now + days * DAY),
            )
            audit.record(db, now, "terminal", "admin", "token-created", request=token_id)
        return token

    def list(self) -> tuple[TokenInfo, ...]:
        """Return all tokens, oldest first."""
        with self._store.reading() as db:
            rows = db.execute("SELECT * FROM token ORDER BY created, id").fetchall()
        return tuple(
            TokenInfo(row["id"], row["site"], Role(row["role"]), row["created"], row["expires"], row["revoked"])
            for row in rows
        )

    def revoke(self, token_id: str) -> bool:
        """End a token at once; tell whether there is such a token."""
        now = self._store.now()
        with self._store.transaction() as db:
            found = db.execute("UPDATE token SET revoked = coalesce(revoked, ?) WHERE id = ?", (now, token_id)).rowcount
            if found:
                audit.record(db, now, "terminal", "admin", "token-revoked", request=token_id)
        return bool(found)

    def authenticate(self, authorization: str | None) -> Principal:
        """Return who an ``Authorization`` header (RFC 6750) belongs to.

        Raises
        ------
        Problem
            ``unauthorized`` or ``token-expired``.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _refusal("unauthorized", "")
        # The lookup is by a hash of 256 random bits: its timing tells nothing about the token.
        with self._store.reading() as db:
            row = db.execute("SELECT * FROM token WHERE hash = ?", (_hash(token.strip()),)).fetchone()
        if row is None or row["revoked"] is not None:
            raise _refusal("unauthorized", ' error="invalid_token"')
        if row["expires"] <= self._store.now():
            raise _refusal("token-expired", ' error="invalid_token", error_description="expired"')
        return Principal(row["id"], row["site"], Role(row["role"]), row["expires"])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _refusal(kind: str, parameters: str) -> Problem:
    return Problem(kind, headers={"WWW-Authenticate": f"Bearer{parameters}"})
