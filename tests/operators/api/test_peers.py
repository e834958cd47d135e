"""Whom the internal API knows by a certificate, and what it lets them do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient, APIRequestFactory

from operators import metrics
from operators.api.peers import InternalView, Service
from tests.config.peers import Connection, InternalClient, connector, router
from tests.operators.api.cast import refused
from tests.servers import CONNECTOR, ROUTER

pytestmark = pytest.mark.django_db

RESOLVE = "/v1/internal/routes/resolve?to=%2B447700900123"
INTAKE = "/v1/internal/health"


def counted(reason: str) -> float:
    return float(metrics.internal_refused.labels(reason)._value.get())


def test_it_knows_each_service_by_its_spiffe_id() -> None:
    assert router().get(RESOLVE).status_code == 200
    # An empty batch is refused for what it is, after the caller was let in.
    refused(connector().post(INTAKE, b"[]", content_type="application/json"), status=400, code="INVALID_PAYLOAD")


def test_it_lets_nobody_do_another_services_work() -> None:
    before = counted("service")
    refused(connector().get(RESOLVE), status=403, code="FORBIDDEN")
    refused(router().post(INTAKE, b"[]", content_type="application/json"), status=403, code="FORBIDDEN")
    assert counted("service") == before + 2


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param(ROUTER.replace("routing", "Routing"), id="upper case"),
        pytest.param(ROUTER.replace("ops.local", "OPS.local"), id="upper case trust domain"),
        pytest.param(f"{ROUTER}-2", id="longer"),
        pytest.param(ROUTER[:-1], id="shorter"),
        pytest.param(f"{ROUTER}/", id="trailing slash"),
        pytest.param(f"{ROUTER}\x00", id="NUL"),
        pytest.param(f"{ROUTER} ", id="trailing space"),
        pytest.param(ROUTER.replace("ops.local", "evil.local"), id="other trust domain"),
        pytest.param(ROUTER.replace("ops.local", "ops.local.evil"), id="trust domain with a suffix"),
        pytest.param(f"spiffe://evil.local/{ROUTER}", id="id inside an id"),
        pytest.param(ROUTER.replace("/sa/", "/%73a/"), id="percent-encoded"),
        pytest.param(ROUTER.replace("/ns/", "/x/../ns/"), id="dots"),
    ],
)
def test_it_takes_no_id_that_only_looks_like_one_on_the_list(uri: str) -> None:
    before = counted("unknown")
    answer = InternalClient(Connection(uris=(uri,))).get(RESOLVE)
    refused(answer, status=403, code="FORBIDDEN")
    assert "ops.local" not in answer.content.decode(), "the caller learns nothing about the list"
    assert counted("unknown") == before + 1


@pytest.mark.parametrize(
    "connection",
    [
        pytest.param(Connection(common_name=ROUTER), id="common name alone"),
        pytest.param(Connection(uris=(ROUTER, ROUTER)), id="twice the same"),
        pytest.param(Connection(uris=(ROUTER, CONNECTOR)), id="two ids"),
        pytest.param(Connection(uris=(f"https://{ROUTER}",)), id="another scheme"),
        pytest.param(Connection(uris=("SPIFFE://ops.local/ns/sms/sa/routing-engine",)), id="scheme in upper case"),
        pytest.param(Connection(uris=("dns:router.sms.svc",)), id="a URI that reads like our DNS names"),
        pytest.param(Connection(uris=("https://a",), hosts=("router.sms.svc",)), id="a DNS name beside another URI"),
        pytest.param(Connection(hosts=("router.sms.svc", "other.sms.svc")), id="two DNS names"),
    ],
)
def test_it_takes_no_certificate_without_one_clear_name(connection: Connection, settings: Settings) -> None:
    settings.INTERNAL_CALLERS = (*settings.INTERNAL_CALLERS, ("routing-engine", "dns:router.sms.svc"))
    before = counted("identity")
    answer = InternalClient(connection).get(RESOLVE)
    refused(answer, status=401, code="UNAUTHENTICATED")
    assert answer["WWW-Authenticate"] == 'ClientCertificate realm="operators"'
    assert counted("identity") == before + 1


def test_it_knows_a_service_by_its_dns_name_where_the_list_says_so(settings: Settings) -> None:
    client = InternalClient(Connection(hosts=("router.sms.svc",)))
    refused(client.get(RESOLVE), status=403, code="FORBIDDEN")
    settings.INTERNAL_CALLERS = (("routing-engine", "dns:router.sms.svc"),)
    assert client.get(RESOLVE).status_code == 200
    refused(InternalClient(Connection(hosts=("*.sms.svc",))).get(RESOLVE), status=403, code="FORBIDDEN")
    refused(router().get(RESOLVE), status=403, code="FORBIDDEN")


def test_it_asks_for_a_certificate_whatever_else_is_sent(token: Callable[..., str]) -> None:
    before = counted("certificate")
    client = InternalClient()
    refused(client.get(RESOLVE), status=401, code="UNAUTHENTICATED")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token()}")
    refused(client.get(RESOLVE), status=401, code="UNAUTHENTICATED")
    client.credentials(HTTP_X_FORWARDED_CLIENT_CERT=f"URI={ROUTER}", HTTP_SSL_CLIENT_S_DN=ROUTER)
    refused(client.get(RESOLVE), status=401, code="UNAUTHENTICATED")
    assert counted("certificate") == before + 3


def test_it_takes_no_certificate_that_has_expired_since_the_handshake() -> None:
    before = counted("expired")
    client = InternalClient(Connection(uris=(ROUTER,), ends="Nov 26 00:00:00 2024 GMT"))
    refused(client.get(RESOLVE), status=401, code="UNAUTHENTICATED")
    assert counted("expired") == before + 1


def test_it_takes_no_certificate_whose_names_are_no_text() -> None:
    class Garbled(Connection):
        def getpeercert(self) -> dict[str, Any]:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")  # as ssl does

    refused(InternalClient(Garbled()).get(RESOLVE), status=401, code="UNAUTHENTICATED")


def test_it_answers_for_its_own_names_alone() -> None:
    refused(router().get(RESOLVE, HTTP_HOST="evil.example"), status=400, code="INVALID_PAYLOAD")


def test_it_takes_a_token_for_nothing_on_the_console_and_a_certificate_neither(api: APIClient) -> None:
    refused(api.get(RESOLVE), status=404, code="NOT_FOUND")
    refused(api.post(INTAKE, {}), status=404, code="NOT_FOUND")
    with_certificate: dict[str, Any] = {"gunicorn.socket": Connection(uris=(ROUTER,))}
    refused(APIClient().get("/v1/admin/operators", **with_certificate), status=401, code="UNAUTHENTICATED")


@pytest.mark.parametrize(
    "address",
    ["/", "/admin/", "/v1/admin/operators", "/v1/docs", "/static/x", f"/v1/internal/operators/{UUID(int=1)}/x"],
)
def test_it_serves_nothing_of_the_console(address: str) -> None:
    refused(router().get(address), status=404, code="NOT_FOUND")


def test_it_is_closed_where_a_view_names_no_caller() -> None:
    class Forgotten(InternalView):
        def get(self, request: Any) -> Any:
            raise AssertionError("nobody comes this far")

    for uri in (CONNECTOR, ROUTER):
        request = APIRequestFactory().get("/", **{"gunicorn.socket": Connection(uris=(uri,))})  # type: ignore[arg-type]
        assert Forgotten.as_view()(request).status_code == 403


def test_it_tells_the_access_line_who_called(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="config.access"):
        router().get(RESOLVE)
    line: Any
    [line] = [record.msg for record in caplog.records if record.name == "config.access"]
    assert (line["caller"], line["identity"]) == ("routing-engine", ROUTER)
    assert "adminId" not in line


def test_it_names_the_services_as_the_list_does() -> None:
    assert [str(service) for service in Service] == ["smpp-connector", "routing-engine"]
