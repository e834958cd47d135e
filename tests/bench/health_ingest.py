"""Take in a backlog of reports: the real command against the bare limits, and one ORM transaction for each report."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import nats
from django.conf import settings
from django.db import connection, transaction
from nats.js.api import AckPolicy, ConsumerConfig
from psycopg import Connection

from health.models import HealthReport, HealthStatus
from health.streams import SMPP_HEALTH
from operators.pending import connection_parameters
from tests.bench.fleet import (
    CADENCE,
    LOG,
    OPERATORS,
    empty,
    fresh_fleet,
    last_sequence,
    prime,
    publish,
    reports,
    wait_for_ingest,
)
from tests.bench.processes import ingest_process
from tests.bench.results import Result, progress, spread
from tests.reports import Body
from tests.streams import purge_stream

ROUNDS: Final = 10
ORM_REPORTS: Final = 2_000
BATCH: Final = 1000
REPETITIONS: Final = 3
# Ingest is looked at from here on: what comes before is its start.
STARTED: Final = 0.05
SHARE: Final = 0.5
TIMES: Final = 5

PULL: Final = "plain nats-py, pull and acknowledge"
COPY: Final = "plain psycopg, staged COPY"
ORM: Final = "one ORM transaction per report"
OURS: Final = "ingest_health"

_COLUMNS: Final = (
    "event_id, operator_id, connector_id, observed_at, received_at, bind_state, error_rate, bind_error, latency_ms"
)
_STAGE: Final = f"CREATE TEMP TABLE stage ON COMMIT DELETE ROWS AS SELECT {_COLUMNS} FROM {LOG} WITH NO DATA"  # noqa: S608
_STORE: Final = f"INSERT INTO {LOG} ({_COLUMNS}) SELECT {_COLUMNS} FROM stage ON CONFLICT DO NOTHING"  # noqa: S608
Row = tuple[uuid.UUID, uuid.UUID, str, datetime, datetime, str, float, str | None, int]


@dataclass(frozen=True)
class Backlog:
    """The same reports for every side, in the stream and as they were made; `before` is the stream's end before."""

    before: int
    bodies: list[Body]

    @property
    def rows(self) -> list[Row]:
        return [_row(report) for report in self.bodies]


