"""What the user points at (a folder, a file, a DICOMDIR or a ZIP) as a numbered list of DICOM files."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from array import array
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from bsti_submit.errors import InputError
from bsti_submit.intake.files import OpenedFile, OpenedMember, reachable, version_of, walk
from bsti_submit.intake.header import GROWTH_FROM, MOST_GROWTH
from bsti_submit.model import InstanceRef, Outcome, Reason, Rejection
from bsti_submit.phi import Identified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bsti_submit.model import Buffer

MOST_MEMBERS: Final = 200_000
_SEAL: Final = 16
LARGEST_MEMBER: Final = 4 << 30
LARGEST_ARCHIVE: Final = 256 << 30

_ARCHIVE_FAULTS: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


class UnreadableInstance(InputError):  # noqa: N818 - named for what it is about
    """A file that could be surveyed can no longer be read, or is no longer the same."""

    def __init__(self, ref: InstanceRef) -> None:
        super().__init__(f"The file {ref} can no longer be read, or has changed since it was listed.")
        self.ref = ref

    def rejection(self, sop_class_uid: str = "") -> Rejection:
        """Return it as a held instance."""
        return Rejection(self.ref, sop_class_uid, Outcome.HELD, Reason.UNREADABLE)


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One file or member: where it is, and what it was when it was listed."""

    path: str
    size: int
    version: bytes = b""
    member: int = -1
    closed: bool = False
    """It could not even be looked at."""


class Source:
    """A place with DICOM files. It is only ever read. Use it as a context manager.

    Refs are given by `survey`, in the order of the sorted paths, to DICOM files alone.
    """

    def __init__(self, root: str, archive: zipfile.ZipFile | None = None, *, directory: bool = False) -> None:
        self._root = root
        self._archive = archive
        self._members = _sorted_members(archive) if archive else []
        self._entries: list[Entry] = []
        self._header_lengths = array("Q")
        self._seals = bytearray()
        self._header_key = os.urandom(32)
        self.listed_in_directory = directory
        """Whether the user pointed at a DICOMDIR, so that every file it lists has to be there."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Source({len(self._entries)} files)"

    def close(self) -> None:
        """Close the archive, if it is one."""
        if self._archive:
            self._archive.close()

    @property
    def is_archive(self) -> bool:
        """Whether the files are members of a ZIP."""
        return self._archive is not None

    def entries(self) -> Iterator[Entry]:
        """Yield every file in the sorted order of the paths."""
        if self._archive:
            for index, info in enumerate(self._members):
                yield Entry(info.filename, info.file_size, member=index)
            return
        for path, status in walk(self._root):
            if status is None:
                yield Entry(path, 0, closed=True)
            elif stat.S_ISREG(status.st_mode):
                yield Entry(path, status.st_size, version_of(status))

    def is_bomb(self, entry: Entry) -> bool:
        """Whether a member would unpack to far more than a picture can be."""
        packed = self._members[entry.member].compress_size if self._archive else entry.size
        return entry.size > LARGEST_MEMBER or (entry.size > GROWTH_FROM and entry.size > MOST_GROWTH * packed)

    def open(self, entry: Entry) -> OpenedFile | OpenedMember:
        """Open one file.

        Raises
        ------
        OSError
            If it cannot be opened.
        """
        if self._archive:
            return OpenedMember(self._archive, self._members[entry.member])
        return OpenedFile(entry.path)

    def number(self, entry: Entry, header: Buffer = b"") -> InstanceRef:
        """Give an entry the next ref, and remember in memory as what, and by which header, it was surveyed."""
        self._entries.append(Entry(entry.path, entry.size, member=entry.member, closed=entry.closed))
        self._header_lengths.append(len(header))
        self._seals += self._seal(entry.version, header)
        return InstanceRef(len(self._entries))

    def _seal(self, version: bytes, header: Buffer) -> bytes:
        seal = hashlib.blake2b(version, key=self._header_key, digest_size=_SEAL)
        seal.update(header)
        return seal.digest()

    def forget_numbers(self) -> None:
        """Start numbering afresh, for another survey."""
        self._entries.clear()
        self._header_lengths = array("Q")
        self._seals.clear()

    def read(self, ref: InstanceRef) -> Buffer:
        """Return the whole file: the same bytes each time, in memory or, if large, mapped.

        Raises
        ------
        UnreadableInstance
            If the file has gone, fails its archive's checksum, or has changed since the survey.
        """
        entry = self._entries[ref.number - 1]
        try:
            with self.open(entry) as opened:
                data = opened.whole()
                header = memoryview(data)[: self._header_lengths[ref.number - 1]]
                seal = self._seal(opened.version, header)
        except OSError:
            raise UnreadableInstance(ref) from None
        # Another patient's file of the same length and times must never go out under the first one's pseudonym.
        if len(data) == entry.size and seal == self._seals[_SEAL * (ref.number - 1) : _SEAL * ref.number]:
            return data
        raise UnreadableInstance(ref)

    def locate(self, ref: InstanceRef) -> Identified[str]:
        """Return the path of a ref for the local, owner-only map from ref to path."""
        entry = self._entries[ref.number - 1]
        if self._archive:
            return Identified(f"{self._root}!/{entry.path}")
        return Identified(entry.path)

    def path_parts(self) -> tuple[Identified[str], ...]:
        """Return every component of every DICOM file's path once, the names inside an archive included."""
        parts: dict[str, None] = {}
        for whole in (self._root, *(entry.path for entry in self._entries)):
            parts.update(dict.fromkeys(part for part in whole.replace("\\", "/").split("/") if part.strip(".")))
        if self._archive:
            # A ZIP without the UTF-8 flag is read as code page 437, but is often UTF-8 or Latin-1.
            for part in list(parts):
                with suppress(UnicodeError):
                    raw = part.encode("cp437")
                    parts[raw.decode("latin-1")] = None
                    parts[raw.decode("utf-8")] = None
        return tuple(Identified(part) for part in parts)

    def holds(self, directory_entry: Entry, components: list[str]) -> bool:
        """Say whether a file that a DICOMDIR lists is there, in whatever case and with or without ``;1``."""
        folder = directory_entry.path.replace("\\", "/").rpartition("/")[0]
        if self._archive:
            wanted = "/".join([folder, *components] if folder else components).casefold()
            return any(info.filename.replace("\\", "/").casefold() == wanted for info in self._members)
        for path in (components, [part.lower() for part in components]):
            if os.path.isfile(reachable(os.path.join(folder or ".", *path))):  # noqa: PTH113, PTH118
                return True
        return False


