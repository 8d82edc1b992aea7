"""Looks into an output for what was planted, and for what should have stayed."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from bsti_submit.sample.probes.people import bare, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from bsti_submit.sample.probes import Probe

_DISTINCT = 6
"""From here on a secret is looked for inside longer words and in every byte."""
_PSEUDONYMOUS = frozenset({0x00100010, 0x00100020})
_NO_TEXT = frozenset("OB OD OF OL OV OW UN SQ UI".split())


class Traces:
    """One output, read once."""

    def __init__(self, output: bytes) -> None:
        from pydicom import dcmread

        self._raw = output.lower()
        self._dataset = dcmread(io.BytesIO(output))
        self._values = [(bare(text), _words(text)) for text in _texts(self._dataset)]

    def has(self, secret: str) -> bool:
        """Whether a secret can be found: as a word, inside a longer one if it is long enough, or in the bytes."""
        wanted = bare(secret)
        if any(wanted in words or (len(wanted) >= _DISTINCT and wanted in whole) for whole, words in self._values):
            return True
        if len(wanted) < _DISTINCT:
            return False
        spellings = {secret.lower(), plain(secret).lower(), wanted}
        encoded = {each.encode(code, "ignore") for each in spellings for code in ("utf-8", "latin-1", "utf-16-le")}
        encoded |= {bytes.fromhex(wanted)} if re.fullmatch("(?:[0-9a-f]{2}){16}", wanted) else set()
        return any(len(each) >= _DISTINCT and each in self._raw for each in encoded)

    def lost(self, probe: Probe) -> Iterator[str]:
        """Yield the kind of each thing that did not stay."""
        for kind, keyword, value in probe.kept:
            if not _same(self._dataset.get(keyword), value):
                yield kind
        found = self._dataset.get(probe.where) if probe.useful else None
        words = _words(str(found)) if found is not None else frozenset()
        if found is not None:
            yield from ("words beside an identifier" for word in probe.useful if word not in words)


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR not in _NO_TEXT and element.tag not in _PSEUDONYMOUS:
            values = element.value if hasattr(element.value, "__iter__") else [element.value]
            yield from [str(element.value)] if isinstance(element.value, str) else map(str, values)


def _words(text: str) -> frozenset[str]:
    return frozenset(bare(word) for word in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text)) | frozenset(
        bare(word) for word in re.findall(r"[^\W_]+", text)
    )


def _same(found: object, value: object) -> bool:
    if found is None:
        return False
    ours = list(found) if hasattr(found, "__iter__") and not isinstance(found, str) else [found]
    theirs = value if isinstance(value, list) else [value]
    return len(ours) == len(theirs) and all(_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def _equal(one: object, other: object) -> bool:
    if str(one).strip().casefold() == str(other).strip().casefold():
        return True
    try:
        return float(str(one)) == float(str(other))
    except ValueError:
        return False
