"""A real registry in a process of its own, over TLS on loopback, for tests.

with running_registry(tmp_path) as registry:
    registry.url, registry.ca_bundle, registry.data
    token = registry.token("site-a")
    registry.kill(); registry.start()      # kill -9, then the same folder at the same port
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 30


class RunningRegistry:
    """One `registry serve` process and the commands beside it."""

    def __init__(
        self,
        data: Path,
        *options: str,
        command: tuple[str, ...] = (sys.executable, "-m", "bsti_submit.registry"),
        folder: Path = ROOT,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.data = data
        self._options = options
        self._command = command
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.ca_bundle = Path()
        self.environment: dict[str, str] = {}
        """What the next start has beside the environment of the tests."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, again at the port it had."""
        port = str(self.port) if self.url else "0"
        self._process = subprocess.Popen(
            [*self._command, "serve", "--data", str(self.data), "--port", port, "--json", *self._options],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self._folder,
            env={**(self._environment or os.environ), **self.environment},
        )
        line = self._first_line()
        told = json.loads(line)
        self.url, self.ca_bundle = told["url"], Path(told["ca_bundle"])

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        if os.name == "posix":
            ready, _, _ = select.select([self._process.stdout], [], [], _START_SECONDS)
            if not ready:
                self.kill()
                raise AssertionError("the registry did not start in time")
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the registry ended at once with exit code {self._process.wait()}")
        return line

    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> int:
        """Stop gracefully; return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=20)

    def kill(self) -> None:
        """Kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=20)

    def close(self) -> None:
        """End it if it still runs."""
        if self._process is not None:
            if self._process.poll() is None:
                self.kill()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another registry command on the same folder."""
        command, *rest = arguments
        group = [command]
        if command in {"token", "review", "key"}:
            group.append(rest.pop(0))
        return subprocess.run(
            [*self._command, *group, "--data", str(self.data), *rest],
            capture_output=True,
            text=True,
            check=check,
            cwd=self._folder,
            env=self._environment,
            timeout=30,
        )

    def token(self, site: str = "site-a", role: str = "site", days: int = 365) -> str:
        """Make a token."""
        return self.run("token", "create", "--site", site, "--role", role, "--days", str(days)).stdout.strip()

    def wait_for(self, probe: object, seconds: float = 10.0) -> object:
        """Call a probe until it returns something true."""
        until = time.monotonic() + seconds
        while True:
            found = probe()  # type: ignore[operator]
            if found:
                return found
            if time.monotonic() > until:
                raise AssertionError("it did not come about in time")
            time.sleep(0.05)


@contextlib.contextmanager
def running_registry(
    tmp_path: Path,
    *options: str,
    profiles: Path | None = None,
    **process: Any,
) -> Iterator[RunningRegistry]:
    """Serve ``tmp_path / "registry"`` for as long as the block lasts.

    ``process`` says how: the command, the folder it runs in, the environment.

    ``profiles`` is a folder with one folder a profile, each with an ``allow-list.json``; the shipped ones are known too.
    """
    if profiles is not None:
        options = (*options, "--profiles", str(profiles))
    registry = RunningRegistry(tmp_path / "registry", *options, **process)
    registry.start()
    try:
        yield registry
    finally:
        registry.close()
