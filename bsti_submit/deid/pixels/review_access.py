"""Who may see the review page: the browser that opened the one-time link, and nobody else."""

from __future__ import annotations

import hmac
import secrets
import threading
from http.cookies import CookieError, SimpleCookie
from typing import Final

COOKIE: Final = "bsti_review"


class Access:
    """The one-time link, the session it is exchanged for, and the token that every change must carry."""

    def __init__(self, port: int) -> None:
        self._token = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self._used = False
        self._lock = threading.Lock()
        self.csrf = secrets.token_urlsafe(32)
        self.hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self.url = f"http://127.0.0.1:{port}/open/{self._token}"

    def exchange(self, token: str) -> str | None:
        """Return the session for the one-time token; None for a wrong one, or the second time."""
        with self._lock:
            if self._used or not same(token, self._token):
                return None
            self._used = True
            return self._session

    def admits(self, cookies: str) -> bool:
        """Say whether a Cookie header carries the session."""
        try:
            morsel = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and same(morsel.value, self._session)


def same(given: str, expected: str) -> bool:
    """Compare in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
