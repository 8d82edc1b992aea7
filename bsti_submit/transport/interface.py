"""What a destination is: one protocol, one file for each destination in `destinations/`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from bsti_submit.receipt import Receipt

Progress: TypeAlias = "Callable[[int, int], None]"
"""Called with bytes that the destination has, and bytes in all."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """A case as it is delivered: the package, and what is said beside it.

    Attributes
    ----------
    path
        The package; None where its bytes were only counted.
    resume
        Where an earlier attempt was uploading; a secret. Empty if nowhere.
    """

    case_id: str
    path: Path | None
    size: int
    package_sha256: str
    manifest_sha256: str
    clinical_sha256: str
    objects: int
    clinical: Mapping[str, object] = field(repr=False)
    case: Mapping[str, object] = field(repr=False)
    attestation: Mapping[str, object] = field(repr=False)
    contributor: Mapping[str, object] = field(default_factory=dict, repr=False)
    resume: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CaseStatus:
    """What a destination says of a case.

    Attributes
    ----------
    findings
        What it found wrong, one for each instance: ``object``, ``rule``, ``detail``.
    query
        The panel's open question, or "".
    reason
        Why it was rejected or withdrawn, or "".
    purge_by
        When the bytes of a withdrawn case are gone, or "".
    """

    case_id: str
    state: str
    history: tuple[tuple[str, str], ...]
    findings: tuple[Mapping[str, str], ...]
    query: str
    reason: str = ""
    purge_by: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """Whose token this is."""

    site: str
    roles: tuple[str, ...]
    token_expires: str


class Destination(Protocol):
    """Takes cases.

    Every method may raise the errors of `bsti_submit.errors` by what a person can do about them:
    NotDeliveredError (unreachable, busy), RefusedError (looked at and refused), SettingsError (sign-in,
    certificate).
    """

    @property
    def name(self) -> str:
        """What ``--to`` was given."""

    @property
    def origin(self) -> str:
        """The origin of the server that an approval is bound to; empty where ``name`` says it all."""

    def identity(self) -> str:
        """Return what a standing attestation names."""

    def deliver(self, shipment: Shipment, progress: Progress, keep: Callable[[str], None]) -> Receipt:
        """Deliver a case; safe to call again after any failure.

        Parameters
        ----------
        keep
            Called with the address of the upload, to resume from later.
        """

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of connections."""
