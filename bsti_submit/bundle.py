"""Certified instances and two records → one sealed case package: the same bytes each time, on every system.

A ZIP that is also a BagIt bag (RFC 8493) under one base directory named by the case id. Stored, with fixed times and
modes; ZIP64 (APPNOTE 4.5.3) where a size needs it. Bundle adds only constants and digests to what was certified.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import os
import re
import struct
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from bsti_submit.errors import HeldError, InputError, NotDeliveredError
from bsti_submit.model import normalise_case_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from bsti_submit.model import Buffer, Certified

MEDIA_TYPE: Final = "application/vnd.bsti.case+zip"
BAGIT: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
CASE_RECORD: Final = "data/case.json"
CLINICAL_RECORD: Final = "data/clinical.json"
MANIFEST: Final = "manifest-sha256.txt"
LARGEST_RECORD: Final = 4 << 20
MOST_MEMBERS: Final = 100_000

_LIMIT32: Final = 0xFFFFFFFF
_LIMIT16: Final = 0xFFFF
_TIME, _DATE = 0, 1 << 5 | 1  # 1 January 1980, 00:00: the zero of ZIP
_MODE: Final = 0o100644 << 16
_UTF8: Final = 1 << 11
_IMAGE: Final = re.compile(r"data/images/\d{4}/\d{6}\.dcm")


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
class _Member:
    name: bytes
    crc: int
    size: int
    offset: int


class PackageWriter:
    """Writes a package as a stream: instances as they are certified, the records and digests last.

    Parameters
    ----------
    path
        A new file; None to count and digest the very same bytes without keeping them.
    case_id
        The base directory.
    """

    def __init__(self, path: Path | None, case_id: str) -> None:
        if normalise_case_id(case_id) != case_id:
            raise ValueError("not a case id")
        self.case_id = case_id
        self.path = path
        self._digest = hashlib.sha256()
        self._size = 0
        self._members: list[_Member] = []
        self._manifest: list[tuple[str, str]] = []
        self._payload_bytes = 0
        self._series: dict[str, int] = {}
        self._in_series: dict[str, int] = {}
        self._stream: BinaryIO | None = None
        self.names: list[tuple[Certified, str]] = []
        """What was added, and the member each is in."""
        if path is not None:
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
                self._stream = os.fdopen(descriptor, "wb", buffering=1 << 20)
            except OSError:
                raise NotDeliveredError("The package cannot be written there.", hint=_DISK) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self.abort()

    def abort(self) -> None:
        """Give up: close and remove what was written."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
        self._stream = None
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()

    def add(self, certified: Certified) -> str:
        """Add an instance; call it in the order of the new UIDs. Return the name of its member.

        Raises
        ------
        HeldError
            If the bytes are no longer those that were certified.
        """
        series = self._series.setdefault(certified.series_instance_uid, len(self._series) + 1)
        number = self._in_series[certified.series_instance_uid] = (
            self._in_series.get(certified.series_instance_uid, 0) + 1
        )
        name = f"data/images/{series:04d}/{number:06d}.dcm"
        sha256 = self._member(name, certified.payload.chunks(), certified.size)
        if sha256 != certified.sha256:
            self.abort()
            raise HeldError("An image changed after its final check, so the package was given up.")
        self.names.append((certified, name))
        return name

    def finish(self, case_json: bytes, clinical_json: bytes) -> Package:
        """Write the records and digests, and seal the package.

        Raises
        ------
        NotDeliveredError
            If the disk is full or fails.
        """
        self._member(CASE_RECORD, [case_json], len(case_json))
        self._member(CLINICAL_RECORD, [clinical_json], len(clinical_json))
        manifest = "".join(f"{digest}  {name}\n" for name, digest in sorted(self._manifest)).encode()
        info = (
            f"External-Identifier: {self.case_id}\nPayload-Oxum: {self._payload_bytes}.{len(self._manifest)}\n"
        ).encode()
        tags = (("bag-info.txt", info), ("bagit.txt", BAGIT), (MANIFEST, manifest))
        tag_manifest = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in tags).encode()
        for name, data in (*tags, ("tagmanifest-sha256.txt", tag_manifest)):
            self._member(name, [data], len(data), payload=False)
        self._directory()
        if self._stream is not None:
            try:
                self._stream.flush()
                os.fsync(self._stream.fileno())
                self._stream.close()
            except OSError:
                self.abort()
                raise NotDeliveredError("The package cannot be written.", hint=_DISK) from None
            self._stream = None
        return Package(
            self.path,
            self.case_id,
            self._size,
            self._digest.hexdigest(),
            hashlib.sha256(manifest).hexdigest(),
            len(self.names),
        )

    def _write(self, data: Buffer) -> None:
        self._digest.update(data)
        self._size += len(data)
        if self._stream is not None:
            try:
                self._stream.write(data)
            except OSError:
                self.abort()
                raise NotDeliveredError("The package cannot be written.", hint=_DISK) from None

    def _member(self, name: str, chunks: Iterable[Buffer], size: int, *, payload: bool = True) -> str:
        """Write a member as local header, data and data descriptor; return its SHA-256."""
        raw_name = f"{self.case_id}/{name}".encode()
        offset = self._size
        large = size >= _LIMIT32
        # The CRC is not known yet, so it follows the data (bit 3); for a stored member readers go by the directory.
        flags = _UTF8 | 1 << 3
        extra = struct.pack("<HHQQ", 1, 16, 0, 0) if large else b""
        sizes = (_LIMIT32, _LIMIT32) if large else (0, 0)
        self._write(
            struct.pack(
                "<4s5H3L2H", b"PK\3\4", 45 if large else 20, flags, 0, _TIME, _DATE, 0, *sizes, len(raw_name), len(extra)
            )
            + raw_name
            + extra
        )
        digest = hashlib.sha256()
        crc = written = 0
        for chunk in chunks:
            digest.update(chunk)
            crc = binascii.crc32(chunk, crc)
            written += len(chunk)
            self._write(chunk)
        if written != size:
            self.abort()
            raise HeldError("An image changed after its final check, so the package was given up.")
        self._write(struct.pack("<4sLQQ" if large else "<4sLLL", b"PK\7\x08", crc, size, size))
        self._members.append(_Member(raw_name, crc, size, offset))
        if payload:
            self._manifest.append((name, digest.hexdigest()))
            self._payload_bytes += size
        return digest.hexdigest()

    def _directory(self) -> None:
        start = self._size
        for member in self._members:
            wide = [value for value in (member.size, member.size, member.offset) if value >= _LIMIT32]
            if member.size >= _LIMIT32:
                wide = [member.size, member.size, *([member.offset] if member.offset >= _LIMIT32 else [])]
            extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
            size = min(member.size, _LIMIT32)
            self._write(
                struct.pack(
                    "<4s6H3L5H2L",
                    b"PK\1\2",
                    3 << 8 | 45,
                    45 if wide else 20,
                    _UTF8 | 1 << 3,
                    0,
                    _TIME,
                    _DATE,
                    member.crc,
                    size,
                    size,
                    len(member.name),
                    len(extra),
                    0,
                    0,
                    0,
                    _MODE,
                    min(member.offset, _LIMIT32),
                )
                + member.name
                + extra
            )
        length, count = self._size - start, len(self._members)
        if start >= _LIMIT32 or length >= _LIMIT32 or count >= _LIMIT16:
            record = self._size
            self._write(
                struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 3 << 8 | 45, 45, 0, 0, count, count, length, start)
                + struct.pack("<4sLQL", b"PK\6\7", 0, record, 1)
            )
        self._write(
            struct.pack(
                "<4s4H2LH",
                b"PK\5\6",
                0,
                0,
                min(count, _LIMIT16),
                min(count, _LIMIT16),
                min(length, _LIMIT32),
                min(start, _LIMIT32),
                0,
            )
        )