def open_source(path: Path) -> Source:
    """Open a folder, one file, a DICOMDIR or a ZIP.

    Raises
    ------
    InputError
        If there is nothing there, or the archive is encrypted, damaged or hostile.
    """
    root = os.path.abspath(path)  # noqa: PTH100 - resolving links would change the names the user knows
    try:
        status = os.stat(reachable(root))  # noqa: PTH116
    except (OSError, ValueError):
        raise InputError(
            "There is nothing at the path that was given, or it may not be looked at.",
            hint="Give a folder, a DICOM file, a DICOMDIR or a ZIP file.",
        ) from None
    if stat.S_ISDIR(status.st_mode):
        return Source(root)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("The path that was given is neither a folder nor a file.")
    if status.st_size == 0:
        raise InputError("The file that was given is empty.")
    try:
        with OpenedFile(root) as opened:
            start = bytes(opened.at(0, 132))
    except OSError:
        raise InputError("The file that was given may not be read.") from None
    if os.path.basename(root).upper() == "DICOMDIR":  # noqa: PTH119
        return Source(os.path.dirname(root), directory=True)  # noqa: PTH120
    if start[128:] != b"DICM" and (start[:4] in {b"PK\x03\x04", b"PK\x05\x06"} or start[:2] == b"PK"):
        return Source(root, _open_archive(root))
    return Source(root)


def _open_archive(path: str) -> zipfile.ZipFile:
    """Open a ZIP and refuse what is encrypted, damaged or would unpack beyond measure."""
    try:
        archive = zipfile.ZipFile(reachable(path))
    except (*_ARCHIVE_FAULTS, ValueError, struct.error):
        raise InputError("The ZIP file is damaged or cut off.") from None
    refusal = _refusal(archive, os.stat(reachable(path)).st_size)  # noqa: PTH116
    if refusal:
        archive.close()
        raise refusal
    return archive


def _refusal(archive: zipfile.ZipFile, size: int) -> InputError | None:
    """Return why an archive of ``size`` bytes is not opened, judged by its directory alone."""
    members = archive.infolist()
    total = sum(info.file_size for info in members)
    if any(info.flag_bits & 0x1 for info in members):
        return InputError("The ZIP file is encrypted.", hint="Unpack it with its password and give the folder instead.")
    if len(members) > MOST_MEMBERS or total > LARGEST_ARCHIVE:
        return InputError("The ZIP file holds more than can be handled safely.")
    if total > GROWTH_FROM and total > MOST_GROWTH * size:
        return InputError("The ZIP file would unpack to far more than a study can be, so it is not opened.")
    return None


def _sorted_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files of an archive by name; of one name all, since nobody knows which was meant to stay."""
    members = [info for info in archive.infolist() if not info.is_dir()]
    return sorted(members, key=lambda info: (info.filename, info.header_offset))
