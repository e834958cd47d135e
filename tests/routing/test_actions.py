from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from operators.actions import delete_operator
from operators.actors import Actor
from operators.errors import InvalidPayload, OperatorNotFound, PreconditionFailed
from operators.models import AuditEntry, Operator, OutboxEvent
from routing import actions
from routing.errors import RoutingRuleConflict, RuleNotFound
from routing.models import RoutingRule
from tests.factories import make_operator
from tests.routing.cast import make_destination, make_rule, rule_values

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def problems_of(**overrides: Any) -> set[str]:
    operator = make_operator()
    with pytest.raises(InvalidPayload) as refused:
        make_rule(operator, **overrides)
    assert not RoutingRule.objects.exists()
    return {problem.field for problem in refused.value.problems}


def kinds_of(operator: Operator, **overrides: Any) -> dict[str, list[str]]:
    with pytest.raises(RoutingRuleConflict) as refused:
        make_rule(operator, **overrides)
    return {finding.kind.value: [rule.prefix for rule in finding.rules] for finding in refused.value.findings}


def test_it_raises_the_version_and_tells_of_it_once(actor: Actor) -> None:
    operator = make_operator()

    rule = make_rule(operator)

    operator.refresh_from_db()
    assert (operator.version, rule.version) == (2, 1)
    entry = AuditEntry.objects.filter(operator=operator).first()
    assert entry is not None
    assert (entry.action, entry.version) == ("add_rule", 2)
    assert entry.changes == {"routingRules": [None, "+4479: 0.041500 EUR, priority 10, weight 100"]}
    event = OutboxEvent.objects.filter(operator_id=operator.pk, version=2).get()
    assert event.payload["changedFields"] == ["routingRules"]
    assert event.payload["newValues"] == {}


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"prefix": ""}, "prefix"),
        ({"prefix": "+"}, "prefix"),
        ({"prefix": "+44abc"}, "prefix"),
        ({"prefix": "0044"}, "prefix"),
        ({"prefix": "+04"}, "prefix"),
        ({"prefix": "+1234567890123456"}, "prefix"),
        ({"mcc": "23"}, "mcc"),
        ({"mnc": "10"}, "mnc"),
        ({"mcc": "234", "mnc": "1"}, "mnc"),
        ({"weight": 0}, "weight"),
        ({"priority": -1}, "priority"),
        ({"cost_per_segment": Decimal("-0.1")}, "costPerSegment"),
        ({"cost_per_segment": Decimal("0.0000001")}, "costPerSegment"),
        ({"cost_per_segment": Decimal("NaN")}, "costPerSegment"),
        ({"cost_per_segment": Decimal(10) ** 12}, "costPerSegment"),
        ({"currency": "EURO"}, "currency"),
        ({"currency": "XXY"}, "currency"),
        ({"effective_from": NOON, "effective_to": NOON}, "effectiveTo"),
        ({"effective_to": NOON - timedelta(days=365)}, "effectiveTo"),
    ],
)
def test_it_names_the_field_that_breaks_a_rule(overrides: dict[str, Any], field: str) -> None:
    assert problems_of(**overrides) == {field}


def test_it_refuses_an_mcc_of_another_country_than_the_prefix() -> None:
    make_destination("+44", "GB")
    make_destination("+441481", "GG")

    assert problems_of(prefix="+4479", mcc="262") == {"mcc"}
    assert make_rule(make_operator(), prefix="+44", mcc="234").mcc == "234"


def test_it_takes_an_mcc_where_the_country_is_not_known() -> None:
    assert make_rule(make_operator(), prefix="+99999", mcc="262", mnc="01").mnc == "01"


def test_it_refuses_the_same_prefix_at_the_same_time_always() -> None:
    operator = make_operator()
    make_rule(operator, effective_to=NOON)

    assert kinds_of(operator, priority=20) == {"EXACT": ["+4479"]}
    assert kinds_of(operator, effective_from=NOON - timedelta(seconds=1)) == {"EXACT": ["+4479"]}
    assert make_rule(operator, effective_from=NOON).effective_from == NOON
    assert make_rule(operator, mcc="234").mcc == "234"
    assert not make_rule(operator, active=False).active
    assert make_rule(make_operator()).prefix == "+4479"


