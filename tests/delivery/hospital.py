"""A hospital's machine for the tests: its home folder, and the real command line in processes of their own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bsti_submit.audit import AuditLog
from bsti_submit.outbox import Outbox, State
from bsti_submit.receipt import Receipt
from bsti_submit.registry.folder import Folder
from bsti_submit.registry.store import Store
from bsti_submit.registry.tokens import Tokens
from bsti_submit.transport.destinations.registry import RegistryDestination
from bsti_submit.transport.http import Connection
from bsti_submit.transport.pins import Pins
from tests.delivery.cases import padded, put_in

if TYPE_CHECKING:
    from tests.support.registry import RunningRegistry

ROOT = Path(__file__).parents[2]
CHUNK = 64 << 10
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass
class Hospital:
    """One site of its own at a registry, which it reaches at ``url``."""

    home: Path
    registry: RunningRegistry
    url: str
    ca_bundle: Path
    name: str = ""
    token: str = field(default="", repr=False)
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = "site-" + hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        store = Store(Folder(self.registry.data))
        self.token = Tokens(store).create(self.name)
        store.close()
        token, key = self.home / "token", self.home / "site.key"
        token.write_text(self.token, "ascii")
        key.write_text(base64.b64encode(hashlib.sha256(b"site").digest()).decode(), "ascii")
        for path in (token, key):
            path.chmod(0o600)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("BSTI_") and name.upper() not in PROXIES
        }
        self.environment = {
            **kept,
            "BSTI_HOME": str(self.home),
            "BSTI_TOKEN_FILE": str(token),
            "BSTI_SITE_KEY_FILE": str(key),
            "BSTI_REGISTRY": self.url,
            "BSTI_CA_BUNDLE": str(self.ca_bundle),
        }

    def run(self, *arguments: object, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run one command of the real command line."""
        return subprocess.run(
            [sys.executable, "-m", "bsti_submit", *map(str, arguments)],
            env={**self.environment, **environment},
            cwd=ROOT,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=timeout,
        )

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[bytes]:
        """Start one command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "bsti_submit", *map(str, arguments)],
            env={**self.environment, **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )

    def approved(self, seed: int = 0, images: int = 8, size: int = 100_000) -> str:
        """Have an approved case in the outbox, of more than ten chunks; return its id."""
        with Outbox(self.home) as outbox:
            return put_in(
                outbox,
                [padded(seed * 100 + number, size) for number in range(1, images + 1)],
                study_set=f"{seed:064d}",
                url=self.url,
            )

    def size(self, case_id: str) -> int:
        with Outbox(self.home) as outbox:
            return outbox.get(case_id).size

    def contact(self) -> None:
        """Pin the registry's key, as setting a site up does, without a process of its own for it."""
        with RegistryDestination(Connection(self.url, lambda: self.token, self.ca_bundle), Pins(self.home)) as registry:
            assert registry.identity()

    def at_registry(self) -> list[dict[str, object]]:
        """Return every case of this site in the registry's own database, with the digest of the bytes it stores."""
        database = sqlite3.connect(self.registry.data / "registry.sqlite3")
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM cases WHERE site = ? ORDER BY seq", (self.name,)).fetchall()
        database.close()
        found = []
        for row in rows:
            path = self.registry.data / "packages" / f"{row['file_id']}.zip"
            try:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
            except FileNotFoundError:
                digest = ""
            found.append({**dict(row), "stored": digest})
        return found

    def receipts_signed(self, case_id: str, kind: str = "submission") -> int:
        database = sqlite3.connect(self.registry.data / "registry.sqlite3")
        (count,) = database.execute(
            "SELECT count(*) FROM receipt WHERE case_id = ? AND kind = ?", (case_id, kind)
        ).fetchone()
        database.close()
        return int(count)

    def assert_there_once(self, case_id: str) -> None:
        """One case at the registry, with the very bytes that were approved, and a receipt for them that verifies."""
        with Outbox(self.home) as outbox:
            case = outbox.get(case_id)
        assert case.state is State.DELIVERED
        assert not case.path.exists()
        receipt = Receipt.parse(case.receipt)
        receipt.verify(Pins(self.home).keys(self.url))
        assert receipt.text("case_id") == case_id
        assert receipt.text("package_sha256") == case.package_sha256
        (there,) = self.at_registry()
        assert there["id"] == case_id
        assert there["stored"] == there["package_sha256"] == case.package_sha256
        assert there["received"] is not None
        assert self.receipts_signed(case_id) == 1
        log = AuditLog(self.home / "audit")
        assert log.verify().is_whole, log.verify()
        told = [line for line in log.lines() if line.get("case_id") == case_id]
        assert [line["receipt_id"] for line in told if line["event"] == "deliver"] == [receipt.id]
        assert len({line["source"] for line in told}) == len(told)

    def result(self, *arguments: object, **environment: str) -> dict[str, object]:
        done = self.run(*arguments, "--json", **environment)
        assert done.returncode == 0, done.stderr.decode()
        return dict(json.loads(done.stdout))
