from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from operators.models import HealthState, Operator
from tests.config.peers import router
from tests.routing.cast import make_carrier, make_rule

pytestmark = pytest.mark.django_db(transaction=True)

ONE = "/v1/admin/routes/resolve"
INTERNAL = "/v1/internal/routes/resolve"
MANY = "/v1/admin/routes/resolve-many"
NUMBER = "+447911123456"


def names(answer: dict[str, Any]) -> list[str]:
    return [candidate["operatorName"] for candidate in answer["candidates"]]


def ask(api: APIClient, **parameters: str) -> dict[str, Any]:
    response = api.get(ONE, {"to": NUMBER, **parameters})
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


@pytest.fixture
def carriers() -> dict[str, Operator]:
    found = {name: make_carrier(name) for name in ("Longest", "Cheap", "Dear")}
    make_rule(found["Longest"], prefix="+447911", cost_per_segment="0.09", priority=90)
    make_rule(found["Cheap"], prefix="+4479", cost_per_segment="0.01", priority=20)
    make_rule(found["Dear"], prefix="+4479", cost_per_segment="0.02", priority=10)
    return found


@pytest.mark.parametrize("address", [ONE, INTERNAL])
def test_it_names_the_operators_in_the_order_in_which_to_try(
    api: APIClient, carriers: dict[str, Operator], address: str
) -> None:
    client = router() if address == INTERNAL else api
    body = client.get(address, {"to": NUMBER}).json()

    assert (body["to"], body["outcome"], body["strategy"], body["currency"]) == (NUMBER, "ROUTED", "PRIORITY", None)
    assert names(body) == ["Longest", "Dear", "Cheap"]
    assert [candidate["position"] for candidate in body["candidates"]] == [1, 2, 3]
    assert body["selected"] == body["candidates"][0]
    assert body["selected"]["costPerSegment"] == 0.09
    assert body["selected"]["mcc"] is None
    assert "explanation" not in body


def test_it_compares_prices_where_it_is_told_to(api: APIClient, carriers: dict[str, Operator]) -> None:
    make_rule(make_carrier("Foreign"), prefix="+4479", cost_per_segment="0.0099", currency="GBP")

    body = ask(api, strategy="COST")
    assert (names(body), body["currency"]) == (["Longest", "Cheap", "Dear", "Foreign"], "EUR")
    assert names(ask(api, strategy="COST", currency="GBP"))[1] == "Foreign"
    rated = ask(api, strategy="COST", currency="EUR", rates="GBP:1.05")
    assert names(rated) == ["Longest", "Cheap", "Foreign", "Dear"]


def test_it_explains_every_candidate(api: APIClient, carriers: dict[str, Operator]) -> None:
    make_rule(carriers["Longest"], prefix="+44")
    make_rule(make_carrier("Sick", health=HealthState.UNHEALTHY), prefix="+4479")
    make_rule(make_carrier("Asleep", is_active=False), prefix="+4479")
    make_rule(make_carrier("Later"), prefix="+4479", effective_from=timezone.now() + timedelta(days=1))

    told = {(each["operatorName"], each["prefix"]): each for each in ask(api, explain="true")["explanation"]}

    assert {key: (each["verdict"], each["reason"], each["position"]) for key, each in told.items()} == {
        ("Longest", "+447911"): ("CHOSEN", "CHOSEN", 1),
        ("Dear", "+4479"): ("NEXT", "SHORTER_PREFIX", 2),
        ("Cheap", "+4479"): ("NEXT", "SHORTER_PREFIX", 3),
        ("Longest", "+44"): ("PASSED_OVER", "LONGER_PREFIX", None),
        ("Sick", "+4479"): ("PASSED_OVER", "UNHEALTHY", None),
        ("Asleep", "+4479"): ("PASSED_OVER", "OPERATOR_INACTIVE", None),
        ("Later", "+4479"): ("PASSED_OVER", "NOT_YET", None),
    }
    assert all(each["sentence"] for each in told.values())


def test_it_says_that_nobody_carries_a_number_and_that_all_are_unhealthy(
    api: APIClient, carriers: dict[str, Operator]
) -> None:
    assert ask(api, to="+33612345678") | {"asOf": ""} == {
        "to": "+33612345678",
        "outcome": "NO_ROUTE",
        "strategy": "PRIORITY",
        "asOf": "",
        "currency": None,
        "selected": None,
        "candidates": [],
    }
    down = ",".join(str(operator.pk) for operator in carriers.values())
    assert ask(api, down=down)["outcome"] == "ALL_UNHEALTHY"
    assert names(ask(api, down=str(carriers["Longest"].pk))) == ["Dear", "Cheap"]


