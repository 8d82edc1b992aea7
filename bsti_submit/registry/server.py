"""A data folder served over TLS until it is told to stop."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
from filelock import FileLock, Timeout

from bsti_submit.errors import SettingsError
from bsti_submit.registry.app import Registry
from bsti_submit.registry.folder import Folder
from bsti_submit.registry.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bsti_submit.registry.settings import Settings

_GRACE_SECONDS = 10
_HEADER_BYTES = 32 << 10


@dataclass(frozen=True, slots=True)
class Serving:
    """What a client needs to know: the address and the certificate authority's file."""

    url: str
    ca_bundle: Path
    data: Path


def run(
    data_dir: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[Serving], None] = lambda _serving: None,
    settings: Settings | None = None,
) -> None:
    """Serve a data folder until SIGINT or SIGTERM; make it first if it is new.

    Parameters
    ----------
    data_dir
        Holds everything: database, packages, certificate authority, signing key, logs. Owner-only.
    host, port
        Where to listen; port 0 takes a free one.
    on_ready
        Called once connections are accepted.
    settings
        Limits and rates.

    Raises
    ------
    SettingsError
        If another process serves this folder, or the address cannot be had.
    """
    folder = Folder(data_dir.resolve()).create()
    with _only_one(folder):
        authority = Authority(folder, () if host in {"", "0.0.0.0", "::"} else (host,))  # noqa: S104 - compared
        authority.ensure()
        context = authority.context()

        def renew() -> None:
            if authority.ensure():
                authority.load(context)

        registry = Registry(folder, settings, renew)
        try:
            listener = _listen(host, port)
            address = f"https://{_authority_of(host, listener.getsockname()[1])}"
            serving = Serving(address, authority.ca_file, folder.root)
            config = uvicorn.Config(
                registry.app(),
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=_HEADER_BYTES,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
            config.load()
            config.ssl = context
            with _quiet_signals():
                _Server(config, lambda: on_ready(serving)).run(sockets=[listener])
        finally:
            registry.close()


class _Server(uvicorn.Server):
    """uvicorn that says when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests finish; cut connections that are idle, whose peers may never answer a TLS goodbye."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            transport = getattr(connection, "transport", None)
            if transport is not None and (cycle is None or cycle.response_complete):
                transport.abort()
        await super().shutdown(sockets)


@contextlib.contextmanager
def _only_one(folder: Folder) -> Iterator[None]:
    lock = FileLock(folder.lock, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SettingsError(
            "Another registry already serves this data folder.",
            hint="Stop it first, or choose another folder.",
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """Let uvicorn end on a signal without raising it again afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [signal.SIGINT, signal.SIGTERM]
    before = [signal.signal(number, lambda *_: None) for number in caught]
    try:
        yield
    finally:
        for number, handler in zip(caught, before, strict=True):
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, as asyncio turns off Nagle's algorithm only then; with it every small answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except (OSError, OverflowError):
        listener.close()
        raise SettingsError("The registry cannot listen at that address and port.") from None
    listener.setblocking(False)
    return listener


def _authority_of(host: str, port: int) -> str:
    """Return host and port as a URL has them; a wildcard is reached as localhost."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{host}:{port}"
    if address.is_unspecified:
        return f"localhost:{port}"
    return f"[{host}]:{port}" if address.version == 6 else f"{host}:{port}"
