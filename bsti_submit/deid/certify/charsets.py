"""Specific Character Set (0008,0005) → text: the final check's own decoder (PS3.3 C.12.1.1.2, PS3.5 6.1)."""

from __future__ import annotations

import re

_SINGLE: dict[str, str] = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 203": "iso8859-15",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "tis-620",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_EXTENDED: dict[str, str] = {
    **{f"ISO 2022 IR {name[7:]}": codec for name, codec in _SINGLE.items() if name.startswith("ISO_IR ")},
    "ISO 2022 IR 87": "ascii",
    "ISO 2022 IR 159": "ascii",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 58": "gb2312",
}
CODECS: dict[str, str] = _SINGLE | _EXTENDED
"""Defined term → Python codec of its initial state."""

# Escape sequence → (codec, the escape to put before the bytes for codecs that are stateful).
_ESCAPES: dict[bytes, tuple[str, bytes]] = {
    b"\x1b(B": ("ascii", b""),
    b"\x1b(J": ("shift_jis", b""),
    b"\x1b)I": ("shift_jis", b""),
    b"\x1b-A": ("latin-1", b""),
    b"\x1b-B": ("iso8859-2", b""),
    b"\x1b-C": ("iso8859-3", b""),
    b"\x1b-D": ("iso8859-4", b""),
    b"\x1b-L": ("iso8859-5", b""),
    b"\x1b-G": ("iso8859-6", b""),
    b"\x1b-F": ("iso8859-7", b""),
    b"\x1b-H": ("iso8859-8", b""),
    b"\x1b-M": ("iso8859-9", b""),
    b"\x1b-b": ("iso8859-15", b""),
    b"\x1b-T": ("tis-620", b""),
    b"\x1b$B": ("iso2022_jp", b"\x1b$B"),
    b"\x1b$@": ("iso2022_jp", b"\x1b$@"),
    b"\x1b$(D": ("iso2022_jp_2", b"\x1b$(D"),
    b"\x1b$)C": ("euc_kr", b""),
    b"\x1b$)A": ("gb2312", b""),
}
_SPLIT = re.compile(b"(" + b"|".join(re.escape(escape) for escape in _ESCAPES) + b")")


def codec_of(declared: bytes) -> str | None:
    """Return the codec of the initial state of a declared character set, or None if a term is unknown.

    Parameters
    ----------
    declared
        The raw value of (0008,0005), possibly of several terms.
    """
    terms = [part.strip(b" \0").decode("latin-1") for part in declared.split(b"\\")]
    if any(term not in CODECS for term in terms):
        return None
    return CODECS[terms[0]]


def _strict(raw: bytes, codec: str) -> str | None:
    try:
        return raw.decode(codec)
    except (UnicodeDecodeError, LookupError):
        return None


def _escaped(raw: bytes, codec: str) -> str:
    text = ""
    prefix = b""
    for part in _SPLIT.split(raw):
        if part in _ESCAPES:
            codec, prefix = _ESCAPES[part]
        elif part:
            text += (prefix + part).decode(codec, "replace")
    return text


def decodings(raw: bytes, codec: str) -> tuple[str, ...]:
    """Return every reading of a text value that makes sense: as declared, and as what is often there instead.

    A name left in another encoding than the declared one must be seen too. The first reading is the declared one.
    """
    if raw.isascii() and b"\x1b" not in raw and b"\0" not in raw:
        return (raw.decode("ascii"),)
    found = [_escaped(raw, codec) if b"\x1b" in raw else raw.decode(codec, "replace")]
    for other in ("utf-8", "latin-1", "cp1252", "gb18030", "shift_jis", "euc_kr", "iso8859-5", "iso8859-2"):
        text = _strict(raw, other)
        if text is not None:
            found.append(text)
    if b"\0" in raw:
        even = raw[: len(raw) & ~1]
        found += [even.decode("utf-16-le", "replace"), even.decode("utf-16-be", "replace")]
        found.append(raw.replace(b"\0", b"").decode("latin-1"))
    return tuple(dict.fromkeys(found))
