from __future__ import annotations

from decimal import Decimal
from typing import cast

import pytest

from operators.actors import Actor, Source
from operators.legacy.migration import Answers
from operators.legacy.sheet import Routes
from operators.models import Operator
from operators.signals import operator_migrated
from routing.models import RoutingRule
from tests.factories import make_operator
from tests.routing.cast import make_destination, make_rule

pytestmark = pytest.mark.django_db(transaction=True)

RUN = Actor("migration:1", Source.COMMAND)
ROUTES = Routes(prefixes=("+23320", "+23480"), cost_per_segment=Decimal("0.06"), currency="EUR", mcc="621", mnc="20")


def tell(operator: Operator | None) -> list[str]:
    answers = operator_migrated.send(sender=Operator, operator=operator, actor=RUN, routes=ROUTES)
    return [warning for _, warnings in cast("Answers", answers) for warning in warnings]


def rules() -> set[tuple[str, ...]]:
    return set(RoutingRule.objects.values_list("prefix", "mcc", "mnc", "currency"))


def test_it_makes_a_rule_of_each_prefix_in_one_change() -> None:
    operator = make_operator()

    assert tell(operator) == []

    operator.refresh_from_db()
    assert operator.version == 2
    assert rules() == {("+23320", "621", "20", "EUR"), ("+23480", "621", "20", "EUR")}


def test_it_makes_only_what_is_missing_the_second_time() -> None:
    operator = make_operator()
    make_rule(operator, prefix="+23480")

    tell(operator)
    tell(operator)

    operator.refresh_from_db()
    assert operator.version == 3
    assert sorted(prefix for prefix, *_ in rules()) == ["+23320", "+23480"]


def test_it_leaves_out_an_mcc_that_contradicts_the_prefix_and_says_so() -> None:
    make_destination("+233", "GH")
    make_destination("+234", "NG")
    foretold = tell(None)

    assert tell(make_operator()) == foretold
    assert foretold == [
        "MCC 621 belongs to NG, but +23320 leads to GH. The rule for +23320 is made without MCC and MNC."
    ]
    assert rules() == {("+23320", "", "", "EUR"), ("+23480", "621", "20", "EUR")}


def test_it_writes_nothing_in_a_dry_run() -> None:
    tell(None)

    assert not RoutingRule.objects.exists()
