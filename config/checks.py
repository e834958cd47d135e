"""System checks of the settings. `manage.py` runs them before its commands, config.wsgi before the first request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from operators.jetstream import OPERATOR_CONFIG

TAG: Final = "config"
SHORTEST_SECRET_KEY: Final = 50  # characters; Django's own threshold (security.W009)
ENCRYPTED_SSLMODES: Final = {"require", "verify-ca", "verify-full"}
# Each process is given one of them; bootstrap runs on its own.
SERVING_ROLES: Final = ("admin", "internal", "reconciler")


@register(TAG)
def check_settings(**_: Any) -> list[CheckMessage]:
    return [*web(), *identity(), *addresses(), *transport(), *vault_tokens(), *rest(), *retention()]


def web() -> Iterator[CheckMessage]:
    if settings.PRODUCTION and (len(settings.SECRET_KEY) < SHORTEST_SECRET_KEY or len(set(settings.SECRET_KEY)) < 5):
        yield Error(
            f"SECRET_KEY is shorter than {SHORTEST_SECRET_KEY} characters or hardly varies.",
            hint="It signs sessions and fingerprints of requests; make one with `openssl rand -base64 48`.",
            id="config.E001",
        )
    if settings.PRODUCTION and (not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS):
        yield Error(
            "ALLOWED_HOSTS is empty or allows every host.",
            hint="List the names under which console and API are reached; probes need none.",
            id="config.E002",
        )


def identity() -> Iterator[CheckMessage]:
    url, path = settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH
    if url and path:
        yield Error(
            "JWT_JWKS_URL and JWT_JWKS_PATH are both set.",
            hint="Keep the one that holds the keys of JWT_ISSUER.",
            id="config.E003",
        )
    if not url and not path:
        message, hint = "No JWT key set: the API refuses every token.", "Set JWT_JWKS_URL or JWT_JWKS_PATH."
        if settings.PRODUCTION:
            yield Error(message, hint=hint, id="config.E004")
        elif settings.ENVIRONMENT == "development":
            yield CheckWarning(
                message, hint=f"{hint} `manage.py bootstrap` makes keys for development.", id="config.W004"
            )
    if settings.PRODUCTION and not settings.JWT_ISSUER:
        yield Error(
            "JWT_ISSUER is not set, so that no token can be trusted.",
            hint="Set it to the `iss` of the platform's tokens.",
            id="config.E005",
        )
    if settings.PRODUCTION and settings.JWT_DEV_KEY_PATH:
        yield Error(
            "JWT_DEV_KEY_PATH is set in production: whoever reads that file can sign tokens.",
            hint="Unset it; tokens come from the platform's identity provider.",
            id="config.E006",
        )


def addresses() -> Iterator[CheckMessage]:
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) and not settings.TRUSTED_PROXIES:
        yield CheckWarning(
            "TRUSTED_PROXIES is 0 behind a proxy: all of staff share its address, and are locked out together.",
            hint="Set it to the number of proxies that append to X-Forwarded-For.",
            id="config.W013",
        )


def transport() -> Iterator[CheckMessage]:
    if not settings.PRODUCTION:
        return
    if urlsplit(settings.VAULT_ADDR).scheme != "https":
        yield CheckWarning(
            "VAULT_ADDR is plain HTTP: passwords and tokens cross the network in the clear.",
            hint="Use https://, unless a sidecar on the same host encrypts.",
            id="config.W007",
        )
    if settings.DATABASES["default"]["OPTIONS"].get("sslmode") not in ENCRYPTED_SSLMODES:
        yield CheckWarning(
            "DATABASE_URL does not insist on TLS.",
            hint="Add ?sslmode=verify-full, unless a sidecar on the same host encrypts.",
            id="config.W008",
        )
    if any(urlsplit(address.strip()).scheme != "tls" for address in settings.NATS_URL.split(",")):
        yield CheckWarning(
            "NATS_URL does not insist on TLS.",
            hint="Use tls://, unless a sidecar on the same host encrypts.",
            id="config.W009",
        )


def vault_tokens() -> Iterator[CheckMessage]:
    if settings.PRODUCTION and all(settings.VAULT_TOKENS.get(role) for role in SERVING_ROLES):
        yield CheckWarning(
            "This process holds the Vault tokens of every role: one stolen process could read, write and destroy.",
            hint="Give each process only its own role's token, or use Kubernetes auth.",
            id="config.W010",
        )


def rest() -> Iterator[CheckMessage]:
    defaults: Mapping[str, Any] = settings.REST_FRAMEWORK
    permissions = defaults.get("DEFAULT_PERMISSION_CLASSES", ["rest_framework.permissions.AllowAny"])
    if (
        not defaults.get("DEFAULT_AUTHENTICATION_CLASSES")
        or not permissions
        or any(str(permission).endswith("AllowAny") for permission in permissions)
    ):
        yield Error(
            "A REST view that names no permission of its own would be open to everybody.",
            hint="Set DEFAULT_AUTHENTICATION_CLASSES, and DEFAULT_PERMISSION_CLASSES without AllowAny.",
            id="config.E011",
        )


def retention() -> Iterator[CheckMessage]:
    """Compare the outbox's memory with the stream's: a lost stream is rebuilt from the published rows."""
    if OPERATOR_CONFIG.max_age.days > settings.OUTBOX_RETENTION_DAYS:
        yield Error(
            f"OUTBOX_RETENTION_DAYS is {settings.OUTBOX_RETENTION_DAYS}, but the stream {OPERATOR_CONFIG.name} keeps "
            f"{OPERATOR_CONFIG.max_age.days} days: what a broker lost could not all be published again.",
            hint=f"Set it to {OPERATOR_CONFIG.max_age.days} or more.",
            id="config.E012",
        )
