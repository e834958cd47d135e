"""Operators with a health status each, and the reports that their connectors send."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, repeat
from typing import Final, TypeVar
from uuid import UUID

from django.core.management import call_command
from django.db import connection
from django.db.backends.utils import CursorWrapper

from health.ingest import Received, take_in
from health.models import HealthReport, HealthStatus, HealthTransition, HealthWindow
from health.reports import parse
from health.streams import INGEST_CONSUMER
from operators import jetstream
from operators.models import Operator, OutboxEvent
from operators.pubacks import Outgoing, PubAcks
from tests.bench.console import fill
from tests.reports import Body, body, empty_streams

T = TypeVar("T")

OPERATORS: Final = 5_000
CADENCE: Final = timedelta(seconds=10)
LOG: Final = HealthReport._meta.db_table
# One report in so many tells of a lost bind: with the return that is eight moves in a thousand reports.
LOST_BINDS: Final = 250
PUBLISHED_AT_ONCE: Final = 1000
TABLES: Final = (HealthReport, HealthStatus, HealthTransition, HealthWindow, OutboxEvent)

_STATUSES: Final = f"""
    INSERT INTO {HealthStatus._meta.db_table}
        (operator_id, state, since, reason, observed_at, received_at, connector_id, bind_state, error_rate, latency_ms,
         effective_state, effective_since, effective_reason, effective_set_at, sequence)
    SELECT id, state, since, '', seen, seen, 'smpp-connector-0', 'BOUND', 0.01, 120, state, since, '', since, 1
    FROM (
        SELECT id, health_state AS state, now() - random() * interval '7 days' AS since,
               CASE WHEN health_state <> 'UNKNOWN' THEN now() - random() * interval '10 seconds' END AS seen
        FROM {Operator._meta.db_table} WHERE created_by = 'bench' AND id <> ALL (%s)
    ) AS operator
"""  # noqa: S608 - the tables' names are ours


def fresh_fleet(count: int = OPERATORS) -> list[UUID]:
    """Begin anew with so many operators that have never reported, and with room in the log."""
    empty()
    fill(count)
    operators = bench_operators()
    HealthStatus.objects.bulk_create(HealthStatus(operator_id=operator_id) for operator_id in operators)
    call_command("maintain_partitions", verbosity=0)
    return operators


def add_statuses() -> None:
    """Give the operators that have none a status of their own state."""
    known = list(HealthStatus.objects.values_list("operator_id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(_STATUSES, [known])
        cursor.execute(f"VACUUM ANALYZE {HealthStatus._meta.db_table}")


def bench_operators() -> list[UUID]:
    return list(Operator.objects.filter(created_by="bench").order_by("name").values_list("pk", flat=True))


def empty() -> None:
    """Leave nothing of a scenario behind."""
    with bulk_cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(table._meta.db_table for table in TABLES)}")
        Operator.objects.filter(created_by="bench").delete()
    empty_streams()


def prime(operators: Sequence[UUID], at: datetime) -> None:
    """Have every operator report once, so that all are HEALTHY."""
    for some in batches(operators, 1000):
        reports = [parse(json.dumps(body(each, at=at)).encode(), now=datetime.now(UTC)) for each in some]
        take_in([Received(report, at) for report in reports], now=datetime.now(UTC))


def reports(operators: Sequence[UUID], *, first_at: datetime, rounds: int) -> Iterator[Body]:
    """Make the reports of so many rounds, 10 s apart, in the order in which connectors would send them."""
    chance = random.Random(7)
    for number in range(rounds):
        for position, operator_id in enumerate(operators):
            at = first_at + CADENCE * number + CADENCE * position / len(operators)
            yield one_report(operator_id, at, chance)


def one_report(operator_id: UUID, at: datetime, chance: random.Random) -> Body:
    is_lost = not chance.randrange(LOST_BINDS)
    return body(
        operator_id,
        at=at,
        bindState="UNBOUND" if is_lost else "BOUND",
        errorRate=round(chance.random() * 0.05, 4),
        bindError="ESME_RBINDFAIL" if is_lost else None,
        latencyMs=chance.randint(40, 900),
    )


def outgoing(report: Body) -> Outgoing:
    return Outgoing(
        f"smpp.health.{report['operatorId']}", json.dumps(report).encode(), {"Nats-Msg-Id": report["eventId"]}
    )


async def publish(made: Iterable[Body]) -> None:
    """Have the broker store reports, in order; every one of them is acknowledged."""
    async with jetstream.connection("bench") as client:
        acks = await PubAcks.open(client)
        for some in batches(made, PUBLISHED_AT_ONCE):
            answers = await acks.publish([outgoing(report) for report in some])
            assert all(answer and not answer.code for answer in answers)


async def wait_for_ingest(first: int, last: int) -> tuple[int, float, float]:
    """Wait until ingest has acknowledged up to `last`; return where and when it was first seen beyond `first`."""
    loop = asyncio.get_running_loop()
    async with jetstream.connection("bench") as client:
        js = client.jetstream()
        begun: tuple[int, float] | None = None
        while True:
            info = await js.consumer_info(INGEST_CONSUMER.stream, INGEST_CONSUMER.name)
            now = loop.time()
            assert info.ack_floor is not None
            floor = info.ack_floor.stream_seq
            if begun is None and floor >= first:
                begun = floor, now
            if begun is not None and floor >= last:
                assert not info.num_pending and not info.num_ack_pending
                return *begun, now
            await asyncio.sleep(0.02)


async def last_sequence(stream: str = INGEST_CONSUMER.stream) -> int:
    async with jetstream.connection("bench") as client:
        return (await client.jetstream().stream_info(stream)).state.last_seq


@contextmanager
def bulk_cursor() -> Iterator[CursorWrapper]:
    """Give a cursor for statements that may take longer than a request is allowed to."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        try:
            yield cursor
        finally:
            cursor.execute("RESET statement_timeout")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def in_turn(items: Sequence[T]) -> Iterator[T]:
    """Repeat them in order, for ever."""
    return chain.from_iterable(repeat(items))
