"""Certificates of development and tests: an authority of their own, a server and the two callers."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.devkeys import write

DAYS: Final = 90
RENEW_BEFORE: Final = timedelta(days=30)
TRUST_DOMAIN: Final = "ops.local"
SERVER: Final = "server"


def caller_ids() -> dict[str, str]:
    """Name the development's callers as INTERNAL_CALLERS does."""
    return {name: f"spiffe://{TRUST_DOMAIN}/ns/sms/sa/{name}" for name in ("smpp-connector", "routing-engine")}


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def is_fresh(self) -> bool:
        return self.certificate.not_valid_after_utc - datetime.now(UTC) > RENEW_BEFORE

    def save(self, directory: Path, name: str) -> None:
        write(directory / f"{name}.key", self.key_pem, mode=0o600)
        write(directory / f"{name}.crt", self.certificate_pem, mode=0o644)

    @classmethod
    def load(cls, directory: Path, name: str) -> Self | None:
        """Read a pair; None where it is missing or no pair."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes())
            key = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), password=None)
        except (OSError, ValueError):
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            return None
        return cls(certificate, key)


class Authority:
    """Sign certificates with a key that trusts nobody and is trusted where its certificate is put."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    @classmethod
    def create(cls, name: str = "Operators development CA") -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        builder = _builder(subject, key, *_span(10 * 365)).issuer_name(subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        return cls(Pair(builder.sign(key, hashes.SHA256()), key))

    def issue(
        self,
        common_name: str,
        *,
        uris: Sequence[str] = (),
        hosts: Sequence[str] = (),
        addresses: Sequence[str] = (),
        is_server: bool = False,
        is_client: bool = True,
        valid: tuple[datetime, datetime] | None = None,
    ) -> Pair:
        """Sign a certificate for these names; for 90 days from now unless `valid` says otherwise."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), key, *(valid or _span(DAYS)))
        builder = builder.issuer_name(self.pair.certificate.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        purposes = {ExtendedKeyUsageOID.SERVER_AUTH: is_server, ExtendedKeyUsageOID.CLIENT_AUTH: is_client}
        usage = x509.ExtendedKeyUsage([purpose for purpose, is_wanted in purposes.items() if is_wanted])
        builder = builder.add_extension(usage, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.pair.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        names: list[x509.GeneralName] = [
            *map(x509.DNSName, hosts),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
            *map(x509.UniformResourceIdentifier, uris),
        ]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Pair(builder.sign(self.pair.key, hashes.SHA256()), key)


def ensure_dev_certificates(directory: Path) -> dict[str, str]:
    """Make what is missing, near its end or of another authority; return the settings that name the files."""
    directory.mkdir(parents=True, exist_ok=True)
    kept = Pair.load(directory, "ca")
    if kept is None or not kept.is_fresh():
        kept = Authority.create().pair
        kept.save(directory, "ca")
    authority = Authority(kept)
    for name, identity in ((SERVER, ""), *caller_ids().items()):
        pair = Pair.load(directory, name)
        if pair is None or not pair.is_fresh() or not _is_signed_by(kept, pair):
            if identity:
                pair = authority.issue(name, uris=[identity])
            else:
                pair = authority.issue("localhost", hosts=["localhost"], addresses=["127.0.0.1", "::1"], is_server=True)
            pair.save(directory, name)
    return {
        "INTERNAL_TLS_CERT": str(directory / f"{SERVER}.crt"),
        "INTERNAL_TLS_KEY": str(directory / f"{SERVER}.key"),
        "INTERNAL_TLS_CA": str(directory / "ca.crt"),
        "INTERNAL_CALLERS": ";".join(f"{name}={identity}" for name, identity in caller_ids().items()),
    }


def _is_signed_by(authority: Pair, pair: Pair) -> bool:
    try:
        pair.certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # a signature that is wrong, of another kind or by another name
        return False
    return True


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _span(days: int) -> tuple[datetime, datetime]:
    # An hour earlier: the clocks of two machines differ.
    now = datetime.now(UTC)
    return now - timedelta(hours=1), now + timedelta(days=days)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
