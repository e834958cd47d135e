"""The console's list of a million rules, through gunicorn and every middleware."""

from __future__ import annotations

from itertools import repeat
from typing import Final

from routing.models import RoutingRule
from tests.bench.pages import WARM_UP, page_result, page_times, query_count, signed_in
from tests.bench.results import Result
from tests.bench.rulebook import empty, fresh_rulebook

SLOWEST_PAGE: Final = 150
REQUESTS: Final = 100
LIST: Final = "/admin/routing/routingrule/"


def run(scale: float) -> list[Result]:
    operators = fresh_rulebook(scale)
    results = []
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
