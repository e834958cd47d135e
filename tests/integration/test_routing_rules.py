"""Routing rules end to end: over the API into the console, the history and the stream, and two at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from operators.models import AuditEntry, Operator, OutboxEvent
from routing.models import RoutingRule
from tests.factories import make_operator
from tests.streams import Message
from tests.together import at_once, client

pytestmark = pytest.mark.django_db(transaction=True)

BODY: dict[str, Any] = {"prefix": "+4479", "costPerSegment": 0.0415, "currency": "EUR"}
LIST = "/admin/routing/routingrule/"


def rules_of(operator: Operator) -> str:
    return f"/v1/admin/operators/{operator.pk}/routing-rules"


def test_a_rule_goes_from_the_api_to_everybody(
    api: APIClient,
    staff_client: Client,
    drain: Callable[[], object],
    messages: Callable[..., list[Message]],
) -> None:
    operator = make_operator(name="Comium")

    made = api.post(rules_of(operator), BODY)
    changed = api.patch(made["Location"], {"costPerSegment": "0.039"}, HTTP_IF_MATCH=made["ETag"])
    drain()

    assert (made.status_code, changed.status_code) == (201, 200)
    shown = staff_client.get(f"{LIST}?q=%2B4479").content.decode()
    assert "Comium" in shown and "0.0390" in shown
    form = staff_client.get(f"{LIST}{made.json()['ruleId']}/change/")
    assert form.context["adminform"].form["cost_per_segment"].value() == Decimal("0.039")
    history = api.get(f"/v1/admin/operators/{operator.pk}/history").json()["data"]
    assert [entry["action"] for entry in history] == ["change_rule", "add_rule", "create"]
    events = [message.body for message in messages() if message.body["operatorId"] == str(operator.pk)]
    assert [(event["version"], event.get("changedFields")) for event in events] == [
        (1, None),
        (2, ["routingRules"]),
        (3, ["routingRules"]),
    ]
    assert [event["type"] for event in events[1:]] == ["operator.config.updated.v1"] * 2


def test_a_rule_that_staff_remove_is_gone_for_everybody(
    api: APIClient,
    staff_client: Client,
    drain: Callable[[], object],
    messages: Callable[..., list[Message]],
) -> None:
    made = api.post(rules_of(make_operator()), BODY).json()

    page = f"{LIST}{made['ruleId']}/delete/"
    assert staff_client.post(page, {"reason": "typo", "expected_version": 1}).status_code == 302
    drain()

    assert api.get(f"/v1/admin/routing-rules/{made['ruleId']}").status_code == 404
    assert messages()[-1].body["changedFields"] == ["routingRules"]
    assert AuditEntry.objects.filter(action="delete_rule", reason="typo", source="console").count() == 1


@pytest.mark.parametrize("repetition", range(3))
def test_it_lets_one_of_many_same_rules_at_once_win(token: Callable[..., str], repetition: int) -> None:
    operator = make_operator()

    answers = at_once([partial(client(token).post, rules_of(operator), BODY) for _ in range(4)])

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    rule = RoutingRule.objects.get()
    for loser in (answer for answer in answers if answer.status_code == 409):
        assert loser.json()["code"] == "ROUTING_RULE_CONFLICT"
        assert [each["ruleId"] for each in loser.json()["conflicts"][0]["rules"]] == [str(rule.pk)]
    operator.refresh_from_db()
    assert operator.version == 2
    assert OutboxEvent.objects.filter(subject="operator.config.updated").count() == 1


def test_it_lets_one_of_the_api_and_the_console_win(token: Callable[..., str], staff_client: Client) -> None:
    operator = make_operator()
    form = {
        "operator": str(operator.pk),
        "prefix": "+4479",
        "priority": "10",
        "weight": "100",
        "cost_per_segment": "0.05",
        "currency": "EUR",
        "active": "on",
    }

    answers = at_once(
        [
            partial(client(token).post, rules_of(operator), BODY),
            partial(staff_client.post, f"{LIST}add/", form),
        ]
    )

    assert sorted(answer.status_code for answer in answers) in ([201, 409], [302, 409])
    assert RoutingRule.objects.count() == 1


def test_it_lets_one_of_many_changes_at_once_win_per_version(token: Callable[..., str], api: APIClient) -> None:
    operator = make_operator()
    made = api.post(rules_of(operator), BODY)

    def change(number: int) -> Any:
        return client(token).patch(made["Location"], {"weight": number}, HTTP_IF_MATCH='"1"')

    answers = at_once([partial(change, number) for number in range(1, 7)])

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5
    operator.refresh_from_db()
    assert (RoutingRule.objects.get().version, operator.version) == (2, 3)
