from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.package import Package, write_profile
from tests.support.registry import RunningRegistry, running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def client_for(registry: RunningRegistry, token: str = "") -> httpx.Client:
    context = ssl.create_default_context(cafile=str(registry.ca_bundle))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=registry.url, verify=context, headers=headers, timeout=20, trust_env=False)


@dataclass
class Sender:
    """A client by hand: one httpx client and the steps of a submission."""

    http: httpx.Client
    registry: RunningRegistry = field(repr=False)

    def put(self, package: Package, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
        return self.http.put(f"/v1/cases/{package.case_id}", json=package.body(**changes), headers=headers or {})

    def create(self, package: Package, **changes: str) -> httpx.Response:
        metadata = f"case {b64(package.case_id)},sha256 {b64(package.sha256)},filename {b64('case.zip')}"
        return self.http.post(
            "/v1/uploads",
            headers={**TUS, "Upload-Length": str(len(package.data)), "Upload-Metadata": metadata, **changes},
        )

    def patch(self, address: str, offset: int, data: bytes, **headers: str) -> httpx.Response:
        return self.http.patch(address, content=data, headers={**CHUNK, "Upload-Offset": str(offset), **headers})

    def offset(self, address: str) -> int:
        return int(self.http.head(address, headers=TUS).headers["upload-offset"])

    def upload(self, package: Package) -> str:
        assert self.put(package).status_code == 201
        address = self.create(package).headers["location"]
        assert self.patch(address, 0, package.data).status_code == 204
        return address

    def submit(self, package: Package, **headers: str) -> httpx.Response:
        return self.http.post(
            f"/v1/cases/{package.case_id}/submission",
            json={"package_sha256": package.sha256},
            headers=headers,
        )

    def send(self, package: Package) -> dict[str, Any]:
        self.upload(package)
        answer = self.submit(package)
        assert answer.status_code == 202, answer.text
        return answer.json()["receipt"]

    def case(self, package: Package) -> dict[str, Any]:
        return self.http.get(f"/v1/cases/{package.case_id}").json()

    def settled(self, package: Package) -> dict[str, Any]:
        """Wait until the re-check is over."""

        def probe() -> dict[str, Any] | None:
            case = self.case(package)
            return None if case["state"] in {"received", "validating"} else case

        return self.registry.wait_for(probe)  # type: ignore[return-value]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    folder = tmp_path_factory.mktemp("registry")
    with running_registry(folder, "--rate", "5000", "--burst", "5000", profiles=write_profile(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def tokens(registry: RunningRegistry) -> dict[str, str]:
    return {
        "a": registry.token("site-a"),
        "b": registry.token("site-b"),
        "panel": registry.token("panel", "panel"),
    }


@pytest.fixture
def sender(registry: RunningRegistry, tokens: dict[str, str]) -> Iterator[Sender]:
    with client_for(registry, tokens["a"]) as http:
        yield Sender(http, registry)


@pytest.fixture
def other(registry: RunningRegistry, tokens: dict[str, str]) -> Iterator[Sender]:
    with client_for(registry, tokens["b"]) as http:
        yield Sender(http, registry)


@pytest.fixture
def panel(registry: RunningRegistry, tokens: dict[str, str]) -> Iterator[httpx.Client]:
    with client_for(registry, tokens["panel"]) as http:
        yield http


@pytest.fixture
def package() -> Package:
    return Package().seal()
