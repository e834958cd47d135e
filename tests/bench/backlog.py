"""Drain a backlog: the real drainer against the shortest loop that does the same with the same acknowledgements."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine

import nats
from django.conf import settings
from django.db import connection
from psycopg import AsyncConnection

from operators.drain import Drainer
from operators.models import OutboxEvent
from operators.pending import connection_parameters
from tests.bench.results import Result, progress, spread
from tests.outbox import fill, some_operators
from tests.streams import purge_stream

EVENTS = 50_000
BATCH = 500
REPETITIONS = 3
SHARE = 0.65


async def bare_loop() -> None:
    """Select, publish, await every acknowledgement, update; no order, no retries, no bookkeeping."""
    broker = await nats.connect(settings.NATS_URL)
    js = broker.jetstream()
    database = await AsyncConnection.connect(**connection_parameters(), autocommit=True)
    async with database:
        while True:
            cursor = await database.execute(
                "SELECT id, event_id::text, subject, payload::text FROM operators_outboxevent "
                "WHERE published_at IS NULL AND parked_at IS NULL ORDER BY id LIMIT %s",
                [BATCH],
            )
            rows = await cursor.fetchall()
            if not rows:
                break
            futures = [
                await js.publish_async(subject, payload.encode(), headers={"Nats-Msg-Id": event_id})
                for _, event_id, subject, payload in rows
            ]
            await asyncio.gather(*futures)
            await database.execute(
                "UPDATE operators_outboxevent SET published_at = now() WHERE id = ANY(%s)", [[row[0] for row in rows]]
            )
    await broker.close()


async def our_drainer() -> None:
    assert await Drainer(batch=BATCH, max_attempts=8).drain()


def run(scale: float) -> list[Result]:
    events = int(EVENTS * scale)
    sides = {"plain psycopg + nats-py": bare_loop, "drain_outbox": our_drainer}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(REPETITIONS):
        order = list(sides) if repetition % 2 == 0 else list(reversed(sides))
        for name in order:
            rates[name].append(_rate(sides[name], events))
            progress(f"{name}: {rates[name][-1]:,.0f} events/s")
    share = statistics.median(rates["drain_outbox"]) / statistics.median(rates["plain psycopg + nats-py"])
    return [
        *(Result(f"drain {events:,} events, {name}, events/s", spread(rates[name])) for name in sides),
        Result("share of the plain loop", f"{share:.0%}", f">= {SHARE:.0%}", share >= SHARE),
    ]


def _rate(drain: Callable[[], Coroutine[None, None, None]], events: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE operators_outboxevent")
        purge_stream()
        fill(events, operators=some_operators(500))
        cursor.execute("VACUUM ANALYZE operators_outboxevent")
    started = time.perf_counter()
    asyncio.run(drain())
    seconds = time.perf_counter() - started
    assert not OutboxEvent.objects.pending().exists()
    return events / seconds
