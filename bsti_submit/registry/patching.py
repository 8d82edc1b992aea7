"""The body of a PATCH onto disk: bounded memory, durable before it counts, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from typing import IO, TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from bsti_submit.registry.folder import owner_only, sync_folder
from bsti_submit.registry.problems import Problem

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from starlette.types import Message, Receive

    from bsti_submit.registry.uploads import Holder, Uploads

_BATCH = 1 << 20


class BrokenConnectionError(Exception):
    """The sender went away; there is nobody to answer."""


class Patch:
    """One PATCH that holds the upload's lock.

    Parameters
    ----------
    uploads
        Where offsets are kept.
    row
        The upload, read under the lock.
    holder
        Ours; it says when another request waits.
    checksum
        Algorithm and digest that the sender gave: then the chunk counts whole or not at all.
    """

    def __init__(self, uploads: Uploads, row: sqlite3.Row, holder: Holder, checksum: tuple[str, bytes] | None) -> None:
        self._uploads = uploads
        self._settings = uploads.settings
        self._uid: str = row["uid"]
        self._path: Path = uploads.store.folder.package(row["file_id"])
        self._start: int = row["offset"]
        self._room: int = row["length"] - row["offset"]
        self._row = row
        self._holder = holder
        self._checksum = checksum
        self._hash = hashlib.new(checksum[0], usedforsecurity=False) if checksum else None
        self._written = 0
        self._committed = 0

    async def store(self, receive: Receive) -> sqlite3.Row:
        """Store the body and return the upload's row with its new offset.

        Raises
        ------
        Problem
            ``too-large``, ``checksum-mismatch``, ``timeout``, ``storage-full`` or ``upload-expired``.
        BrokenConnectionError
            If the sender went away; what arrived counts, unless a checksum was given.
        """
        try:
            file = await run_in_threadpool(self._open)
        except OSError:
            raise Problem("storage-full", headers={"Retry-After": "300"}) from None
        try:
            try:
                await self._receive(receive, file)
                await run_in_threadpool(self._finish, file)
            except (BrokenConnectionError, asyncio.CancelledError):
                self._keep_what_came(file)
                raise
            except OSError:
                raise Problem("storage-full", headers={"Retry-After": "300"}) from None
            except Problem as problem:
                if problem.kind == "timeout":
                    await run_in_threadpool(self._keep_what_came, file)
                raise
        finally:
            file.close()
        return self._row

    def _open(self) -> IO[bytes]:
        created = not self._path.exists()
        file = open(  # noqa: SIM115 - pathlib knows no opener; closed by `store`
            self._path, "w+b" if created else "r+b", buffering=0, opener=owner_only
        )
        if created:
            sync_folder(self._path.parent)
        # What a crash left beyond the offset never counted.
        file.truncate(self._start)
        file.seek(self._start)
        return file

    async def _receive(self, receive: Receive, file: IO[bytes]) -> None:
        batch = bytearray()
        more = True
        while more:
            message = await self._next(receive)
            if message["type"] == "http.disconnect":
                await run_in_threadpool(self._write, file, bytes(batch))
                raise BrokenConnectionError
            batch += message.get("body", b"")
            more = message.get("more_body", False)
            arrived = self._written + len(batch)
            if arrived > self._room:
                raise Problem("too-large", "More bytes came than Upload-Length promised.")
            if arrived > self._settings.chunk_max:
                raise Problem("too-large", "The chunk is larger than this registry takes.")
            if len(batch) >= _BATCH:
                await run_in_threadpool(self._write, file, bytes(batch))
                batch.clear()
        await run_in_threadpool(self._write, file, bytes(batch))

    async def _next(self, receive: Receive) -> Message:
        waited = 0.0
        step = min(self._settings.takeover_seconds, self._settings.idle_seconds)
        while True:
            try:
                return await asyncio.wait_for(receive(), step)
            except TimeoutError:
                waited += step
                # A stalled writer gives way to one that comes anew: its connection is most likely dead.
                if self._holder.wanted or waited >= self._settings.idle_seconds:
                    raise Problem("timeout") from None

    def _write(self, file: IO[bytes], data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = file.write(view)
            view = view[count:]
        self._written += len(data)
        if self._hash is not None:
            self._hash.update(data)
        elif self._written - self._committed >= self._settings.fsync_bytes:
            self._commit(file)

    def _commit(self, file: IO[bytes]) -> None:
        os.fsync(file.fileno())
        self._row = self._uploads.advance(self._uid, self._start + self._written)
        self._committed = self._written

    def _finish(self, file: IO[bytes]) -> None:
        if self._checksum and self._hash and not hmac.compare_digest(self._hash.digest(), self._checksum[1]):
            raise Problem("checksum-mismatch")
        self._commit(file)

    def _keep_what_came(self, file: IO[bytes]) -> None:
        if self._hash is None and self._written > self._committed:
            self._commit(file)
