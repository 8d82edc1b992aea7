"""The national patterns as the final check uses them: by kind, start and end."""

from __future__ import annotations

from bsti_submit.identifiers import Strength, find_identifiers


def uk_patterns(text: str, /) -> list[tuple[str, int, int]]:
    """Return what looks like an identifier of the United Kingdom in a text that was cleaned."""
    found = find_identifiers(text, strength=Strength.DESCRIPTOR)
    return [(hit.kind.value, hit.start, hit.end) for hit in found]
