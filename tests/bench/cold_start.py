"""A cold start: 5,000 operators and 1,000,000 rules over the internal listener, page after page."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Final

from django.db import connection

from operators.models import Operator
from routing.models import RoutingRule
from tests.bench import rulebook
from tests.bench.results import Result, percentile, progress
from tests.bench.tls import Caller, listening

OPERATORS: Final = 5_000
ADDRESS: Final = "/v1/internal/operators?rules=true"
SLOWER: Final = 2.0
GROWTH: Final = 40  # MB
CURSOR: Final = re.compile(rb'"nextCursor":"([^"]+)"')


def run(scale: float) -> list[Result]:
    operators = rulebook.fresh_rulebook(scale, operators=OPERATORS)
    rules = RoutingRule.objects.count()
    bare = bare_seconds()
    with listening() as (listener, context), Caller(listener, context) as caller:
        read_all(caller, most=5)  # warm-up
        with Memory(listener.process.pid) as memory:
            times, found, held = read_all(caller)
    whole = sum(times)
    assert found == (len(operators), rules), found
    third = max(1, len(times) // 3)
    first, last = percentile(times[:third], 50) * 1000, percentile(times[-third:], 50) * 1000
    rulebook.empty()
    return [
        Result(
            f"{rules:,} rules of {len(operators):,} operators, {len(times)} pages, {held / 1e6:.0f} MB, s",
            f"{whole:.1f}",
        ),
        Result("the same rows by a bare COPY, s", f"{bare:.1f}"),
        Result(
            "page, ms p50 of the first/middle/last third",
            f"{first:.0f}/{percentile(times[third:-third] or times, 50) * 1000:.0f}/{last:.0f}",
            f"last <= {SLOWER:.0f} x first",
            last <= SLOWER * first,
        ),
        Result("page, ms p95/longest", f"{percentile(times, 95) * 1000:.0f}/{max(times) * 1000:.0f}"),
        Result(
            "a worker's memory while it serves them, MB more",
            f"{memory.growth:.0f}",
            f"<= {GROWTH}",
            memory.growth <= GROWTH,
        ),
    ]


def read_all(caller: Caller, *, most: int = 1_000_000) -> tuple[list[float], tuple[int, int], int]:
    """Follow the cursors; returns each page's seconds, what was found, and the bytes of it."""
    times: list[float] = []
    operators = rules = held = 0
    cursor = ""
    while len(times) < most:
        began = time.perf_counter()
        status, body = caller.get(f"{ADDRESS}&limit=1000{cursor and f'&cursor={cursor}'}")
        times.append(time.perf_counter() - began)
        assert status == 200, body
        held += len(body)
        operators += body.count(b'"operatorId"')
        rules += body.count(b'"ruleId"')
        match = CURSOR.search(body, len(body) - 1000)
        if match is None:
            assert json.loads(body)["meta"]["nextCursor"] is None
            break
        cursor = match[1].decode()
    return times, (operators, rules), held


def bare_seconds() -> float:
    """Copy both tables out of PostgreSQL, in this process, as fast as it goes."""
    connection.ensure_connection()
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for table in (Operator._meta.db_table, RoutingRule._meta.db_table):
            with cursor.copy(f"COPY (SELECT * FROM {table} ORDER BY 1) TO STDOUT") as rows:
                for _ in rows:
                    pass
        cursor.execute("RESET statement_timeout")
    return time.perf_counter() - began


class Memory:
    """Watch the largest worker of a gunicorn master."""

    def __init__(self, master: int) -> None:
        self._workers = [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._before = self._peak = self._now()

    @property
    def growth(self) -> float:
        return self._peak - self._before

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        progress(f"worker at {self._before:.0f} MB before, {self._peak:.0f} MB at most")

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            self._peak = max(self._peak, self._now())

    def _now(self) -> float:
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._workers]
        return max(pages) * 4096 / 1e6
