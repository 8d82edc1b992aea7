"""The HTTPS client: the only module that knows httpx. TLS is always verified; errors become those of a person.

TLS 1.2 or newer against the operating system's certificates (`truststore`), with a bundle added where a site has one.
Nothing here turns verification off, and no address without TLS is ever called.
"""

from __future__ import annotations

import json
import logging
import ssl
import urllib.request
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urljoin, urlsplit

import httpx
import truststore

from bsti_submit import __version__
from bsti_submit.errors import BstiError, NotDeliveredError, RefusedError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from bsti_submit.model import Buffer

TIMEOUT: Final = httpx.Timeout(connect=10, read=120, write=60, pool=10)
LARGEST_ANSWER: Final = 4 << 20
_TELLABLE: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: status, headers in lower case, and its JSON, empty if it had none."""

    status: int
    headers: Mapping[str, str]
    json: Mapping[str, object]

    def number(self, header: str) -> int | None:
        """Return a header as a whole number."""
        value = self.headers.get(header, "")
        return int(value) if value.isascii() and value.isdigit() else None

    @property
    def problem(self) -> str:
        """The slug of a problem type (RFC 9457), empty if it is none."""
        kind = self.json.get("type", "")
        return kind.rpartition("/")[2] if isinstance(kind, str) else ""

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, at most an hour."""
        seconds = self.number("retry-after")
        return None if seconds is None else float(min(seconds, 3600))


