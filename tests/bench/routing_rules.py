"""A million rules: what stands against one more, and the console's list of them."""

from __future__ import annotations

import random
import time
from decimal import Decimal
from itertools import repeat
from typing import Final

from django.db import transaction

from routing import guards
from routing.models import RoutingRule
from tests.bench.pages import WARM_UP, page_result, page_times, query_count, signed_in
from tests.bench.results import Result, percentile
from tests.bench.rulebook import empty, fresh_rulebook, numbers

CHECKS: Final = 1_000
BROAD: Final = ("+1", "+44", "+7", "+91", "+33", "+234")
SLOWEST_CHECK: Final = 10
SLOWEST_PAGE: Final = 150
REQUESTS: Final = 100
LIST: Final = "/admin/routing/routingrule/"


def run(scale: float) -> list[Result]:
    operators = fresh_rulebook(scale)
    chance = random.Random(5)
    times: list[float] = []
    found = 0
    count = max(100, int(CHECKS * scale))
    for number in numbers(count, seed=21):
        prefix = chance.choice(BROAD) if chance.random() < 0.2 else number[: chance.randint(4, 9)]
        rule = RoutingRule(
            operator_id=chance.choice(operators),
            prefix=prefix,
            mcc=chance.choice(("", "", "234")),
            cost_per_segment=Decimal("0.01"),
        )
        began = time.perf_counter()
        with transaction.atomic():
            guards.country_problems(rule)
            found += bool(guards.find_conflicts(rule, allow_overlap=False))
        times.append((time.perf_counter() - began) * 1000)
    assert found > count / 10, found
    slowest = percentile(times, 95)
    results = [
        Result(
            f"conflict check of one new rule, {found} of {count} refused, ms p50/p95/p99",
            "/".join(f"{percentile(times, percent):.1f}" for percent in (50, 95, 99)),
            f"p95 <= {SLOWEST_CHECK}",
            slowest <= SLOWEST_CHECK,
        )
    ]
    client = signed_in()
    pages = {
        "first page": "",
        "page 150": "?p=150",
        "search by prefix": "?q=%2B4479",
        "one operator": f"?operator={operators[0]}",
        "in force": "?state=IN_FORCE",
    }
    requests = WARM_UP + max(20, int(REQUESTS * scale))
    for name, query in pages.items():
        queries = query_count(client, LIST + query)
        page = page_times(client, repeat(LIST + query, requests), b"result_list")
        results.append(
            page_result(f"list of {RoutingRule.objects.count():,} rules, {name}, {queries} queries", page, SLOWEST_PAGE)
        )
    empty()
    return results
