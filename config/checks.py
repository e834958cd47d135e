"""System checks of the settings. `manage.py` runs them before its commands, config.wsgi before the first request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from operators.api.peers import Service
from operators.jetstream import OPERATOR_CONFIG

TAG: Final = "config"
SHORTEST_SECRET_KEY: Final = 50  # characters; Django's own threshold (security.W009)
ENCRYPTED_SSLMODES: Final = {"require", "verify-ca", "verify-full"}
# SPIFFE-ID §2; a DNS name in the lower case in which authorities write it.
NAME_ON_CERTIFICATE: Final = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+|dns:[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
# Each process is given one of them; bootstrap runs on its own.
SERVING_ROLES: Final = ("admin", "internal", "reconciler")


@register(TAG)
def check_settings(**_: Any) -> list[CheckMessage]:
    listener = internal() if settings.LISTENER == "internal" else identity()
    return [*web(), *listener, *callers(), *transport(), *vault_tokens(), *rest(), *retention()]


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


def internal() -> Iterator[CheckMessage]:
    if not settings.PRODUCTION:
        return
    missing = [name for name, path in settings.INTERNAL_TLS_FILES.items() if not path]
    if settings.INTERNAL_TLS and missing:
        yield Error(
            f"The internal API has no certificates: {', '.join(missing)} not set.",
            hint="Mount what cert-manager issued, or set INTERNAL_TLS=false behind a mesh.",
            id="config.E013",
        )
    if not settings.INTERNAL_TLS and not settings.INTERNAL_XFCC_PROXIES:
        yield Error(
            "The internal API has neither TLS of its own nor a proxy to believe: it refuses everybody.",
            hint="Set INTERNAL_XFCC_PROXIES to the addresses of the mesh's proxy: 127.0.0.6/32 for an Istio sidecar.",
            id="config.E014",
        )
    if not settings.INTERNAL_CALLERS:
        yield Error(
            "INTERNAL_CALLERS is empty: the internal API refuses everybody.",
            hint="Set it to smpp-connector=spiffe://...;routing-engine=spiffe://...",
            id="config.E015",
        )
    wide = [str(network) for network in settings.INTERNAL_XFCC_PROXIES if network.prefixlen == 0]
    if wide:
        yield Error(
            f"INTERNAL_XFCC_PROXIES holds {wide[0]}: anybody who reaches the port could say who he is.",
            hint="List the addresses of the mesh's own proxy alone.",
            id="config.E016",
        )


def callers() -> Iterator[CheckMessage]:
    """Look for what would let nobody in, or somebody in as another service."""
    services: dict[str, str] = {}
    for service, identity in settings.INTERNAL_CALLERS:
        if service not in set(Service):
            yield Error(
                f"INTERNAL_CALLERS names {service!r}, which is no service.",
                hint=f"The services are {' and '.join(Service)}.",
                id="config.E017",
            )
        if services.setdefault(identity, service) != service:
            yield Error(
                f"INTERNAL_CALLERS gives {identity} to both {services[identity]} and {service}.",
                hint="Each certificate belongs to one service: whoever holds it could do the work of both.",
                id="config.E018",
            )
        if not NAME_ON_CERTIFICATE.fullmatch(identity):
            yield Error(
                f"INTERNAL_CALLERS gives {service} the name {identity!r}, which no certificate can match.",
                hint="Write spiffe://TRUST-DOMAIN/PATH or dns:NAME, complete and without wildcards.",
                id="config.E019",
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
