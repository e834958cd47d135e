"""Django's check of a deployment finds nothing in production settings, and would find something in others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings

PRODUCTION = {
    "OPS_ENV": "production",
    "OPS_DOTENV": os.devnull,
    "SECRET_KEY": "k3y-of-a-good-length-" + "0123456789abcdef" * 3,
    "ALLOWED_HOSTS": "ops.example.com",
    "DATABASE_URL": "postgres://ops:x@db.example.com/ops?sslmode=verify-full",
    "VAULT_ADDR": "https://vault.example.com",
    "NATS_URL": "tls://nats.example.com:4222",
    "JWT_ISSUER": "https://id.example.com",
    "JWT_JWKS_URL": "https://id.example.com/keys",
    "BEHIND_TLS_PROXY": "true",
    "TRUSTED_PROXIES": "1",
}


def check(**changes: str) -> str:
    process = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "check", "--deploy", "--fail-level", "DEBUG"],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], **PRODUCTION, **changes},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode == 0) == ("no issues" in process.stdout)
    return process.stdout + process.stderr


def test_it_finds_nothing_in_production_settings() -> None:
    assert check() == "System check identified no issues (0 silenced).\n"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"HTTPS_ONLY": "false"}, {"security.W004", "security.W008", "security.W012", "security.W016"}),
        ({"SECRET_KEY": "short"}, {"security.W009", "config.E001"}),
        ({"TRUSTED_PROXIES": "0"}, {"config.W013"}),
        ({"DATABASE_URL": "postgres://ops:x@db.example.com/ops"}, {"config.W008"}),
    ],
)
def test_it_finds_what_is_wrong(changes: dict[str, str], found: set[str]) -> None:
    told = check(**changes)

    assert {name for name in found if name in told} == found
