"""A local certificate authority and a server certificate, made on first use and renewed in time."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bsti_submit.registry.folder import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from bsti_submit.registry.folder import Folder

_CA_DAYS = 3650
_SERVER_DAYS = 397
_RENEW_DAYS = 30
_BACKDATE = timedelta(hours=1)


class Authority:
    """The folder's own certificate authority (ECDSA P-256) and the server certificate it issues.

    ``ca_file`` is what a client gets as ``--ca-bundle``.
    """

    def __init__(self, folder: Folder, hosts: tuple[str, ...] = ()) -> None:
        self.ca_file = folder.tls / "ca.pem"
        self._ca_key_file = folder.tls / "ca-key.pem"
        self._server_file = folder.tls / "server.pem"
        self._hosts = tuple(dict.fromkeys(("localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts)))

    def ensure(self, now: datetime | None = None) -> bool:
        """Make or renew what is missing, near its end, or lacks a host name. Tell whether it did."""
        now = now or datetime.now(UTC)
        made = False
        if not self._usable(self.ca_file, now) or not self._ca_key_file.exists():
            self._make_ca(now)
            made = True
        if made or not self._usable(self._server_file, now) or not self._covers_hosts():
            self._make_server(now)
            made = True
        return made

    def context(self) -> ssl.SSLContext:
        """Return a server context: TLS 1.2 or later, HTTP/1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        self.load(context)
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """Put the current certificate into a context, also one in use."""
        context.load_cert_chain(self._server_file)

    def _usable(self, path: Path, now: datetime) -> bool:
        certificate = _read(path)
        return (
            certificate is not None
            and certificate.not_valid_before_utc <= now
            and certificate.not_valid_after_utc - now > timedelta(days=_RENEW_DAYS)
        )

    def _covers_hosts(self) -> bool:
        certificate = _read(self._server_file)
        if certificate is None:
            return False
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return set(names) >= set(self._names())

    def _names(self) -> list[x509.GeneralName]:
        names: list[x509.GeneralName] = []
        for host in self._hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                # A host name that is not ASCII cannot stand in a certificate as it is.
                with contextlib.suppress(ValueError):
                    names.append(x509.DNSName(host))
        return names

    def _make_ca(self, now: datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Local imaging registry CA")])
        certificate = (
            _builder(name, name, key.public_key(), now, _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        replace_file(self._ca_key_file, _pem(key))
        replace_file(self.ca_file, certificate.public_bytes(Encoding.PEM))

    def _make_server(self, now: datetime) -> None:
        authority = _read(self.ca_file)
        ca_key = load_pem_private_key(self._ca_key_file.read_bytes(), None)
        if authority is None or not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise RuntimeError("the certificate authority is not usable")
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        until = min(_SERVER_DAYS, (authority.not_valid_after_utc - now).days)
        certificate = (
            _builder(name, authority.subject, key.public_key(), now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(self._names()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        replace_file(self._server_file, certificate.public_bytes(Encoding.PEM) + _pem(key))


def _read(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
