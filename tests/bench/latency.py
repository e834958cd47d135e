"""From the commit of a change to its delivery by the stream, with a real drainer process in between."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from django.conf import settings

from operators.actions import update_operator
from tests.bench.processes import drainer_process
from tests.bench.results import Result, percentile
from tests.bench.subscriber import Key, Subscriber
from tests.factories import ALICE, make_operator
from tests.streams import purge_stream

IDLE_CHANGES, IDLE_RATE = 300, 10
BUSY_CHANGES, BUSY_RATE = 1500, 50
OPERATORS = 20
# One writer alone does not reach 50 changes/s on two shared cores.
WRITERS = 4


def run(scale: float) -> list[Result]:
    purge_stream()
    operators = [make_operator().id for _ in range(OPERATORS)]
    # A change to the same value would be none, and leave no event.
    limits = itertools.count(1000)
    results = []

    def change(operator_id: UUID, limit: int) -> tuple[Key, float]:
        operator = update_operator(actor=ALICE, operator_id=operator_id, changes={"max_tps": limit})
        return (str(operator.id), operator.version), time.monotonic()

    with drainer_process(), ThreadPoolExecutor(WRITERS) as writers:
        for name, count, rate, target in (
            ("idle", int(IDLE_CHANGES * scale), IDLE_RATE, 10),
            ("busy", int(BUSY_CHANGES * scale), BUSY_RATE, 50),
        ):
            subscriber = Subscriber(settings.NATS_URL, count)
            changes = []
            started = time.monotonic()
            for number in range(count):
                time.sleep(max(0.0, started + number / rate - time.monotonic()))
                changes.append(writers.submit(change, operators[number % OPERATORS], next(limits)))
            committed = [made.result() for made in changes]
            took = time.monotonic() - started
            arrivals = subscriber.arrivals()
            # The broker can be faster than the return of the call that committed.
            delays = [max(0.0, arrivals[key] - at) * 1000 for key, at in committed]
            results.append(
                Result(
                    f"commit to delivery, {name} ({count / took:.0f} changes/s, n={count}), ms p50/p95/p99",
                    "/".join(f"{percentile(delays, percent):.1f}" for percent in (50, 95, 99)),
                    f"p95 <= {target}",
                    percentile(delays, 95) <= target,
                )
            )
    return results