class TransientError(NotDeliveredError):
    """It may go through when tried again. ``wait`` is what the server asked for, in seconds."""

    def __init__(self, message: str, *, hint: str = "", wait: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wait = wait


@dataclass(slots=True)
class Connection:
    """A way to one server.

    Parameters
    ----------
    url
        Of the server, ``https://…``.
    token
        Asked for at each request, so that a renewed one is used at once.
    ca_bundle
        Further certificate authorities, added to the system's own.
    """

    url: str
    token: Callable[[], str | None] = field(repr=False)
    ca_bundle: Path | None = None
    _client: httpx.Client | None = field(default=None, repr=False, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a later request opens another."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        document: Mapping[str, object] | None = None,
        body: Callable[[], Iterator[Buffer]] | None = None,
        length: int = 0,
        signed_in: bool = True,
    ) -> Answer:
        """Send one request and read its answer, whatever its status.

        Parameters
        ----------
        path
            Below the server's address, or an address on the same server.
        document
            A JSON body.
        body
            Makes the body afresh, of ``length`` bytes.

        Raises
        ------
        TransientError
            If the server could not be reached, or the connection broke.
        SettingsError
            If the certificate cannot be trusted, the address is wrong, or there is no token.
        """
        url = self._address(path)
        sent = {"User-Agent": f"bsti-submit/{__version__}", "X-Request-Id": uuid.uuid4().hex, **(headers or {})}
        if signed_in:
            token = self.token()
            if not token:
                raise SettingsError(
                    "There is no token for this registry.",
                    hint="Type bsti-submit login, or set BSTI_TOKEN_FILE for unattended runs.",
                )
            if not token.isascii() or not token.isprintable() or " " in token:
                raise SettingsError("The token has characters that no token has.", hint="Copy it again.")
            sent["Authorization"] = f"Bearer {token}"
        content: bytes | Iterator[bytes] | None = None
        if document is not None:
            content = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
            sent["Content-Type"] = "application/json"
        elif body is not None:
            content = (bytes(block) for block in body())
            sent["Content-Length"] = str(length)
        try:
            with self._opened().stream(method, url, headers=sent, content=content) as response:
                return Answer(
                    response.status_code,
                    {name.lower(): value for name, value in response.headers.items()},
                    _read(response),
                )
        except httpx.ConnectError as fault:
            self.close()
            raise _certificate_error(fault) or TransientError(_UNREACHABLE, hint=_SAFE) from None
        except httpx.ProxyError:
            self.close()
            raise TransientError(
                "The proxy of this network refused the connection.", hint="Ask IT about HTTPS_PROXY, or set it."
            ) from None
        except httpx.HTTPError:
            self.close()
            raise TransientError("The connection to the registry broke.", hint=_SAFE) from None
        except (httpx.InvalidURL, UnicodeError, ValueError):
            self.close()
            raise SettingsError("The registry's address is not one.", hint="Check BSTI_REGISTRY.") from None

    def _address(self, path: str) -> str:
        base = urlsplit(self.url)
        if base.scheme != "https" or not base.hostname:
            raise SettingsError(
                "The registry's address must start with https://.", hint="Check BSTI_REGISTRY or the site file."
            )
        whole = urljoin(f"https://{base.netloc}/", path)
        found = urlsplit(whole)
        if (found.scheme, found.netloc) != (base.scheme, base.netloc):
            raise SettingsError("The registry points to another server, which is not followed.")
        return whole

    def _opened(self) -> httpx.Client:
        if self._client is None:
            for name in ("httpx", "httpcore"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # they log addresses
            self._client = httpx.Client(
                verify=_context(self.ca_bundle),
                http2=False,
                timeout=TIMEOUT,
                follow_redirects=False,
                trust_env=True,
                mounts=_system_proxies(),
            )
        return self._client


_UNREACHABLE: Final = "The registry could not be reached."
_SAFE: Final = "Check the network. The case is safe; bsti-submit outbox send tries again."


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=str(ca_bundle))
        except (OSError, ssl.SSLError):
            raise SettingsError("The CA bundle cannot be read as PEM certificates.", hint="Check BSTI_CA_BUNDLE.") from None
    return context


def _system_proxies() -> dict[str, httpx.BaseTransport | None] | None:
    """Return the proxy of the system's settings (Windows, macOS), where the environment names none."""
    if urllib.request.getproxies_environment():
        return None
    with suppress(Exception):
        proxy = urllib.request.getproxies().get("https")
        if proxy:
            return {"https://": httpx.HTTPTransport(proxy=proxy)}
    return None


def _certificate_error(fault: BaseException) -> BstiError | None:
    seen: BaseException | None = fault
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return SettingsError(
                "The registry's certificate cannot be trusted, so nothing was sent.",
                details=(f"The check said: {_plain(seen.verify_message)}",),
                hint="If your hospital inspects TLS, or the registry has a certificate authority of its own, name its "
                "certificate in BSTI_CA_BUNDLE. Verification is never turned off.",
            )
        if isinstance(seen, ssl.SSLError):
            return SettingsError(
                "No secure connection could be agreed with the registry (TLS 1.2 or newer).",
                hint="Ask IT whether a proxy stands between, or whether the address is right.",
            )
        seen = seen.__cause__ or seen.__context__
    return None


def _read(response: httpx.Response) -> Mapping[str, object]:
    data = bytearray()
    for block in response.iter_raw(65536):
        data += block
        if len(data) > LARGEST_ANSWER:
            return {}
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        found = json.loads(bytes(data))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def refusal(answer: Answer) -> BstiError:
    """Return the error that an unwelcome answer means."""
    status = answer.status
    if status in {401, 403}:
        return SettingsError(
            "The registry does not accept the token.",
            hint="It may have expired. Type bsti-submit login, or put a new one where BSTI_TOKEN_FILE points.",
        )
    if status in {408, 423, 425, 429} or status >= 500:  # noqa: PLR2004
        return TransientError("The registry is busy or out of order.", hint=_SAFE, wait=answer.retry_after)
    title = _plain(answer.json.get("title")) or f"status {status}"
    details = [_plain(answer.json.get("detail"))]
    errors = answer.json.get("errors")
    if isinstance(errors, list):
        details += [
            f"{_plain(error.get('pointer'))}: {_plain(error.get('detail'))}" for error in errors[:20] if isinstance(error, dict)
        ]
    return RefusedError(f"The registry refused: {title}", details=tuple(line for line in details if line))


def _plain(value: object) -> str:
    """Return what a server says as one bounded line without control characters."""
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text)[:_TELLABLE].strip()
