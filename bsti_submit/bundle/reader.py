"""A case package → its members, without unpacking it, and what is wrong with it."""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from bsti_submit.bundle.zipform import (
    BAG_INFO,
    CASE_RECORD,
    CLINICAL_RECORD,
    LARGEST_RECORD,
    MANIFEST,
    MOST_MEMBERS,
    TAG_MANIFEST,
    Member,
    descriptor,
    end_of,
    local_header,
    sha256,
    tag_files,
)
from bsti_submit.bundle.zipform import manifest as manifest_of
from bsti_submit.errors import InputError
from bsti_submit.model import normalise_case_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_IMAGE: Final = re.compile(r"data/images/\d{4,}/\d{6,}\.dcm")
_KNOWN: Final = frozenset({CASE_RECORD, CLINICAL_RECORD, BAG_INFO, "bagit.txt", MANIFEST, TAG_MANIFEST})
_END: Final = struct.Struct("<4s4H2LH")
_LONGEST_NAME: Final = 120
_LARGEST_DIRECTORY: Final = MOST_MEMBERS * (46 + _LONGEST_NAME + 64)
_LARGEST_MANIFEST: Final = MOST_MEMBERS * (66 + _LONGEST_NAME)
_BLOCK: Final = 1 << 20


class PackageReader:
    """Reads a package without unpacking it. Use it as a context manager.

    Memory is bounded whatever the file: by the number of members that a package may have, and by blocks of 1
    MiB.

    Raises
    ------
    InputError
        If it is no case package.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError:
            raise InputError("The package cannot be opened.") from None
        try:
            _require_small_directory(self._file)
            self._zip = zipfile.ZipFile(self._file)
            infos = self._zip.infolist()
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError):
            self._file.close()
            raise InputError("That is not a case package, or it was cut off.") from None
        base = infos[0].filename.partition("/")[0] if infos else ""
        self._infos = {info.filename: info for info in infos}
        strange = (
            len(self._infos) != len(infos)
            or normalise_case_id(base) != base
            or any(
                not info.filename.startswith(f"{base}/")
                or len(info.filename) > _LONGEST_NAME
                or ".." in info.filename
                or "\\" in info.filename
                or info.compress_type != zipfile.ZIP_STORED
                or info.file_size != info.compress_size
                for info in infos
            )
        )
        if strange:
            self.close()
            raise InputError("That is not a case package as this tool makes them.")
        self.case_id = base

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()

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
                while block := stream.read(_BLOCK):
                    yield block
        except (
            OSError,
            zipfile.BadZipFile,
            EOFError,
            struct.error,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ):
            raise InputError("The package is damaged.") from None

    def problems(self) -> tuple[str, ...]:
        """Hold the whole file against what a package of its members must be; nothing for a whole one.

        Every digest is computed, and every byte outside the members is compared, so nothing can hide between
        them. Texts name members, never values.
        """
        try:
            manifest = _manifest(self.read(MANIFEST, largest=_LARGEST_MANIFEST))
            tags = _manifest(self.read(TAG_MANIFEST, largest=LARGEST_RECORD))
        except (InputError, ValueError):
            return ("the bag's own files are missing or damaged",)
        names = set(self.names())
        payload = {name for name in names if name.startswith("data/")}
        wrong = [
            f"{_told(name)} is in the package but not in its manifest" for name in sorted(payload - manifest.keys())
        ]
        wrong += [
            f"{_told(name)} is in the manifest but not in the package" for name in sorted(manifest.keys() - payload)
        ]
        known = {*_KNOWN, *self.images()}
        wrong += [f"{_told(name)} does not belong in a package" for name in sorted(names - known)]
        wrong += [f"{name} is missing" for name in sorted({CASE_RECORD, CLINICAL_RECORD} - names)]
        for name, expected in sorted({**manifest, **tags}.items()):
            if name in names:
                wrong += self._wrong_digest(name, expected)
        if not wrong:
            wrong = [*self._wrong_tags(payload, manifest), *self._wrong_frame()]
        return tuple(wrong)

    def _wrong_digest(self, name: str, expected: str) -> list[str]:
        digest = hashlib.sha256()
        try:
            for block in self.chunks(name):
                digest.update(block)
        except InputError:
            return [f"{_told(name)} is damaged"]
        return [] if digest.hexdigest() == expected else [f"{_told(name)} is not the file that was sealed"]

    def _wrong_tags(self, payload: set[str], manifest: dict[str, str]) -> list[str]:
        sizes = [self.size(name) for name in payload]
        expected = tag_files(self.case_id, sizes, manifest_of(manifest))
        return [
            f"{name} is not as it must be"
            for name, data in expected.items()
            if name not in self.names() or self.read(name, largest=_LARGEST_MANIFEST) != data
        ]

    def _wrong_frame(self) -> list[str]:
        """Compare every byte outside the members with the one form of package."""
        members = [
            Member(info.filename.encode(), info.CRC, info.file_size, info.header_offset)
            for info in self._zip.infolist()
        ]
        position = 0
        for member in members:
            before, after = local_header(member.name, member.size), descriptor(member.crc, member.size)
            whole = (
                member.offset == position
                and self._bytes(position, len(before)) == before
                and self._bytes(position + len(before) + member.size, len(after)) == after
            )
            if not whole:
                return ["the package has bytes that belong to no file, or is not as this tool makes them"]
            position += len(before) + member.size + len(after)
        end = end_of(members, position)
        if self._bytes(position, len(end) + 1) != end:
            return ["the package has bytes after its end, or is not as this tool makes them"]
        return []

    def _bytes(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def manifest_sha256(self) -> str:
        """Return the digest of the manifest: what the receipt names."""
        return sha256(self.read(MANIFEST, largest=_LARGEST_MANIFEST))


def _require_small_directory(file: BinaryIO) -> None:
    """Refuse a directory that is too large to be a package's, before it is read.

    Raises
    ------
    ValueError
        If so, or if the file does not end as a package ends.
    """
    whole = file.seek(0, 2)
    file.seek(max(0, whole - _END.size))
    tail = file.read(_END.size)
    if len(tail) != _END.size:
        raise ValueError
    signature, _, _, _, count, length, _, comment = _END.unpack(tail)
    if signature != b"PK\5\6" or comment:
        raise ValueError
    if count == 0xFFFF or length == 0xFFFFFFFF:
        file.seek(max(0, whole - _END.size - 20 - 56))
        record = file.read(56)
        if record[:4] != b"PK\6\6":
            raise ValueError
        count, length = struct.unpack("<2Q", record[32:48])
    if count > MOST_MEMBERS or length > _LARGEST_DIRECTORY:
        raise ValueError
    file.seek(0)


def _manifest(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in data.decode("utf-8").split("\n")[:-1]:
        digest, _, name = line.partition("  ")
        if not re.fullmatch(r"[0-9a-f]{64}", digest) or not name or name in found:
            raise ValueError
        found[name] = digest
    return found


def _told(name: str) -> str:
    """Return a member's name for a person; one that no package of ours has may be a patient's and is not repeated."""
    return name if name in _KNOWN or _IMAGE.fullmatch(name) else "a file with a strange name"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
