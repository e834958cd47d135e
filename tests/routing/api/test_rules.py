"""Rules over the API: one made, read, changed and removed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from operators import actions as operator_actions
from operators.actors import Actor
from operators.models import AuditEntry, Operator, OutboxEvent
from routing import metrics
from routing.models import RoutingRule
from tests.factories import make_operator
from tests.operators.api.cast import errors, refused
from tests.routing.api.cast import BODY, NOTHING, RULES, address, rules_of
from tests.routing.cast import make_destination, make_rule

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Operator:
    return make_operator()


@pytest.fixture
def rule(operator: Operator) -> RoutingRule:
    return make_rule(operator)


def test_it_adds_a_rule_with_the_usual_values(api: APIClient, operator: Operator) -> None:
    answer = api.post(rules_of(operator), {"prefix": "+4479", "costPerSegment": 0.0415})

    rule = RoutingRule.objects.get()
    assert (answer.status_code, answer["ETag"]) == (201, '"1"')
    assert answer["Location"].endswith(address(rule))
    assert api.get(answer["Location"]).json() == answer.json()
    moment = rule.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert answer.json() == {
        "ruleId": str(rule.pk),
        "operatorId": str(operator.pk),
        "prefix": "+4479",
        "mcc": None,
        "mnc": None,
        "priority": 10,
        "weight": 100,
        "costPerSegment": 0.0415,
        "currency": "USD",
        "effectiveFrom": None,
        "effectiveTo": None,
        "active": True,
        "version": 1,
        "createdBy": "bob",
        "updatedBy": "bob",
        "createdAt": moment,
        "updatedAt": moment,
    }
    event = OutboxEvent.objects.get(operator_id=operator.pk, version=2)
    assert event.payload["changedFields"] == ["routingRules"]
    assert AuditEntry.objects.filter(action="add_rule", actor="bob", source="api").count() == 1


def test_it_takes_everything_that_may_be_set(api: APIClient, operator: Operator) -> None:
    body = {
        **BODY,
        "mcc": "234",
        "mnc": "10",
        "priority": 0,
        "weight": 1,
        "effectiveFrom": "2030-04-01T00:00:00+02:00",
        "effectiveTo": "2031-01-01T00:00:00.5Z",
        "active": False,
        "allowOverlap": True,
    }

    made = api.post(rules_of(operator), body).json()

    assert {name: made[name] for name in body if not name.startswith(("effective", "allow"))} == {
        name: value for name, value in body.items() if not name.startswith(("effective", "allow"))
    }
    assert (made["effectiveFrom"], made["effectiveTo"]) == (
        "2030-03-31T22:00:00.000000Z",
        "2031-01-01T00:00:00.500000Z",
    )


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("0", "0"),
        ("-0.0", "0"),
        ("0.000001", "0.000001"),
        ("0.1", "0.1"),
        ('"0.1"', "0.1"),
        ('"12.345678"', "12.345678"),
        ("999999999.999999", "999999999.999999"),
        ('"999999999999.999999"', "999999999999.999999"),
        ("1E+2", "100"),
    ],
)
def test_it_keeps_a_price_to_the_sixth_decimal(api: APIClient, operator: Operator, given: str, stored: str) -> None:
    body = f'{{"prefix": "+4479", "costPerSegment": {given}}}'

    answer = api.generic("POST", rules_of(operator), body, "application/json")

    assert RoutingRule.objects.get().cost_per_segment == Decimal(stored)
    if Decimal(stored) < 10**9:
        written = answer.content.decode().split('"costPerSegment":')[1].split(",")[0]
        assert Decimal(written) == Decimal(stored)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"prefix": "+44x"}, {"prefix"}),
        ({"prefix": "004479"}, {"prefix"}),
        ({"prefix": "4479"}, {"prefix"}),
        ({"prefix": "+0"}, {"prefix"}),
        ({"prefix": "+"}, {"prefix"}),
        ({"prefix": ""}, {"prefix"}),
        ({"prefix": " +4479"}, {"prefix"}),
        ({"prefix": "+٤٤"}, {"prefix"}),
        ({"prefix": "+1234567890123456"}, {"prefix"}),
        ({"prefix": None}, {"prefix"}),
        ({"prefix": 4479}, {"prefix"}),
        ({"costPerSegment": -0.01}, {"costPerSegment"}),
        ({"costPerSegment": "-1"}, {"costPerSegment"}),
        ({"costPerSegment": ""}, {"costPerSegment"}),
        ({"costPerSegment": "NaN"}, {"costPerSegment"}),
        ({"costPerSegment": "Infinity"}, {"costPerSegment"}),
        ({"costPerSegment": "0,04"}, {"costPerSegment"}),
        ({"costPerSegment": "1e2"}, {"costPerSegment"}),
        ({"costPerSegment": "0.0000001"}, {"costPerSegment"}),
        ({"costPerSegment": 0.0000001}, {"costPerSegment"}),
        ({"costPerSegment": 10**12}, {"costPerSegment"}),
        ({"costPerSegment": None}, {"costPerSegment"}),
        ({"costPerSegment": True}, {"costPerSegment"}),
        ({"costPerSegment": [0.1]}, {"costPerSegment"}),
        ({"currency": "XXY"}, {"currency"}),
        ({"currency": "eur"}, {"currency"}),
        ({"currency": ""}, {"currency"}),
        ({"currency": None}, {"currency"}),
        ({"mcc": "23"}, {"mcc"}),
        ({"mcc": ""}, {"mcc"}),
        ({"mcc": 234}, {"mcc"}),
        ({"mnc": "10"}, {"mnc"}),
        ({"mcc": "234", "mnc": "1"}, {"mnc"}),
        ({"priority": -1}, {"priority"}),
        ({"priority": "10"}, {"priority"}),
        ({"priority": 1.5}, {"priority"}),
        ({"priority": 2**31}, {"priority"}),
        ({"weight": 0}, {"weight"}),
        ({"weight": None}, {"weight"}),
        ({"effectiveFrom": "2030-01-01T00:00:00"}, {"effectiveFrom"}),
        ({"effectiveFrom": "2030-01-01"}, {"effectiveFrom"}),
        ({"effectiveFrom": 1893456000}, {"effectiveFrom"}),
        ({"effectiveTo": "2030-02-30T00:00:00Z"}, {"effectiveTo"}),
        ({"effectiveFrom": "2030-02-01T00:00:00Z", "effectiveTo": "2030-01-01T00:00:00Z"}, {"effectiveTo"}),
        ({"effectiveFrom": "2030-01-01T00:00:00Z", "effectiveTo": "2030-01-01T01:00:00+01:00"}, {"effectiveTo"}),
        ({"effectiveTo": "2020-01-01T00:00:00Z"}, {"effectiveTo"}),
        ({"active": "true"}, {"active"}),
        ({"active": None}, {"active"}),
        ({"allowOverlap": 1}, {"allowOverlap"}),
        ({"operatorId": NOTHING}, {"operatorId"}),
        ({"ruleId": NOTHING, "version": 1, "createdBy": "me"}, {"ruleId", "version", "createdBy"}),
        ({"prize": 1}, {"prize"}),
        (
            {"prefix": "0044", "weight": "1", "currency": "XXY", "colour": "red"},
            {"prefix", "weight", "currency", "colour"},
        ),
    ],
)
def test_it_names_every_wrong_field(
    api: APIClient, operator: Operator, changes: dict[str, Any], fields: set[str]
) -> None:
    before = metrics.rule_create.labels("error")._value.get()

    assert set(errors(api.post(rules_of(operator), {**BODY, **changes}))) == fields

    assert not RoutingRule.objects.exists()
    assert metrics.rule_create.labels("error")._value.get() == before + 1


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e99999999999999999999"])
def test_it_refuses_what_is_no_json_number(api: APIClient, operator: Operator, number: str) -> None:
    body = f'{{"prefix": "+4479", "costPerSegment": {number}}}'
    assert set(errors(api.generic("POST", rules_of(operator), body, "application/json"))) == {"body"}


def test_it_asks_for_prefix_and_price(api: APIClient, operator: Operator) -> None:
    assert set(errors(api.post(rules_of(operator), {}))) == {"prefix", "costPerSegment"}


def test_it_refuses_an_mcc_of_another_country(api: APIClient, operator: Operator) -> None:
    make_destination("+44", "GB")
    assert "DE" in errors(api.post(rules_of(operator), {**BODY, "mcc": "262"}))["mcc"]


def test_it_tells_which_rules_are_in_the_way(api: APIClient, rule: RoutingRule, operator: Operator) -> None:
    answer = api.post(rules_of(operator), {**BODY, "effectiveFrom": "2031-01-01T00:00:00Z", "allowOverlap": True})

    detail = refused(answer, status=409, code="ROUTING_RULE_CONFLICT")
    [conflict] = answer.json()["conflicts"]
    assert (conflict["kind"], conflict["message"], conflict["total"]) == ("EXACT", detail, 1)
    assert conflict["rules"] == [
        {
            "ruleId": str(rule.pk),
            "prefix": "+4479",
            "mcc": None,
            "mnc": None,
            "priority": 10,
            "effectiveFrom": None,
            "effectiveTo": None,
        }
    ]


def test_it_takes_an_overlap_only_where_it_is_meant(api: APIClient, rule: RoutingRule, operator: Operator) -> None:
    nested = {**BODY, "prefix": "+447911"}

    answer = api.post(rules_of(operator), nested)
    refused(answer, status=409, code="ROUTING_RULE_CONFLICT")
    assert [conflict["kind"] for conflict in answer.json()["conflicts"]] == ["OVERLAP"]

    made = api.post(rules_of(operator), {**nested, "allowOverlap": True})
    assert made.status_code == 201
    url = made["Location"]
    # A new price meets nobody anew; a prefix does.
    assert api.patch(url, {"costPerSegment": 1}, HTTP_IF_MATCH='"1"').status_code == 200
    refused(api.patch(url, {"prefix": "+44791"}, HTTP_IF_MATCH="*"), status=409, code="ROUTING_RULE_CONFLICT")
    assert api.patch(url, {"prefix": "+44791", "allowOverlap": True}, HTTP_IF_MATCH="*").status_code == 200


def test_it_changes_what_is_named_and_leaves_the_rest(api: APIClient, operator: Operator) -> None:
    rule = make_rule(operator, mcc="234", mnc="10", effective_from=timezone.now())

    answer = api.patch(
        address(rule), {"costPerSegment": "0.05", "effectiveFrom": None, "mcc": None, "mnc": None}, HTTP_IF_MATCH='"1"'
    )

    assert (answer.status_code, answer["ETag"]) == (200, '"2"')
    changed = answer.json()
    assert changed == api.get(address(rule)).json()
    assert (changed["costPerSegment"], changed["effectiveFrom"]) == (0.05, None)
    assert (changed["mcc"], changed["mnc"]) == (None, None)
    assert (changed["prefix"], changed["currency"], changed["updatedBy"]) == ("+4479", "EUR", "bob")
    operator.refresh_from_db()
    assert operator.version == 3


@pytest.mark.parametrize("body", [{}, {"weight": 100}, {"costPerSegment": "0.041500", "allowOverlap": False}])
def test_it_writes_nothing_where_nothing_differs(api: APIClient, rule: RoutingRule, body: dict[str, Any]) -> None:
    answer = api.patch(address(rule), body, HTTP_IF_MATCH='"1"')

    assert (answer.status_code, answer["ETag"]) == (200, '"1"')
    assert OutboxEvent.objects.filter(operator_id=rule.operator_id).count() == 2


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"operatorId": NOTHING}, {"operatorId"}),
        ({"version": 2}, {"version"}),
        ({"mnc": "10"}, {"mnc"}),
        ({"effectiveTo": "soon"}, {"effectiveTo"}),
        ({"prefix": None}, {"prefix"}),
    ],
)
def test_it_names_what_a_change_may_not_say(
    api: APIClient, rule: RoutingRule, body: dict[str, Any], fields: set[str]
) -> None:
    assert set(errors(api.patch(address(rule), body, HTTP_IF_MATCH="*"))) == fields


def test_it_asks_which_version_a_change_is_for(api: APIClient, rule: RoutingRule) -> None:
    refused(api.patch(address(rule), {"weight": 1}), status=428, code="PRECONDITION_REQUIRED")
    detail = refused(
        api.patch(address(rule), {"weight": 1}, HTTP_IF_MATCH='"2"'), status=412, code="PRECONDITION_FAILED"
    )
    assert detail.startswith("The rule is at version 1, not 2")
    refused(api.delete(address(rule), HTTP_IF_MATCH='"2"'), status=412, code="PRECONDITION_FAILED")
    assert set(errors(api.delete(address(rule), HTTP_IF_MATCH="1"))) == {"If-Match"}
    rule.refresh_from_db()
    assert (rule.version, rule.weight) == (1, 100)


def test_it_sends_no_rule_that_the_caller_has(api: APIClient, rule: RoutingRule) -> None:
    answer = api.get(address(rule), HTTP_IF_NONE_MATCH='"7", W/"1"')
    assert (answer.status_code, answer["ETag"], answer.content) == (304, '"1"', b"")
    assert api.get(address(rule), HTTP_IF_NONE_MATCH='"2"').status_code == 200


@pytest.mark.parametrize("seen", [{}, {"HTTP_IF_MATCH": '"1"'}, {"HTTP_IF_MATCH": "*"}])
def test_it_removes_a_rule(api: APIClient, rule: RoutingRule, seen: dict[str, Any]) -> None:
    assert api.delete(address(rule), **seen).status_code == 204

    assert not RoutingRule.objects.exists()
    refused(api.get(address(rule)), status=404, code="NOT_FOUND")
    refused(api.delete(address(rule)), status=404, code="NOT_FOUND")
    refused(api.patch(address(rule), {}, HTTP_IF_MATCH="*"), status=404, code="NOT_FOUND")
    assert AuditEntry.objects.filter(action="delete_rule", actor="bob").count() == 1


def test_it_knows_no_rules_of_operators_that_are_gone(
    api: APIClient, rule: RoutingRule, operator: Operator, actor: Actor
) -> None:
    operator_actions.delete_operator(actor=actor, operator_id=operator.pk)

    for answer in (
        api.get(rules_of(operator)),
        api.post(rules_of(operator), BODY),
        api.get(address(rule)),
        api.patch(address(rule), {"weight": 1}, HTTP_IF_MATCH="*"),
        api.delete(address(rule)),
    ):
        refused(answer, status=404, code="NOT_FOUND")
    assert api.get(RULES).json()["data"] == []


def test_it_lets_readers_read_only(token: Callable[..., str], rule: RoutingRule, operator: Operator) -> None:
    reader = APIClient()
    reader.credentials(HTTP_AUTHORIZATION=f"Bearer {token(scope='ops:read')}")

    for url in (RULES, rules_of(operator), address(rule)):
        assert reader.get(url).status_code == 200
        assert APIClient().get(url).status_code == 401
    for answer in (
        reader.post(rules_of(operator), BODY),
        reader.patch(address(rule), {"weight": 1}, HTTP_IF_MATCH="*"),
        reader.delete(address(rule)),
    ):
        refused(answer, status=403, code="FORBIDDEN")


def test_it_reads_one_rule_with_one_query(
    api: APIClient, rule: RoutingRule, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        assert api.get(address(rule)).status_code == 200
