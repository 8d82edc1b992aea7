"""Cases made from nothing, for the tests of everything right of the wall."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rfc8785

from bsti_submit.bundle import PackageWriter
from bsti_submit.model import InstanceRef, mint
from bsti_submit.transport.address import origin
from tests.support import package as registry_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bsti_submit.bundle import Package
    from bsti_submit.model import Buffer, Certified
    from bsti_submit.outbox import Outbox


@dataclass(frozen=True)
class Bytes:
    """A payload in pieces."""

    data: bytes
    piece: int = 1000

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self) -> Iterator[Buffer]:
        for at in range(0, len(self.data), self.piece):
            yield memoryview(self.data)[at : at + self.piece]


def certified(data: bytes, number: int = 1, series: str = "2.25.111", **changes: object) -> Certified:
    values = {
        "ref": InstanceRef(number),
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "study_instance_uid": "2.25.11",
        "series_instance_uid": series,
        "sop_instance_uid": f"2.25.{1000 + number}",
        "modality": "CT",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "payload": Bytes(data),
        **changes,
    }
    return mint(**values)  # type: ignore[arg-type]


def case_json(case_id: str, instances: int) -> bytes:
    made = registry_side.Package(case_id=case_id, instances=[b""] * instances)
    return rfc8785.dumps(made._case())


CLINICAL = rfc8785.dumps(registry_side.CLINICAL)


def write(path: Path | None, case_id: str, instances: list[bytes] | None = None) -> tuple[Package, bytes]:
    """Package some DICOM files; return the package and its case record."""
    found = instances if instances is not None else [registry_side.instance(number) for number in (1, 2, 3)]
    record = case_json(case_id, len(found))
    with PackageWriter(path, case_id) as writer:
        for number, data in enumerate(found, 1):
            writer.add(certified(data, number))
        return writer.finish(record, CLINICAL), record


def attestation(package_sha256: str) -> bytes:
    return json.dumps(registry_side.attestation(package_sha256=package_sha256)).encode()


def padded(number: int, size: int) -> bytes:
    """Return a valid instance of roughly a size, incompressible and deterministic."""
    return registry_side.instance(number, change=lambda dataset: _grow(dataset, number, size))


def _grow(dataset: object, number: int, size: int) -> None:
    side = int((size / 2) ** 0.5)
    dataset.Rows = dataset.Columns = side  # type: ignore[attr-defined]
    block = hashlib.sha256(str(number).encode()).digest()
    # Twelve bits stored: the upper byte of each sample stays below sixteen.
    pixels = bytearray(block * (side * side * 2 // len(block) + 1))[: side * side * 2]
    pixels[1::2] = bytes(len(pixels[1::2]))
    dataset.PixelData = bytes(pixels)  # type: ignore[attr-defined]


def put_in(
    outbox: Outbox,
    instances: list[bytes] | None = None,
    *,
    study_set: str = "ab" * 32,
    ready: bool = True,
    url: str = "",
) -> str:
    """Bring a case into an outbox, approved for a registry unless told otherwise; return its id."""
    with outbox.building(study_set):
        case_id = outbox.reserve(study_set)
        package, record = write(outbox.staging(case_id), case_id, instances)
        outbox.store(package, record, CLINICAL)
    if ready:
        outbox.approve(case_id, attestation(package.sha256), "registry", origin(url))
    return case_id