def test_it_goes_back_in_time_and_keeps_to_the_network(api: APIClient) -> None:
    now = timezone.now()
    operator = make_carrier("Comium")
    make_rule(operator, mcc="234", mnc="10", effective_to=now + timedelta(days=1))
    make_rule(operator, effective_from=now + timedelta(days=1))

    assert ask(api)["selected"]["mnc"] == "10"
    assert ask(api, mcc="234", mnc="15")["outcome"] == "NO_ROUTE"
    assert ask(api, mcc="234")["selected"]["mnc"] == "10"
    assert ask(api, asOf=(now + timedelta(days=2)).isoformat())["selected"]["mcc"] is None


def test_it_takes_a_space_for_the_plus_that_it_was(api: APIClient, carriers: dict[str, Operator]) -> None:
    response = api.get(f"{ONE}?to=+447911123456&limit=1")

    assert response.json()["to"] == NUMBER
    assert len(response.json()["candidates"]) == 1


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"to": ""}, "to"),
        ({"to": "00447911123456"}, "to"),
        ({"to": "+44 79abc"}, "to"),
        ({"to": "+1234567890123456"}, "to"),
        ({"strategy": "cost"}, "strategy"),
        ({"explain": "yes"}, "explain"),
        ({"asOf": "2026-12-01"}, "asOf"),
        ({"currency": "EURO"}, "currency"),
        ({"rates": "GBP:1.2"}, "currency"),
        ({"rates": "GBP=1.2", "currency": "EUR"}, "rates"),
        ({"rates": "GBP:1,GBP:2", "currency": "EUR"}, "rates"),
        ({"rates": "GBP:0", "currency": "EUR"}, "rates.GBP"),
        ({"rates": "XYZ:1", "currency": "EUR"}, "rates.XYZ"),
        ({"mcc": "23"}, "mcc"),
        ({"mnc": "10"}, "mnc"),
        ({"down": "somebody"}, "down[0]"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"from": "x"}, "from"),
    ],
)
def test_it_names_the_parameter_that_breaks_a_rule(api: APIClient, parameters: dict[str, str], field: str) -> None:
    response = api.get(ONE, {"to": NUMBER, **parameters})

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_it_answers_for_many_numbers_what_it_answers_for_each(api: APIClient, carriers: dict[str, Operator]) -> None:
    make_rule(carriers["Dear"], prefix="+33")
    numbers = [NUMBER, "+33612345678", "+49151123456", "+44 7900 000001"]

    response = api.post(MANY, {"numbers": numbers, "strategy": "COST", "limit": 3})

    assert response.status_code == 200
    answers = response.json()["answers"]
    assert [answer["outcome"] for answer in answers] == ["ROUTED", "ROUTED", "NO_ROUTE", "ROUTED"]
    for answer in answers:
        single = ask(api, to=answer["to"], strategy="COST", limit="3")
        assert answer | {"asOf": ""} == single | {"asOf": ""}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "numbers"),
        ({"numbers": []}, "numbers"),
        ({"numbers": NUMBER}, "numbers"),
        ({"numbers": [NUMBER] * 1001}, "numbers"),
        ({"numbers": [NUMBER, "abc"]}, "numbers[1]"),
        ({"numbers": [447911123456]}, "numbers[0]"),
        ({"numbers": [NUMBER], "rates": {"GBP": "1"}, "currency": "EUR"}, "rates.GBP"),
        ({"numbers": [NUMBER], "explain": True}, "explain"),
    ],
)
def test_it_names_the_field_that_breaks_a_rule(api: APIClient, body: dict[str, Any], field: str) -> None:
    response = api.post(MANY, body)

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_it_lets_those_ask_who_may_read(token: Callable[..., str]) -> None:
    reader = APIClient()
    reader.credentials(HTTP_AUTHORIZATION=f"Bearer {token(scope='ops:read')}")

    assert reader.get(ONE, {"to": NUMBER}).status_code == 200
    assert reader.post(MANY, {"numbers": [NUMBER]}).status_code == 200
    assert APIClient().get(ONE, {"to": NUMBER}).status_code == 401


def test_it_passes_over_an_unknown_operator_that_is_assumed_down(api: APIClient, carriers: dict[str, Operator]) -> None:
    assert names(ask(api, down=str(uuid4()))) == ["Longest", "Dear", "Cheap"]
