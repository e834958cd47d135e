"""The health board with 5,000 operators and an hour of their reports, through gunicorn and every middleware."""

from __future__ import annotations

from itertools import repeat
from typing import Final
from urllib.parse import urlencode

from django.db import connection

from operators.models import HealthState
from tests.bench.console import fill
from tests.bench.fleet import LOG, OPERATORS, add_statuses, bench_operators, bulk_cursor, empty, fresh_fleet
from tests.bench.pages import WARM_UP, page_result, page_times, query_count, signed_in
from tests.bench.results import Result, progress

REQUESTS: Final = 200
FEW: Final = 50
TARGET: Final = 300
BOARD: Final = "/admin/health/healthstatus/"
PAGES: Final = {
    "first page, the worst first": {},
    "by error rate": {"o": "error_rate"},
    "last page, by name": {"o": "name", "p": str(OPERATORS // 50)},
    "filtered": {"state": HealthState.UNHEALTHY.value, "status": "ACTIVE"},
    "search": {"q": "carrier-49"},
}

# Two minutes of them lie ahead, for the time that the bench takes.
_HOUR: Final = f"""
    INSERT INTO {LOG}
    SELECT gen_random_uuid(), operator_id, 'smpp-connector-0', at, at,
           CASE WHEN random() < 0.004 THEN 'UNBOUND' ELSE 'BOUND' END, random() * 0.1, NULL, 40 + random() * 800
    FROM generate_series(now() - interval '58 minutes', now() + interval '119 seconds', interval '10 seconds') AS at,
         unnest(%s::uuid[]) AS operator_id
"""  # noqa: S608 - the table's name is ours


def run(scale: float) -> list[Result]:
    client = signed_in()
    fresh_fleet(0)
    fill(FEW)
    _report()
    few = query_count(client, BOARD)
    fill(OPERATORS)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {LOG}")
    progress(f"{_report():,} reports in the log")
    many = query_count(client, BOARD)
    results = [
        Result(f"board, queries with {FEW} and {OPERATORS:,} operators", f"{few} and {many}", "the same", few == many)
    ]
    requests = WARM_UP + max(20, int(REQUESTS * scale))
    for name, query in PAGES.items():
        times = page_times(client, repeat(f"{BOARD}?{urlencode(query)}", requests), b'class="row-')
        results.append(page_result(f"board of {OPERATORS:,}, {name}", times, TARGET))
    empty()
    return results


def _report() -> int:
    """Log the last hour of all operators, and return how many reports that is.

    No VACUUM: the newest hour of a day's partition has not seen one in production either.
    """
    add_statuses()
    with bulk_cursor() as cursor:
        cursor.execute(_HOUR, [bench_operators()])
        count: int = cursor.rowcount
        cursor.execute(f"ANALYZE {LOG}")
    return count
