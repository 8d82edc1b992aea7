"""What people decided about pictures, kept by a keyed digest of the very pixels they looked at.

Nothing identified is kept: a digest under the site key, a verdict, rectangles, a time, a role. For any other
pixels there is no record, so a decision cannot outlive a change.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from bsti_submit.deid.pixels.regions import Region
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
  ref INTEGER NOT NULL,
  regions TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID
"""
_REGIONS_ADDED = "ALTER TABLE decisions ADD COLUMN regions TEXT NOT NULL DEFAULT '[]'"
"""For files of before there were any."""


class Verdict(StrEnum):
    """What a person decided about one picture. Cleared with regions means: blank these, then it may go."""

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

    digest: str
    """Of the picture that it is about."""
    verdict: Verdict
    decided_at: str
    """RFC 3339, UTC."""
    role: str
    regions: tuple[Region, ...] = ()
    """What is to be blanked before the picture may go, in stored pixels."""

    @property
    def mark(self) -> str:
        """What tells this decision about a picture from one with other regions; without any, the picture's digest."""
        if not self.regions:
            return self.digest
        return f"{self.digest}:{hashlib.sha256(_regions_text(self.regions).encode()).hexdigest()}"


def _regions_text(regions: Iterable[Region]) -> str:
    return json.dumps([astuple(region) for region in sorted(set(regions), key=_place)], separators=(",", ":"))


def _place(region: Region) -> tuple[int, ...]:
    frame = -1 if region.frame is None else region.frame
    return frame, region.top, region.left, region.bottom, region.right


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
            self._prepare()
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

    def _prepare(self) -> None:
        # At once, so that of two processes that open an old file together one alters it.
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(_SCHEMA)
        with closing(self._database.execute("SELECT name FROM pragma_table_info('decisions')")) as rows:
            columns = {name for (name,) in rows}
        if "regions" not in columns:
            self._database.execute(_REGIONS_ADDED)
        self._database.execute("COMMIT")

    def record(
        self,
        digest: str,
        verdict: Verdict,
        regions: Iterable[Region] = (),
        *,
        role: str = "",
        ref: InstanceRef | None = None,
    ) -> None:
        """Keep a decision; a later one for the same pixels replaces it.

        Parameters
        ----------
        digest
            The picture, by `pixel_digest`.
        verdict, regions
            What was decided; only what is cleared has regions, which are blanked before it may go.
        role
            A word for who decided (such as ``radiologist``), never a name.
        ref
            The number the instance had in that survey, for the person's own notes.

        Raises
        ------
        ValueError
            If there are regions with another verdict.
        """
        kept = _regions_text(regions)
        if kept != "[]" and verdict is not Verdict.CLEARED:
            raise ValueError("only what is cleared has regions")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO decisions (digest, verdict, decided_at, role, ref, regions) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (digest, verdict.value, now, role, ref.number if ref else 0, kept),
            )

    def find(self, digest: str) -> Decision | None:
        """Return the decision about exactly these pixels, if there is one."""
        query = "SELECT verdict, decided_at, role, regions FROM decisions WHERE digest = ?"
        with self._lock, closing(self._database.execute(query, (digest,))) as rows:
            row = rows.fetchone()
        if row is None:
            return None
        return Decision(digest, Verdict(row[0]), row[1], row[2], tuple(Region(*place) for place in json.loads(row[3])))

    def verdict(self, digest: str) -> Verdict | None:
        """Return just the verdict about exactly these pixels."""
        decision = self.find(digest)
        return decision.verdict if decision else None

    def is_empty(self) -> bool:
        """Say whether nothing was ever decided, so that no picture need be looked up."""
        with self._lock, closing(self._database.execute("SELECT EXISTS (SELECT 1 FROM decisions)")) as rows:
            (decided,) = rows.fetchone()
        return not decided

    def withdraw(self, digest: str) -> None:
        """Forget a decision: the picture has to be looked at again."""
        with self._lock:
            self._database.execute("DELETE FROM decisions WHERE digest = ?", (digest,))
