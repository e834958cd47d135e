"""The outbox and the broker under faults: real processes, real signals, servers that stop, freeze and come back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess

import pytest
from django.conf import settings
from django.db import connection

from deploy.dev.nats import Nats
from deploy.dev.ports import free_port
from deploy.dev.process import freeze
from operators import jetstream
from operators.drain import Drainer
from operators.models import OutboxEvent
from operators.publisher import Publisher
from tests.faults.drainers import Point, UnchainedPublisher, stay
from tests.faults.rounds import EVENTS_A_ROUND, rounds_of_kills
from tests.outbox import Figures, compare, fill, some_operators
from tests.streams import purge_stream, read_stream

pytestmark = pytest.mark.django_db(transaction=True)

LEADERS = """
    SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""


@pytest.fixture(autouse=True)
def _empty_stream() -> None:
    purge_stream()


@pytest.fixture
def drainers() -> Iterator[Callable[..., ForkServerProcess]]:
    started: list[ForkServerProcess] = []

    def start(**options: int) -> ForkServerProcess:
        started.append(stay(**options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.join(10)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


def is_drained() -> bool:
    return not OutboxEvent.objects.pending().exists()


def leader() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(LEADERS)
        row = cursor.fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("point", list(Point))
def test_it_survives_sigkill_at_each_step(point: Point) -> None:
    figures = rounds_of_kills(point, 3, seed=1)
    total = 3 * EVENTS_A_ROUND
    assert figures == Figures(total, total, lost=0, unexpected=0, duplicates=0, inversions=0)


def test_the_harness_sees_second_copies() -> None:
    """A drainer without Nats-Msg-Id, killed before it notes what it sent, must be caught."""
    figures = rounds_of_kills(Point.AFTER_ACK, 2, seed=1, is_marked=False)
    assert figures.duplicates > 0
    assert not figures.is_clean


@pytest.mark.parametrize(("publisher", "inversions"), [(Publisher, 0), (UnchainedPublisher, 1)])
def test_the_harness_sees_inversions(publisher: type[Publisher], inversions: int) -> None:
    """The second of three events is refused at first: without the chain, the third one overtakes it."""
    (operator,) = some_operators(1)
    fill(1, operators=[operator])
    fill(1, operators=[operator], first_version=2, filler=2000)
    fill(1, operators=[operator], first_version=3)

    async def limited_drain() -> None:
        async with jetstream.connection("tests") as client:
            js = client.jetstream()
            config = (await js.stream_info("OPERATOR_CONFIG")).config
            await js.update_stream(config, max_msg_size=1000)
            await Drainer(batch=10, max_attempts=8, publisher=publisher("tests")).drain()
            await js.update_stream(config, max_msg_size=-1)

    asyncio.run(limited_drain())
    OutboxEvent.objects.update(available_at=None)
    assert asyncio.run(Drainer(batch=10, max_attempts=8).drain())

    assert compare(read_stream()) == Figures(3, 3, lost=0, unexpected=0, duplicates=0, inversions=inversions)


@pytest.mark.parametrize("fault", ["kill", "stop", "pause"])
def test_it_outlives_the_broker(fault: str, nats_server: Nats, drainers: Callable[..., ForkServerProcess]) -> None:
    """The broker goes and comes back three times under load; nobody helps the drainer."""
    operators = some_operators(10)
    process = drainers(batch=50)
    is_over = threading.Event()
    written = 0

    def load() -> None:
        nonlocal written
        while not is_over.is_set():
            fill(20, operators=operators, first_version=1 + written // 10)
            written += 20
            is_over.wait(0.02)
        connection.close()

    writer = threading.Thread(target=load)
    writer.start()
    try:
        for _ in range(3):
            time.sleep(0.4)
            getattr(nats_server, fault)()
            time.sleep(0.4)
            nats_server.resume() if fault == "pause" else nats_server.start()
    finally:
        is_over.set()
        writer.join()
    wait_for(is_drained)

    assert process.is_alive()
    assert compare(read_stream()) == Figures(written, written, lost=0, unexpected=0, duplicates=0, inversions=0)
    # The events were not to blame.
    assert not OutboxEvent.objects.exclude(attempts=0).exists()


def test_it_keeps_the_backlog_while_the_broker_is_away(nats_server: Nats) -> None:
    nats_server.stop()
    try:
        fill(300, operators=some_operators(5))
        assert not asyncio.run(Drainer(batch=100, max_attempts=1).drain())
        assert OutboxEvent.objects.pending().filter(attempts=0, available_at=None).count() == 300
    finally:
        nats_server.start()

    assert asyncio.run(Drainer(batch=100, max_attempts=1).drain())
    assert compare(read_stream()).is_clean


def test_it_takes_over_from_a_leader_that_died_or_froze(drainers: Callable[..., ForkServerProcess]) -> None:
    """A frozen process keeps its connection: only the session's lease ends its lead."""
    operators = some_operators(5)
    first = drainers(lease_seconds=2)
    wait_for(lambda: leader() is not None)
    second = drainers(lease_seconds=2)
    fill(100, operators=operators)
    wait_for(is_drained)
    before = leader()

    freeze(first.pid or 0)
    fill(100, operators=operators, first_version=21)
    wait_for(is_drained)
    after = leader()
    assert after not in (None, before)

    os.kill(first.pid or 0, signal.SIGCONT)
    fill(100, operators=operators, first_version=41)
    wait_for(is_drained)
    assert leader() == after

    second.kill()
    fill(100, operators=operators, first_version=61)
    wait_for(is_drained)
    assert first.is_alive()
    assert compare(read_stream()) == Figures(400, 400, lost=0, unexpected=0, duplicates=0, inversions=0)


def test_it_comes_back_when_the_database_ends_its_session(drainers: Callable[..., ForkServerProcess]) -> None:
    process = drainers()
    for number in range(3):
        wait_for(lambda: leader() is not None)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [leader()])
        fill(100, operators=some_operators(5), first_version=1 + number * 20)
        wait_for(is_drained)
    assert process.is_alive()
    assert compare(read_stream()) == Figures(300, 300, lost=0, unexpected=0, duplicates=0, inversions=0)


def test_it_finishes_the_batch_when_asked_to_end(process_env: dict[str, str]) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "drain_outbox", "--batch=50", f"--metrics-port={port}"],
        cwd=settings.BASE_DIR,
        env=process_env,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: leader() is not None)
        fill(5000, operators=some_operators(5))
        wait_for(lambda: OutboxEvent.objects.exclude(published_at=None).exists())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert 'ops_nats_publish_total{event="updated",result="ok"}' in metrics

    messages, marked = read_stream(), OutboxEvent.objects.exclude(published_at=None).count()
    # Whole batches, each of them written down: nothing was left half done.
    assert 0 < marked < 5000
    assert marked == len(messages)
    assert marked % 50 == 0


def test_it_ends_at_once_when_asked_twice(process_env: dict[str, str], nats_server: Nats) -> None:
    process = subprocess.Popen([sys.executable, "manage.py", "drain_outbox"], cwd=settings.BASE_DIR, env=process_env)
    try:
        wait_for(lambda: leader() is not None)
        fill(1, operators=some_operators(1))
        wait_for(is_drained)
        nats_server.pause()
        fill(1, operators=some_operators(1))
        time.sleep(0.3)  # it now waits for an acknowledgement that does not come
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=2) == 1
    finally:
        nats_server.resume()
        process.kill()
        process.wait()


def test_it_publishes_right_after_the_commit(drainers: Callable[..., ForkServerProcess]) -> None:
    """The wake-up works: far less than the second after which the drainer looks by itself."""
    drainers()
    wait_for(lambda: leader() is not None)
    time.sleep(0.2)
    delays = []
    for _ in range(5):
        fill(1, operators=some_operators(1))
        started = time.monotonic()
        wait_for(is_drained)
        delays.append(time.monotonic() - started)
    assert sorted(delays)[2] < 0.5
