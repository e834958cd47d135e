"""From a connector's report to the live view, with a real ingest process in between."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Final
from uuid import UUID

from django.conf import settings

from health.models import HealthReport, HealthTransition
from health.streams import LIVE_VIEW
from operators import jetstream
from tests.bench.fleet import (
    OPERATORS,
    empty,
    fresh_fleet,
    in_turn,
    last_sequence,
    one_report,
    outgoing,
    wait_for_ingest,
)
from tests.bench.processes import ingest_process
from tests.bench.results import Result, percentile, progress
from tests.bench.watcher import END, PLAIN, Key, Watcher

RATE: Final = 500
SECONDS: Final = 60
# Among so many reports there is one plain message.
PLAIN_EVERY: Final = 10
TARGET: Final = 250
# How many seconds are summed up on the way.
SLICE: Final = 5

_UNIT: Final = "ms p50/p95/p99"


@dataclass
class Sent:
    """When each report and each plain message was given to the client, in order."""

    reports: dict[Key, float] = field(default_factory=dict)
    plain: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def run(scale: float) -> list[Result]:
    operators = fresh_fleet(OPERATORS)
    # First each operator comes up, at the same rate: 500 moves with their events a second. That is a row of its own.
    count = OPERATORS + max(RATE * 2 * SLICE, int(RATE * SECONDS * scale))
    before = asyncio.run(last_sequence(f"KV_{LIVE_VIEW.name}"))
    with ingest_process():
        watcher = Watcher(settings.NATS_URL)
        sent = asyncio.run(_report(operators, count))
        live, plain = watcher.arrivals()
        writes = asyncio.run(last_sequence(f"KV_{LIVE_VIEW.name}")) - before
    assert HealthReport.objects.count() == count
    moves = HealthTransition.objects.count() - OPERATORS
    empty()
    missing = sent.reports.keys() - live.keys()

    def delays(start: int, end: int) -> list[float]:
        return [(live[key] - at) * 1000 for key, at in islice(sent.reports.items(), start, end) if key in live]

    for start in range(0, count, RATE * SLICE):
        some = delays(start, start + RATE * SLICE)
        progress(f"second {start // RATE} to {start // RATE + SLICE}: {_percentiles(some)} ms, n={len(some):,}")
    coming_up, steady = delays(0, OPERATORS), delays(OPERATORS, count)
    bare = [(plain[key] - at) * 1000 for key, at in sent.plain.items()]
    rate = f"{count / sent.seconds:.0f} reports/s"
    return [
        Result(f"report to live view, first reports ({rate}, n={len(coming_up):,}), {_UNIT}", _percentiles(coming_up)),
        Result(
            f"report to live view ({rate}, n={len(steady):,}, {moves} moves), {_UNIT}",
            _percentiles(steady),
            f"p95 <= {TARGET}",
            len(steady) > 1 and percentile(steady, 95) <= TARGET,
        ),
        Result(
            "reports overtaken by the next of their operator before the live view told of them",
            f"{len(missing)}",
            "0",
            not missing,
        ),
        Result("keys that were written for each report", f"{writes / count:.2f}"),
        Result(f"publish to subscribe beside it, without ingest (n={len(bare):,}), {_UNIT}", _percentiles(bare)),
    ]


async def _report(operators: Sequence[UUID], count: int) -> Sent:
    chance = random.Random(11)
    sent = Sent()
    async with jetstream.connection("bench") as client:
        began = time.monotonic()
        for number, operator_id in enumerate(islice(in_turn(operators), count)):
            if number == OPERATORS:
                await _settled(len(operators))
                began = time.monotonic() - number / RATE
            if (early := began + number / RATE - time.monotonic()) > 0:
                await asyncio.sleep(early)
            if not number % PLAIN_EVERY:
                sent.plain[str(number)] = time.monotonic()
                await client.publish(PLAIN, str(number).encode())
            observed_at = datetime.now(UTC)
            message = outgoing(one_report(operator_id, observed_at, chance))
            sent.reports[str(operator_id), observed_at] = time.monotonic()
            await client.publish(message.subject, message.payload, headers=dict(message.headers or {}))
        sent.seconds = time.monotonic() - began
        await client.flush()
        last = await last_sequence()
        await wait_for_ingest(last - count + 1, last)
        await client.publish(END)
        await client.flush()
    return sent


async def _settled(keys: int) -> None:
    """Wait until every operator is in the live view, so that what is measured next is not its catching up."""
    async with jetstream.connection("bench") as client:
        while len(await (await client.jetstream().key_value(LIVE_VIEW.name)).keys()) < keys:
            await asyncio.sleep(0.5)


def _percentiles(delays: list[float]) -> str:
    if len(delays) < 2:
        return "overtaken, all of them"
    return "/".join(f"{percentile(delays, percent):.1f}" for percent in (50, 95, 99))
