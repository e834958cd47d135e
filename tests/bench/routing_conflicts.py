"""The questions that a new rule is asked before it is saved, with a million others there."""

from __future__ import annotations

import random
import time
from decimal import Decimal
from typing import Final

from django.core.management import call_command

from routing.guards import country_problems, find_conflicts
from routing.models import RoutingRule
from tests.bench.results import Result, percentile
from tests.bench.rulebook import empty, fresh_rulebook, numbers

RULES: Final = 1_000
# What most rules lie inside.
BROAD: Final = ("+1", "+44", "+55", "+7", "+91")


def run(scale: float) -> list[Result]:
    operators = fresh_rulebook(scale)
    call_command("load_destination_prefixes", verbosity=0)
    chance = random.Random(17)
    count = max(200, int(RULES * scale))
    narrow = [number[: chance.randint(4, 10)] for number in numbers(count, seed=17)]
    results = []
    for what, prefixes in (("any prefix", narrow), ("broad prefixes", [chance.choice(BROAD) for _ in range(count)])):
        rules = [
            RoutingRule(
                operator_id=chance.choice(operators),
                prefix=prefix,
                mcc="234" if prefix.startswith("+44") else "",
                priority=10,
                cost_per_segment=Decimal("0.04"),
            )
            for prefix in prefixes
        ]
        times = [_checked(rule) for rule in rules]
        results.append(
            Result(
                f"check of a new rule, {what} ({count} rules), ms p50/p95/p99",
                "/".join(f"{percentile(times, percent):.1f}" for percent in (50, 95, 99)),
                "p95 <= 10",
                percentile(times, 95) <= 10,
            )
        )
    empty()
    return results


def _checked(rule: RoutingRule) -> float:
    began = time.perf_counter()
    country_problems(rule)
    find_conflicts(rule, allow_overlap=False)
    return (time.perf_counter() - began) * 1000
