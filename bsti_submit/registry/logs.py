"""Access and fault logs: JSON lines for the owner alone, without tokens, upload addresses or values."""

from __future__ import annotations

import json
import logging
import logging.handlers
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from bsti_submit.registry.folder import owner_only

if TYPE_CHECKING:
    from bsti_submit.registry.folder import Folder

_BYTES, _COPIES = 16 << 20, 5
_PACKAGE = Path(__file__).resolve().parents[1]


class _OwnerOnlyHandler(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner may read."""

    def _open(self) -> IO[str]:  # type: ignore[override]
        return cast("IO[str]", open(self.baseFilename, "a", encoding="utf-8", opener=owner_only))


class Logs:
    """The two logs of one registry."""

    def __init__(self, folder: Folder) -> None:
        self._access = _OwnerOnlyHandler(folder.logs / "access.jsonl", maxBytes=_BYTES, backupCount=_COPIES)
        self._faults = _OwnerOnlyHandler(folder.logs / "faults.jsonl", maxBytes=_BYTES, backupCount=_COPIES)

    def access(self, **fields: str | int) -> None:
        """Write one request. The caller gives the route's template, never the address itself."""
        _write(self._access, fields)

    def fault(self, request_id: str, error: BaseException) -> None:
        """Write where a fault of ours arose: its class and our lines. Its message may quote a value."""
        where = [
            f"{Path(frame.filename).stem}:{frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).is_relative_to(_PACKAGE)
        ]
        _write(
            self._faults,
            {"request": request_id, "error": type(error).__name__, "where": " ".join(where[-8:])},
        )

    def close(self) -> None:
        """Close the files."""
        self._access.close()
        self._faults.close()


def _write(handler: logging.Handler, fields: dict[str, str | int]) -> None:
    line = json.dumps(fields, ensure_ascii=True)
    handler.handle(logging.LogRecord("registry", logging.INFO, "", 0, line, None, None))
