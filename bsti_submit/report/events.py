"""What happens during a run, as values that are safe to show, log and store.

Fields are of safe types only: refs, enums, counts, sizes, digests, pseudonyms, fixed texts. A test walks every
class here and its annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from bsti_submit.model import InstanceReport


class Step(StrEnum):
    """A long step, for a progress display."""

    SURVEY = "Reading headers"
    SCREEN = "Preparing pictures"
    DEIDENTIFY = "De-identifying"
    UPLOAD = "Uploading"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long step is. ``unit`` is ``files`` or ``bytes``."""

    step: Step
    done: int
    total: int
    unit: str = "files"


@dataclass(frozen=True, slots=True)
class InstanceDone:
    """One instance has been decided on."""

    report: InstanceReport


@dataclass(frozen=True, slots=True)
class Packaged:
    """A case package is complete."""

    case_id: str
    instances: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """A destination confirmed a case."""

    case_id: str
    receipt_id: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know; a fixed text of ours with counts at most."""

    text: str


Event: TypeAlias = Progress | InstanceDone | Packaged | Delivered | Note
