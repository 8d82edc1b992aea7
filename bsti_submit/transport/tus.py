"""One file to a tus 1.0 server in pieces, going on from wherever the server says it is.

The server's offset is the truth at every step: what was sent is not what was stored, an answer may be lost, a
proxy may cap or block. Each piece is a fresh body; a body that was begun is never sent again. Which faults
this answers to, and how, is listed in ``docs/delivery.md``.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bsti_submit.errors import HeldError, NotDeliveredError
from bsti_submit.transport.answers import Answer, BusyError, TransientError, is_busy, refusal
from bsti_submit.transport.retry import patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from bsti_submit.transport.http import Connection
    from bsti_submit.transport.interface import Progress

VERSION: Final = {"Tus-Resumable": "1.0.0"}
SMALLEST_CHUNK: Final = 64 << 10
BLOCK: Final = 64 << 10
MOST_UPLOADS: Final = 4
"""How often a new upload is opened for one file in one run, where the server dropped the one before."""
MOST_STEPS_BACK: Final = 20
"""How often the offset may go back before it passes its highest point again."""


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
        Bytes a request; halved where a proxy takes less, or a line breaks again and again.
    checksum
        Whether the server checks a SHA-256 of each piece.
    give_up
        Seconds without any progress after which it is left for later.
    pace
        Called with the bytes of each block before it is sent, to limit the rate.
    before_piece
        Called before each piece, to wait for the hours of sending.
    told
        Called with each fault that is tried again.
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
    before_piece: Callable[[], None] | None = None
    told: Callable[[TransientError], None] | None = None
    _override: bool = field(default=False, init=False)

    def run(self, resume: str, progress: Progress, keep: Callable[[str], None]) -> str:
        """Upload the file to its last byte.

        Parameters
        ----------
        resume
            The address of an earlier upload, or "".
        keep
            Called with the address as soon as there is one, and with "" once that is gone.

        Returns
        -------
        str
            The address of the upload.

        Raises
        ------
        NotDeliveredError
            If nothing moved for ``give_up`` seconds.
        RefusedError
            If the server will not take the file.
        """
        url = resume if resume and self.connection.is_here(resume) else ""
        for _ in range(MOST_UPLOADS):
            if not url:
                url = patiently(self._open, self.give_up, self.told)
                keep(url)
            try:
                self._send(url, progress)
            except _StartAgain:
                keep("")
                url = ""
                continue
            return url
        raise NotDeliveredError("The registry dropped the upload again and again.", hint=_LATER)

    def end(self, url: str) -> None:
        """Give an upload up, so that the server can drop its bytes (tus extension "termination")."""
        answer = self.connection.request("DELETE", url, headers=VERSION)
        if not answer.is_done and answer.status not in {404, 410}:
            raise refusal(answer)

    def _open(self) -> str:
        metadata = ",".join(
            f"{name} {base64.b64encode(value.encode()).decode('ascii')}" for name, value in self.metadata.items()
        )
        headers = {
            **VERSION,
            "Upload-Length": str(self.size),
            "Upload-Metadata": metadata,
            "Content-Length": "0",
        }
        answer = self.connection.request("POST", self.create, headers=headers)
        location = answer.headers.get("location", "")
        if answer.status != 201 or not location:
            raise refusal(answer)
        # A server behind another that speaks TLS may not know of it. The request goes to the same host, by TLS.
        if location.startswith("http://"):
            location = "https://" + location.removeprefix("http://")
        return self.connection.address(location, near=self.create)

    def _send(self, url: str, progress: Progress) -> None:
        offset = patiently(lambda: self._offset(url), self.give_up, self.told)
        progress(offset, self.size)
        highest, back = offset, 0
        while offset < self.size:
            if self.before_piece is not None:
                self.before_piece()
            offset = self._onward(url, offset, progress)
            progress(offset, self.size)
            if offset > highest:
                highest, back = offset, 0
            else:
                back += 1
            if back > MOST_STEPS_BACK:
                raise NotDeliveredError("The upload goes back again and again.", hint=_LATER)

    def _onward(self, url: str, known: int, progress: Progress) -> int:
        """Send until the offset moves. After a lost connection, ask for the offset before sending."""
        lost = busy = False
        broken = 0

        def attempt() -> int:
            nonlocal lost, busy, broken
            if lost:
                found = self._offset(url)
                lost = False
                if found != known:
                    return found
            if busy:
                self._knock(url, known)
            try:
                moved = self._piece(url, known, progress)
            except TransientError as fault:
                lost = True
                busy = isinstance(fault, BusyError)
                broken += fault.wait is None
                if broken and broken % 2 == 0:
                    self._halve()  # a line that breaks again and again may carry less at a time
                raise
            if moved == known:
                lost = True
                raise TransientError("The registry stored nothing of what was sent.", hint=_LATER)
            return moved

        return patiently(attempt, self.give_up, self.told)

    def _knock(self, url: str, offset: int) -> None:
        """Send a piece of no bytes after a "busy", so that no whole piece is sent to be turned away again.

        Raises
        ------
        TransientError
            If it is still busy. Whatever else it says is left to the piece to find out.
        """
        answer = self.connection.request(
            "POST" if self._override else "PATCH", url, headers=self._piece_headers(offset, 0) | {"Content-Length": "0"}
        )
        if is_busy(answer):
            raise refusal(answer)

    def _halve(self) -> None:
        self.chunk = max(self.chunk // 2, SMALLEST_CHUNK)

    def _offset(self, url: str) -> int:
        answer = self.connection.request("HEAD", url, headers=VERSION)
        offset, length = answer.number("upload-offset"), answer.number("upload-length")
        if answer.status in {404, 410}:
            raise _StartAgain
        if not answer.is_done or offset is None:
            raise refusal(answer) if not answer.is_done else _no_tus()
        if offset > self.size or (length is not None and length != self.size):
            raise _StartAgain  # an upload of something else
        return offset

    def _piece(self, url: str, offset: int, progress: Progress) -> int:
        """Send one piece and return the server's new offset."""
        length = min(self.chunk, self.size - offset)
        answer = self.connection.request(
            "POST" if self._override else "PATCH",
            url,
            headers=self._piece_headers(offset, length),
            body=lambda: self._blocks(offset, length, progress),
            length=length,
        )
        moved = answer.number("upload-offset")
        if answer.is_done and moved is not None and moved <= self.size:
            return moved
        if not answer.is_done:
            return self._unwelcome(answer, url)
        found = self._offset(
            url
        )  # it says yes and nothing that can be: a proxy may have stripped it, or have made it up
        if found == offset:
            raise _no_tus()
        return found

    def _piece_headers(self, offset: int, length: int) -> dict[str, str]:
        headers = {
            **VERSION,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        if self.checksum:
            digest = base64.b64encode(self._sha256(offset, length)).decode("ascii")
            headers["Upload-Checksum"] = f"sha256 {digest}"
        if self._override:
            headers["X-HTTP-Method-Override"] = "PATCH"
        return headers

    def _unwelcome(self, answer: Answer, url: str) -> int:
        match answer.status:
            case 404 | 410:
                raise _StartAgain
            case 409 if answer.problem in {"", "offset-conflict"}:
                return self._offset(url)
            case 413 if self.chunk > SMALLEST_CHUNK:
                self._halve()
                raise TransientError("Something between here and the registry takes smaller pieces only.", wait=0.0)
            case 413 if not answer.problem:
                raise NotDeliveredError(
                    "Something between here and the registry takes no piece of 64 kB.",
                    hint=f"Ask IT. {_LATER}",
                )
            case 405 | 501 if not self._override:
                raise self._other_method()
            case 403 if not answer.problem and not self._override:  # a filter that knows only GET and POST
                raise self._other_method()
            case 460:
                raise TransientError("A piece was damaged on the way.")
            case 422 if answer.problem == "digest-mismatch":
                raise _StartAgain
            case _:
                raise refusal(answer)

    def _other_method(self) -> TransientError:
        self._override = True
        return TransientError("Something between here and the registry blocks PATCH.", wait=0.0)

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
                        raise HeldError("The package in the outbox is shorter than it was, so it is not sent.")
                    length -= len(block)
                    yield block
        except OSError:
            raise NotDeliveredError("The package in the outbox cannot be read.", hint=_LATER) from None


_LATER: Final = "The case is safe in the outbox; bsti-submit outbox send tries again."


def _no_tus() -> NotDeliveredError:
    return NotDeliveredError(
        "An answer came that is not the registry's: it says nothing of the upload.",
        hint=f"A proxy or filter may stand between: ask IT. {_LATER}",
    )
