from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from prometheus_client import REGISTRY

from operators.models import HealthState, Operator, Status
from routing import explanation
from routing.decisions import decide, decide_all, decide_and_explain
from routing.explanation import Explained, amount
from routing.resolver import Answer, Outcome, Question, Strategy
from tests.routing.world import NOON, NUMBER, carrier, rule

pytestmark = pytest.mark.django_db

COST, WEIGHTED = Strategy.COST, Strategy.WEIGHTED


def question(**values: Any) -> Question:
    return replace(Question(NUMBER, NOON), **values)


def names(answer: Answer) -> list[str]:
    return [each.operator_name for each in answer.ranked]


def order(**values: Any) -> list[str]:
    return names(decide(question(**values), limit=10))


def told(**values: Any) -> dict[str, Explained]:
    """Explain, by operator and prefix."""
    _, explained = decide_and_explain(question(**values))
    return {f"{each.candidate.operator_name} {each.candidate.prefix}": each for each in explained}


def reasons(**values: Any) -> dict[str, str]:
    return {key: each.reason.value for key, each in told(**values).items()}


def test_it_prefers_the_longer_prefix_whatever_it_costs() -> None:
    rule(carrier("Broad"), "+44", priority=1, cost_per_segment=Decimal("0.001"))
    rule(carrier("Near"), "+447911", priority=20)

    for strategy in Strategy:
        assert order(strategy=strategy) == ["Near", "Broad"]
    assert reasons() == {"Near +447911": "CHOSEN", "Broad +44": "SHORTER_PREFIX"}
    assert told()["Broad +44"].sentence == "Its prefix +44 is shorter than +447911."


def test_it_prefers_the_rule_that_names_the_network() -> None:
    rule(carrier("Any"), priority=1)
    rule(carrier("Country"), mcc="234", priority=5)
    rule(carrier("Network"), mcc="234", mnc="10", priority=20)

    assert order() == ["Network", "Country", "Any"]
    assert reasons()["Country +4479"] == "LESS_SPECIFIC"
    assert told()["Country +4479"].sentence == "It is for network 234, the chosen rule for network 234/10."


def test_it_takes_the_callers_word_for_the_network_and_nobody_elses() -> None:
    rule(carrier("Ten"), mcc="234", mnc="10")
    rule(carrier("Fifteen"), mcc="234", mnc="15")
    rule(carrier("France"), mcc="208")

    assert set(order()) == {"Ten", "Fifteen", "France"}
    assert set(order(mcc="234")) == {"Ten", "Fifteen"}
    assert order(mcc="234", mnc="15") == ["Fifteen"]
    assert reasons(mcc="234", mnc="15") == {
        "Fifteen +4479": "CHOSEN",
        "Ten +4479": "OTHER_NETWORK",
        "France +4479": "OTHER_NETWORK",
    }
    assert told(mcc="234", mnc="15")["France +4479"].sentence == "The rule is for network 208, the number is in 234/15."


def test_it_counts_an_operator_once_by_its_own_first_rule() -> None:
    operator = carrier("Own")
    rule(operator, "+44", priority=1)
    rule(operator, "+4479", priority=1)
    rule(operator, "+4479", mcc="234", priority=20)
    rule(operator, "+4479", mcc="208", priority=30)

    answer, explained = decide_and_explain(question())

    assert names(answer) == ["Own"]
    assert [(each.candidate.priority, each.reason.value) for each in explained] == [
        (20, "CHOSEN"),
        *sorted([(30, "OWN_RULE_FIRST"), (1, "MORE_SPECIFIC")], key=lambda pair: rule_id(explained, pair)),
        (1, "LONGER_PREFIX"),
    ]
    assert explained[0].sentence == "Nobody else carries the number now."


def rule_id(explained: list[Explained], pair: tuple[int, str]) -> UUID:
    return next(each.candidate.rule_id for each in explained if (each.candidate.priority, each.reason.value) == pair)


def test_it_tries_degraded_operators_after_the_others_and_leaves_unhealthy_ones_out() -> None:
    rule(carrier("Degraded", health_state=HealthState.DEGRADED), priority=1)
    rule(carrier("Unknown", health_state=HealthState.UNKNOWN), priority=5)
    rule(carrier("Healthy"), priority=10)
    rule(carrier("Unhealthy", health_state=HealthState.UNHEALTHY), priority=0)
    rule(carrier("Far"), "+44", priority=0)

    for strategy in (Strategy.PRIORITY, COST):
        assert order(strategy=strategy) == ["Unknown", "Healthy", "Degraded", "Far"]
    assert reasons() == {
        "Unknown +4479": "CHOSEN",
        "Healthy +4479": "PRIORITY",
        "Degraded +4479": "DEGRADED",
        "Far +44": "SHORTER_PREFIX",
        "Unhealthy +4479": "UNHEALTHY",
    }
    assert told()["Healthy +4479"].sentence == "Priority 10 comes after 5."
    assert [each.position for each in told().values()] == [1, 2, 3, 4, None]


