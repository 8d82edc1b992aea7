"""One file to a tus 1.0 server in pieces, going on from wherever the server says it is.

The server's offset is the truth at every step: what was sent is not what was stored, an answer may be lost, a proxy may cap
or block. Each piece is a fresh body; a body that was begun is never sent again.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bsti_submit.errors import NotDeliveredError, RefusedError
from bsti_submit.transport.http import Answer, TransientError, refusal
from bsti_submit.transport.retry import patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from bsti_submit.transport.http import Connection
    from bsti_submit.transport.interface import Progress

VERSION: Final = {"Tus-Resumable": "1.0.0"}
SMALLEST_CHUNK: Final = 64 << 10
BLOCK: Final = 64 << 10
LARGEST_FREE_ATTEMPTS: Final = 5


class _StartAgain(Exception):  # noqa: N818 - the upload is gone; a new one is opened
    pass


@dataclass(slots=True)
class Upload:
    """One upload of one file.

    Parameters
    ----------
    create
        Where uploads are opened, such as ``/v1/uploads``.
    metadata
        Sent at creation, in base64.
    chunk
        Bytes a request; halved where a proxy takes less.
    checksum
        Whether the server checks a SHA-256 of each piece.
    give_up
        Seconds without any progress after which it is left for later.
    pace
        Called with the bytes of each block before it is sent, to limit the rate.
    """

    connection: Connection
    create: str
    path: Path
    size: int
    metadata: Mapping[str, str]
    chunk: int = 8 << 20
    checksum: bool = False
    give_up: float = 300.0
    pace: Callable[[int], None] | None = None
    _override: bool = field(default=False, init=False)

    def run(self, resume: str, progress: Progress, keep: Callable[[str], None]) -> None:
        """Upload the file to its last byte.

        Parameters
        ----------
        resume
            The address of an earlier upload, or "".
        keep
            Called with the address as soon as there is one.

        Raises
        ------
        NotDeliveredError
            If nothing moved for ``give_up`` seconds.
        RefusedError
            If the server will not take the file.
        """
        url = resume
        for _ in range(LARGEST_FREE_ATTEMPTS):
            if not url:
                url = patiently(self._open, self.give_up)
                keep(url)
            try:
                self._send(url, progress)
            except _StartAgain:
                keep("")
                url = ""
                continue
            return
        raise NotDeliveredError("The registry dropped the upload again and again.", hint=_LATER)

    def _open(self) -> str:
        metadata = ",".join(
            f"{name} {base64.b64encode(value.encode()).decode('ascii')}" for name, value in self.metadata.items()
        )
        answer = self.connection.request(
            "POST",
            self.create,
            headers={**VERSION, "Upload-Length": str(self.size), "Upload-Metadata": metadata, "Content-Length": "0"},
        )
        location = answer.headers.get("location", "")
        if answer.status != 201 or not location:  # noqa: PLR2004
            raise refusal(answer)
        return location

    def _send(self, url: str, progress: Progress) -> None:
        offset = patiently(lambda: self._offset(url), self.give_up)
        progress(offset, self.size)
        while offset < self.size:
            offset = self._patiently_from(url, offset, progress)
            progress(offset, self.size)

    def _patiently_from(self, url: str, offset: int, progress: Progress) -> int:
        """Send until the offset moves; each loss of a connection asks for the offset anew."""
        known = offset

        def attempt() -> int:
            nonlocal known
            try:
                moved = self._piece(url, known, progress)
            except TransientError as fault:
                # The bytes may have arrived though the answer did not.
                found = self._offset(url)
                if found != known:
                    return found
                raise fault from None
            if moved == known:
                raise TransientError("The registry stored nothing of what was sent.", hint=_LATER)
            return moved

        return patiently(attempt, self.give_up)

    def _offset(self, url: str) -> int:
        answer = self.connection.request("HEAD", url, headers=VERSION)
        offset = answer.number("upload-offset")
        if answer.status in {404, 410}:
            raise _StartAgain
        if answer.status not in {200, 204} or offset is None or offset > self.size:
            raise refusal(answer)
        return offset

    def _piece(self, url: str, offset: int, progress: Progress) -> int:
        """Send one piece and return the server's new offset."""
        length = min(self.chunk, self.size - offset)
        headers = {
            **VERSION,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        if self.checksum:
            headers["Upload-Checksum"] = f"sha256 {base64.b64encode(self._sha256(offset, length)).decode('ascii')}"
        if self._override:
            headers["X-HTTP-Method-Override"] = "PATCH"
        answer = self.connection.request(
            "POST" if self._override else "PATCH",
            url,
            headers=headers,
            body=lambda: self._blocks(offset, length, progress),
            length=length,
        )
        moved = answer.number("upload-offset")
        if answer.status in {200, 204} and moved is not None and moved <= self.size:
            return moved
        return self._unwelcome(answer, url)

    def _unwelcome(self, answer: Answer, url: str) -> int:
        match answer.status:
            case 404 | 410:
                raise _StartAgain
            case 409 if answer.problem in {"", "offset-conflict"}:
                return self._offset(url)
            case 413 if self.chunk > SMALLEST_CHUNK:
                self.chunk = max(self.chunk // 2, SMALLEST_CHUNK)
                raise TransientError("Something between here and the registry takes smaller pieces only.", wait=0.0)
            case 405 | 501 if not self._override:
                self._override = True
                raise TransientError("Something between here and the registry blocks PATCH.", wait=0.0)
            case 460:
                raise TransientError("A piece was damaged on the way.", wait=0.0)
            case _:
                raise refusal(answer)

    def _sha256(self, offset: int, length: int) -> bytes:
        digest = hashlib.sha256()
        for block in self._read(offset, length):
            digest.update(block)
        return digest.digest()

    def _blocks(self, offset: int, length: int, progress: Progress) -> Iterator[bytes]:
        sent = 0
        for block in self._read(offset, length):
            if self.pace is not None:
                self.pace(len(block))
            yield block
            sent += len(block)
            progress(offset + sent, self.size)

    def _read(self, offset: int, length: int) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as stream:
                stream.seek(offset)
                while length:
                    block = stream.read(min(BLOCK, length))
                    if not block:
                        raise RefusedError("The package in the outbox is shorter than it was.", hint=_LATER)
                    length -= len(block)
                    yield block
        except OSError:
            raise NotDeliveredError("The package in the outbox cannot be read.", hint=_LATER) from None


_LATER: Final = "The case is safe in the outbox; bsti-submit outbox send tries again."
