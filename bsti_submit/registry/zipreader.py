"""A strict reader of stored ZIP files: every byte belongs to a named entry, or the file is refused.

Only what a case package needs is read: no compression, no encryption, no comments, no bytes between entries,
so there is nothing to unpack, nothing that can grow, and no place to hide anything.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import stat
import struct
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from _typeshed import WriteableBuffer

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL = struct.Struct("<4s5H3L2H")
_NAME_BYTES = 120
_CENTRAL_BYTES = 46 + _NAME_BYTES + 64
_ZIP64_FIELD = 1
_DESCRIPTOR_FLAG = 0x08
_KNOWN_FLAGS = 0x808
_DESCRIPTOR_SIZES = frozenset({12, 16, 20, 24})
_ALL_ONES_16, _ALL_ONES_32 = 0xFFFF, 0xFFFFFFFF
_BLOCK = 1 << 20


class BadZipError(ValueError):
    """The file is not such a ZIP. The message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file: where its bytes are."""

    name: str
    offset: int
    size: int


class StoredZip:
    """An open package. Read-only, memory-mapped.

    Parameters
    ----------
    path
        The file.
    max_entries
        More entries than this are refused before any is read.

    Raises
    ------
    BadZipError
        If anything is not as it must be.
    """

    def __init__(self, path: Path, max_entries: int) -> None:
        self._file = path.open("rb")
        try:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            self._file.close()
            raise BadZipError("it is empty") from None
        try:
            self.entries = self._read(max_entries)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._map.close()
        self._file.close()

    def bytes_of(self, entry: Entry, limit: int) -> bytes:
        """Return a small file's bytes.

        Raises
        ------
        BadZipError
            If it is larger than ``limit``.
        """
        if entry.size > limit:
            raise BadZipError("a file is larger than it may be")
        return self._map[entry.offset : entry.offset + entry.size]

    def sha256(self, entry: Entry) -> str:
        """Return the digest of a file's bytes."""
        digest = hashlib.sha256()
        with memoryview(self._map) as whole:
            for start in range(entry.offset, entry.offset + entry.size, _BLOCK):
                digest.update(whole[start : min(start + _BLOCK, entry.offset + entry.size)])
        return digest.hexdigest()

    def open(self, entry: Entry) -> io.RawIOBase:
        """Return a file as a stream, without a copy of it in memory."""
        return _Window(self._map, entry.offset, entry.size)

    def _read(self, max_entries: int) -> dict[str, Entry]:
        self._check_end(max_entries)
        try:
            with zipfile.ZipFile(self._file) as archive:
                infos, start = archive.infolist(), archive.start_dir
        except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, UnicodeDecodeError):
            raise BadZipError("its directory cannot be read") from None
        entries: dict[str, Entry] = {}
        position = 0
        for info in sorted(infos, key=lambda one: one.header_offset):
            entry, position = self._entry(info, position, start)
            if entry.name.casefold() in entries:
                raise BadZipError("a name occurs twice")
            entries[entry.name.casefold()] = entry
        if position != start:
            raise BadZipError("there are bytes that belong to no file")
        return {entry.name: entry for entry in entries.values()}

    def _check_end(self, max_entries: int) -> None:
        """Bound the directory before the library reads it whole."""
        size = len(self._map)
        if size < _END.size:
            raise BadZipError("it is too short")
        sign, *_, count, directory, offset, comment = _END.unpack_from(self._map, size - _END.size)
        if sign != b"PK\x05\x06" or comment:
            raise BadZipError("it does not end as it must")
        end = size - _END.size
        if count == _ALL_ONES_16 or _ALL_ONES_32 in {directory, offset}:
            end, count, directory, offset = self._check_end64(end)
        if count > max_entries or directory > count * _CENTRAL_BYTES or offset + directory != end:
            raise BadZipError("its directory is not as it must be")

    def _check_end64(self, end: int) -> tuple[int, int, int, int]:
        if end < _END64_LOCATOR.size + _END64.size:
            raise BadZipError("it is too short")
        start = end - _END64_LOCATOR.size
        sign, _, at, _ = _END64_LOCATOR.unpack_from(self._map, start)
        if sign != b"PK\x06\x07" or at != start - _END64.size:
            raise BadZipError("it does not end as it must")
        sign, rest, *_, count, directory, offset = _END64.unpack_from(self._map, at)
        if sign != b"PK\x06\x06" or rest != _END64.size - 12:
            raise BadZipError("it does not end as it must")
        return at, count, directory, offset

    def _entry(self, info: zipfile.ZipInfo, position: int, limit: int) -> tuple[Entry, int]:
        """Check one entry; return it and where the next must start."""
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise BadZipError("a file is compressed")
        if info.flag_bits & ~_KNOWN_FLAGS or info.comment:
            raise BadZipError("a file is encrypted or has a comment")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or kind not in {0, stat.S_IFREG}:
            raise BadZipError("an entry is not a plain file")
        if info.header_offset != position or position + _LOCAL.size > limit:
            raise BadZipError("there are bytes that belong to no file")
        local = _LOCAL.unpack_from(self._map, position)
        name_size, extra_size = local[9], local[10]
        name_end = position + _LOCAL.size + name_size
        offset = name_end + extra_size
        name = self._map[position + _LOCAL.size : name_end]
        extra = self._map[name_end:offset]
        if local[0] != b"PK\x03\x04" or name != info.orig_filename.encode() or name_size > _NAME_BYTES:
            raise BadZipError("a file's two headers disagree")
        if not _only_zip64(extra) or not _only_zip64(info.extra):
            raise BadZipError("a file has extra fields")
        end = offset + info.file_size
        if info.flag_bits & _DESCRIPTOR_FLAG:
            end = self._after_descriptor(end, limit)
        if end > limit:
            raise BadZipError("a file reaches past the end")
        return Entry(info.filename, offset, info.file_size), end

    def _after_descriptor(self, end: int, limit: int) -> int:
        """Skip a data descriptor: the one length after which a header or the directory starts."""
        for length in sorted(_DESCRIPTOR_SIZES):
            after = end + length
            if after == limit or (after < limit and self._map[after : after + 4] == b"PK\x03\x04"):
                return after
        raise BadZipError("there are bytes that belong to no file")


def _only_zip64(extra: bytes) -> bool:
    while extra:
        if len(extra) < 4:
            return False
        field, length = struct.unpack_from("<2H", extra)
        if field != _ZIP64_FIELD or length > len(extra) - 4:
            return False
        extra = extra[4 + length :]
    return True


class _Window(io.RawIOBase):
    """A stretch of the map as a seekable stream."""

    def __init__(self, whole: mmap.mmap, offset: int, size: int) -> None:
        self._whole, self._offset, self._size, self._at = whole, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as view:
            count = max(0, min(view.nbytes, self._size - self._at))
            start = self._offset + self._at
            view.cast("B")[:count] = self._whole[start : start + count]
        self._at += count
        return count
