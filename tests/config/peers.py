"""Call the internal API in this process as a service, by the certificate that it would present."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.test import override_settings
from rest_framework.test import APIClient, ForceAuthClientHandler

from tests.servers import CONNECTOR, ROUTER


@dataclass(frozen=True)
class Connection:
    """What the TLS layer tells of a verified certificate (ssl.SSLSocket)."""

    uris: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    common_name: str = "smpp-connector"
    ends: str = "Jan  1 00:00:00 2099 GMT"

    def getpeercert(self) -> dict[str, Any]:
        names = [*(("DNS", host) for host in self.hosts), *(("URI", uri) for uri in self.uris)]
        found: dict[str, Any] = {"subject": ((("commonName", self.common_name),),), "notAfter": self.ends}
        return found | ({"subjectAltName": tuple(names)} if names else {})


class InternalHandler(ForceAuthClientHandler):
    """Answer as the internal process does, whatever the settings of this one say."""

    def __init__(self) -> None:
        super().__init__()
        with override_settings(MIDDLEWARE=settings.INTERNAL_MIDDLEWARE):
            self.load_middleware()

    def get_response(self, request: Any) -> Any:
        request.urlconf = "config.internal_urls"
        return super().get_response(request)


class InternalClient(APIClient):
    """A client of the internal listener; without a connection it has shown no certificate."""

    def __init__(self, connection: Connection | None = None) -> None:
        super().__init__()
        self.handler = InternalHandler()
        extra: dict[str, Any] = {"gunicorn.socket": connection} if connection else {}
        self.defaults.update(extra)


def connector() -> InternalClient:
    return InternalClient(Connection(uris=(CONNECTOR,)))


def router() -> InternalClient:
    return InternalClient(Connection(uris=(ROUTER,)))
