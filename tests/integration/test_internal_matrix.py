"""The internal API: every route by every method by every caller; what the short table does not allow is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, Final

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from pytest_django import Settings

from operators.models import AuditEntry, CredentialRead, Operator, OutboxEvent
from tests.config.peers import Connection, InternalClient
from tests.factories import make_operator
from tests.routes import METHODS, address, routes
from tests.servers import CONNECTOR, ROUTER

LISTENER: Final = "config.internal_urls"
NOBODY: Final = "3f2b8c1e-5d0a-4b7e-9a61-0c9e6f1d2a34"
OPERATORS, OPERATOR = "v1/internal/operators", "v1/internal/operators/<uuid:operator_id>"
BOTH: Final = {OPERATORS: "GET", OPERATOR: "GET", "v1/internal/schema": "GET"}
# Who may call what; a route that is not here is for nobody.
ALLOWED: Final[Mapping[str, Mapping[str, str]]] = {
    CONNECTOR: {**BOTH, f"{OPERATOR}/credentials": "GET", "v1/internal/health": "POST"},
    ROUTER: {**BOTH, "v1/internal/routes/resolve": "GET"},
}
PASSED: Final = frozenset({200, 202, 304, 400, 404})
FORGED: Final = f"By=spiffe://ops.local/ns/sms/sa/ops;Hash=00;URI={CONNECTOR}"

# Certificates that the TLS layer has let through: their names are not on the list.
NAMES: Final[dict[str, Connection]] = {
    "another service of the mesh": Connection(uris=("spiffe://ops.local/ns/sms/sa/billing",)),
    "another trust domain": Connection(uris=(CONNECTOR.replace("ops.local", "ops.example"),)),
    "a name that begins like one": Connection(uris=(f"{CONNECTOR}-2",)),
    "a name below one": Connection(uris=(f"{CONNECTOR}/x",)),
    "a name with a slash more": Connection(uris=(f"{CONNECTOR}/",)),
    "a name in capitals": Connection(uris=(CONNECTOR.upper(),)),
    "a name with an escape": Connection(uris=(CONNECTOR.replace("smpp", "smp%70"),)),
    "another scheme": Connection(uris=(CONNECTOR.replace("spiffe:", "https:"),)),
    "two names, one right": Connection(uris=(CONNECTOR, "spiffe://ops.local/ns/sms/sa/billing")),
    "the right name twice": Connection(uris=(CONNECTOR, CONNECTOR)),
    "a host of that name": Connection(hosts=(CONNECTOR,)),
    "a host": Connection(hosts=("smpp-connector.sms.svc",)),
    "no name but the common one": Connection(),
    "the common name in full": Connection(common_name=CONNECTOR),
    "one that has expired since": Connection(uris=(CONNECTOR,), ends="Jan  1 00:00:00 2020 GMT"),
}


@pytest.fixture
def there(db: None) -> dict[str, str]:
    return {"operator_id": str(make_operator().pk)}


def internal_routes() -> list[str]:
    return [route for route in routes(LISTENER) if route.startswith("v1/")]


def stored() -> list[object]:
    return [
        *Operator.objects.order_by("pk").values(),
        AuditEntry.objects.count(),
        OutboxEvent.objects.count(),
        CredentialRead.objects.count(),
    ]


def ask(client: InternalClient, method: str, path: str, headers: Mapping[str, Any]) -> Any:
    body = "" if method in ("GET", "HEAD", "OPTIONS", "TRACE") else "{}"
    client.cookies.clear()
    return client.generic(method, path, body, "application/json", **headers)


def assert_closed(client: InternalClient, there: dict[str, str], headers: Mapping[str, Any]) -> int:
    """Ask for everything, existing or not, and return how much was refused: all of it, with nothing done."""
    before, refused = stored(), 0
    for route in internal_routes():
        for method in METHODS:
            told = set()
            for values in (there, {}):
                answer = ask(client, method, address(route, values, otherwise=NOBODY), headers)
                assert answer.status_code in (401, 403), (method, route, answer.status_code)
                assert b"s3cr3t-8" not in answer.content
                told.add(json.loads(answer.content)["detail"] if answer.content else "")
                refused += 1
            assert len(told) == 1, "the refusal tells what exists"
    assert stored() == before
    return refused


def test_it_knows_each_route_and_its_callers() -> None:
    named = {route for allowed in ALLOWED.values() for route in allowed}
    assert named == set(internal_routes())


@pytest.mark.parametrize("name", NAMES)
def test_it_is_closed_to_every_other_name(there: dict[str, str], name: str) -> None:
    cells = assert_closed(InternalClient(NAMES[name]), there, {})
    assert cells == 2 * len(METHODS) * len(internal_routes())


def test_it_takes_no_word_for_a_certificate(there: dict[str, str], token: Any) -> None:
    """Tokens, sessions and headers are other listeners' business."""
    browser = Client()
    browser.force_login(get_user_model().objects.create_superuser("root-of-tests"))
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items())
    for headers in (
        {},
        {"HTTP_AUTHORIZATION": f"Bearer {token()}"},
        {"HTTP_COOKIE": cookie},
        {"HTTP_X_FORWARDED_CLIENT_CERT": FORGED},
        {"HTTP_X_FORWARDED_CLIENT_CERT": FORGED, "REMOTE_ADDR": "127.0.0.1"},
        {"HTTP_X_SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_S_DN": "CN=smpp-connector"},
        {"REMOTE_USER": "smpp-connector", "HTTP_X_FORWARDED_USER": "smpp-connector"},
    ):
        assert assert_closed(InternalClient(), there, headers) > 0


