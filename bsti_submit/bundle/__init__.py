"""Certified instances and two records → one sealed case package, and back to its members for checking."""

from __future__ import annotations

from bsti_submit.bundle.reader import PackageReader, file_sha256
from bsti_submit.bundle.writer import Package, PackageWriter
from bsti_submit.bundle.zipform import (
    BAGIT,
    CASE_RECORD,
    CLINICAL_RECORD,
    LARGEST_RECORD,
    MANIFEST,
    MEDIA_TYPE,
    MOST_MEMBERS,
)

__all__ = [
    "BAGIT",
    "CASE_RECORD",
    "CLINICAL_RECORD",
    "LARGEST_RECORD",
    "MANIFEST",
    "MEDIA_TYPE",
    "MOST_MEMBERS",
    "Package",
    "PackageReader",
    "PackageWriter",
    "file_sha256",
]
