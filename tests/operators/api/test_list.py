"""GET /operators: pages, filters, order, and what it costs."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from operators.models import Operator
from tests.factories import make_operator
from tests.operators.api.cast import NOBODY, OPERATORS, address, errors, refused

pytestmark = pytest.mark.django_db


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [operator["name"] for operator in answer.json()["data"]]


def add(name: str, **values: Any) -> Operator:
    """Put a row in place without its secret: reading never asks Vault."""
    now = timezone.now()
    moments = {"created_at": now, "updated_at": now, "credential_rotated_at": now}
    known = {"host": f"{uuid4().hex}.example", "system_id": "x", "max_tps": 1, "credential_version": 1} | moments
    return Operator.objects.create(name=name, created_by="seed", updated_by="seed", **known | values)


@pytest.fixture
def inventory() -> None:
    add("Alpha", status="ACTIVE", health_state="HEALTHY", port=3, tags=["emea", "tier-1"], host="smpp.alpha.example")
    add("Bravo", status="SUSPENDED", bind_type="RECEIVER", port=1, tags=["apac"], system_id="bravo_80")
    add("Charlie", status="INACTIVE", bind_type="TRANSMITTER", port=2, health_state="UNHEALTHY")
    add("Gone", deleted_at=timezone.now())


def test_it_lists_what_is_not_deleted_by_name(api: APIClient, inventory: None) -> None:
    answer = api.get(OPERATORS)
    assert names(answer) == ["Alpha", "Bravo", "Charlie"]
    assert answer.json()["meta"] == {"total": 3, "page": 1, "limit": 50}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=ACTIVE", ["Alpha"]),
        ("status=", ["Alpha", "Bravo", "Charlie"]),
        ("healthState=UNHEALTHY", ["Charlie"]),
        ("healthState=UNKNOWN&status=SUSPENDED", ["Bravo"]),
        ("bindType=TRANSMITTER", ["Charlie"]),
        ("tag=emea", ["Alpha"]),
        ("tag=eme", []),
        ("q=RAV", ["Bravo"]),
        ("q=alpha.example", ["Alpha"]),
        ("q=bravo_80", ["Bravo"]),
        ("q=%25", []),
        ("q=tier-1", ["Alpha"]),
        ("ordering=port", ["Bravo", "Charlie", "Alpha"]),
        ("ordering=-name", ["Charlie", "Bravo", "Alpha"]),
        ("ordering=-status,port", ["Bravo", "Charlie", "Alpha"]),
        ("ordering=healthState", ["Alpha", "Charlie", "Bravo"]),
        ("ordering=-createdAt", ["Charlie", "Bravo", "Alpha"]),
        ("ordering=updatedAt", ["Alpha", "Bravo", "Charlie"]),
        ("ordering=status", ["Alpha", "Charlie", "Bravo"]),
    ],
)
def test_it_filters_and_orders(api: APIClient, inventory: None, query: str, expected: list[str]) -> None:
    assert names(api.get(f"{OPERATORS}?{query}")) == expected


def test_it_cuts_pages_that_neither_repeat_nor_skip(api: APIClient) -> None:
    for number in range(7):
        add(f"Same {number}", port=5)
    pages = [names(api.get(f"{OPERATORS}?ordering=port&limit=3&page={page}")) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert len({name for page in pages for name in page}) == 7
    assert api.get(f"{OPERATORS}?limit=3&page=4").json()["meta"] == {"total": 7, "page": 4, "limit": 3}


@pytest.mark.parametrize("page", ["0", "-1", "1.5", "x", "1000001", "99999999999999999999", "٣", " 1", "+1", "1e3"])
def test_it_refuses_pages_that_are_none(api: APIClient, page: str) -> None:
    assert errors(api.get(OPERATORS, {"page": page})) == {"page": "A whole number from 1 to 1000000."}


@pytest.mark.parametrize("limit", ["0", "201", "-5", "ten", "1_0"])
def test_it_refuses_limits_outside_1_to_200(api: APIClient, limit: str) -> None:
    assert errors(api.get(OPERATORS, {"limit": limit})) == {"limit": "A whole number from 1 to 200."}
    assert api.get(OPERATORS, {"limit": "200"}).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=active", "status"),
        ("status=DELETED", "status"),
        ("healthState=SICK", "healthState"),
        ("bindType=TRX", "bindType"),
        ("ordering=host", "ordering"),
        ("ordering=password", "ordering"),
        ("ordering=created_at", "ordering"),
        ("ordering=--name", "ordering"),
        ("q=%00", "q"),
        ("q=" + "x" * 101, "q"),
        ("tag=" + "x" * 51, "tag"),
        ("stauts=ACTIVE", "stauts"),
        ("health_state=UNKNOWN", "health_state"),
        ("deleted=true", "deleted"),
        ("name__icontains=a", "name__icontains"),
        ("status=ACTIVE&status=SUSPENDED", "status"),
    ],
)
def test_it_refuses_parameters_that_it_does_not_know(api: APIClient, inventory: None, query: str, field: str) -> None:
    assert set(errors(api.get(f"{OPERATORS}?{query}"))) == {field}


def test_it_costs_two_queries_however_long_the_page(
    api: APIClient, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    backup = add("Backup")
    for count in (1, 30):
        for number in range(count):
            add(f"Carrier {count}-{number}", backup_operator=backup)
        with django_assert_num_queries(2):
            assert api.get(OPERATORS, {"q": f"Carrier {count}-"}).json()["meta"]["total"] == count


def test_it_reads_one_operator_with_one_query(
    api: APIClient, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    operator = make_operator(backup_operator_id=make_operator().pk)
    with django_assert_num_queries(1):
        answer = api.get(address(operator))
    assert answer["ETag"] == '"1"'
    assert answer.json()["createdAt"].endswith("Z")


def test_it_shows_nothing_of_a_deleted_operator(api: APIClient) -> None:
    operator = make_operator()
    assert api.delete(address(operator)).status_code == 204
    for tail in ("", "/tps-limit", "/history"):
        refused(api.get(address(operator, tail)), status=404, code="NOT_FOUND")
    for tail in ("/activate", "/suspend", "/deactivate", "/revert-credential"):
        refused(api.post(address(operator, tail)), status=404, code="NOT_FOUND")
    refused(api.patch(address(operator), {}, HTTP_IF_MATCH="*"), status=404, code="NOT_FOUND")
    refused(api.put(address(operator, "/tps-limit"), {"maxTps": 1}), status=404, code="NOT_FOUND")
    refused(api.delete(address(operator)), status=404, code="NOT_FOUND")

    restored = api.post(address(operator, "/restore"), {"reason": "deleted by mistake"})
    assert (restored.status_code, restored.json()["status"], restored["ETag"]) == (200, "INACTIVE", '"3"')
    assert api.get(address(operator)).status_code == 200
    refused(api.post(address(operator, "/restore")), status=409, code="INVALID_STATUS_TRANSITION")
    refused(api.post(f"{OPERATORS}/{NOBODY}/restore"), status=404, code="NOT_FOUND")


def test_it_moves_between_states_as_the_contract_says(api: APIClient) -> None:
    operator = make_operator()
    moves = [
        ("/suspend", 409, "INACTIVE"),
        ("/deactivate", 409, "INACTIVE"),
        ("/activate", 200, "ACTIVE"),
        ("/activate", 409, "ACTIVE"),
        ("/suspend", 200, "SUSPENDED"),
        ("/suspend", 409, "SUSPENDED"),
        ("/activate", 200, "ACTIVE"),
        ("/deactivate", 200, "INACTIVE"),
    ]
    for tail, status, state in moves:
        answer = api.post(address(operator, tail))
        assert answer.status_code == status, (tail, answer.content)
        if status == 409:
            assert answer.json()["code"] == "INVALID_STATUS_TRANSITION"
        assert api.get(address(operator)).json()["status"] == state


def test_it_tells_the_history_newest_first(api: APIClient, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    operator = make_operator()
    api.patch(address(operator), {"port": 3000, "tpsLimit": {"maxTps": 7}}, HTTP_IF_MATCH="*")
    api.patch(address(operator), {"password": "n3w"}, HTTP_IF_MATCH="*")
    api.post(address(operator, "/activate"), {"reason": "go"})

    with django_assert_num_queries(3):
        answer = api.get(address(operator, "/history"))
    activated, rotated, updated, created = answer.json()["data"]
    assert (activated["action"], activated["actor"], activated["source"]) == ("activate", "bob", "api")
    assert (activated["reason"], activated["version"]) == ("go", 4)
    assert activated["changes"] == [{"field": "status", "previousValue": "INACTIVE", "newValue": "ACTIVE"}]
    assert rotated["changes"] == [{"field": "credentials", "previousValue": 1, "newValue": 2}]
    assert {change["field"]: change["newValue"] for change in updated["changes"]} == {
        "port": 3000,
        "tpsLimit.maxTps": 7,
    }
    assert (created["action"], created["actor"], created["source"]) == ("create", "alice", "console")
    assert answer.json()["meta"] == {"total": 4, "page": 1, "limit": 50}
    assert "n3w" not in answer.content.decode()

    assert len(api.get(address(operator, "/history"), {"limit": 3, "page": 2}).json()["data"]) == 1
    assert set(errors(api.get(address(operator, "/history"), {"actor": "bob"}))) == {"actor"}
