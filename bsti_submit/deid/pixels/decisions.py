"""What people decided about pictures, kept by a keyed digest of the very pixels they looked at.

Nothing identified is kept: a digest under the site key, a verdict, a time, a role. For any other pixels
there is no record, so a decision cannot outlive a change.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from bsti_submit.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bsti_submit.model import Buffer, InstanceRef

_LABEL = b"bsti-submit pixels 1\0"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (
  digest TEXT PRIMARY KEY,
  verdict TEXT NOT NULL,
  decided_at TEXT NOT NULL,
  role TEXT NOT NULL,
  ref INTEGER NOT NULL
) WITHOUT ROWID
"""


class Verdict(StrEnum):
    """What a person decided about one picture."""

    CLEARED = "cleared"
    REJECTED = "rejected"
    LEFT_OUT = "left-out"


@dataclass(frozen=True, slots=True)
class PixelGeometry:
    """How pixel bytes are read as a picture. Any difference makes it another picture.

    ``transfer_syntax_uid`` names the coding of compressed frames; native pixels have "".
    """

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    planar_configuration: int
    photometric: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision as it is kept."""

    verdict: Verdict
    decided_at: str
    """RFC 3339, UTC."""
    role: str


def pixel_digest(key: bytes, geometry: PixelGeometry, pixels: Iterable[Buffer]) -> str:
    """Return the keyed digest of a picture: HMAC-SHA-256 over its geometry and its bytes, in hexadecimal.

    Parameters
    ----------
    key
        The site key, 32 bytes.
    geometry
        How the bytes are read.
    pixels
        The pixel bytes: native as one or more parts of one stream, compressed as one buffer for each
        fragment. The lengths of the parts do not matter, their bytes do.
    """
    digest = hmac.new(key, _LABEL, hashlib.sha256)
    for value in astuple(geometry):
        digest.update(str(value).encode("ascii", "replace") + b"\0")
    for part in pixels:
        digest.update(part)
    return digest.hexdigest()


class DecisionStore:
    """Decisions in one owner-only SQLite file. Safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            # Made empty with the right mode first: SQLite would follow the umask.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            with suppress(OSError):
                path.chmod(0o600)
            self._lock = threading.Lock()
            self._database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error):
            raise SettingsError(
                "The record of decisions about images cannot be opened.",
                hint="Check that the state folder (BSTI_HOME) is on a local disk and yours to write to.",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def record(self, digest: str, verdict: Verdict, *, role: str = "", ref: InstanceRef | None = None) -> None:
        """Keep a decision; a later one for the same pixels replaces it.

        ``role`` is a word for who decided (such as ``radiologist``), never a name. ``ref`` is the number the
        instance had in that survey, for the person's own notes.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?)",
                (digest, verdict.value, now, role, ref.number if ref else 0),
            )

    def find(self, digest: str) -> Decision | None:
        """Return the decision about exactly these pixels, if there is one."""
        query = "SELECT verdict, decided_at, role FROM decisions WHERE digest = ?"
        with self._lock, closing(self._database.execute(query, (digest,))) as rows:
            row = rows.fetchone()
        return Decision(Verdict(row[0]), row[1], row[2]) if row else None

    def verdict(self, digest: str) -> Verdict | None:
        """Return just the verdict about exactly these pixels."""
        decision = self.find(digest)
        return decision.verdict if decision else None

    def withdraw(self, digest: str) -> None:
        """Forget a decision: the picture has to be looked at again."""
        with self._lock:
            self._database.execute("DELETE FROM decisions WHERE digest = ?", (digest,))
