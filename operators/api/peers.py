"""Who calls the internal API: the service behind a certificate, and the addresses that are its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar, Final

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from operators import metrics
from operators.api.base import StrictView

logger = logging.getLogger(__name__)

SPIFFE: Final = "spiffe://"
DNS: Final = "dns:"
CHALLENGE: Final = 'ClientCertificate realm="operators"'


class Service(StrEnum):
    SMPP_CONNECTOR = "smpp-connector"
    ROUTING_ENGINE = "routing-engine"


@dataclass(frozen=True)
class Peer:
    """A service and the name on its certificate, in the shape that REST framework expects of a user."""

    service: Service
    identity: str
    is_authenticated = True
    is_active = True

    @property
    def name(self) -> str:
        return self.service.value

    def get_username(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


class PeerAuthentication(BaseAuthentication):
    """Know the caller by the certificate that the TLS layer has verified; never by its common name."""

    def authenticate(self, request: Request) -> tuple[Any, None]:
        identity = presented(request.META)
        service = known_callers(settings.INTERNAL_CALLERS).get(identity)
        if service is None:
            refused("unknown", identity)
            raise PermissionDenied("The name on the certificate is not on the list of callers.")
        return Peer(service, identity), None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class IsCaller(BasePermission):
    """Let in only the services that the view names; one that names none is closed."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        peer: object = request.user
        if not isinstance(peer, Peer):
            return False
        if peer.service not in getattr(view, "callers", ()):
            refused("service", peer.identity)
            raise PermissionDenied("This address is not for this caller.")
        return True


class InternalView(StrictView):
    """What every view of the internal API is made of: it names its callers."""

    authentication_classes = (PeerAuthentication,)
    permission_classes = (IsCaller,)
    callers: ClassVar[frozenset[Service]] = frozenset()

    @property
    def peer(self) -> Peer:
        peer: object = self.request.user
        assert isinstance(peer, Peer)
        return peer


def presented(environ: Mapping[str, Any]) -> str:
    """Return the identity of the request's certificate; raises AuthenticationFailed where there is none."""
    connection: Any = environ.get("gunicorn.socket")
    try:
        certificate = connection.getpeercert() if hasattr(connection, "getpeercert") else None
    except ValueError:
        # No certificate yet, or a name that is no text.
        certificate = None
    if not certificate:
        refused("certificate", "")
        raise AuthenticationFailed("Present a client certificate.")
    names: Sequence[tuple[str, str]] = certificate.get("subjectAltName", ())
    return identity_of(
        uris=[value for kind, value in names if kind == "URI"], hosts=[value for kind, value in names if kind == "DNS"]
    )


def identity_of(*, uris: Sequence[str], hosts: Sequence[str]) -> str:
    """Choose the name that counts: the one SPIFFE id, or the one DNS name of a certificate without any URI."""
    if len(uris) == 1 and uris[0].startswith(SPIFFE):
        return uris[0]
    if not uris and len(hosts) == 1:
        return f"{DNS}{hosts[0]}"
    refused("identity", " ".join([*uris, *hosts]))
    raise AuthenticationFailed(
        "The certificate must carry exactly one URI name, a SPIFFE id, or no URI and exactly one DNS name."
    )


@lru_cache(maxsize=8)
def known_callers(listed: tuple[tuple[str, str], ...]) -> Mapping[str, Service]:
    """Map each identity to its service. A system check keeps processes from starting with a list that is wrong."""
    return {identity: Service(name) for name, identity in listed}


def refused(reason: str, identity: str) -> None:
    """Count and log a refusal; the caller itself hears no more than what is missing."""
    metrics.internal_refused.labels(reason).inc()
    logger.warning("internal caller refused", extra={"reason": reason, "identity": identity[:200]})