@pytest.mark.parametrize(
    "header",
    [
        FORGED,
        f"{FORGED},By=x;URI=spiffe://ops.local/ns/sms/sa/billing",
        f'Subject="CN=a;URI={CONNECTOR}";URI=spiffe://ops.local/ns/sms/sa/billing',
        f"URI={CONNECTOR};URI={CONNECTOR}",
        f"{FORGED},",
        f'URI="{CONNECTOR}',
        "",
    ],
)
def test_it_believes_a_header_only_from_its_proxy_and_only_the_last_element(
    there: dict[str, str], settings: Settings, header: str
) -> None:
    settings.INTERNAL_TLS, settings.INTERNAL_XFCC_PROXIES = False, []
    client = InternalClient()
    assert_closed(client, there, {"HTTP_X_FORWARDED_CLIENT_CERT": header, "REMOTE_ADDR": "10.0.0.9"})
    settings.INTERNAL_XFCC_PROXIES = [ip_network("10.0.0.1/32")]
    assert_closed(client, there, {"HTTP_X_FORWARDED_CLIENT_CERT": header, "REMOTE_ADDR": "10.0.0.9"})
    if header != FORGED:
        assert_closed(client, there, {"HTTP_X_FORWARDED_CLIENT_CERT": header, "REMOTE_ADDR": "10.0.0.1"})


@pytest.mark.django_db(transaction=True)  # a read is written down outside of any
@pytest.mark.parametrize("caller", ALLOWED)
def test_it_opens_to_each_caller_its_part_and_no_more(there: dict[str, str], caller: str) -> None:
    client, statuses = InternalClient(Connection(uris=(caller,))), Counter[str]()
    for route in internal_routes():
        allowed = ALLOWED[caller].get(route)
        for method in METHODS:
            for values in (there, {}):
                status = ask(client, method, address(route, values, otherwise=NOBODY), {}).status_code
                if allowed is None:
                    assert status == 403, (method, route, status)
                    statuses["refused"] += 1
                elif method == allowed or (method == "HEAD" and allowed == "GET"):
                    assert status in PASSED, (method, route, status)
                    statuses["passed"] += 1
                else:
                    assert status in ((204, 405) if method == "OPTIONS" else (405,)), (method, route, status)
                    statuses["not its method"] += 1
    assert min(statuses["refused"], statuses["passed"], statuses["not its method"]) >= 10


def test_the_console_has_no_address_of_the_internal_api(there: dict[str, str], api: Any) -> None:
    for route in internal_routes():
        for method in METHODS:
            answer = api.generic(method, address(route, there, otherwise=NOBODY))
            assert answer.status_code == 404, (method, route, answer.status_code)


def test_the_internal_listener_has_no_address_of_the_console(there: dict[str, str]) -> None:
    client = InternalClient(Connection(uris=(CONNECTOR,)))
    others = [route for route in routes() if not route.startswith(("health/", "metrics"))]
    assert len(others) > 80
    for route in others:
        for method in ("GET", "POST"):
            assert ask(client, method, address(route, there, otherwise=NOBODY), {}).status_code == 404, route
