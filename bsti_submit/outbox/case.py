"""A case as the outbox knows it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bsti_submit.outbox.origin import Origin

if TYPE_CHECKING:
    from pathlib import Path


class State(StrEnum):
    """Where a case stands on this machine."""

    DRAFT = "draft"
    PACKAGED = "packaged"
    READY = "ready"
    SENDING = "sending"
    DELIVERED = "delivered"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"
    """Anything else in the database, such as the state of a newer version: shown, and otherwise left alone."""

    @classmethod
    def _missing_(cls, value: object) -> State:
        del value
        return cls.UNKNOWN


UNDELIVERED: Final = (State.DRAFT, State.PACKAGED, State.READY, State.SENDING)
HAS_PACKAGE: Final = (State.PACKAGED, State.READY, State.SENDING, State.REFUSED)
"""The states in which a package must be there."""


@dataclass(frozen=True, slots=True)
class OutboxCase:
    """One case as the outbox knows it.

    ``path`` is its package, which is gone once a signed receipt is stored. ``upload_url`` is a secret: whoever
    has it and a token can write there. ``registry`` is the origin of the registry that it was approved for; empty for a
    folder.
    """

    number: int
    case_id: str
    study_set: str
    state: State
    destination: str
    registry: str
    package_sha256: str
    manifest_sha256: str
    size: int
    objects: int
    case_json: bytes = field(repr=False)
    clinical_json: bytes = field(repr=False)
    attestation: bytes = field(repr=False)
    contributor: bytes = field(repr=False)
    upload_url: str = field(repr=False)
    receipt: bytes = field(repr=False)
    origin: Origin = field(repr=False)
    created: str
    revision: int = field(repr=False)
    path: Path = field(repr=False)

    def record(self) -> dict[str, object]:
        """Return the packaged case record."""
        return dict(json.loads(self.case_json)) if self.case_json else {}

    @property
    def is_signed_for(self) -> bool:
        """Whether a destination signed for it, so that our own copy of the package is not needed."""
        return is_signed(self.receipt)


def is_signed(receipt: bytes) -> bool:
    """Whether a stored receipt has a signature. It was checked before it was stored."""
    try:
        return bool(json.loads(receipt).get("signature"))
    except (ValueError, AttributeError):
        return False
