"""Ingest under faults: real processes, real signals, servers that stop and come back."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from deploy.dev.nats import Nats
from deploy.dev.ports import free_port
from deploy.dev.postgres import Postgres
from health.actions import end_maintenance, start_maintenance
from health.models import HealthReport, HealthStatus
from health.streams import INGEST_CONSUMER, SMPP_HEALTH, TOPOLOGY
from operators import jetstream
from operators.jetstream import provision
from operators.models import Operator
from tests.factories import ALICE, make_operator
from tests.reports import Body, body, empty_streams, expected_moves, live_view, report, stored_moves

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., "subprocess.Popen[bytes]"]

LEADER = """
    SELECT client_port FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
      AND application_name = 'ops-ingest_health'
"""


@pytest.fixture(autouse=True)
def _empty_streams() -> None:
    empty_streams()


@pytest.fixture
def ingest(process_env: dict[str, str]) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        with log.open("wb") if log else nullcontext() as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "ingest_health", *arguments],
                cwd=settings.BASE_DIR,
                env=process_env,
                stdout=output,
                stderr=output,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.1)


def leading_port() -> int | None:
    """Find the local port of the connection that leads."""
    with connection.cursor() as cursor:
        cursor.execute(LEADER)
        row = cursor.fetchone()
    return row[0] if row else None


def leader_of(processes: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Wait until one of them leads; the session of one that was killed may outlive it for a moment."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        port = leading_port()
        for process in processes:
            if process.poll() is None and any(
                link.laddr.port == port for link in psutil.Process(process.pid).net_connections("tcp")
            ):
                return process
        time.sleep(0.1)
    raise AssertionError("nobody leads")


def has_grown(count: int) -> Callable[[], bool]:
    return lambda: HealthReport.objects.count() > count


def course(operators: list[Operator], *, ticks: int, begin: datetime, seed: int) -> list[list[Body]]:
    """Make a lively course of reports, a tick every 10 s in which each operator reports once."""
    chance = random.Random(seed)
    return [
        [
            body(
                operator,
                at=begin + timedelta(seconds=10 * tick),
                bindState=chance.choice(["BOUND"] * 8 + ["UNBOUND"]),
                errorRate=chance.choice([0.0, 0.02, 0.1, 0.3]),
            )
            for operator in operators
        ]
        for tick in range(ticks)
    ]


@pytest.fixture
def operators() -> list[Operator]:
    return [make_operator() for _ in range(5)]


@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.faults)])
def test_it_keeps_each_operators_order_while_leaders_are_killed(
    kills: int, ingest: Start, operators: list[Operator]
) -> None:
    """Three processes, and the leader is killed in mid-work every time: the moves are those of undisturbed work."""
    ticks = course(operators, ticks=50 * (kills + 1), begin=timezone.now() - timedelta(hours=1), seed=3)
    processes = [ingest("--without-clock", "--batch", "10") for _ in range(3)]
    for first in range(0, len(ticks), 50):
        leader = leader_of(processes)
        stored = HealthReport.objects.count()
        report(itertools.chain.from_iterable(ticks[first : first + 50]))
        if first < 50 * kills:
            wait_for(has_grown(stored))
            leader.send_signal(signal.SIGKILL)
            leader.wait(10)
            processes.append(ingest("--without-clock", "--batch", "10"))
    bodies = list(itertools.chain.from_iterable(ticks))
    wait_for(lambda: HealthReport.objects.count() == len(bodies))

    wait_for(lambda: sum(map(len, stored_moves().values())) == sum(map(len, expected_moves(bodies).values())))
    assert stored_moves() == expected_moves(bodies)


def test_it_loses_nothing_to_a_frozen_process_that_has_asked_for_more(ingest: Start, operators: list[Operator]) -> None:
    """Nobody hangs up for it: what is delivered again goes to it first, as long as its requests last."""
    begin = timezone.now() - timedelta(minutes=20)
    before = course(operators, ticks=6, begin=begin, seed=3)
    after = course(operators, ticks=6, begin=begin + timedelta(minutes=1), seed=4)

    def work() -> None:
        report(itertools.chain(*before))
        leader_of([ingest("--metrics-port", "0", "--without-clock")])
        report(itertools.chain(*after))
        wait_for(has_grown(59), seconds=20)
        connection.close()

    async def main() -> None:
        async with jetstream.connection("frozen") as frozen:
            inbox = frozen.new_inbox()
            await frozen.subscribe(inbox)
            request = json.dumps({"batch": 50, "expires": 60 * 10**9}).encode()
            next_of = f"$JS.API.CONSUMER.MSG.NEXT.{INGEST_CONSUMER.stream}.{INGEST_CONSUMER.name}"
            await frozen.publish(next_of, request, reply=inbox)
            await frozen.flush()
            await asyncio.to_thread(work)

    asyncio.run(main())

    assert stored_moves() == expected_moves(itertools.chain(*before, *after))


def test_it_finishes_the_batch_on_sigterm_and_leaves_nothing_unacknowledged(
    ingest: Start, operators: list[Operator]
) -> None:
    bodies = list(
        itertools.chain.from_iterable(course(operators, ticks=300, begin=timezone.now() - timedelta(hours=1), seed=5))
    )
    process = ingest("--without-clock", "--batch", "10")
    leader_of([process])
    report(bodies)
    wait_for(lambda: HealthReport.objects.exists())

    process.terminate()

    assert process.wait(15) == 0
    taken = HealthReport.objects.count()
    assert 0 < taken < len(bodies)
    assert taken == acknowledged()


def acknowledged() -> int:
    """Count the messages of the stream that the consumer has behind it."""

    async def main() -> int:
        async with jetstream.connection("tests") as client:
            js = client.jetstream()
            info = await js.consumer_info(INGEST_CONSUMER.stream, INGEST_CONSUMER.name)
            state = (await js.stream_info(SMPP_HEALTH.name)).state
            assert info.ack_floor is not None
            return int(info.ack_floor.stream_seq) - state.first_seq + 1

    return asyncio.run(main())


@pytest.mark.parametrize("fault", ["stop", pytest.param("kill", marks=pytest.mark.faults)])
def test_it_outlives_the_database(
    fault: str, ingest: Start, operators: list[Operator], postgres_server: Postgres
) -> None:
    """The database goes twice under load; nobody helps, nothing is lost, and no delivery is used up."""
    ticks = course(operators, ticks=150, begin=timezone.now() - timedelta(hours=1), seed=11)
    process = ingest("--without-clock", "--batch", "10")
    leader_of([process])
    for first in (0, 50, 100):
        report(itertools.chain.from_iterable(ticks[first : first + 50]))
        if first < 100:
            getattr(postgres_server, fault)()
            connection.close()
            time.sleep(2)
            postgres_server.start()
    bodies = list(itertools.chain.from_iterable(ticks))

    wait_for(lambda: HealthReport.objects.count() == len(bodies))
    wait_for(lambda: sum(map(len, stored_moves().values())) == sum(map(len, expected_moves(bodies).values())))
    assert stored_moves() == expected_moves(bodies)
    assert process.poll() is None


@pytest.mark.parametrize(
    "fault", ["stop", *(pytest.param(fault, marks=pytest.mark.faults) for fault in ("pause", "kill"))]
)
def test_it_outlives_the_broker(fault: str, ingest: Start, operators: list[Operator], nats_server: Nats) -> None:
    ticks = course(operators, ticks=150, begin=timezone.now() - timedelta(hours=1), seed=13)
    process = ingest("--without-clock", "--batch", "10")
    leader_of([process])
    for first in (0, 50, 100):
        report(itertools.chain.from_iterable(ticks[first : first + 50]))
        if first < 100:
            getattr(nats_server, fault)()
            time.sleep(2)
            nats_server.resume() if fault == "pause" else nats_server.start()
    bodies = list(itertools.chain.from_iterable(ticks))

    wait_for(lambda: HealthReport.objects.count() == len(bodies))
    wait_for(lambda: sum(map(len, stored_moves().values())) == sum(map(len, expected_moves(bodies).values())))
    assert stored_moves() == expected_moves(bodies)
    wait_for(lambda: len(live_view()) == len(operators))
    assert process.poll() is None


def test_it_tells_its_lag_while_it_leads_and_only_then(ingest: Start, nats_server: Nats) -> None:
    first, second = free_port(), free_port()
    leader = ingest("--metrics-port", str(first))
    leader_of([leader])
    ingest("--metrics-port", str(second))
    wait_for(lambda: lag(first) is not None and scrape(second) != "")

    assert lag(second) is None
    for port in (first, second):
        assert "\nops_health_partition_days_ahead " in scrape(port)
    wait_for(lambda: (lag(first) or 99) < 3)
    nats_server.stop()
    try:
        wait_for(lambda: (lag(first) or 0) > 4)
    finally:
        nats_server.start()
    wait_for(lambda: (lag(first) or 99) < 3)


def scrape(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def lag(port: int) -> float | None:
    for line in scrape(port).splitlines():
        if line.startswith("ops_health_ingest_lag_seconds "):
            return float(line.split()[1])
    return None


def test_it_brings_a_decision_of_staff_to_the_live_view_within_seconds(ingest: Start) -> None:
    operator = make_operator()
    leader_of([ingest()])
    report([body(operator, at=timezone.now())])
    wait_for(lambda: live_state(operator) == "HEALTHY")

    start_maintenance(
        actor=ALICE, operator_id=operator.pk, until=timezone.now() + timedelta(hours=1), reason="New firewall."
    )
    wait_for(lambda: live_state(operator) == "UNHEALTHY", seconds=10)
    end_maintenance(actor=ALICE, operator_id=operator.pk)
    wait_for(lambda: live_state(operator) == "HEALTHY", seconds=10)

    HealthStatus.objects.update(received_at=timezone.now() - timedelta(seconds=61))
    wait_for(lambda: HealthStatus.objects.get().state == "UNKNOWN", seconds=10)
    wait_for(lambda: live_state(operator) is None, seconds=10)


def live_state(operator: Operator) -> str | None:
    value = live_view().get(str(operator.pk))
    return value["state"] if value else None


def test_it_names_a_consumer_that_is_missing_and_goes_on_once_it_is_made(ingest: Start, tmp_path: Path) -> None:
    operator = make_operator()
    process = ingest(log=tmp_path / "log")
    leader_of([process])

    async def delete_consumer() -> None:
        async with jetstream.connection("tests") as client:
            await client.jetstream().delete_consumer(INGEST_CONSUMER.stream, INGEST_CONSUMER.name)

    asyncio.run(delete_consumer())
    wait_for(lambda: "manage.py bootstrap makes it" in (tmp_path / "log").read_text())

    provision(TOPOLOGY)
    report([body(operator, at=timezone.now())])

    wait_for(lambda: HealthReport.objects.exists())
    assert process.poll() is None
    wait_for(lambda: "broker back" in (tmp_path / "log").read_text())
