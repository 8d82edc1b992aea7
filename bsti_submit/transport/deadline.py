"""How long an answer may take as a whole: a timeout for each read begins anew with every byte that drips in."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


class Deadline:
    """Ends the connection under an answer that is not whole in time. Give it to the HTTP client as its ``trace``.

    The time begins once a request is sent, so a slow line up is no fault. What was waiting then fails as a line that broke.

    Parameters
    ----------
    seconds
        From the last byte of a request to the last of its answer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def __call__(self, event: str, about: Mapping[str, Any]) -> None:
        """Follow what the client says of its connection."""
        if event.endswith((".connect_tcp.complete", "start_tls.complete")):
            self._socket = about["return_value"].get_extra_info("socket")
        elif event.endswith(".receive_response_headers.started"):
            self._stop()
            self._timer = threading.Timer(self.seconds, self._end)
            self._timer.daemon = True
            self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                # TLS's own end would take the lock of the thread that waits.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
