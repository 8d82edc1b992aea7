"""The one form of ZIP and of BagIt tag files that a case package has: sizes and digests in, bytes out.

Pure functions, used to write a package and again to check one: a package holds these bytes and those of its
files, and nothing else, so there is no place where anything could hide. Stored, fixed times and modes, ZIP64
(APPNOTE 4.3.9 and 4.5.3) exactly where a number needs it. Python's `zipfile` is not used to write, since its
bytes differ between versions.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MEDIA_TYPE: Final = "application/vnd.bsti.case+zip"
BAGIT: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
BAG_INFO: Final = "bag-info.txt"
BAGIT_FILE: Final = "bagit.txt"
CASE_RECORD: Final = "data/case.json"
CLINICAL_RECORD: Final = "data/clinical.json"
MANIFEST: Final = "manifest-sha256.txt"
TAG_MANIFEST: Final = "tagmanifest-sha256.txt"
LARGEST_RECORD: Final = 4 << 20
MOST_MEMBERS: Final = 100_000

_LIMIT32: Final = 0xFFFFFFFF
_LIMIT16: Final = 0xFFFF
_TIME, _DATE = 0, 1 << 5 | 1  # 1 January 1980, 00:00: the zero of ZIP
_MODE: Final = 0o100644 << 16
_MADE_BY: Final = 3 << 8 | 45  # Unix, whatever the system, so that the mode counts
_FLAGS: Final = 1 << 11 | 1 << 3  # UTF-8 names; CRC and sizes follow the data, so that writing is one pass
_PLAIN, _WIDE = 20, 45


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the ZIP: its whole name, CRC-32, and size and offset in bytes."""

    name: bytes
    crc: int
    size: int
    offset: int


def local_header(name: bytes, size: int) -> bytes:
    """Return what stands before a file of ``size`` bytes (APPNOTE 4.3.7)."""
    wide = size >= _LIMIT32
    extra = struct.pack("<HHQQ", 1, 16, 0, 0) if wide else b""
    sizes = (_LIMIT32, _LIMIT32) if wide else (0, 0)
    version = _WIDE if wide else _PLAIN
    head = struct.pack("<4s5H3L2H", b"PK\3\4", version, _FLAGS, 0, _TIME, _DATE, 0, *sizes, len(name), len(extra))
    return head + name + extra


def descriptor(crc: int, size: int) -> bytes:
    """Return what stands after a file (APPNOTE 4.3.9)."""
    return struct.pack("<4sLQQ" if size >= _LIMIT32 else "<4sLLL", b"PK\7\x08", crc, size, size)


def directory_entry(member: Member) -> bytes:
    """Return a file's entry in the central directory (APPNOTE 4.3.12)."""
    wide = [member.size, member.size] if member.size >= _LIMIT32 else []
    if member.offset >= _LIMIT32:
        wide.append(member.offset)
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size = min(member.size, _LIMIT32)
    head = struct.pack(
        "<4s6H3L5H2L",
        b"PK\1\2",
        _MADE_BY,
        _WIDE if wide else _PLAIN,
        _FLAGS,
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
    return head + member.name + extra


def directory_end(count: int, start: int, length: int) -> bytes:
    """Return what ends a ZIP, by the directory's entries, offset and length (APPNOTE 4.3.14 to 4.3.16)."""
    wide = b""
    if start >= _LIMIT32 or length >= _LIMIT32 or count >= _LIMIT16:
        wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, _MADE_BY, _WIDE, 0, 0, count, count, length, start)
        wide += struct.pack("<4sLQL", b"PK\6\7", 0, start + length, 1)
    few, size, offset = min(count, _LIMIT16), min(length, _LIMIT32), min(start, _LIMIT32)
    return wide + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, few, few, size, offset, 0)


def image_name(series: int, number: int) -> str:
    """Return the name of an instance by the ordinals of its series and of itself in it, from 1."""
    return f"data/images/{series:04d}/{number:06d}.dcm"


def manifest(digests: Mapping[str, str]) -> bytes:
    """Return a BagIt manifest (RFC 8493, 2.1.3) of name → SHA-256 in hexadecimal."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def tag_files(case_id: str, payload_sizes: Sequence[int], payload_manifest: bytes) -> dict[str, bytes]:
    """Return the bag's own files (RFC 8493, 2.1.1, 2.2) in the order in which they are written."""
    info = f"External-Identifier: {case_id}\nPayload-Oxum: {sum(payload_sizes)}.{len(payload_sizes)}\n"
    files = {BAG_INFO: info.encode(), BAGIT_FILE: BAGIT, MANIFEST: payload_manifest}
    return {**files, TAG_MANIFEST: manifest({name: sha256(data) for name, data in files.items()})}


def end_of(members: Iterable[Member], start: int) -> bytes:
    """Return the whole end of a ZIP: directory and what closes it."""
    entries = [directory_entry(member) for member in members]
    directory = b"".join(entries)
    return directory + directory_end(len(entries), start, len(directory))


def sha256(data: bytes) -> str:
    """Return a SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