def test_it_refuses_nested_prefixes_of_one_priority_unless_they_are_meant() -> None:
    operator = make_operator()
    make_rule(operator, prefix="+44")
    make_rule(operator, prefix="+447911")
    make_rule(operator, prefix="+4479", mcc="234", mnc="10")

    assert kinds_of(operator, allow_overlap=False) == {"OVERLAP": ["+44", "+447911"]}
    assert kinds_of(operator, allow_overlap=False, prefix="+447") == {"OVERLAP": ["+44", "+4479", "+447911"]}
    assert kinds_of(operator, allow_overlap=False, prefix="+44791", mcc="234", mnc="15") == {
        "OVERLAP": ["+44", "+447911"]
    }
    assert make_rule(operator, allow_overlap=False, priority=11).priority == 11


def test_it_tells_how_many_rules_are_concerned_and_lists_the_first() -> None:
    operator = make_operator()
    for number in range(10, 35):
        make_rule(operator, prefix=f"+44{number}")

    with pytest.raises(RoutingRuleConflict) as refused:
        make_rule(operator, prefix="+44", allow_overlap=False)

    [conflict] = refused.value.members["conflicts"]
    assert (conflict["total"], len(conflict["rules"])) == (25, 20)


def test_it_refuses_a_rule_that_longer_prefixes_leave_nothing_to_win() -> None:
    operator = make_operator()
    for digit in "012345678":
        make_rule(operator, prefix=f"+4479{digit}")
    for digit in "0123456789":
        make_rule(operator, prefix=f"+44799{digit}", effective_to=NOON if digit == "7" else None)

    assert make_rule(operator).prefix == "+4479"
    RoutingRule.objects.filter(prefix="+4479").delete()
    assert list(kinds_of(operator, effective_to=NOON)) == ["NEVER_WINS"]


def test_it_changes_a_rule_at_the_version_that_was_seen(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator)

    changed = actions.update_rule(
        actor=actor, rule_id=rule.pk, changes={"cost_per_segment": Decimal("0.05")}, expected_version=1
    )

    operator.refresh_from_db()
    assert (changed.version, operator.version) == (2, 3)
    entry = AuditEntry.objects.filter(operator=operator).first()
    assert entry is not None
    assert entry.changes["routingRules"] == [
        "+4479: 0.041500 EUR, priority 10, weight 100",
        "+4479: 0.050000 EUR, priority 10, weight 100",
    ]
    with pytest.raises(PreconditionFailed):
        actions.update_rule(actor=actor, rule_id=rule.pk, changes={"weight": 5}, expected_version=1)


def test_it_writes_nothing_where_nothing_differs(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator)

    actions.update_rule(actor=actor, rule_id=rule.pk, changes={"cost_per_segment": Decimal("0.041500"), "weight": 100})

    operator.refresh_from_db()
    assert operator.version == 2
    assert OutboxEvent.objects.filter(operator_id=operator.pk).count() == 2


def test_it_lets_no_change_run_into_another_rule(actor: Actor) -> None:
    operator = make_operator()
    make_rule(operator)
    other = make_rule(operator, prefix="+4478")

    with pytest.raises(RoutingRuleConflict):
        actions.update_rule(actor=actor, rule_id=other.pk, changes={"prefix": "+4479"})
    sleeping = make_rule(operator, active=False)
    with pytest.raises(RoutingRuleConflict):
        actions.update_rule(actor=actor, rule_id=sleeping.pk, changes={"active": True})


def test_it_removes_a_rule_and_keeps_what_it_said(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator)

    actions.delete_rule(actor=actor, rule_id=rule.pk, reason="OPS-9")

    assert not RoutingRule.objects.exists()
    entry = AuditEntry.objects.filter(operator=operator).first()
    assert entry is not None
    assert entry.changes["routingRules"] == ["+4479: 0.041500 EUR, priority 10, weight 100", None]
    with pytest.raises(RuleNotFound):
        actions.delete_rule(actor=actor, rule_id=rule.pk)


def test_it_knows_no_rules_of_operators_that_are_gone(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator)
    delete_operator(actor=actor, operator_id=operator.pk)

    with pytest.raises(RuleNotFound):
        actions.update_rule(actor=actor, rule_id=rule.pk, changes={"weight": 5})
    with pytest.raises(OperatorNotFound):
        make_rule(operator, prefix="+33")
    with pytest.raises(OperatorNotFound):
        actions.create_rule(actor=actor, operator_id=uuid4(), values=rule_values())


def test_the_database_itself_takes_no_double(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator)
    rule.pk = uuid4()

    with pytest.raises(IntegrityError), transaction.atomic():
        rule.save(force_insert=True)
    rule.effective_from = timezone.now() + timedelta(days=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        rule.save(force_insert=True)
