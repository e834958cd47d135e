from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from operators.actions import delete_operator, restore_operator
from operators.actors import Actor
from operators.models import HealthState, Operator, Status
from routing import decisions, rulebook
from routing.actions import create_rule, delete_rule, update_rule
from routing.decisions import decide, decide_all
from routing.models import RoutingRule
from routing.resolver import Answer, Outcome, Question, Strategy
from routing.rulebook import Rulebook
from tests.factories import make_operator
from tests.routing.world import NOON, NUMBER, carrier, rule

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = Question(NUMBER, NOON)
LIST = [NUMBER, *(f"+4479{number:08}" for number in range(decisions.FROM_MEMORY))]


@pytest.fixture(autouse=True)
def own_rulebook(monkeypatch: pytest.MonkeyPatch) -> Rulebook:
    book = Rulebook()
    monkeypatch.setattr("routing.rulebook.rulebook", lambda: book)
    return book


def carried_by(question: Question = QUESTION) -> list[Any]:
    """Ask with a list, which the rulebook answers, and compare with the answer for the number alone."""
    answer = decide_all(question, LIST, limit=5)[0]
    assert answer == decide(question, limit=5)
    return [candidate.operator_name for candidate in answer.ranked]


def test_every_change_of_a_rule_counts_at_once(actor: Actor, own_rulebook: Rulebook) -> None:
    first, second = make_operator(name="First"), make_operator(name="Second")
    Operator.objects.update(status=Status.ACTIVE)
    price = Decimal("0.04")
    assert carried_by() == []
    broad = create_rule(actor=actor, operator_id=first.pk, values={"prefix": "+44", "cost_per_segment": price})
    assert carried_by() == ["First"]
    narrow = create_rule(actor=actor, operator_id=second.pk, values={"prefix": "+4479", "cost_per_segment": price})
    assert carried_by() == ["Second", "First"]
    update_rule(actor=actor, rule_id=narrow.pk, changes={"active": False})
    assert carried_by() == ["First"]
    update_rule(actor=actor, rule_id=narrow.pk, changes={"active": True, "priority": 3})
    assert carried_by() == ["Second", "First"]
    delete_rule(actor=actor, rule_id=broad.pk)
    assert carried_by() == ["Second"]
    delete_operator(actor=actor, operator_id=second.pk)
    assert carried_by() == []
    restore_operator(actor=actor, operator_id=second.pk)
    Operator.objects.filter(pk=second.pk).update(status=Status.ACTIVE)
    assert carried_by() == ["Second"]
    assert len(own_rulebook.current()[1]["prefix"]) == 1


def test_health_counts_at_once_and_reads_no_rule_again(monkeypatch: pytest.MonkeyPatch) -> None:
    good, other = carrier("Good"), carrier("Other")
    for operator, priority in ((good, 1), (other, 2)):
        rule(operator, priority=priority)
    assert carried_by() == ["Good", "Other"]
    read: Callable[..., Any] = rulebook._read
    calls = []

    def note(*operators: Any) -> Any:
        calls.append(operators)
        return read(*operators)

    monkeypatch.setattr(rulebook, "_read", note)
    for state, expected in (
        (HealthState.DEGRADED, ["Other", "Good"]),
        (HealthState.UNHEALTHY, ["Other"]),
        (HealthState.HEALTHY, ["Good", "Other"]),
    ):
        Operator.objects.filter(pk=good.pk).update(health_state=state)
        assert carried_by() == expected
    assert calls == []


def test_operators_are_read_only_after_a_change(own_rulebook: Rulebook) -> None:
    assert own_rulebook.current()[0].ids == []
    operator = carrier("Quiet")
    for change in ("begin", "name", "version"):
        if change != "begin":
            Operator.objects.filter(pk=operator.pk).update(**{change: {"name": "Loud", "version": 7}[change]})
        _, kept = own_rulebook.current(), own_rulebook.current()[0]
        with CaptureQueriesContext(connection) as queries:
            assert own_rulebook.current()[0] is kept
        assert len(queries) == 1
    assert kept.names == ["Loud"]