def run(scale: float) -> list[Result]:
    rounds = max(1, int(ROUNDS * scale))
    operators = fresh_fleet(OPERATORS)
    first_at = datetime.now(UTC) - timedelta(hours=2)
    prime(operators, first_at - CADENCE)
    sides: dict[str, Callable[[Backlog], float]] = {
        PULL: _pull,
        COPY: _copy,
        ORM: lambda backlog: _orm(backlog, max(100, int(ORM_REPORTS * scale))),
        OURS: _ours,
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(REPETITIONS):
        # Later than those of the repetition before, or all of them would be late.
        backlog = _backlog(
            list(reports(operators, first_at=first_at + CADENCE * rounds * repetition, rounds=rounds)),
        )
        for name in list(sides) if repetition % 2 == 0 else list(reversed(sides)):
            _empty_log()
            rates[name].append(sides[name](backlog))
            progress(f"{name}: {rates[name][-1]:,.0f} reports/s")
    empty()
    median = {name: statistics.median(values) for name, values in rates.items()}
    limit = min((PULL, COPY), key=lambda name: median[name])
    share, times = median[OURS] / median[limit], median[OURS] / median[ORM]
    count = rounds * OPERATORS
    return [
        *(Result(f"take in {count:,} reports, {name}, reports/s", spread(rates[name])) for name in sides),
        Result(f"share of the lower bare limit ({limit})", f"{share:.0%}", f">= {SHARE:.0%}", share >= SHARE),
        Result(f"times {ORM}", f"{times:.1f}", f">= {TIMES}", times >= TIMES),
    ]


def _backlog(bodies: list[Body]) -> Backlog:
    purge_stream(SMPP_HEALTH.name)
    before = asyncio.run(last_sequence())
    asyncio.run(publish(bodies))
    return Backlog(before, bodies)


def _empty_log() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {LOG}")
        # Written a few times by the repetition before.
        cursor.execute(f"VACUUM ANALYZE {HealthStatus._meta.db_table}")
        cursor.execute("CHECKPOINT")


def _pull(backlog: Backlog) -> float:
    """Fetch and acknowledge each message, and look into none."""
    return asyncio.run(_pull_all(len(backlog.bodies)))


async def _pull_all(count: int) -> float:
    config = ConsumerConfig(durable_name="bench", ack_policy=AckPolicy.EXPLICIT, ack_wait=60, max_ack_pending=5000)
    # Nothing of ours on this side.
    client = await nats.connect(settings.NATS_URL)
    js = client.jetstream()
    await js.add_consumer(SMPP_HEALTH.name, config)
    try:
        subscription = await js.pull_subscribe_bind("bench", SMPP_HEALTH.name)
        taken = 0
        began = time.perf_counter()
        while taken < count:
            messages = await subscription.fetch(BATCH, timeout=10)
            for message in messages:
                await message.ack()
            taken += len(messages)
        await client.flush()
        return count / (time.perf_counter() - began)
    finally:
        await js.delete_consumer(SMPP_HEALTH.name, "bench")
        await client.close()


def _copy(backlog: Backlog) -> float:
    """Stage and store rows that are made already, a thousand in a transaction."""
    rows = backlog.rows
    with Connection.connect(**connection_parameters()) as database, database.cursor() as cursor:
        cursor.execute(_STAGE)
        database.commit()
        began = time.perf_counter()
        for start in range(0, len(rows), BATCH):
            with cursor.copy(f"COPY stage ({_COLUMNS}) FROM STDIN") as copy:
                for row in rows[start : start + BATCH]:
                    copy.write_row(row)
            cursor.execute(_STORE)
            database.commit()
        took = time.perf_counter() - began
    assert HealthReport.objects.count() == len(rows)
    return len(rows) / took


def _orm(backlog: Backlog, count: int) -> float:
    """Log a report and bring its status up to date; reads nothing, and moves no state."""
    rows = backlog.rows[:count]
    began = time.perf_counter()
    for row in rows:
        event_id, operator_id, connector_id, observed_at, received_at, bind_state, error_rate, bind_error, latency = row
        measured = {
            "connector_id": connector_id,
            "observed_at": observed_at,
            "received_at": received_at,
            "bind_state": bind_state,
            "error_rate": error_rate,
            "bind_error": bind_error,
            "latency_ms": latency,
        }
        with transaction.atomic():
            HealthReport.objects.create(event_id=event_id, operator_id=operator_id, **measured)
            HealthStatus.objects.filter(pk=operator_id).update(**measured)
    return len(rows) / (time.perf_counter() - began)


def _ours(backlog: Backlog) -> float:
    count = len(backlog.bodies)
    with ingest_process("--without-clock", "--batch", str(settings.HEALTH_BATCH)):
        begun_with, began, ended = asyncio.run(
            wait_for_ingest(backlog.before + int(count * STARTED), backlog.before + count)
        )
    assert HealthReport.objects.count() == count
    newest = {report["operatorId"]: datetime.fromisoformat(report["observedAt"]) for report in backlog.bodies}
    assert newest == {str(key): at for key, at in HealthStatus.objects.values_list("pk", "observed_at")}
    return (backlog.before + count - begun_with) / (ended - began)


def _row(report: Body) -> Row:
    at = datetime.fromisoformat(report["observedAt"])
    return (
        uuid.UUID(report["eventId"]),
        uuid.UUID(report["operatorId"]),
        report["connectorId"],
        at,
        at,
        report["bindState"],
        report["errorRate"],
        report["bindError"],
        report["latencyMs"],
    )
