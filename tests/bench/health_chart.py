"""A week of one operator out of ten million reports: the page, its dearest query, and what that one reads."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final
from uuid import UUID

from django.db import connection

from health.partitions import DAY, midnight, partitions
from health.ranges import WEEK
from health.series import read_series, series_query
from tests.bench.fleet import LOG, add_statuses, bulk_cursor, empty, fresh_fleet, in_turn
from tests.bench.pages import WARM_UP, page_result, page_times, signed_in
from tests.bench.results import Result, progress

# Of 60,480 reports each.
OPERATORS: Final = 166
DAYS: Final = 7
REQUESTS: Final = 200
TARGET: Final = 200

_DAY: Final = f"""
    INSERT INTO {LOG}
    SELECT gen_random_uuid(), operator_id, 'smpp-connector-0', at, at,
           CASE WHEN random() < 0.004 THEN 'UNBOUND' ELSE 'BOUND' END, random() * 0.1, NULL, 40 + random() * 800
    FROM generate_series(%s::timestamptz, %s::timestamptz - interval '1 second', interval '10 seconds') AS at,
         unnest(%s::uuid[]) AS operator_id
"""  # noqa: S608 - the table's name is ours


def run(scale: float) -> list[Result]:
    operators = fresh_fleet(max(10, int(OPERATORS * scale)))
    add_statuses()
    count = _fill(operators)
    client = signed_in()
    addresses = [f"/admin/health/healthstatus/{operator_id}/change/?range=week" for operator_id in operators]
    requests = WARM_UP + max(20, int(REQUESTS * scale))
    # Each operator in turn, so that none is read from what the one before has left in memory.
    pages = page_times(client, islice(in_turn(addresses), requests), b'class="chart"')
    queries = [_query_time(operator_id) for operator_id in islice(in_turn(operators), requests)][WARM_UP:]
    read, of_the_week = _partitions_read(operators[0])
    of_all = _count_partitions()
    empty()
    return [
        page_result(f"health page, a week of one operator out of {count:,} reports", pages, TARGET),
        page_result("its query alone", queries, TARGET),
        Result(
            "partitions that the query reads",
            f"{len(read)} of {of_all}",
            f"the {len(of_the_week)} of the week",
            read == of_the_week,
        ),
    ]


def _fill(operators: Sequence[UUID]) -> int:
    """Log the last seven days up to now; today's partition has not seen a VACUUM, as in production."""
    now = datetime.now(UTC)
    count = 0
    start = now - DAYS * DAY
    with bulk_cursor() as cursor:
        while start < now:
            end = min(midnight(start) + DAY, now)
            cursor.execute(_DAY, [start, end, list(operators)])
            count += cursor.rowcount
            progress(f"{count:,} reports in the log")
            start = end
        days = partitions(cursor)
        for day in days:
            cursor.execute(f"{'ANALYZE' if day.end > now else 'VACUUM ANALYZE'} {day.name}")
    return count


def _query_time(operator_id: UUID) -> float:
    frame = WEEK.until(datetime.now(UTC))
    began = time.perf_counter()
    buckets = read_series(operator_id, frame)
    took = (time.perf_counter() - began) * 1000
    assert len(buckets) >= 24 * DAYS
    return took


def _partitions_read(operator_id: UUID) -> tuple[set[str], set[str]]:
    """Name the partitions in the plan as it was carried out, and those that the week touches."""
    frame = WEEK.until(datetime.now(UTC))
    plan = series_query(operator_id, frame).explain(analyze=True)
    fetches = sum(map(int, re.findall(r"Heap Fetches: (\d+)", plan)))
    progress(f"{plan.count('Index Only Scan')} scans of the index alone, {fetches:,} rows looked up in the table")
    with connection.cursor() as cursor:
        days = partitions(cursor)
    touched = {day.name for day in days if day.start < frame.end and day.end > frame.start}
    # A bitmap scan names its index in the same words.
    return {day.name for day in days} & set(re.findall(rf"\bon ({LOG}_\w+)", plan)), touched


def _count_partitions() -> int:
    with connection.cursor() as cursor:
        return len(partitions(cursor))
