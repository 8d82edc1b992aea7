"""Files with the same SOP Instance UID: one of equals is kept, and those that differ are all held."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from io import BytesIO
from typing import TYPE_CHECKING, Final

from pydicom import dcmread

from bsti_submit.intake.header import read_header
from bsti_submit.intake.source import UnreadableInstance
from bsti_submit.model import Outcome, Reason, Rejection

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from bsti_submit.intake.instance import SurveyedInstance
    from bsti_submit.intake.source import Source
    from bsti_submit.model import Buffer, InstanceRef

_LARGEST_PARSED: Final = 256 << 20
_PADDING: Final = 0xFFFCFFFC


def settle_duplicates(
    source: Source, instances: list[SurveyedInstance]
) -> tuple[list[SurveyedInstance], list[Rejection]]:
    """Keep one instance for each SOP Instance UID.

    Equal copies: the first in the order of the refs stays, the others are left out. A copy that lost its
    pixel data is held as truncated and never displaces a whole one. Different contents: all are held.
    """
    groups: dict[str, list[SurveyedInstance]] = defaultdict(list)
    for instance in instances:
        groups[instance.instance_uid.reveal()].append(instance)
    refused: dict[InstanceRef, Rejection] = {}
    for group in groups.values():
        if len(group) > 1:
            for instance, reason in _settle(source, group):
                outcome = Outcome.LEFT_OUT if reason is Reason.DUPLICATE else Outcome.HELD
                refused[instance.ref] = Rejection(instance.ref, instance.sop_class_uid, outcome, reason)
    kept = [instance for instance in instances if instance.ref not in refused]
    return kept, list(refused.values())


def _settle(source: Source, group: list[SurveyedInstance]) -> list[tuple[SurveyedInstance, Reason]]:
    refused: list[tuple[SurveyedInstance, Reason]] = []
    if any(instance.pixels for instance in group):
        refused = [(instance, Reason.TRUNCATED) for instance in group if not instance.pixels]
        group = [instance for instance in group if instance.pixels]
    readable: list[tuple[SurveyedInstance, bytes]] = []
    for instance in group:
        try:
            readable.append((instance, _digest(source.read(instance.ref))))
        except UnreadableInstance:
            refused.append((instance, Reason.UNREADABLE))
    if len({digest for _, digest in readable}) > 1 and not _same_datasets(source, readable):
        return refused + [(instance, Reason.CONFLICTING_DUPLICATE) for instance, _ in readable]
    return refused + [(instance, Reason.DUPLICATE) for instance, _ in readable[1:]]


class _InMemory:
    def __init__(self, data: Buffer) -> None:
        self._data = data
        self.size = len(data)

    def head(self, length: int) -> Buffer:
        return self._data if length >= self.size else memoryview(self._data)[:length]

    def at(self, offset: int, length: int) -> Buffer:
        return memoryview(self._data)[offset : offset + length]


def _digest(data: Buffer) -> bytes:
    """Return a digest of transfer syntax and data set, without preamble and file meta.

    It is unkeyed and never leaves this module.
    """
    header = read_header(_InMemory(data))
    if header is None:
        return hashlib.sha256(data).digest()
    digest = hashlib.sha256(header.transfer_syntax_uid.encode("ascii", "replace") + b"\0")
    digest.update(memoryview(data)[header.dataset_offset :])
    return digest.digest()


def _same_datasets(source: Source, readable: list[tuple[SurveyedInstance, bytes]]) -> bool:
    """Compare element by element: group lengths, padding or the transfer syntax may differ in bytes alone."""
    if any(instance.size > _LARGEST_PARSED for instance, _ in readable):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            first, *others = (_dataset(source.read(instance.ref)) for instance, _ in readable)
            return all(other == first for other in others)
    except Exception:  # noqa: BLE001 - whatever cannot be compared is not the same
        return False


def _dataset(data: Buffer) -> Dataset:
    dataset = dcmread(BytesIO(data), force=True)
    for element in list(dataset):
        if element.tag.element == 0 or element.tag == _PADDING:
            del dataset[element.tag]
    return dataset
