"""How the header says that its pixel bytes are read (PS3.3 C.7.6.3)."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from bsti_submit.deid.staged import PixelLayout

if TYPE_CHECKING:
    from collections.abc import Mapping


def layout_of(top: Mapping[int, object]) -> PixelLayout:
    """Return the layout; 0 and "" for what the header does not state as it should."""

    def number(tag: int, default: int = 0) -> int:
        value = top.get(tag)
        if isinstance(value, memoryview) and len(value) == 2:
            return int(value[0]) | int(value[1]) << 8
        return default

    frame_count = 1
    value = top.get(0x00280008)
    if isinstance(value, memoryview) and len(value):
        frame_count = 0
        with suppress(ValueError):
            frame_count = int(bytes(value[:16]).strip(b" \0") or b"1")
    photometric = text_of(top.get(0x00280004)).upper()
    return PixelLayout(
        rows=number(0x00280010),
        columns=number(0x00280011),
        samples=number(0x00280002, 1),
        frames=frame_count,
        bits_allocated=number(0x00280100),
        bits_stored=number(0x00280101),
        high_bit=number(0x00280102),
        signed=number(0x00280103) == 1,
        planar=number(0x00280006),
        photometric=photometric,
    )


def text_of(value: object) -> str:
    """Return a short value as text, "" for a sequence or nothing."""
    if not isinstance(value, memoryview):
        return ""
    return bytes(value[:256]).strip(b" \0").decode("ascii", "replace")


def code_of(value: object) -> str:
    """Return the one Modality that a value states, "" if it states none, several or no such thing."""
    stated = {part.strip(" \0") for part in text_of(value).upper().split("\\")} - {""}
    text = stated.pop() if len(stated) == 1 else ""
    return text if re.fullmatch(r"[A-Z0-9_ ]{2,16}", text) else ""
