"""Files that must survive a crash, and where they may lie."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

NETWORK_FILE_SYSTEMS: Final = frozenset(
    """
    nfs nfs4 cifs smb smb2 smb3 smbfs smbnetfs ncpfs afs afpfs coda 9p ceph glusterfs lustre beegfs gpfs gfs gfs2 ocfs2 orangefs pvfs2
    acfs davfs webdav sshfs davfs2 rclone s3fs gcsfuse juicefs curlftpfs gvfsd-fuse ceph-fuse vboxsf vmhgfs vmhgfs-fuse prl_fs virtiofs
    """.split()
)
"""Kinds that other machines may write to as well, the shared folders of a virtual machine among them; ``fuse.`` before them left out."""
_DRIVE_REMOTE: Final = 4
_PATIENCE: Final = 10.0


def is_network_share(folder: Path) -> bool:
    """Whether a folder lies on a network share, as far as this system tells.

    SQLite's write-ahead log and file locks do not work there: a crash could lose a case, or two machines send
    one.
    """
    whole = folder.resolve()
    if sys.platform == "win32":
        import ctypes

        if str(whole).startswith("\\\\"):
            return True
        return int(ctypes.windll.kernel32.GetDriveTypeW(f"{whole.drive}\\")) == _DRIVE_REMOTE
    try:
        mounts = _mounts()
    except (OSError, subprocess.SubprocessError):
        return False
    return file_system(mounts, str(whole)).removeprefix("fuse.") in NETWORK_FILE_SYSTEMS


def _mounts() -> str:
    if sys.platform == "darwin":
        told = subprocess.run(["/sbin/mount"], capture_output=True, check=True, timeout=_PATIENCE).stdout
        return of_mount_command(told.decode("utf-8", errors="surrogateescape"))
    return Path("/proc/self/mounts").read_text("utf-8", errors="surrogateescape")


def of_mount_command(told: str) -> str:
    """Return what ``mount`` says on macOS (``//host/share on /Volumes/share (smbfs, nodev)``) in the form of ``/proc/self/mounts``."""
    found = re.findall(r"^.* on (/.*) \(([a-z0-9_]+)[,)]", told, re.MULTILINE)
    return "\n".join("- " + point.replace("\\", "\\134").replace(" ", "\\040") + f" {kind}" for point, kind in found)


def file_system(mounts: str, folder: str) -> str:
    """Return the kind of file system that a folder lies on, by the text of ``/proc/self/mounts``."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # proc(5): space, tab, newline and backslash are written in octal
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[1])
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # a later mount at the same place covers an earlier one
            best, kind = point, fields[2]
    return kind


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk (not needed, nor possible, on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file for its owner alone so that after a crash it is either the old one or the new one.

    Raises
    ------
    OSError
        If the disk is full or fails; the old file is then as it was.
    """
    part = path.with_name(path.name + ".part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
