"""PUT and DELETE of …/maintenance and …/health-override."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from operators.models import AuditEntry, Operator
from operators.wire import rfc3339
from tests.factories import make_operator
from tests.operators.api.cast import NOBODY, OPERATORS, address, errors, refused

pytestmark = pytest.mark.django_db

DOORS = [
    pytest.param("/maintenance", {}, id="maintenance"),
    pytest.param("/health-override", {"state": "DEGRADED"}, id="override"),
]


@pytest.fixture
def operator() -> Operator:
    return make_operator()


def wish(**overrides: Any) -> dict[str, Any]:
    return {"until": rfc3339(timezone.now() + timedelta(hours=2)), "reason": "ticket 4711"} | overrides


@pytest.mark.parametrize(
    ("tail", "state", "seen", "name"),
    [
        pytest.param("/maintenance", {}, "UNHEALTHY", "maintenance", id="maintenance"),
        pytest.param("/health-override", {"state": "HEALTHY"}, "HEALTHY", "override", id="override"),
    ],
)
def test_it_opens_replaces_and_closes(
    api: APIClient, operator: Operator, tail: str, state: dict[str, str], seen: str, name: str
) -> None:
    body = wish(**state)
    answer = api.put(address(operator, tail), body)
    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["state"], shown["reason"], shown["sequence"]) == (seen, name.upper(), 1)
    assert (shown[name]["until"], shown[name]["reason"]) == (body["until"], "ticket 4711")
    assert shown[name]["startedBy"] == "bob"
    assert api.get(address(operator)).json()["healthState"] == seen
    assert api.get(address(operator))["ETag"] == '"1"', "its configuration is what it was"

    again = api.put(address(operator, tail), wish(reason="it takes longer", **state)).json()
    assert (again[name]["reason"], again["sequence"]) == ("it takes longer", 1)

    assert api.delete(address(operator, tail)).status_code == 204
    now = api.get(address(operator, "/health/status")).json()
    assert (now["state"], now[name], now["sequence"]) == ("UNKNOWN", None, 2)
    refused(api.delete(address(operator, tail)), status=404, code="NOT_FOUND")

    history = api.get(address(operator, "/history")).json()["data"]
    assert [entry["source"] for entry in history] == ["api", "api", "api", "console"]
    assert len({entry["action"] for entry in history}) == 3


@pytest.mark.parametrize(("tail", "state"), DOORS)
@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        pytest.param({"until": "2020-01-01T00:00:00Z"}, {"until"}, id="past"),
        pytest.param({"until": "2098-01-01T00:00:00Z", "reason": " "}, {"until", "reason"}, id="far and blank"),
        pytest.param({"until": "2098-01-01T00:00:00"}, {"until"}, id="no offset"),
        pytest.param({"until": 1764000000}, {"until"}, id="number"),
        pytest.param({"until": None, "reason": None}, {"until", "reason"}, id="null"),
        pytest.param({"reason": "x" * 1001}, {"reason"}, id="long"),
        pytest.param({"reason": "\x00"}, {"reason"}, id="NUL"),
        pytest.param({"reason": 7, "untill": "x"}, {"reason", "untill"}, id="unknown field"),
    ],
)
def test_it_refuses_wrong_values_by_name(
    api: APIClient, operator: Operator, tail: str, state: dict[str, str], wrong: dict[str, Any], fields: set[str]
) -> None:
    assert set(errors(api.put(address(operator, tail), wish(**state, **wrong)))) == fields


def test_it_refuses_bodies_that_are_none(api: APIClient, operator: Operator) -> None:
    assert set(errors(api.put(address(operator, "/maintenance"), {}))) == {"until", "reason"}
    assert set(errors(api.put(address(operator, "/health-override"), {}))) == {"state", "until", "reason"}
    assert set(errors(api.put(address(operator, "/maintenance"), [wish()]))) == {"body"}
    for state in ("UNKNOWN", "healthy", "", None, 1):
        assert set(errors(api.put(address(operator, "/health-override"), wish(state=state)))) == {"state"}
    answer = api.put(address(operator, "/maintenance"), "until=now", content_type="text/plain")
    refused(answer, status=415, code="UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(("tail", "state"), DOORS)
def test_it_is_for_administrators_and_operators_that_are_there(
    api: APIClient, token: Any, operator: Operator, tail: str, state: dict[str, str]
) -> None:
    client = APIClient()
    refused(client.put(address(operator, tail), wish(**state)), status=401, code="UNAUTHENTICATED")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token(scope='ops:read')}")
    refused(client.put(address(operator, tail), wish(**state)), status=403, code="FORBIDDEN")
    refused(client.delete(address(operator, tail)), status=403, code="FORBIDDEN")
    assert not AuditEntry.objects.exclude(action="create").exists()

    assert api.delete(address(operator)).status_code == 204
    for at in (address(operator, tail), f"{OPERATORS}/{NOBODY}{tail}"):
        refused(api.put(at, wish(**state)), status=404, code="NOT_FOUND")
        refused(api.delete(at), status=404, code="NOT_FOUND")
