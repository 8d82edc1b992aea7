"""A real browser for the tests: headless Chromium through the W3C WebDriver protocol, standard library only."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,943",  # a page of 1280 by 800
]


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def missing() -> str:
    """Say what is missing for a browser test, "" if nothing is."""
    if not chromium():
        return "no Chromium on this machine"
    return "" if shutil.which("chromedriver") else "no chromedriver on this machine"


needs_browser = pytest.mark.skipif(bool(missing()), reason=missing() or "a browser is here")


class Browser:
    def __init__(self, base: str) -> None:
        self.base = base

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(  # noqa: S310 - always loopback
            self.base + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["value"]

    def begin(self, profile: str) -> None:
        options = {"binary": chromium(), "args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {
            "capabilities": {
                "alwaysMatch": {
                    "browserName": "chrome",
                    "goog:chromeOptions": options,
                    "goog:loggingPrefs": {"browser": "ALL"},
                    "unhandledPromptBehavior": "ignore",
                }
            }
        }
        self.base += "/session/" + self._call("POST", "/session", wanted)["sessionId"]

    def end(self) -> None:
        self._call("DELETE", "")

    def go(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def address(self) -> str:
        return self._call("GET", "/url")

    def find(self, css: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": css})
        return found[ELEMENT]

    def click(self, css: str) -> None:
        self._call("POST", f"/element/{self.find(css)}/click")

    def text(self, css: str) -> str:
        return self._call("GET", f"/element/{self.find(css)}/text")

    def run(self, script: str, *args: Any) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def key(self, key: str) -> None:
        strokes = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def hold(self, modifier: str, key: str) -> None:
        strokes = [
            {"type": kind, "value": value}
            for kind, value in (("keyDown", modifier), ("keyDown", key), ("keyUp", key), ("keyUp", modifier))
        ]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def drag(self, *places: tuple[float, float], button: int = 0) -> None:
        """Press a button at the first place, move over the others, let go. One place is a click."""
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0} for x, y in places]
        press, release = {"type": "pointerDown", "button": button}, {"type": "pointerUp", "button": button}
        actions = [moves[0], press, *moves[1:], release]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}
        self._call("POST", "/actions", {"actions": [mouse]})

    def wheel(self, x: float, y: float, by: int) -> None:
        turn = {"type": "scroll", "x": round(x), "y": round(y), "deltaX": 0, "deltaY": by, "duration": 0}
        self._call("POST", "/actions", {"actions": [{"type": "wheel", "id": "wheel", "actions": [turn]}]})

    def resize(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", {"width": width, "height": height})

    def accept_alert(self) -> str:
        text = self._call("GET", "/alert/text")
        self._call("POST", "/alert/accept")
        return text

    def until(self, script: str, *args: Any, seconds: float = 10) -> Any:
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            value = self.run("return " + script, *args)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true in the page: {script}")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def console(self) -> list[str]:
        return [line["message"] for line in self._call("POST", "/se/log", {"type": "browser"})]


@contextmanager
def open_browser() -> Iterator[Browser]:
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    profile = tempfile.mkdtemp(prefix="bsti-browser-")
    browser = None
    try:
        assert driver.stdout is not None
        port = ""
        for line in driver.stdout:
            if "started successfully on port" in line:
                port = line.rsplit(" ", 1)[1].strip(" .\n")
                break
        browser = Browser(f"http://127.0.0.1:{port}")
        browser.begin(profile)
        yield browser
    finally:
        if browser is not None:
            with suppress(urllib.error.URLError):
                browser.end()
        driver.terminate()
        driver.wait(10)
        shutil.rmtree(profile, ignore_errors=True)
