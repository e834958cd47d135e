"""Lookup and resolver against a resolver that looks at every rule of a small world, one after the other."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.models import HealthState, Status
from routing.decisions import decide, decide_all, decide_and_explain
from routing.explanation import Verdict
from routing.models import RoutingRule
from routing.ranking import resolve_many
from routing.resolver import Question, Strategy
from routing.rulebook import Rulebook
from tests.routing.world import NOON, carrier, rule

pytestmark = pytest.mark.django_db

NUMBERS: Final = ("+447911123456", "+447911999999", "+447700000000", "+4412345", "+33612345678", "+88216")
PREFIXES: Final = ("+4", "+44", "+447", "+4479", "+447911", "+447911123456", "+33", "+336")
NETWORKS: Final = (("", ""), ("234", ""), ("234", "10"), ("234", "15"), ("208", ""), ("208", "01"))
EARLY, LATE = NOON - timedelta(days=30), NOON + timedelta(days=30)
# Windows that do not overlap, for one operator has one rule at a time.
WINDOWS: Final = ((None, EARLY), (EARLY, NOON), (NOON, LATE), (LATE, None))
CURRENCIES: Final = ("EUR", "GBP", "USD")

a_rule = st.fixed_dictionaries(
    {
        "prefix": st.sampled_from(PREFIXES),
        "network": st.sampled_from(NETWORKS),
        "windows": st.sets(st.sampled_from((*range(len(WINDOWS)), 99)), min_size=1, max_size=2),
        "active": st.sampled_from((True, True, True, False)),
        "priority": st.sampled_from((5, 10)),
        "weight": st.sampled_from((1, 100, 300)),
        "cost": st.sampled_from(("0.01", "0.02", "0.020001")),
        "currency": st.sampled_from(CURRENCIES),
    }
)
an_operator = st.fixed_dictionaries(
    {
        "status": st.sampled_from((Status.ACTIVE, Status.ACTIVE, Status.ACTIVE, Status.SUSPENDED, Status.INACTIVE)),
        "health": st.sampled_from(HealthState.values),
        "deleted": st.sampled_from((False, False, False, False, True)),
        "rules": st.lists(a_rule, min_size=1, max_size=6, unique_by=lambda each: (each["prefix"], each["network"])),
    }
)
a_question = st.fixed_dictionaries(
    {
        "number": st.sampled_from(NUMBERS),
        "as_of": st.sampled_from((EARLY, NOON, NOON - timedelta(microseconds=1), LATE)),
        "strategy": st.sampled_from(Strategy),
        "currency": st.sampled_from(("", "EUR", "CHF")),
        "network": st.sampled_from((("", ""), ("234", ""), ("234", "10"), ("208", "01"))),
        "down": st.sets(st.integers(0, 7), max_size=2),
        "is_rated": st.booleans(),
        "limit": st.integers(1, 5),
    }
)
RATES: Final = {"GBP": Decimal("1.15"), "USD": Decimal("0.5")}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=st.lists(an_operator, min_size=1, max_size=8), asked=a_question)
def test_it_answers_as_somebody_who_looks_at_every_rule(world: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    with transaction.atomic():
        operators = [build(each) for each in world]
        down = frozenset(operators[place] for place in asked["down"] if place < len(operators))
        question = Question(
            number=asked["number"],
            as_of=asked["as_of"],
            strategy=asked["strategy"],
            currency=asked["currency"],
            rates=RATES if asked["is_rated"] and asked["currency"] else {},
            mcc=asked["network"][0],
            mnc=asked["network"][1],
            down=down,
        )
        outcome, expected = brute_force(question)
        limit = asked["limit"]

        single = decide(question, limit=limit)
        assert single.outcome == outcome
        assert [each.rule_id for each in single.ranked] == expected[:limit]

        many = decide_all(question, NUMBERS, limit=limit)
        assert many[NUMBERS.index(question.number)] == single
        for number, answer in zip(NUMBERS, many, strict=True):
            alone = decide(answer.question, limit=limit)
            assert alone.question.number == number
            assert alone == answer

        if question.strategy is not Strategy.COST or (question.currency and not question.rates):
            together = [answer.question for answer in many]
            assert resolve_many(together, *Rulebook().current(), limit=limit) == many

        full, explained = decide_and_explain(question)
        assert (full.outcome, full.currency) == (single.outcome, single.currency)
        tried = [each.candidate.rule_id for each in explained if each.verdict != Verdict.PASSED_OVER]
        assert tried == [each.rule_id for each in full.ranked] == expected
        assert [each.position for each in explained if each.position] == list(range(1, len(expected) + 1))
        assert {each.candidate.rule_id for each in explained} == {
            each.pk for each in RoutingRule.objects.filter(operator__deleted_at=None) if begins(question, each)
        }
        transaction.set_rollback(True)


def build(description: dict[str, Any]) -> Any:
    """Add one operator with its rules."""
    is_deleted = description["deleted"]
    operator = carrier(
        status=Status.INACTIVE if is_deleted else description["status"],
        health_state=description["health"],
        deleted_at=NOON if is_deleted else None,
    )
    for each in description["rules"]:
        mcc, mnc = each["network"]
        windows = {(None, None)} if 99 in each["windows"] else {WINDOWS[place] for place in each["windows"]}
        for start, end in windows:
            rule(
                operator,
                each["prefix"],
                mcc=mcc,
                mnc=mnc,
                effective_from=start,
                effective_to=end,
                active=each["active"],
                priority=each["priority"],
                weight=each["weight"],
                cost_per_segment=Decimal(each["cost"]),
                currency=each["currency"],
            )
    return operator.pk


def begins(question: Question, each: RoutingRule) -> bool:
    return question.number.startswith(each.prefix)


def brute_force(question: Question) -> tuple[str, list[Any]]:
    """Find the outcome and the order of the rules by the words of the contract, slowly."""
    routable, some_are_down = [], False
    for each in RoutingRule.objects.select_related("operator"):
        operator = each.operator
        if not begins(question, each) or not each.active or operator.deleted_at or operator.status != "ACTIVE":
            continue
        if not within(each.effective_from, question.as_of, each.effective_to):
            continue
        if question.mcc and each.mcc and question.mcc != each.mcc:
            continue
        if question.mcc and each.mcc and question.mnc and each.mnc and question.mnc != each.mnc:
            continue
        if operator.pk in question.down or operator.health_state == "UNHEALTHY":
            some_are_down = True
            continue
        routable.append(each)
    if not routable:
        return ("ALL_UNHEALTHY" if some_are_down else "NO_ROUTE"), []

    currency = question.currency
    if not currency:
        used = sorted(each.currency for each in routable)
        currency = max(dict.fromkeys(used), key=used.count)

    def sort_key(each: RoutingRule) -> Any:
        share = -math.log(uniform(question.number, each)) / each.weight
        if question.strategy == "PRIORITY":
            how: Any = (each.priority, share)
        elif question.strategy == "WEIGHTED":
            how = (share,)
        elif each.currency == currency:
            how = (0, "", each.cost_per_segment, each.priority, share)
        elif each.currency in question.rates:
            how = (0, "", each.cost_per_segment * question.rates[each.currency], each.priority, share)
        else:
            how = (1, each.currency, each.cost_per_segment, each.priority, share)
        network = 2 if each.mnc else 1 if each.mcc else 0
        return (-len(each.prefix), -network, each.operator.health_state == "DEGRADED", *how)

    first_of: dict[Any, Any] = {}
    for each in sorted(routable, key=sort_key):
        first_of.setdefault(each.operator_id, each.pk)
    return "ROUTED", list(first_of.values())


def within(start: datetime | None, moment: datetime, end: datetime | None) -> bool:
    return (start is None or start <= moment) and (end is None or moment < end)


def uniform(number: str, each: RoutingRule) -> float:
    drawn = int(hashlib.blake2b(number.encode() + each.pk.bytes, digest_size=8).hexdigest(), 16)
    return (drawn // 2**12 + 0.5) / 2**52
