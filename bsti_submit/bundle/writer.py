"""Certified instances and two records → one sealed case package: the same bytes each time, on every system.

A ZIP that is also a BagIt bag (RFC 8493) under one base directory named by the case id. Bundle adds only
constants and digests to what was certified.
"""

from __future__ import annotations

import binascii
import dataclasses
import errno
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn, Self

from bsti_submit.bundle.zipform import (
    CASE_RECORD,
    CLINICAL_RECORD,
    Member,
    descriptor,
    end_of,
    image_name,
    local_header,
    manifest,
    sha256,
    tag_files,
)
from bsti_submit.errors import HeldError, NotDeliveredError
from bsti_submit.model import normalise_case_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from bsti_submit.model import Buffer, Certified

_BUFFER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Package:
    """A sealed package. ``path`` is None where the bytes were only counted."""

    path: Path | None
    case_id: str
    size: int
    sha256: str
    manifest_sha256: str
    objects: int


@dataclass(frozen=True, slots=True)
class _Packaged:
    """Stands in for a payload that is in the package, so that memory does not grow with the study."""

    size: int

    def chunks(self) -> Iterator[Buffer]:
        raise ValueError("these bytes are in the package; read them from there")


class PackageWriter:
    """Writes a package as a stream: instances as they are certified, the records and digests last.

    Use it as a context manager: what is not finished is removed.

    Parameters
    ----------
    path
        A new file; None to count and digest the very same bytes without keeping them.
    case_id
        The base directory.

    Raises
    ------
    NotDeliveredError
        If the file cannot be made.
    """

    def __init__(self, path: Path | None, case_id: str) -> None:
        if normalise_case_id(case_id) != case_id:
            raise ValueError("not a case id")
        self.case_id = case_id
        self.path = path
        self.names: list[tuple[Certified, str]] = []
        """What was added, without its bytes, and the member each is in."""
        self._digest = hashlib.sha256()
        self._size = 0
        self._members: list[Member] = []
        self._digests: dict[str, str] = {}
        self._payload_sizes: list[int] = []
        self._series: dict[str, tuple[int, int]] = {}
        self._stream: BinaryIO | None = None
        self._closed = False
        if path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            try:
                self._stream = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=_BUFFER)
            except OSError as fault:
                self._failed(fault)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closed:
            self.abort()

    def abort(self) -> None:
        """Give up: close and remove what was written."""
        self._closed = True
        if self._stream is None or self.path is None:
            return
        with suppress(OSError):
            self._stream.close()
        self._stream = None
        with suppress(OSError):
            self.path.unlink()

    def add(self, certified: Certified) -> str:
        """Add an instance; call it in the order of the new UIDs. Return the name of its member.

        Raises
        ------
        HeldError
            If the bytes are no longer those that were certified.
        NotDeliveredError
            If the disk is full or fails.
        """
        series, count = self._series.get(certified.series_instance_uid, (len(self._series) + 1, 0))
        self._series[certified.series_instance_uid] = series, count + 1
        name = image_name(series, count + 1)
        found = self._payload(name, certified.payload.chunks(), certified.size)
        if found != certified.sha256:
            self._changed()
        self.names.append((dataclasses.replace(certified, payload=_Packaged(certified.size)), name))
        return name

    def finish(self, case_json: bytes, clinical_json: bytes) -> Package:
        """Write the records and digests, seal the package, and have it on the disk before this returns.

        Raises
        ------
        NotDeliveredError
            If the disk is full or fails.
        """
        self._payload(CASE_RECORD, [case_json], len(case_json))
        self._payload(CLINICAL_RECORD, [clinical_json], len(clinical_json))
        payload_manifest = manifest(self._digests)
        for name, data in tag_files(self.case_id, self._payload_sizes, payload_manifest).items():
            self._member(name, [data], len(data))
        self._write(end_of(self._members, self._size))
        if self._stream is not None:
            try:
                self._stream.flush()
                os.fsync(self._stream.fileno())
                self._stream.close()
            except OSError as fault:
                self._failed(fault)
            self._stream = None
        self._closed = True
        return Package(
            self.path,
            self.case_id,
            self._size,
            self._digest.hexdigest(),
            sha256(payload_manifest),
            len(self.names),
        )

    def _payload(self, name: str, chunks: Iterable[Buffer], size: int) -> str:
        found = self._digests[name] = self._member(name, chunks, size)
        self._payload_sizes.append(size)
        return found

    def _member(self, name: str, chunks: Iterable[Buffer], size: int) -> str:
        """Write a member as local header, data and data descriptor; return its SHA-256."""
        whole_name = f"{self.case_id}/{name}".encode()
        offset = self._size
        self._write(local_header(whole_name, size))
        digest = hashlib.sha256()
        crc = written = 0
        for chunk in chunks:
            data = memoryview(chunk).cast("B")
            written += len(data)
            if written > size:
                self._changed()
            digest.update(data)
            crc = binascii.crc32(data, crc)
            self._write(data)
        if written != size:
            self._changed()
        self._write(descriptor(crc, size))
        self._members.append(Member(whole_name, crc, size, offset))
        return digest.hexdigest()

    def _write(self, data: Buffer) -> None:
        if self._closed:
            raise ValueError("the package was finished or given up")
        self._digest.update(data)
        self._size += len(data)
        if self._stream is not None:
            try:
                self._stream.write(data)
            except OSError as fault:
                self._failed(fault)

    def _changed(self) -> NoReturn:
        self.abort()
        raise HeldError("An image changed after its final check, so the package was given up.")

    def _failed(self, fault: OSError) -> NoReturn:
        self.abort()
        if fault.errno in {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}:
            raise NotDeliveredError("The disk is full, so the package could not be written.", hint=_SPACE) from None
        raise NotDeliveredError("The package cannot be written there.", hint=_DISK) from None


_SPACE: Final = "Free some space, or set BSTI_HOME to another local disk, then give the same command again."
_DISK: Final = "Is the folder read-only? Set BSTI_HOME to a folder on a local disk that you can write to."
