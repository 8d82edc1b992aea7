"""What the registry allows: limits, times and rates, with generous defaults."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Settings:
    """One registry's settings. Sizes are bytes, times seconds unless their names say days.

    Attributes
    ----------
    rate, burst
        Requests a second and at once that one token may make.
    retention_days
        How long a received case is kept; None while no period is fixed.
    draft_expires
        How long a case is remembered that was announced and never arrived.
    fsync_bytes
        How many received bytes may at most not yet be durable.
    """

    name: str = "Reference imaging registry"
    contact: str = "The person who runs this registry"
    profiles: Path | None = None
    body_bytes: int = MIB
    max_package: int = 20 * GIB
    max_objects: int = 20_000
    chunk_preferred: int = 8 * MIB
    chunk_max: int = 64 * MIB
    upload_expires: int = 7 * DAY
    draft_expires: int = 30 * DAY
    open_uploads: int = 50
    open_bytes: int = 200 * GIB
    free_reserve: int = 64 * MIB
    fsync_bytes: int = 16 * MIB
    idle_seconds: float = 60.0
    takeover_seconds: float = 5.0
    rate: float = 100.0
    burst: int = 400
    failures_burst: int = 60
    idempotency_seconds: int = 7 * DAY
    purge_days: int = 30
    urgent_purge_days: int = 1
    retention_days: int | None = None
    sweep_seconds: float = 60.0
    log_requests: bool = True


def utc(moment: float) -> str:
    """Return seconds since the epoch as an RFC 3339 time in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
