"""The HTTPS client, the only module that knows httpx: TLS always verified, errors as those of a person.

TLS 1.2 or newer against the operating system's certificates (`truststore`), with a bundle added where a site
has one. Nothing here turns verification off, and no address without TLS is ever called. Proxies come from the
environment or the system's settings.
"""

from __future__ import annotations

import base64
import hashlib
import http.cookiejar
import json
import logging
import re
import ssl
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urljoin, urlsplit

import httpx
import truststore

from bsti_submit import __version__
from bsti_submit.errors import NotDeliveredError, SettingsError
from bsti_submit.transport.answers import Answer, TransientError, plain
from bsti_submit.transport.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from urllib.parse import SplitResult

    from bsti_submit.errors import BstiError
    from bsti_submit.model import Buffer

CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 120.0
"""The registry hashes what it has before it answers, so this is long."""
WRITE_SECONDS: Final = 60.0
"""For each write to the socket, not for a whole body, so it is right for slow lines too."""
LARGEST_ANSWER: Final = 4 << 20
DAMAGED_TRIALS: Final = 3
"""How often a request is made again whose answer was damaged on its way. Then the answer counts as it is: what matters in
it is signed, and is checked."""
_PROBE_SECONDS: Final = 5.0
_SHA256: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{1,64}={0,2}:")


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
    read_seconds
        How long an answer may take, from the end of the request to its own last byte.
    """

    url: str
    token: Callable[[], str | None] = field(repr=False)
    ca_bundle: Path | None = None
    read_seconds: float = READ_SECONDS
    _client: httpx.Client | None = field(default=None, repr=False, init=False)
    _deadline: Deadline = field(default_factory=lambda: Deadline(READ_SECONDS), repr=False, init=False)

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
        seconds: float | None = None,
    ) -> Answer:
        """Send one request and read its answer, whatever its status.

        Where the token is not accepted and another one is there by now, the request is made again with that.

        Parameters
        ----------
        path
            Below the server's address, or an address on the same server.
        document
            A JSON body.
        body
            Makes the body afresh, of ``length`` bytes.
        seconds
            How long the answer may take, where that is less than usual.

        Raises
        ------
        TransientError
            If the server could not be reached, or the connection broke.
        SettingsError
            If the certificate cannot be trusted, the address is wrong, or there is no token.
        """
        url = self.address(path)
        sent = {**(headers or {})}
        content: bytes | None = None
        if document is not None:
            text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            content = text.encode()
            sent["Content-Type"] = "application/json"
            sent["Content-Digest"] = _digest(content)
        elif body is not None:
            sent["Content-Length"] = str(length)
        token = self._token() if signed_in else ""

        def once() -> Answer:
            stream = (bytes(block) for block in body()) if body is not None else content
            bearer = {"Authorization": f"Bearer {token}"} if token else {}
            return self._once(method, url, sent | bearer, stream, seconds)

        answer = once()
        for _ in range(DAMAGED_TRIALS if body is None else 0):
            if not answer.is_damaged:
                break
            answer = once()  # every request without a stream is safe to repeat
        if answer.status == 401 and signed_in and (renewed := self._token()) != token:
            token = renewed
            answer = once()
        return answer

    def _token(self) -> str:
        token = self.token()
        if not token:
            raise SettingsError(
                "There is no token for this registry.",
                hint="Type bsti-submit login, or set BSTI_TOKEN_FILE for unattended runs.",
            )
        if not token.isascii() or not token.isprintable() or " " in token:
            raise SettingsError("The token has characters that no token has.", hint="Copy it again.")
        return token

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
        seconds: float | None,
    ) -> Answer:
        sent = {
            **headers,
            "User-Agent": f"bsti-submit/{__version__}",
            "Accept-Encoding": "identity",  # nothing that grows
            "X-Request-Id": uuid.uuid4().hex,
        }
        client = self._opened()
        self._deadline.seconds = self.read_seconds if seconds is None else seconds
        try:
            with (
                self._deadline as deadline,
                client.stream(method, url, headers=sent, content=content, extensions={"trace": deadline}) as response,
            ):
                data = _read(response)
                told = _SHA256.search(response.headers.get("content-digest", ""))
                return Answer(
                    response.status_code,
                    {name.lower(): value for name, value in response.headers.items()},
                    _parsed(response, data),
                    is_damaged=told is not None and method != "HEAD" and told[0] != _digest(data),
                )
        except httpx.ProxyError:
            self.close()
            raise TransientError(
                "The proxy of this network refused the connection.",
                hint="Ask IT whether it wants a sign-in, and for the right HTTPS_PROXY.",
            ) from None
        except httpx.HTTPError as fault:
            self.close()
            raise self._meaning(fault) from None
        except (httpx.InvalidURL, UnicodeError, ValueError):
            self.close()
            raise SettingsError("The registry's address is not one.", hint="Check BSTI_REGISTRY.") from None

    def address(self, path: str, *, near: str = "/") -> str:
        """Return the whole address of a path on the server; a relative one is taken from ``near``.

        Raises
        ------
        SettingsError
            If it is on another server: no request, and so no token, ever goes there.
        """
        base = _parts(self.url)
        if base is None or base.scheme != "https" or not base.hostname or base.username is not None:
            raise SettingsError(
                "The registry's address must start with https:// and have no name or password in it.",
                hint="Check BSTI_REGISTRY or the site file.",
            )
        start = _parts(near, f"https://{base.netloc}/")
        found = None if start is None else _parts(path, start.geturl())
        if found is None or _origin(found) != _origin(base) or found.username is not None:
            raise SettingsError("The registry points to another server, which is not followed.")
        return found.geturl()

    def is_here(self, path: str) -> bool:
        """Whether an address is on this server."""
        try:
            self.address(path)
        except SettingsError:
            return False
        return True

    def _opened(self) -> httpx.Client:
        if self._client is None:
            for name in ("httpx", "httpcore"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # they log addresses
            timeout = httpx.Timeout(
                connect=CONNECT_SECONDS, read=self.read_seconds, write=WRITE_SECONDS, pool=CONNECT_SECONDS
            )
            no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
            try:
                self._client = httpx.Client(
                    verify=_context(self.ca_bundle),
                    http2=False,
                    timeout=timeout,
                    follow_redirects=False,
                    trust_env=True,
                    cookies=no_cookies,
                )
            except (ImportError, ValueError, httpx.InvalidURL):
                raise SettingsError(
                    "The proxy that is set cannot be used.",
                    hint="HTTPS_PROXY must be http://HOST:PORT. For a proxy script or a Windows sign-in, IT "
                    "can set up a local relay such as Px.",
                ) from None
        return self._client

    def _meaning(self, fault: Exception) -> BstiError:
        seen: BaseException | None = fault
        while seen is not None:
            if isinstance(seen, ssl.SSLCertVerificationError):
                issuer = self._issuer()
                return SettingsError(
                    "The registry's certificate cannot be trusted, so nothing was sent.",
                    details=(
                        f"The check said: {plain(seen.verify_message)}",
                        *([f"The certificate was issued by: {issuer}"] if issuer else []),
                    ),
                    hint="If your hospital inspects TLS, or the registry has a certificate authority of its "
                    "own, name its certificate in BSTI_CA_BUNDLE. Verification is never turned off.",
                )
            if isinstance(seen, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
                break  # it was cut off, which may pass
            if isinstance(seen, ssl.SSLError) and isinstance(fault, httpx.ConnectError):
                return SettingsError(
                    "No secure connection could be agreed with the registry (TLS 1.2 or newer).",
                    hint="Ask IT whether a proxy stands between, or whether the address is right.",
                )
            seen = seen.__cause__ or seen.__context__
        if isinstance(fault, httpx.ConnectError | httpx.ConnectTimeout):
            if urllib.request.getproxies().get("https"):
                return TransientError("The registry could not be reached through the proxy that is set.", hint=SAFE)
            return TransientError("The registry could not be reached.", hint=SAFE)
        return TransientError("The connection to the registry broke.", hint=SAFE)

    def _issuer(self) -> str:
        """Return who issued the certificate that was offered, to tell an inspecting proxy from a mistake.

        Looks at the certificate alone, on a connection of its own over which nothing is sent.
        """
        from cryptography import x509

        base = urlsplit(self.url)
        if urllib.request.getproxies().get("https") or not base.hostname:
            return ""
        try:
            pem = ssl.get_server_certificate((base.hostname, base.port or 443), timeout=_PROBE_SECONDS)
            issuer = x509.load_pem_x509_certificate(pem.encode()).issuer
            return plain(issuer.rfc4514_string())
        except (OSError, ValueError):
            return ""


SAFE: Final = "Check the network. The case is safe; bsti-submit outbox send tries again."


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=str(ca_bundle))
        except (OSError, ssl.SSLError):
            raise SettingsError(
                "The CA bundle cannot be read as PEM certificates.", hint="Check BSTI_CA_BUNDLE."
            ) from None
    return context


def _parts(url: str, base: str = "") -> SplitResult | None:
    try:
        found = urlsplit(urljoin(base, url))
        _ = found.port
    except ValueError:
        return None
    return found


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or 443


def _digest(data: bytes) -> str:
    """Return a Content-Digest (RFC 9530), by which the other end sees a body damaged on its way."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode('ascii')}:"


def _read(response: httpx.Response) -> bytes:
    data = bytearray()
    for block in response.iter_raw(65536):
        data += block
        if len(data) > LARGEST_ANSWER:
            raise NotDeliveredError("The registry's answer is far too long.", hint=SAFE)
    return bytes(data)


def _parsed(response: httpx.Response, data: bytes) -> Mapping[str, object]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
