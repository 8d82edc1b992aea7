"""A DICOMDIR as the list of files it names (PS3.3 annex F, PS3.10 section 8)."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom import dcmread

if TYPE_CHECKING:
    from bsti_submit.model import Buffer


def listed_files(data: Buffer) -> list[list[str]]:
    """Return the components of each referenced file's path; none if the directory cannot be read.

    A component that would lead out of the folder is left as it is: it is only ever compared, never opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            records = dcmread(BytesIO(data), specific_tags=["DirectoryRecordSequence"])
            listed = []
            for record in records.get("DirectoryRecordSequence", []):
                value = record.get("ReferencedFileID")
                if value:
                    parts = [value] if isinstance(value, str) else list(value)
                    if not any(part in {"", ".", ".."} or "/" in part or "\\" in part for part in parts):
                        listed.append([str(part) for part in parts])
    except Exception:  # noqa: BLE001 - any fault in it only means that nothing can be checked against it
        return []
    return listed
