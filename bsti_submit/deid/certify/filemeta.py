"""The first bytes of our own output: a zero preamble and exactly our own file meta information (PS3.10 7.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct

from bsti_submit.deid.certify.attributes import name_of
from bsti_submit.deid.certify.strict import structure
from bsti_submit.deid.certify.uids import is_ours, is_registered

_HEAD = Struct("<HH2sH").unpack_from
_U32 = Struct("<I").unpack_from
_PREAMBLE = 132
_REQUIRED = (0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012)
_VERSION_NAME = 0x00020013
_VERSION = re.compile(rb"BSTI[A-Z0-9_. -]{0,12} ?")
_VRS = {0x00020000: b"UL", 0x00020001: b"OB", _VERSION_NAME: b"SH"}


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the file meta says."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def check_file_meta(head: bytes) -> tuple[FileMeta, int]:
    """Check preamble and file meta.

    Parameters
    ----------
    head
        The first 4096 bytes or more of a file, or all of it.

    Returns
    -------
    tuple
        What it says, and where the data set begins.

    Raises
    ------
    Doubt
        If a byte is other than it must be.
    """
    if head[:128].count(0) != 128 or head[128:_PREAMBLE] != b"DICM":
        raise structure(kind="preamble")
    values: dict[int, bytes] = {}
    pos = _PREAMBLE
    last = 0
    while len(head) >= pos + 12:
        group, element, vr, length = _HEAD(head, pos)
        tag = group << 16 | element
        if group != 2:
            break
        start = pos + 8
        if vr == b"OB":
            if length:
                raise structure(name_of(tag), "reserved-bytes")
            length = _U32(head, start)[0]
            start += 4
        pos = start + length
        if tag <= last or length & 1 or pos > len(head) or vr != _VRS.get(tag, b"UI"):
            raise structure(name_of(tag), "file-meta")
        values[tag] = head[start:pos]
        last = tag
    expected = (*_REQUIRED, _VERSION_NAME) if _VERSION_NAME in values else _REQUIRED
    if tuple(values) != expected:
        extra = next((tag for tag in values if tag not in expected), 0)
        raise structure(name_of(extra) if extra else "", "file-meta")
    if len(values[0x00020000]) != 4 or _U32(values[0x00020000])[0] != pos - _PREAMBLE - 12:
        raise structure("FileMetaInformationGroupLength", "file-meta")
    if values[0x00020001] != b"\0\1":
        raise structure("FileMetaInformationVersion", "file-meta")
    if _VERSION_NAME in values and not _VERSION.fullmatch(values[_VERSION_NAME]):
        raise structure("ImplementationVersionName", "file-meta")
    uids = {tag: _uid(values[tag]) for tag in (0x00020002, 0x00020003, 0x00020010, 0x00020012)}
    if not is_registered(uids[0x00020002]) or not is_registered(uids[0x00020010]):
        raise structure("TransferSyntaxUID", "foreign-uid")
    if not is_ours(uids[0x00020003]) or not is_ours(uids[0x00020012]):
        raise structure("MediaStorageSOPInstanceUID", "foreign-uid")
    return FileMeta(uids[0x00020002], uids[0x00020003], uids[0x00020010]), pos


def _uid(raw: bytes) -> str:
    text = raw[:-1] if raw.endswith(b"\0") else raw
    return text.decode("latin-1")
