"""Ranking over columns against the resolver, in worlds crowded with ties; no database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.models import HealthState, Status
from routing import draws
from routing.ranking import resolve_many
from routing.resolver import Candidate, Outcome, Question, Strategy, resolve
from routing.rulebook import _COLUMNS, FOREVER, NO_CODE, Carriers, Rules, _in_order, mnc_code, moment
from tests.routing.world import NOON

SPACE: Final = UUID("4f0c2b54-7f0e-4f3c-9c0b-0b5ac8f2a7d1")
OPERATORS: Final = tuple(uuid5(SPACE, f"operator {place}") for place in range(5))
# The second has 15 digits, all of which are somebody's prefix; the last is of no rule.
NUMBERS: Final = ("+447911123456", "+447911123456789", "+4479", "+4470000000", "+33612345678", "+88216")
PREFIXES: Final = ("+4", "+44", "+4479", "+4479", "+4479", "+447911123456789", "+33612345678")
EARLY, LATE = NOON - timedelta(days=1), NOON + timedelta(microseconds=1)

a_rule = st.fixed_dictionaries(
    {
        "operator_id": st.sampled_from(OPERATORS),
        "prefix": st.sampled_from(PREFIXES),
        "network": st.sampled_from((*(("", ""),) * 6, ("234", ""), ("234", "10"), ("234", "010"), ("208", "01"))),
        "window": st.sampled_from((*((None, None),) * 6, (NOON, LATE), (EARLY, NOON), (LATE, None))),
        "priority": st.sampled_from((5, 5, 5, 10)),
        "weight": st.sampled_from((1, 100, 100, 100, 2_147_483_647)),
        "cost": st.sampled_from((Decimal("0.01"), Decimal("0.020001"))),
        "currency": st.sampled_from(("EUR", "EUR", "GBP", "USD")),
    }
)
an_operator = st.tuples(
    st.sampled_from((*(Status.ACTIVE,) * 5, Status.SUSPENDED)),
    st.sampled_from((*(HealthState.HEALTHY,) * 5, HealthState.DEGRADED, HealthState.UNHEALTHY)),
)
a_question = st.builds(
    lambda strategy, currency, network, down: Question(
        number="",
        as_of=NOON,
        strategy=strategy,
        currency=currency if strategy is Strategy.COST else "",
        mcc=network[0],
        mnc=network[1],
        down=down,
    ),
    st.sampled_from(Strategy),
    st.sampled_from(("EUR", "GBP", "CHF")),
    st.sampled_from((("", ""), ("234", ""), ("234", "10"), ("208", "01"))),
    st.sampled_from(
        (*(frozenset[UUID](),) * 3, frozenset(OPERATORS[:1]), frozenset(OPERATORS[2:4]), frozenset(OPERATORS))
    ),
)


@pytest.mark.parametrize(
    "digest",
    [draws._digest, lambda number, rule_id: bytes(8), lambda number, rule_id: bytes([rule_id[15] % 3]) * 8],
    ids=["as it is", "all the same", "few"],
)
@settings(max_examples=150, deadline=None)
@given(
    rules=st.lists(a_rule, max_size=25),
    operators=st.lists(an_operator, min_size=len(OPERATORS), max_size=len(OPERATORS)),
    asked=a_question,
    limit=st.integers(1, 6),
)
def test_it_answers_as_the_resolver_does(
    digest: Callable[[bytes, bytes], bytes],
    rules: list[dict[str, Any]],
    operators: list[tuple[Status, HealthState]],
    asked: Question,
    limit: int,
) -> None:
    candidates = [candidate(place, operators, each) for place, each in enumerate(rules)]
    questions = [each_of(asked, number) for number in NUMBERS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "_digest", digest)
        expected = [
            resolve(question, [each for each in candidates if question.number.startswith(each.prefix)], limit=limit)
            for question in questions
        ]
        assert resolve_many(questions, carriers_of(operators), columns_of(candidates), limit=limit) == expected


def test_it_draws_for_nothing_that_cannot_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    digest, drawn = draws._digest, []

    def note(number: bytes, rule_id: bytes) -> bytes:
        drawn.append(rule_id)
        return digest(number, rule_id)

    monkeypatch.setattr(draws, "_digest", note)
    operators = [(Status.ACTIVE, HealthState.HEALTHY)] * len(OPERATORS)
    same = {"prefix": "+4479", "network": ("", ""), "window": (None, None), "weight": 100, "currency": "EUR"}
    rules = [
        candidate(place, operators, {**same, "operator_id": OPERATORS[of], "priority": priority, "cost": Decimal(1)})
        for place, (of, priority) in enumerate([(0, 1), (0, 2), (1, 2), (2, 3), (3, 3), (4, 4), (3, 4)])
    ]
    asked = [Question("+447911123456", NOON)]
    for limit, ties in ((1, []), (2, []), (3, [3, 4]), (4, [3, 4]), (5, [3, 4])):
        drawn.clear()
        [answer] = resolve_many(asked, carriers_of(operators), columns_of(rules), limit=limit)
        assert len(answer.ranked) == limit
        assert sorted(drawn) == sorted(rules[place].rule_id.bytes for place in ties)


def test_nobody_asks_and_nothing_is_there() -> None:
    nobody = carriers_of([(Status.ACTIVE, HealthState.HEALTHY)] * len(OPERATORS))
    assert resolve_many([], nobody, columns_of([]), limit=1) == []
    [answer] = resolve_many([Question("+447911123456", NOON)], nobody, columns_of([]), limit=1)
    assert (answer.outcome, answer.ranked) == (Outcome.NO_ROUTE, ())


def each_of(asked: Question, number: str) -> Question:
    return Question(number, *(getattr(asked, name) for name in Question.__slots__[1:]))


def candidate(place: int, operators: Sequence[tuple[Status, HealthState]], rule: dict[str, Any]) -> Candidate:
    status, health = operators[OPERATORS.index(rule["operator_id"])]
    return Candidate(
        rule_id=uuid5(SPACE, f"rule {place}"),
        operator_id=rule["operator_id"],
        prefix=rule["prefix"],
        mcc=rule["network"][0],
        mnc=rule["network"][1],
        priority=rule["priority"],
        weight=rule["weight"],
        cost=rule["cost"],
        currency=rule["currency"],
        effective_from=rule["window"][0],
        effective_to=rule["window"][1],
        active=True,
        operator_name=f"Carrier {OPERATORS.index(rule['operator_id'])}",
        status=status,
        health=health,
    )


def carriers_of(operators: Sequence[tuple[Status, HealthState]]) -> Carriers:
    statuses, healths = zip(*operators, strict=True)
    return Carriers(
        ids=list(OPERATORS),
        names=[f"Carrier {place}" for place in range(len(OPERATORS))],
        statuses=list(statuses),
        healths=list(healths),
        routes=np.array([status == Status.ACTIVE for status in statuses]),
        is_down=np.array([health == HealthState.UNHEALTHY for health in healths]),
        is_degraded=np.array([health == HealthState.DEGRADED for health in healths]),
    )


def columns_of(rules: Sequence[Candidate]) -> Rules:
    values: dict[str, Any] = {
        "operator": [OPERATORS.index(rule.operator_id) for rule in rules],
        "rule": [np.void(rule.rule_id.bytes) for rule in rules],
        "prefix": [int(rule.prefix) for rule in rules],
        "mcc": [int(rule.mcc or NO_CODE) for rule in rules],
        "mnc": [mnc_code(rule.mnc) if rule.mnc else NO_CODE for rule in rules],
        "priority": [rule.priority for rule in rules],
        "weight": [rule.weight for rule in rules],
        "cost": [int(rule.cost * 1_000_000) for rule in rules],
        "currency": [rule.currency.encode() for rule in rules],
        "start": [moment(rule.effective_from) if rule.effective_from else -FOREVER - 1 for rule in rules],
        "end": [moment(rule.effective_to) if rule.effective_to else FOREVER for rule in rules],
    }
    return _in_order(
        {name: np.array(values[name], dtype=np.dtype(kind).newbyteorder("=")) for name, _, kind in _COLUMNS}
    )
