"""The bytes of a file that a person saved → text, if it is UTF-8 at all."""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


NOT_UTF8 = "the file is not UTF-8 text (PowerShell's > writes UTF-16). Save it as UTF-8 and try again."


def read_utf8(data: bytes) -> str | None:
    """Return the text without a byte order mark; None if it is not UTF-8.

    UTF-16 without a mark passes for UTF-8 full of NUL characters, which no text has.
    """
    if b"\0" in data:
        return None
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError:
        return None
