"""Who calls the internal API: the service behind a certificate, and the addresses that are its own."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, ClassVar, Final

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from operators import metrics
from operators.api.base import StrictView
from operators.api.xfcc import Malformed, Names, last_element

logger = logging.getLogger(__name__)

SPIFFE: Final = "spiffe://"
DNS: Final = "dns:"
ANYTHING, JSON = "*/*", "application/json"
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
    """Know the caller by a certificate that the TLS layer, or the mesh, has verified; never by its common name."""

    def authenticate(self, request: Request) -> tuple[Any, None]:
        identity = presented(request.META)
        service = known_callers(settings.INTERNAL_CALLERS).get(identity)
        if service is None:
            count_refusal("unknown", identity)
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
            count_refusal("service", peer.identity)
            raise PermissionDenied("This address is not for this caller.")
        return True


class InternalView(StrictView):
    """What every view of the internal API is made of: it names its callers."""

    authentication_classes = (PeerAuthentication,)
    permission_classes = (IsCaller,)
    callers: ClassVar[frozenset[Service]] = frozenset()

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """Spare those who take whatever there is, or JSON, which is all there is, the rules of RFC 9110, section 12."""
        if request.META.get("HTTP_ACCEPT", ANYTHING) in (ANYTHING, JSON) and not request.META.get("QUERY_STRING"):
            return self.get_renderers()[0], JSON
        negotiated: tuple[Any, str] = super().perform_content_negotiation(request, force)
        return negotiated

    @property
    def peer(self) -> Peer:
        peer: object = self.request.user
        assert isinstance(peer, Peer)
        return peer


def presented(environ: Mapping[str, Any]) -> str:
    """Return the identity of the request's certificate; raises AuthenticationFailed where there is none."""
    if settings.INTERNAL_TLS:
        names = of_connection(environ.get("gunicorn.socket"))
    else:
        names = of_header(environ.get("HTTP_X_FORWARDED_CLIENT_CERT"), sender=environ.get("REMOTE_ADDR", ""))
    if len(names.uris) == 1 and names.uris[0].startswith(SPIFFE):
        return names.uris[0]
    if not names.uris and len(names.hosts) == 1:
        return f"{DNS}{names.hosts[0]}"
    raise refusal(
        "identity",
        "The certificate must carry exactly one URI name, a SPIFFE id, or no URI and exactly one DNS name.",
        identity=" ".join([*names.uris, *names.hosts]),
    )


def of_connection(connection: Any) -> Names:
    """Read the names of the certificate that the TLS layer has verified."""
    try:
        certificate = connection.getpeercert() if hasattr(connection, "getpeercert") else None
    except ValueError:
        # The handshake is not over, or a name is no text.
        certificate = None
    if not certificate:
        raise refusal("certificate", "Present a client certificate.")
    if _end(certificate["notAfter"]) < time.time():
        raise refusal("expired", "The client certificate has expired since the connection was made.")
    names: Sequence[tuple[str, str]] = certificate.get("subjectAltName", ())
    return Names(
        uris=[value for kind, value in names if kind == "URI"], hosts=[value for kind, value in names if kind == "DNS"]
    )


def of_header(header: str | None, *, sender: str) -> Names:
    """Read the names that our own proxy tells; nobody else's word counts."""
    if not is_proxy(sender):
        raise refusal("proxy", "Call through the mesh; this address takes nobody's word for who calls.")
    if header is None:
        raise refusal("certificate", "Present a client certificate.")
    try:
        return last_element(header)
    except Malformed:
        raise refusal("header", "X-Forwarded-Client-Cert must come once, as Envoy writes it.") from None


def is_proxy(sender: str) -> bool:
    try:
        address = ip_address(sender)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in settings.INTERNAL_XFCC_PROXIES)


@lru_cache(maxsize=8)
def known_callers(listed: tuple[tuple[str, str], ...]) -> Mapping[str, Service]:
    """Map each identity to its service. A system check keeps processes from starting with a list that is wrong."""
    return {identity: Service(name) for name, identity in listed}


@lru_cache(maxsize=256)  # reading a date takes as long as finding a row
def _end(not_after: str) -> int:
    return ssl.cert_time_to_seconds(not_after)


def count_refusal(reason: str, identity: str) -> None:
    """Count and log a refusal; the caller itself hears no more than what is missing."""
    metrics.internal_refused.labels(reason).inc()
    logger.warning("internal caller refused", extra={"reason": reason, "identity": identity[:200]})


def refusal(reason: str, detail: str, identity: str = "") -> AuthenticationFailed:
    count_refusal(reason, identity)
    return AuthenticationFailed(detail)
