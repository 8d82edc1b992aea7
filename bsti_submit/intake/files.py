r"""Reading without leaving a trace: files and archive members opened for bytes, never written to.

Access times are left alone where the system allows it (``O_NOATIME``), no file that is not a regular one
is read or waited for, and on Windows paths longer than 260 characters are reached by their ``\\?\`` form.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import struct
import sys
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator

    from bsti_submit.model import Buffer

MAPPED_FROM: Final = 128 << 20
"""Files of this size and more are mapped into memory rather than copied: too large to hold, but if another program
cuts one off while it is read, the system ends this process (SIGBUS). Nothing is lost by that; smaller ones are held."""
_LONG_PATH: Final = 240
_QUIET: Final = getattr(os, "O_NOATIME", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)
"""A pipe that took a file's place after it was listed must not be waited for."""


def reachable(path: str) -> str:
    """Return ``path`` in a form that the system can open whatever its length (Windows: 260 characters)."""
    if sys.platform == "win32" and len(path) >= _LONG_PATH and not path.startswith("\\\\?\\"):
        path = os.path.abspath(path)  # noqa: PTH100 - the prefix wants plain text
        return "\\\\?\\UNC\\" + path[2:] if path.startswith("\\\\") else "\\\\?\\" + path
    return path


def open_quietly(path: str) -> int:
    """Open a file or folder for reading, without touching its access time if the system lets us."""
    path = reachable(path)
    flags = os.O_RDONLY | _BINARY | _AT_ONCE | getattr(os, "O_CLOEXEC", 0)
    if _QUIET:
        with suppress(PermissionError):  # only the owner may ask for it
            return os.open(path, flags | _QUIET)
    return os.open(path, flags)


class OpenedFile:
    """A regular file open for reading; a context manager.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file.
    """

    def __init__(self, path: str) -> None:
        self._file: IO[bytes] = _regular(open_quietly(path))
        self._position = 0
        self.size: int = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    @property
    def version(self) -> bytes:
        """What the file is at this moment, see `version_of`."""
        return version_of(os.fstat(self._file.fileno()))

    def head(self, length: int) -> Buffer:
        """Return the first ``length`` bytes, or fewer where the file is shorter."""
        if length >= MAPPED_FROM and self.size >= MAPPED_FROM:
            return self.whole()
        return self.at(0, length)

    def at(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        if offset != self._position:
            self._file.seek(offset)
        parts = []
        wanted = min(length, max(0, self.size - offset))
        while wanted > 0:
            part = self._file.read(wanted)
            if not part:
                break
            parts.append(part)
            wanted -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._position = offset + len(data)
        return data

    def whole(self) -> Buffer:
        """Return all bytes: a copy of a small file, a read-only map of a large one."""
        if self.size < MAPPED_FROM:
            return self.at(0, self.size)
        return memoryview(mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ))


def _regular(descriptor: int) -> IO[bytes]:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def version_of(status: os.stat_result) -> bytes:
    """Return what differs once a file was written to or another took its place.

    The time of the last change to the inode can't be set by hand, as copying programs set that of the last change
    to the content; Windows has none. The inode's number is left out: some shares and FAT give one file several.
    """
    changed = status.st_ctime_ns if os.name == "posix" else 0
    return struct.pack("<Qqq", status.st_size, status.st_mtime_ns, changed)


class OpenedMember:
    """A member of a ZIP archive. Its bytes live in memory alone and are never extracted to disk.

    Raises
    ------
    OSError
        By each method, whatever is wrong with the member: damage, a compression or a cipher that is not known.
    """

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive = archive
        self._info = info
        self._held: bytes = b""
        self.size: int = info.file_size
        self.version = b""
        """Nothing: the archive stays open, and has a checksum for each member."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._held = b""

    def head(self, length: int) -> Buffer:
        """Return the first ``length`` bytes, or fewer where the member is shorter."""
        if len(self._held) < min(length, self.size):
            self._held = self._unpacked(min(length, self.size))
        return self._held

    def _unpacked(self, length: int) -> bytes:
        try:
            with self._archive.open(self._info) as member:
                return member.read(length)
        except Exception:  # noqa: BLE001 - the decompressors raise a dozen kinds, and none of ours runs in here
            raise OSError(errno.EIO, "the member cannot be unpacked") from None

    def at(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        if len(self._held) < min(offset + length, self.size):
            self.head(self.size)
        return self._held[offset : offset + length]

    def whole(self) -> Buffer:
        """Return all bytes; the archive's own check (CRC-32) has passed."""
        return self.head(self.size)


def walk(root: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """Yield every file below ``root`` in a fixed order: names sorted, folder by folder, any depth.

    Symbolic links are followed, but no folder is entered twice, so a loop ends. A folder that cannot be
    listed and a file that cannot be looked at are yielded with None in place of their status.
    """
    entered: set[tuple[int, int]] = set()
    pending = [root]
    while pending:
        path = pending.pop()
        try:
            status = os.stat(reachable(path))  # noqa: PTH116
        except OSError:
            # A dangling link is no file at all; anything else may hide one.
            if not os.path.islink(path):  # noqa: PTH114
                yield path, None
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield path, status
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in entered:
            continue
        entered.add(identity)
        try:
            names = _names(path)
        except OSError:
            yield path, None
            continue
        pending.extend(os.path.join(path, name) for name in reversed(names))  # noqa: PTH118


def folders(root: str) -> Iterator[tuple[int, int]]:
    """Yield device and inode of the folders that `walk` enters, without a look at the files in them."""
    entered: set[tuple[int, int]] = set()
    pending = [root]
    while pending:
        path = pending.pop()
        try:
            status = os.stat(reachable(path))  # noqa: PTH116
            identity = (status.st_dev, status.st_ino)
            if identity in entered or not stat.S_ISDIR(status.st_mode):
                continue
            entered.add(identity)
            yield identity
            pending.extend(os.path.join(path, name) for name in _folder_names(path))  # noqa: PTH118
        except OSError:
            continue  # what cannot be looked at cannot be written to either, and the survey says so


def _folder_names(path: str) -> list[str]:
    with _listed(path) as found, os.scandir(found) as entries:
        return [entry.name for entry in entries if entry.is_dir()]


@contextmanager
def _listed(path: str) -> Iterator[int | str]:
    """Give what the names in a folder are asked of, so that its access time stays if the system lets us."""
    if not _QUIET or os.listdir not in os.supports_fd:
        yield reachable(path)
        return
    descriptor = open_quietly(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _names(path: str) -> list[str]:
    """Return the sorted names in a folder, without touching its access time if the system lets us."""
    with _listed(path) as found:
        return sorted(os.listdir(found))  # noqa: PTH208
