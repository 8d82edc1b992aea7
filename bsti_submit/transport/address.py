"""A server's address in one form, so that another spelling of it is no other server."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"https": 443, "http": 80}


def origin(url: str) -> str:
    """Return scheme, host and port of an address as ``https://host`` or ``https://host:8443``.

    Case, a usual port that is written out, a full stop after the host, the path and the query make no difference. What
    is no address stays as it is.
    """
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme, (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return url
    if not host:
        return url
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        return url
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + (f":{port}" if port not in {None, _PORTS.get(scheme)} else "")
