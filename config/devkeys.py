"""The signing key of development and tests: tokens without an identity provider. Production has its own issuer."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from jwt.algorithms import ECAlgorithm

ALGORITHM: Final = "ES256"


def ensure_dev_keys(directory: Path) -> tuple[Path, Path]:
    """Make a P-256 key and its key set in the directory where they are missing; return (private key, key set)."""
    directory.mkdir(parents=True, exist_ok=True)
    key_path, key_set_path = directory / "signing-key.pem", directory / "jwks.json"
    if not key_path.exists():
        write(key_path, _new_key(), mode=0o600)
    write(key_set_path, json.dumps({"keys": [_public_jwk(key_path.read_bytes())]}).encode(), mode=0o644)
    return key_path, key_set_path


def sign_token(*, subject: str, scope: str, minutes: int) -> str:
    """Make an access token that this service accepts; needs JWT_DEV_KEY_PATH."""
    pem = Path(settings.JWT_DEV_KEY_PATH).read_bytes()
    now = datetime.now(UTC)
    claims = {
        "iss": settings.JWT_ISSUER,
        "aud": settings.JWT_AUDIENCE,
        "sub": subject,
        "scope": scope,
        "iat": now,
        "exp": now + timedelta(minutes=minutes),
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode(claims, pem, algorithm=ALGORITHM, headers={"typ": "at+jwt", "kid": _public_jwk(pem)["kid"]})


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_jwk(pem: bytes) -> dict[str, str]:
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    jwk: dict[str, str] = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    # The thumbprint's members in their fixed order (RFC 7638 §3).
    members = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return jwk | {"use": "sig", "alg": ALGORITHM, "kid": hashlib.sha256(members.encode()).hexdigest()[:16]}


def write(path: Path, content: bytes, *, mode: int) -> None:
    """Put the whole file in place at once, so that no reader sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
