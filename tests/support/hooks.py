"""What a test does inside a real process of the command line: it writes a sitecustomize.py that Python reads first.

The program has no switch for tests; `PYTHONPATH` belongs to whoever starts it.
"""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOUD = """
import logging, warnings
logging.basicConfig(level=logging.DEBUG)
warnings.simplefilter("always")
"""
"""Every library says all it has to say."""

OFFLINE = """
import sys
sys.modules["requests"] = None
def _refuse(event, arguments):
    if event.startswith("socket."):
        with open({tale!r}, "a") as tale:
            tale.write(event + "\\n")
        raise OSError("sockets are disabled")
sys.addaudithook(_refuse)
"""
"""No socket of any kind can be made, and whoever tried is written down, even if the refusal was swallowed.

`requests` is no dependency of ours, but pydicom imports it where it is there, and that makes a socket of its own.
"""


def python_path(folder: Path, *bodies: str) -> str:
    """Write the bodies to a sitecustomize.py, and return the PYTHONPATH that has it read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text("".join(dedent(body) for body in bodies), "utf-8")
    return str(folder)
