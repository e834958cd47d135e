"""Every route by every method by every identity: what is not allowed by the short table below is refused."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from pytest_django import Settings

from operators.models import AuditEntry, Operator, OutboxEvent
from routing.models import DestinationPrefix, RateSheet, RoutingRule
from tests.config.issuer import AUDIENCE, ISSUER, Issuer
from tests.factories import make_operator
from tests.routes import METHODS, address, routes
from tests.routing.cast import make_destination, make_rule

NOBODY: Final = "3f2b8c1e-5d0a-4b7e-9a61-0c9e6f1d2a34"
SPIFFE: Final = "spiffe://ops.local/ns/sms/sa/smpp-connector"
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Open to everybody, for reading; everything else below v1/ asks for a token.
OPEN: Final = frozenset({"v1/schema", "v1/docs", "v1/docs.js"})
# Changes nothing although it is a POST, so that ops:read will do.
READ_BY_POST: Final = frozenset({"v1/admin/routes/resolve-many"})
# What a token that may do everything meets where there is nothing: an address or thing, a method, a body, a condition.
PASSED: Final = frozenset({200, 204, 304, 400, 404, 405, 411, 412, 415, 428})

BROWSER: Final = Client(raise_request_exception=False)

Identity = Callable[[Issuer], Mapping[str, Any]]


def bearer(**claims: Any) -> Identity:
    return lambda issuer: {"HTTP_AUTHORIZATION": f"Bearer {issuer.token(**claims)}"}


def foreign(issuer: Issuer) -> Mapping[str, Any]:
    """A token of somebody else's key under the name of ours."""
    return {"HTTP_AUTHORIZATION": f"Bearer {Issuer().token()}"}


def session(issuer: Issuer) -> Mapping[str, Any]:
    """The console's cookie of somebody who may do everything there."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root-of-tests"))
    return {"HTTP_COOKIE": "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())}


def mesh(issuer: Issuer) -> Mapping[str, Any]:
    """What a mesh or a TLS proxy says of a caller of the internal API."""
    return {
        "HTTP_X_FORWARDED_CLIENT_CERT": f"By=spiffe://ops.local/ns/sms/sa/ops;URI={SPIFFE}",
        "HTTP_X_SSL_CLIENT_VERIFY": "SUCCESS",
        "HTTP_X_FORWARDED_USER": "smpp-connector",
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_S_DN": "CN=smpp-connector",
        "REMOTE_USER": "smpp-connector",
    }


STRANGERS: Final[dict[str, Identity]] = {
    "nobody": lambda issuer: {},
    "garbage": lambda issuer: {"HTTP_AUTHORIZATION": "Bearer a.b.c"},
    "expired": bearer(iat=1_700_000_000, exp=1_700_000_300),
    "of another issuer": bearer(iss="https://evil.example"),
    "for another audience": bearer(aud="billing"),
    "signed by another key": foreign,
    "a console session": session,
    "a peer of the mesh": mesh,
    "basic": lambda issuer: {
        "HTTP_AUTHORIZATION": f"Basic {base64.b64encode(b'root-of-tests:long-enough-for-all').decode()}"
    },
    "two tokens": lambda issuer: {"HTTP_AUTHORIZATION": f"Bearer {issuer.token()},Bearer {issuer.token()}"},
    "a token in a cookie": lambda issuer: {"HTTP_COOKIE": f"access_token={issuer.token()}; token={issuer.token()}"},
    "a token in the query": lambda issuer: {"QUERY_STRING": f"access_token={issuer.token()}&token={issuer.token()}"},
    "a token in another header": lambda issuer: {
        "HTTP_X_ACCESS_TOKEN": issuer.token(),
        "HTTP_PROXY_AUTHORIZATION": f"Bearer {issuer.token()}",
        "HTTP_X_FORWARDED_AUTHORIZATION": f"Bearer {issuer.token()}",
    },
}
UNTITLED: Final[dict[str, Identity]] = {
    "no scope": bearer(scope=...),
    "a scope that begins like ours": bearer(scope="ops:readonly ops:administrator ops"),
    "our scopes with commas": bearer(scope="ops:admin,ops:read"),
}
READER: Final = bearer(scope="ops:read")
ADMIN: Final = bearer(scope="ops:admin")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def there(db: None, issuer: Issuer, settings: Settings, tmp_path: Any) -> dict[str, str]:
    """One thing of each kind, so that a refusal has something to protect; and our own issuer's keys."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(issuer.key_set()))
    settings.JWT_ISSUER, settings.JWT_AUDIENCE = ISSUER, AUDIENCE
    settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH = "", str(path)
    operator = make_operator()
    rule = make_rule(operator)
    return {
        "operator_id": str(operator.pk),
        "rule_id": str(rule.pk),
        "prefix_id": str(make_destination("+44", "GB").pk),
    }


def api_routes() -> list[str]:
    return [route for route in routes() if route.startswith("v1/") and route not in OPEN]


def ask(method: str, path: str, headers: Mapping[str, Any]) -> Any:
    body = "" if method in READS | {"TRACE"} else "{}"
    BROWSER.cookies.clear()
    return BROWSER.generic(method, path, body, "application/json", **headers)


def stored() -> list[object]:
    """Everything that an accepted request could have changed."""
    return [
        *Operator.objects.order_by("pk").values(),
        *RoutingRule.objects.order_by("pk").values(),
        *DestinationPrefix.objects.order_by("pk").values(),
        RateSheet.objects.count(),
        AuditEntry.objects.count(),
        OutboxEvent.objects.count(),
    ]