def test_state_that_comes_and_goes_while_operators_are_read_is_not_kept(own_rulebook: Rulebook) -> None:
    operator = carrier("Unsteady", health_state=HealthState.DEGRADED)
    rule(operator)

    def become(state: str) -> None:
        Operator.objects.filter(pk=operator.pk).update(health_state=state)

    def fail_in_between(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql == rulebook._OPERATORS:
            become(HealthState.UNHEALTHY)
        return execute(sql, *rest)

    with connection.execute_wrapper(fail_in_between):
        assert own_rulebook.current()[0].is_down.tolist() == [True]
    become(HealthState.DEGRADED)
    assert own_rulebook.current()[0].is_down.tolist() == [False]
    assert carried_by() == ["Unsteady"]


def test_a_rule_that_is_committed_while_others_are_read_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = carrier("Busy")
    rule(operator, prefix="+44")
    read: Callable[..., Any] = rulebook._read

    def read_late(*operators: Any) -> Any:
        found = read(*operators)
        monkeypatch.setattr(rulebook, "_read", read)
        rule(operator, prefix="+4479", cost_per_segment=Decimal("0.01"))
        Operator.objects.filter(pk=operator.pk).update(version=operator.version + 1)
        return found

    monkeypatch.setattr(rulebook, "_read", read_late)
    assert decide_all(QUESTION, LIST, limit=1)[0].ranked[0].prefix == "+44"
    assert decide_all(QUESTION, LIST, limit=1)[0].ranked[0].prefix == "+4479"


def test_a_failed_read_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rule(carrier("Only"))
    read: Callable[..., Any] = rulebook._read

    def fail(*_: Any) -> Any:
        monkeypatch.setattr(rulebook, "_read", read)
        raise ConnectionError

    monkeypatch.setattr(rulebook, "_read", fail)
    with pytest.raises(ConnectionError):
        decide_all(QUESTION, LIST, limit=1)
    assert carried_by() == ["Only"]


def test_what_a_transaction_has_not_committed_is_answered_and_not_remembered(own_rulebook: Rulebook) -> None:
    operator = carrier("Undone")
    with transaction.atomic():
        rule(operator)
        Operator.objects.filter(pk=operator.pk).update(version=operator.version + 1)
        assert carried_by() == ["Undone"]
        transaction.set_rollback(True)
    assert carried_by() == []
    assert len(own_rulebook.current()[1]["prefix"]) == 0


def test_every_value_comes_back_as_it_is_stored() -> None:
    operator = carrier("Exact")
    rule(
        operator,
        mcc="001",
        mnc="01",
        priority=2_147_483_647,
        weight=2_147_483_647,
        cost_per_segment=Decimal("999999999999.999999"),
        currency="XOF",
        effective_from=NOON - timedelta(days=1, microseconds=1),
        effective_to=NOON + timedelta(microseconds=1),
    )
    rule(operator, mcc="001", mnc="001", cost_per_segment=Decimal(0), effective_from=NOON)
    for mnc in ("01", "001"):
        question = Question(NUMBER, NOON, mcc="001", mnc=mnc)
        answer, alone = decide_all(question, LIST, limit=5)[0], decide(question, limit=5)
        assert isinstance(answer, Answer)
        assert answer.outcome is Outcome.ROUTED
        assert astuple(answer) == astuple(alone)
        assert answer.ranked[0].mnc == mnc


@pytest.mark.parametrize("piece", [1, 3, 7])
def test_rows_may_come_in_pieces(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rulebook, "_PIECE", piece * rulebook._ROW.itemsize)
    monkeypatch.setattr(rulebook, "_OPERATORS_AT_ONCE", 2)
    for number in range(5):
        operator = carrier(f"Carrier of {number}")
        for digit in range(number + 1):
            rule(operator, prefix=f"+449{digit}", priority=number)
    _, rules = Rulebook().current()
    stored = RoutingRule.objects.order_by("prefix", "priority").values_list("prefix", "priority", "pk")
    found = zip(rules["prefix"].tolist(), rules["priority"].tolist(), rules["rule"], strict=True)
    assert sorted((f"+{prefix}", priority, pk.tobytes()) for prefix, priority, pk in found) == [
        (prefix, priority, pk.bytes) for prefix, priority, pk in stored
    ]
    assert np.all(rules["prefix"][1:] >= rules["prefix"][:-1])


def test_prices_of_several_currencies_are_left_to_the_database(own_rulebook: Rulebook) -> None:
    rule(carrier("One"))
    for question in (
        Question(NUMBER, NOON, Strategy.COST),
        Question(NUMBER, NOON, Strategy.COST, currency="EUR", rates={"USD": Decimal("0.9")}),
    ):
        assert carried_by(question) == ["One"]
    assert len(own_rulebook._rules["prefix"]) == 0, "nobody has asked it"
