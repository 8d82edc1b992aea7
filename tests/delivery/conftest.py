from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from bsti_submit.outbox import Outbox
from bsti_submit.transport.destinations.registry import RegistryDestination
from bsti_submit.transport.http import Connection
from bsti_submit.transport.pins import Pins
from bsti_submit.transport.send import send_case
from tests.delivery.cases import put_in
from tests.delivery.faulty import Proxy, ca_file, serving
from tests.support.package import write_profile
from tests.support.registry import RunningRegistry, running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bsti_submit.receipt import Receipt


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    folder = tmp_path_factory.mktemp("registry")
    options = ("--rate", "5000", "--burst", "5000")
    with running_registry(folder, *options, profiles=write_profile(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def token(registry: RunningRegistry) -> str:
    return registry.token("site-a")


@dataclass
class Site:
    """A hospital's machine: its home, and its way to the registry."""

    home: Path
    url: str
    ca_bundle: Path
    token: str = field(repr=False)
    give_up: float = 20.0
    largest_chunk: int = 16 << 20

    def destination(self, **options: object) -> RegistryDestination:
        connection = Connection(self.url, lambda: self.token, self.ca_bundle, read_seconds=30)
        options = {"give_up": self.give_up, "largest_chunk": self.largest_chunk, **options}
        return RegistryDestination(connection, Pins(self.home), **options)  # type: ignore[arg-type]

    def outbox(self) -> Outbox:
        return Outbox(self.home)

    def put_in(self, instances: list[bytes] | None = None, *, study_set: str = "ab" * 32) -> str:
        with self.outbox() as outbox:
            return put_in(outbox, instances, study_set=study_set)

    def send(self, case_id: str, **options: object) -> Receipt:
        with self.outbox() as outbox, self.destination(**options) as destination:
            return send_case(outbox, case_id, destination, lambda *_: None, lambda done, total: None)


@pytest.fixture
def site(tmp_path: Path, registry: RunningRegistry, token: str) -> Site:
    return Site(tmp_path / "home", registry.url, registry.ca_bundle, token)


@pytest.fixture
def proxy(registry: RunningRegistry) -> Iterator[Proxy]:
    with serving(Proxy(registry.port, registry.ca_bundle)) as running:
        assert isinstance(running, Proxy)
        yield running


@pytest.fixture
def behind(tmp_path: Path, proxy: Proxy, token: str) -> Site:
    """A site behind the proxy, which sends in pieces of 64 KiB."""
    return Site(tmp_path / "home", proxy.url, ca_file(tmp_path), token, largest_chunk=64 << 10)
