"""A payload's chunks → bytes in order, with size and SHA-256 taken on the way."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bsti_submit.model import Buffer

BLOCK = 1 << 20
"""Pixel data are looked at in blocks of at most this many bytes, unless a chunk is larger already."""


class Exhausted(Exception):  # noqa: N818 - a signal, not an error
    """The payload ends before what was asked for."""


class Feed:
    """Read a payload once, front to back, copying no more than is asked for.

    Every byte is hashed as it arrives, so that size and digest are those of the bytes that were looked at.
    """

    def __init__(self, chunks: Iterator[Buffer]) -> None:
        self._chunks = chunks
        self._views: deque[memoryview] = deque()
        self._have = 0
        self._digest = hashlib.sha256()
        self.size = 0

    def _fill(self, length: int) -> bool:
        while self._have < length:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            view = memoryview(chunk).cast("B")
            if view.nbytes:
                self._digest.update(view)
                self.size += view.nbytes
                self._have += view.nbytes
                self._views.append(view)
        return True

    def peek(self, length: int) -> bytes:
        """Return the next bytes without consuming them: `length` of them, or fewer at the end of the payload."""
        self._fill(length)
        parts: list[memoryview] = []
        left = length
        for view in self._views:
            parts.append(view[:left])
            left -= parts[-1].nbytes
            if not left:
                break
        return b"".join(parts)

    def take(self, length: int) -> memoryview:
        """Consume and return exactly `length` bytes, without copying if one chunk holds them.

        Raises
        ------
        Exhausted
            If the payload ends before.
        """
        if not self._fill(length):
            raise Exhausted
        if not length:
            return memoryview(b"")
        views = self._views
        self._have -= length
        if views[0].nbytes > length:
            taken = views[0][:length]
            views[0] = views[0][length:]
            return taken
        if views[0].nbytes == length:
            return views.popleft()
        parts = []
        while length:
            view = views.popleft()
            if view.nbytes > length:
                views.appendleft(view[length:])
                view = view[:length]
            parts.append(view)
            length -= view.nbytes
        return memoryview(b"".join(parts))

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self._fill(1)

    def blocks(self, length: int, unit: int) -> Iterator[memoryview]:
        """Consume `length` bytes in blocks whose lengths are multiples of `unit`, without copying large chunks.

        Raises
        ------
        Exhausted
            If the payload ends before.
        """
        left = length
        while left:
            self._fill(1)
            here = min(left, self._views[0].nbytes) if self._views else 0
            size = here - here % unit or min(left, BLOCK)
            yield self.take(size)
            left -= size

    def drain(self) -> None:
        """Consume everything that is left, for its size and digest alone."""
        while not self.at_end:
            self.take(self._have)

    def sha256(self) -> str:
        """Return the digest of all bytes that have arrived, in hexadecimal."""
        return self._digest.hexdigest()