def test_it_says_when_all_are_unhealthy() -> None:
    first = carrier("First", health_state=HealthState.UNHEALTHY)
    rule(first)
    rule(carrier("Second", health_state=HealthState.UNHEALTHY), "+44")
    asleep = carrier("Asleep", status=Status.SUSPENDED)
    rule(asleep)

    answer = decide(question(), limit=5)
    assert (answer.outcome, answer.selected) == (Outcome.ALL_UNHEALTHY, None)
    assert decide(question(number="+33612345678"), limit=5).outcome == Outcome.NO_ROUTE
    Operator.objects.filter(pk=first.pk).update(health_state=HealthState.DEGRADED)
    assert order() == ["First"]
    assert decide(question(down=frozenset({first.pk})), limit=5).outcome == Outcome.ALL_UNHEALTHY


def test_it_finds_no_route_where_only_sleeping_rules_are() -> None:
    rule(carrier("Off", health_state=HealthState.UNHEALTHY), active=False)
    rule(carrier("Asleep", status=Status.SUSPENDED))
    rule(carrier("New", status=Status.INACTIVE))
    rule(carrier("Early"), effective_from=NOON + timedelta(seconds=1))
    rule(carrier("Late"), effective_to=NOON)
    rule(carrier("Gone", status=Status.INACTIVE, deleted_at=NOON))

    answer, explained = decide_and_explain(question())

    assert answer.outcome == Outcome.NO_ROUTE
    assert {each.candidate.operator_name: each.sentence for each in explained} == {
        "Off": "The rule is switched off.",
        "Asleep": "The operator is suspended.",
        "New": "The operator is inactive.",
        "Early": "The rule begins at 01 Dec 2026, 12:00:01 UTC.",
        "Late": "The rule ended at 01 Dec 2026, 12:00:00 UTC.",
    }
    assert {each.reason.value for each in explained} == {
        "RULE_INACTIVE",
        "OPERATOR_SUSPENDED",
        "OPERATOR_INACTIVE",
        "NOT_YET",
        "EXPIRED",
    }
    assert order(as_of=NOON + timedelta(seconds=1)) == ["Early"]
    assert order(as_of=NOON - timedelta(seconds=1)) == ["Late"]


def test_it_tells_what_would_be_if_an_operator_were_down() -> None:
    first = carrier("First")
    rule(first, priority=1)
    rule(carrier("Second"), priority=2)

    assert order() == ["First", "Second"]
    down = frozenset({first.pk})
    assert order(down=down) == ["Second"]
    assert reasons(down=down)["First +4479"] == "ASSUMED_DOWN"


def test_it_compares_prices_in_the_most_frequent_currency() -> None:
    rule(carrier("Cheap"), cost_per_segment=Decimal("0.03"))
    rule(carrier("Dear"), cost_per_segment=Decimal("0.050001"))
    rule(carrier("Pound"), cost_per_segment=Decimal("0.01"), currency="GBP")

    answer = decide(question(strategy=COST), limit=10)
    assert (answer.currency, names(answer)) == ("EUR", ["Cheap", "Dear", "Pound"])
    assert reasons(strategy=COST)["Pound +4479"] == "OTHER_CURRENCY"
    explained = told(strategy=COST)
    assert explained["Pound +4479"].sentence == "It is priced in GBP, and there is no rate to EUR."
    assert explained["Dear +4479"].sentence == "0.050001 EUR is more than 0.0300 EUR."
    assert explained["Cheap +4479"].sentence == "The cheapest for +4479: 0.0300 EUR."
    assert order(strategy=COST, currency="GBP") == ["Pound", "Cheap", "Dear"]
    assert order(strategy=COST, currency="CHF") == ["Cheap", "Dear", "Pound"]


def test_it_breaks_a_tie_of_currencies_by_the_alphabet() -> None:
    rule(carrier("Dollar"), currency="USD", cost_per_segment=Decimal("0.01"))
    rule(carrier("Euro"))

    assert decide(question(strategy=COST), limit=1).currency == "EUR"
    assert decide(question(strategy=COST, number="+33612345678"), limit=1).currency == ""


def test_it_converts_by_the_rates_that_are_given() -> None:
    rule(carrier("Euro"), cost_per_segment=Decimal("0.03"))
    rule(carrier("Pound"), cost_per_segment=Decimal("0.02"), currency="GBP")
    rule(carrier("Franc"), cost_per_segment=Decimal("0.001"), currency="CHF")
    asked = {"strategy": COST, "currency": "USD", "rates": {"EUR": Decimal("1.08"), "GBP": Decimal("1.27")}}

    assert order(**asked) == ["Pound", "Euro", "Franc"]
    assert told(**asked)["Euro +4479"].sentence == ("0.0300 EUR (0.0324 USD) is more than 0.0200 GBP (0.0254 USD).")


