"""Kill -9 at the nth step: a `sitecustomize` on PYTHONPATH that counts what a process makes durable or sends.

The program itself knows nothing of it. A step is counted before and after each commit of a database, each flush of a
file, each rename and removal, before each write to the network and after each read from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HOOK = """
import os, signal, sqlite3, ssl, sys

AT, LOG, PROGRAM = {at!r}, {log!r}, {program!r}
count = 0


def step(what):
    global count
    count += 1
    if not AT:
        descriptor = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, (what + "\\n").encode())
        os.close(descriptor)
    elif count == AT:
        os.kill(os.getpid(), signal.SIGKILL)


def around(owner, name, before=True, after=True):
    real = getattr(owner, name)

    def wrapped(*arguments, **named):
        if before:
            step("before " + name)
        found = real(*arguments, **named)
        if after:
            step("after " + name)
        return found

    setattr(owner, name, wrapped)


class Connection(sqlite3.Connection):
    def execute(self, statement, *values):
        durable = statement.strip().upper().startswith("COMMIT")
        if durable:
            step("before commit")
        found = super().execute(statement, *values)
        if durable:
            step("after commit")
        return found


if PROGRAM in sys.orig_argv:
    for name in ("fsync", "replace", "unlink"):
        around(os, name)
    real_connect = sqlite3.connect
    sqlite3.connect = lambda *arguments, **named: real_connect(*arguments, **{{"factory": Connection, **named}})
    around(ssl.SSLSocket, "send", after=False)
    around(ssl.SSLSocket, "recv", before=False)
"""


def kill_at(folder: Path, at: int, program: str) -> dict[str, str]:
    """Return the environment in which ``program`` is killed at its nth step; 0 only counts them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_HOOK.format(at=at, log=str(folder / "steps"), program=program), "utf-8")
    return {"PYTHONPATH": str(folder)}


def steps(folder: Path) -> list[str]:
    """Return what was counted."""
    return (folder / "steps").read_text("utf-8").splitlines()