def test_it_has_routes_to_guard() -> None:
    guarded = api_routes()
    assert sum(route.startswith("v1/admin/") for route in guarded) >= 24
    assert not [route for route in OPEN if route not in routes()], "an exception that is no route"
    assert not [route for route in READ_BY_POST if route not in guarded], "an exception that is no route"


@pytest.mark.parametrize("who", STRANGERS)
def test_it_lets_no_stranger_in(issuer: Issuer, there: dict[str, str], who: str) -> None:
    """Whatever the method, and whether the thing exists or not: 401, the same words, and nothing done."""
    headers = STRANGERS[who](issuer)
    before, cells = stored(), Counter[int]()
    for route in api_routes():
        for method in METHODS:
            told = set()
            for values in (there, {}):
                answer = ask(method, address(route, values, otherwise=NOBODY), headers)
                assert answer.status_code == 401, (who, method, route, answer.status_code)
                assert answer["WWW-Authenticate"].startswith('Bearer realm="operators"')
                assert answer["Content-Type"] == "application/problem+json"
                told.add(json.loads(answer.content)["detail"] if answer.content else "")
                cells[answer.status_code] += 1
            assert len(told) == 1, (method, route, told)
    assert stored() == before
    assert cells[401] == 2 * len(METHODS) * len(api_routes())


@pytest.mark.parametrize("who", UNTITLED)
def test_it_lets_nobody_in_whose_token_names_no_scope_of_ours(issuer: Issuer, there: dict[str, str], who: str) -> None:
    headers, before, told = UNTITLED[who](issuer), stored(), set()
    for route in api_routes():
        for method in METHODS:
            for values in (there, {}):
                answer = ask(method, address(route, values, otherwise=NOBODY), headers)
                assert answer.status_code == 403, (who, method, route, answer.status_code)
                assert 'error="insufficient_scope"' in answer["WWW-Authenticate"]
                told.add(json.loads(answer.content)["detail"] if answer.content else "")
    assert stored() == before
    assert told <= {"", "The token's scope does not allow this."}


def test_it_lets_a_reader_read_and_nothing_else(issuer: Issuer, there: dict[str, str]) -> None:
    headers, before, refused, passed = READER(issuer), stored(), 0, 0
    for route in api_routes():
        for method in METHODS:
            may = method in READS or (method == "POST" and route in READ_BY_POST)
            for values in (there, {}):
                answer = ask(method, address(route, values, otherwise=NOBODY), headers)
                if may:
                    assert answer.status_code in PASSED, (method, route, answer.status_code)
                    passed += 1
                else:
                    assert answer.status_code == 403, (method, route, answer.status_code)
                    assert 'scope="ops:admin"' in answer["WWW-Authenticate"]
                    refused += 1
    assert stored() == before, "reading changed something"
    assert passed == 2 * (3 * len(api_routes()) + len(READ_BY_POST))
    assert passed + refused == 2 * len(METHODS) * len(api_routes())


def test_it_lets_an_admin_through_to_every_address(issuer: Issuer, there: dict[str, str]) -> None:
    """On things that are not there, so that the matrix itself changes nothing."""
    headers, statuses = ADMIN(issuer), Counter[int]()
    for route in api_routes():
        for method in METHODS:
            answer = ask(method, address(route, {}, otherwise=NOBODY), headers)
            assert answer.status_code in PASSED, (method, route, answer.status_code)
            statuses[answer.status_code] += 1
    assert statuses[200] >= 4 and statuses[404] >= 20 and statuses[405] >= 50, statuses


def test_it_opens_no_page_of_the_console_by_a_token(issuer: Issuer, there: dict[str, str]) -> None:
    """The API's key is none to the console: every page but the login's own sends to the login."""
    login = "admin/login/"
    pages = [route for route in routes() if route.startswith("admin/") and route != login]
    assert len(pages) >= 40
    before, cells = stored(), Counter[int]()
    for route in pages:
        path = address(route, there, otherwise="1")
        for headers in ({}, ADMIN(issuer), mesh(issuer)):
            for method in ("GET", "POST", "HEAD", "PUT", "DELETE"):
                answer = ask(method, path, headers)
                while answer.status_code in (301, 302) and not answer["Location"].startswith("/admin/login/"):
                    assert answer["Location"].startswith("/admin/"), (method, path, answer["Location"])
                    answer = ask("GET", answer["Location"], headers)
                assert answer.status_code in (302, 403, 404, 405), (method, path, answer.status_code)
                cells[answer.status_code] += 1
    assert cells[302] >= 3 * len(pages), cells
    assert stored() == before


@pytest.mark.parametrize("route", sorted(OPEN))
def test_it_shows_what_is_open_to_readers_only(route: str) -> None:
    for method in METHODS:
        status = ask(method, f"/{route}", {}).status_code
        if method in ("GET", "HEAD"):
            assert status == 200
        else:
            assert status in ((200, 405) if method == "OPTIONS" else (405,)), (method, status)


def test_its_refusals_cost_no_query(issuer: Issuer, there: dict[str, str]) -> None:
    """Whoever is refused by the token cannot make the database work."""
    with_queries = []
    for route in api_routes():
        before = len(connection.queries_log)
        connection.force_debug_cursor = True
        try:
            ask("POST", address(route, there, otherwise=NOBODY), {"HTTP_AUTHORIZATION": "Bearer a.b.c"})
            ask("GET", address(route, there, otherwise=NOBODY), {})
        finally:
            connection.force_debug_cursor = False
        if len(connection.queries_log) > before:
            with_queries.append(route)
    assert with_queries == []
