"""Idempotency-Key where a rule is added."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection
from rest_framework.test import APIClient

from operators import idempotency
from operators.models import IdempotencyRecord, Operator
from routing import actions
from routing.models import RoutingRule
from tests.factories import ALICE, make_operator
from tests.operators.api.cast import errors, refused
from tests.routing.api.cast import BODY, rules_of

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "4711-add-rule"


@pytest.fixture
def operator() -> Operator:
    return make_operator()


def add(api: APIClient, operator: Operator, **changes: Any) -> Any:
    return api.post(rules_of(operator), {**BODY, **changes}, HTTP_IDEMPOTENCY_KEY=KEY)


def test_it_adds_once_and_answers_twice(api: APIClient, operator: Operator) -> None:
    first, second = add(api, operator), add(api, operator)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert (second["ETag"], second["Location"]) == (first["ETag"], first["Location"])
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    operator.refresh_from_db()
    assert (RoutingRule.objects.count(), operator.version) == (1, 2)


def test_it_refuses_a_key_that_stands_for_something_else(api: APIClient, operator: Operator) -> None:
    add(api, operator)
    assert set(errors(add(api, operator, weight=1))) == {"Idempotency-Key"}
    assert set(errors(add(api, make_operator()))) == {"Idempotency-Key"}
    assert set(errors(api.post(rules_of(operator), BODY, HTTP_IDEMPOTENCY_KEY=""))) == {"Idempotency-Key"}
    assert RoutingRule.objects.count() == 1


def test_it_frees_the_key_of_a_refusal(api: APIClient, operator: Operator) -> None:
    blocker = api.post(rules_of(operator), BODY)
    refused(add(api, operator), status=409, code="ROUTING_RULE_CONFLICT")
    api.delete(blocker["Location"])

    assert add(api, operator).status_code == 201


def test_it_finds_the_rule_of_a_try_that_died_before_its_answer(api: APIClient, operator: Operator) -> None:
    first = add(api, operator)
    IdempotencyRecord.objects.update(response=None)

    second = add(api, operator)

    assert (second.status_code, second.json()) == (201, first.json())
    assert second["Idempotent-Replayed"] == "true"
    assert RoutingRule.objects.count() == 1


def test_it_tells_the_second_of_two_at_once_to_ask_again(api: APIClient, operator: Operator) -> None:
    """The advisory lock belongs to a session: one that is held elsewhere stands for the other request."""
    add(api, operator)
    record = IdempotencyRecord.objects.get()
    IdempotencyRecord.objects.update(response=None)
    actions.delete_rule(actor=ALICE, rule_id=record.operator_id)
    parameters = connection.get_connection_params()
    with psycopg.connect(
        **{name: parameters[name] for name in ("dbname", "user", "password", "host", "port") if name in parameters}
    ) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [idempotency.LOCK_BASE + record.pk])
        answer = add(api, operator)

    refused(answer, status=409, code="ROUTING_RULE_CONFLICT")
    assert (answer.json()["conflicts"], answer["Retry-After"]) == ([], "2")
    assert not RoutingRule.objects.exists()