_DISK: Final = "Is the disk full, or read-only? Free some space, or set BSTI_HOME to another local disk."


class PackageReader:
    """Reads a package without unpacking it. Use it as a context manager.

    Raises
    ------
    InputError
        If it is no case package.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
            raise InputError("That is not a case package, or it was cut off.") from None
        infos = self._zip.infolist()
        base = infos[0].filename.partition("/")[0] if infos else ""
        self._infos = {info.filename: info for info in infos}
        strange = (
            len(infos) > MOST_MEMBERS
            or len(self._infos) != len(infos)
            or normalise_case_id(base) != base
            or any(
                not info.filename.startswith(f"{base}/")
                or ".." in info.filename
                or "\\" in info.filename
                or info.compress_type != zipfile.ZIP_STORED
                or info.file_size != info.compress_size
                for info in infos
            )
        )
        if strange:
            self._zip.close()
            raise InputError("That is not a case package as this tool makes them.")
        self.case_id = base

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def names(self) -> tuple[str, ...]:
        """Return the members' names, without the base directory."""
        return tuple(name.removeprefix(f"{self.case_id}/") for name in self._infos)

    def images(self) -> tuple[str, ...]:
        """Return the names of the images, in order."""
        return tuple(name for name in self.names() if _IMAGE.fullmatch(name))

    def size(self, name: str) -> int:
        """Return the length of a member in bytes."""
        return self._infos[f"{self.case_id}/{name}"].file_size

    def read(self, name: str, *, largest: int | None = None) -> bytes:
        """Return a member.

        Raises
        ------
        InputError
            If it is missing, damaged, or larger than allowed.
        """
        if f"{self.case_id}/{name}" not in self._infos or (largest is not None and self.size(name) > largest):
            raise InputError("The package lacks a file that it must have, or one is too large.")
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes.

        Raises
        ------
        InputError
            If it is damaged.
        """
        try:
            with self._zip.open(self._infos[f"{self.case_id}/{name}"]) as stream:
                while block := stream.read(1 << 20):
                    yield block
        except (OSError, zipfile.BadZipFile, EOFError, struct.error):
            raise InputError("The package is damaged.") from None

    def problems(self) -> tuple[str, ...]:
        """Hold the bag against its manifests and return what is wrong; nothing for a whole one."""
        wrong: list[str] = []
        try:
            manifest = _manifest(self.read(MANIFEST, largest=1 << 26))
            tags = _manifest(self.read("tagmanifest-sha256.txt", largest=LARGEST_RECORD))
            if self.read("bagit.txt", largest=1024) != BAGIT:
                wrong.append("bagit.txt is not as it must be")
        except (InputError, UnicodeDecodeError, ValueError):
            return ("the bag's own files are missing or damaged",)
        payload = {name for name in self.names() if name.startswith("data/")}
        wrong += [f"{name} is in the package but not in its manifest" for name in sorted(payload - manifest.keys())]
        wrong += [f"{name} is in the manifest but not in the package" for name in sorted(manifest.keys() - payload)]
        others = set(self.names()) - payload - tags.keys() - {"tagmanifest-sha256.txt"}
        wrong += [f"{name} does not belong in a package" for name in sorted(others)]
        for name, expected in sorted({**manifest, **tags}.items()):
            if name not in self.names():
                continue
            digest = hashlib.sha256()
            try:
                for block in self.chunks(name):
                    digest.update(block)
            except InputError:
                wrong.append(f"{name} is damaged")
                continue
            if digest.hexdigest() != expected:
                wrong.append(f"{name} is not the file that was sealed")
        return tuple(wrong)

    def manifest_sha256(self) -> str:
        """Return the digest of the manifest: what the receipt names."""
        return hashlib.sha256(self.read(MANIFEST, largest=1 << 26)).hexdigest()


def _manifest(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in io.StringIO(data.decode("utf-8")):
        digest, _, name = line.rstrip("\n").partition("  ")
        if not re.fullmatch(r"[0-9a-f]{64}", digest) or not name or name in found:
            raise ValueError
        found[name] = digest
    return found


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
