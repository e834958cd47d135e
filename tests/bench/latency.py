"""From the commit of a change to its delivery by the stream, with a real drainer process in between."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from multiprocessing.connection import Connection

import nats
from django.conf import settings

from operators.actions import update_operator
from tests.bench.processes import drainer_process
from tests.bench.results import Result, percentile
from tests.factories import ALICE, make_operator
from tests.streams import purge_stream

IDLE_CHANGES, IDLE_RATE = 300, 10
BUSY_CHANGES, BUSY_RATE = 1500, 50
OPERATORS = 20

Key = tuple[str, int]


def run(scale: float) -> list[Result]:
    purge_stream()
    operators = [make_operator().id for _ in range(OPERATORS)]
    results = []
    with drainer_process():
        for name, count, rate, target in (
            ("idle", int(IDLE_CHANGES * scale), IDLE_RATE, 10),
            (f"{BUSY_RATE} changes/s", int(BUSY_CHANGES * scale), BUSY_RATE, 50),
        ):
            ours, theirs = multiprocessing.get_context("spawn").Pipe()
            subscriber = multiprocessing.get_context("spawn").Process(
                target=_subscribe, args=(settings.NATS_URL, count, theirs), daemon=True
            )
            subscriber.start()
            assert ours.recv() == "ready"
            committed: dict[Key, float] = {}
            started = time.monotonic()
            for number in range(count):
                time.sleep(max(0.0, started + number / rate - time.monotonic()))
                operator = update_operator(
                    actor=ALICE,
                    operator_id=operators[number % OPERATORS],
                    changes={"max_tps": 1000 + number},
                )
                committed[str(operator.id), operator.version] = time.monotonic()
            took = time.monotonic() - started
            delivered: dict[Key, float] = ours.recv()
            subscriber.join()
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


def _subscribe(url: str, count: int, pipe: Connection) -> None:
    """Note when each event arrives; CLOCK_MONOTONIC is the same in all processes of a machine."""

    async def main() -> dict[Key, float]:
        broker = await nats.connect(url)
        subscription = await broker.jetstream().subscribe("operator.config.updated", ordered_consumer=True)
        await broker.flush()
        earlier = (await subscription.consumer_info()).num_pending or 0
        arrived: dict[Key, float] = {}
        skipped = 0
        pipe.send("ready")
        while len(arrived) < count:
            message = await subscription.next_msg(timeout=60)
            now = time.monotonic()
            if skipped < earlier:
                skipped += 1
                continue
            body = json.loads(message.data)
            arrived[body["operatorId"], body["version"]] = now
        await broker.close()
        return arrived

    pipe.send(asyncio.run(main()))
