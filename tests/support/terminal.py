"""A person at a real pseudo-terminal, and the browser beside it, for tests of the commands as a whole.

with person.starts("case", folder) as terminal:
    terminal.answer("Last three characters", "437")
    page = terminal.opens_page()
    page.clear_all()
    assert terminal.ends() == 0
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pexpect

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 60
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\r\x07]")


class Page:
    """The review page as a browser sees it: the one-time link, the cookie, the pictures, the decisions."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._cookie = ""
        answer, _ = self.ask("GET", urlsplit(url).path)
        assert answer.status == 303, answer.status
        self._cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
        _, page = self.ask("GET", "/")
        found = re.search(r'name="review-token" content="([^"]+)"', page.decode())
        assert found is not None
        self._token = found[1]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=20)
        headers = {"Cookie": self._cookie}
        if body is not None:
            headers["X-Review-Token"] = self._token
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def state(self) -> dict[str, Any]:
        answer, data = self.ask("GET", "/state")
        assert answer.status == 200
        found: dict[str, Any] = json.loads(data)
        return found

    def picture(self, index: int, query: str = "") -> bytes:
        answer, data = self.ask("GET", f"/picture/{index}{query}")
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "image/png"
        assert data.startswith(b"\x89PNG")
        return data

    def decide_all(self, verdict: str) -> int:
        """Look at every picture in full, decide on it, and press done."""
        items = self.state()["items"]
        for item in items:
            for frame in range(item["frames"]):
                self.picture(item["index"], f"?frame={frame}")
            assert self.ask("GET", f"/regions/{item['index']}")[0].status == 200
            answer, data = self.ask("POST", "/decision", {"index": item["index"], "verdict": verdict})
            assert answer.status == 200, data
        self.done()
        return len(items)

    def done(self) -> None:
        answer, _ = self.ask("POST", "/done", {})
        assert answer.status == 200


class Terminal:
    """One command at a pseudo-terminal of 80 columns."""

    def __init__(self, child: pexpect.spawn[str]) -> None:
        self._child = child
        self._heard: list[str] = []
        child.delaybeforesend = None  # a line typed early waits in the terminal, as with a person
        child.logfile_read = self  # what the terminal shows, the echo of what is typed included

    def write(self, text: str) -> None:
        self._heard.append(text)

    def flush(self) -> None:
        """Do nothing: pexpect asks for it."""

    @property
    def shown(self) -> str:
        """All that was on the screen so far, without control sequences."""
        return _CONTROL.sub("", "".join(self._heard))

    @property
    def raw(self) -> str:
        """All that was written to the terminal."""
        return "".join(self._heard)

    def sees(self, text: str) -> None:
        """Wait until a text is shown; a wrapped line counts as one."""
        words = r"\s+".join(re.escape(word) for word in text.split())
        self._child.expect(words)

    def types(self, line: str) -> None:
        self._child.sendline(line)

    def answer(self, question: str, line: str) -> None:
        """Wait for a question and its prompt, which ends in ``>``, and type a line."""
        self.sees(question)
        if ">" not in question:
            self._child.expect_exact("> ")
        self.types(line)

    def answers(self, *turns: tuple[str, str]) -> None:
        for question, line in turns:
            self.answer(question, line)

    def presses(self, control: str) -> None:
        """Press Ctrl and a letter."""
        self._child.sendcontrol(control)

    def opens_page(self) -> Page:
        """Open the link that is shown in a browser."""
        self._child.expect(r"(http://127\.0\.0\.1:\d+/open/[\w-]+)")
        assert self._child.match is not None
        return Page(self._child.match[1])

    def ends(self) -> int:
        """Wait for the end; return the exit code."""
        self._child.expect(pexpect.EOF)
        self._child.close()
        assert self._child.signalstatus is None, self._child.signalstatus
        return int(self._child.exitstatus)


@dataclass
class Desk:
    """Where a person sits: home folder, key, token and registry, as environment variables."""

    home: Path
    environment: dict[str, str] = field(repr=False)

    @contextmanager
    def starts(
        self, *arguments: object, columns: int = 80, seconds: float = _SECONDS, **variables: str
    ) -> Iterator[Terminal]:
        """Type a command of ours."""
        words = [sys.executable, "-m", "bsti_submit", *map(str, arguments)]
        with self.runs(*words, columns=columns, seconds=seconds, **variables) as terminal:
            yield terminal

    @contextmanager
    def runs(
        self, program: str, *arguments: str, columns: int = 80, seconds: float = _SECONDS, **variables: str
    ) -> Iterator[Terminal]:
        """Run any program."""
        child = pexpect.spawn(
            program,
            [*arguments],
            cwd=str(ROOT),
            env={**self.environment, **variables},
            dimensions=(24, columns),
            encoding="utf-8",
            codec_errors="replace",
            timeout=seconds,
        )
        try:
            yield Terminal(child)
        finally:
            child.close(force=True)

    def but(self, **variables: str | None) -> Desk:
        """Return the same desk with other variables; None takes one away."""
        changed = {**self.environment, **{name: value for name, value in variables.items() if value is not None}}
        kept = {name: value for name, value in changed.items() if variables.get(name, "") is not None}
        return Desk(Path(kept["BSTI_HOME"]), kept)


def desk(folder: Path, *, registry: str = "", ca_bundle: Path | None = None, token: str = "") -> Desk:
    """Set up a desk below a folder, with a site key of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BSTI_")}
    for name in ("NO_COLOR", "PYTHONIOENCODING", "COLUMNS", "LINES"):
        environment.pop(name, None)
    environment |= {
        "BSTI_HOME": str(folder / "home"),
        "BSTI_SITE_KEY_FILE": str(_private(folder / "site.key", base64.b64encode(os.urandom(32)).decode())),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "TERM": "xterm-256color",
    }
    if registry:
        environment["BSTI_REGISTRY"] = registry
    if ca_bundle is not None:
        environment["BSTI_CA_BUNDLE"] = str(ca_bundle)
    if token:
        environment["BSTI_TOKEN_FILE"] = str(_private(folder / "token", token))
    return Desk(folder / "home", environment)


def _private(path: Path, text: str) -> Path:
    path.write_text(text, "ascii")
    path.chmod(0o600)
    return path