def test_it_prefers_by_priority_where_prices_are_equal() -> None:
    rule(carrier("Later"), priority=20, cost_per_segment=Decimal("0.04"))
    rule(carrier("First"), priority=10, cost_per_segment=Decimal("0.040000"))

    assert order(strategy=COST) == ["First", "Later"]
    assert reasons(strategy=COST)["Later +4479"] == "PRIORITY"


@pytest.mark.parametrize("strategy", [WEIGHTED, Strategy.PRIORITY])
def test_it_shares_numbers_by_weight(strategy: Strategy) -> None:
    for name, weight in (("One", 100), ("Three", 300), ("Six", 600)):
        rule(carrier(name), "+44", weight=weight, priority=10)
    asked = question(strategy=strategy)
    numbers = [f"+44791{serial:07}" for serial in range(10_000)]

    answers = decide_all(asked, numbers, limit=2)

    first = Counter(names(answer)[0] for answer in answers)
    assert {name: round(count / 10_000, 1) for name, count in first.items()} == {"One": 0.1, "Three": 0.3, "Six": 0.6}
    assert abs(first["Three"] - 3_000) < 200
    # Without the heaviest, its numbers go to the others by their weights.
    second = Counter(names(answer)[1] for answer in answers if names(answer)[0] == "Six")
    assert abs(second["Three"] / second.total() - 0.75) < 0.03


def test_it_gives_a_number_the_same_answer_always() -> None:
    for serial in range(10):
        rule(carrier(f"Equal {serial}"))

    drawn = order(strategy=WEIGHTED)
    assert all(order(strategy=WEIGHTED) == drawn for _ in range(5))
    assert order() == drawn
    assert [names(answer) for answer in decide_all(question(), [NUMBER, NUMBER], limit=10)] == [drawn, drawn]
    assert len({tuple(order(number=f"+44791112345{digit}")) for digit in range(10)}) > 5
    # Who is gone leaves the order of the others as it was.
    Operator.objects.filter(name=drawn[0]).update(health_state=HealthState.UNHEALTHY)
    assert order() == drawn[1:]


def test_it_ignores_priorities_where_weights_alone_count() -> None:
    for serial in range(8):
        rule(carrier(f"Equal {serial}"), priority=serial)

    chosen = {order(strategy=WEIGHTED, number=f"+4479111234{digits}")[0] for digits in range(10, 60)}
    assert len(chosen) > 4
    assert "PRIORITY" not in reasons(strategy=WEIGHTED).values()
    assert "WEIGHT" in reasons(strategy=WEIGHTED).values()


def test_it_reads_on_where_the_first_rows_do_not_suffice() -> None:
    for serial in range(30):
        rule(carrier(f"Down {serial}", health_state=HealthState.UNHEALTHY), "+447911")
    rule(carrier("Up"), "+44")

    assert order() == ["Up"]
    [many] = decide_all(question(), [NUMBER], limit=1)
    assert names(many) == ["Up"]


def test_it_asks_the_database_once_whatever_the_number_of_numbers(django_assert_num_queries: Any) -> None:
    rule(carrier("One"))
    assert decide_all(question(), [], limit=1) == []
    with django_assert_num_queries(0):  # the prepared statement goes past Django's log
        answers = decide_all(question(), ["+447911123456", "+33612345678"] * 500, limit=1)
    assert [answer.outcome.value for answer in answers[:2]] == ["ROUTED", "NO_ROUTE"]
    assert len(answers) == 1000


@pytest.mark.django_db(transaction=True)
def test_it_asks_on_a_new_connection_when_the_old_one_is_gone() -> None:
    rule(carrier("One"))
    assert order() == ["One"]

    connection.close()
    assert order() == ["One"]

    connection.connection.close()
    with pytest.raises(OperationalError):
        order()
    connection.close()
    assert order() == ["One"]


def test_it_counts_each_resolution() -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("ops_route_resolve_duration_seconds_count") or 0.0

    before = count()
    decide(question(), limit=1)
    decide_all(question(), [NUMBER, "+33612345678"], limit=1)
    decide_and_explain(question())
    assert count() - before == 4


@pytest.mark.parametrize(
    ("cost", "text"), [("0.04", "0.0400"), ("0.041500", "0.0415"), ("0.000001", "0.000001"), ("12", "12.0000")]
)
def test_it_writes_prices_with_the_decimals_they_need(cost: str, text: str) -> None:
    assert amount(Decimal(cost)) == text


def test_it_has_words_for_every_reason() -> None:
    assert len({reason.value for reason in explanation.REASONS}) == len(explanation.REASONS)
