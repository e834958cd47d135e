"""From the commit of a change to its delivery by the stream, with a real drainer process in between."""

from __future__ import annotations

import itertools
import time

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


def run(scale: float) -> list[Result]:
    purge_stream()
    operators = [make_operator().id for _ in range(OPERATORS)]
    limits = itertools.count(1000)  # a change to the same value would be none, and leave no event
    results = []
    with drainer_process():
        for name, count, rate, target in (
            ("idle", int(IDLE_CHANGES * scale), IDLE_RATE, 10),
            (f"{BUSY_RATE} changes/s", int(BUSY_CHANGES * scale), BUSY_RATE, 50),
        ):
            subscriber = Subscriber(settings.NATS_URL, count)
            committed: dict[Key, float] = {}
            started = time.monotonic()
            for number in range(count):
                time.sleep(max(0.0, started + number / rate - time.monotonic()))
                operator = update_operator(
                    actor=ALICE,
                    operator_id=operators[number % OPERATORS],
                    changes={"max_tps": next(limits)},
                )
                committed[str(operator.id), operator.version] = time.monotonic()
            took = time.monotonic() - started
            delivered = subscriber.arrivals()
            # The broker can be faster than the return of the call that committed.
            delays = [max(0.0, delivered[key] - at) * 1000 for key, at in committed.items()]
            figures = "/".join(f"{percentile(delays, percent):.1f}" for percent in (50, 95, 99))
            results.append(
                Result(
                    f"commit to delivery, {name} ({count / took:.0f}/s, n={count}), ms p50/p95/p99",
                    figures,
                    f"p95 <= {target}",
                    percentile(delays, 95) <= target,
                )
            )
    return results
