"""Publishing again what a broker lost."""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from nats.js import JetStreamContext

from deploy.dev.nats import Nats
from operators import jetstream
from operators.drain import Drainer
from operators.models import AuditEntry, OutboxEvent
from tests.outbox import Figures, compare, fill, some_operators
from tests.streams import purge_stream, read_stream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_stream() -> None:
    purge_stream()


def publish(count: int, operators: list[uuid.UUID]) -> None:
    fill(count, operators=operators)
    assert asyncio.run(Drainer(batch=100, max_attempts=8).drain())


def replay(*arguments: str) -> str:
    output = io.StringIO()
    call_command("replay_events", *arguments, stdout=output)
    return output.getvalue()


def with_jetstream(work: Callable[[JetStreamContext], Awaitable[object]]) -> None:
    async def main() -> None:
        async with jetstream.connection("tests") as client:
            await work(client.jetstream(timeout=5))

    asyncio.run(main())


async def lose_the_stream(js: JetStreamContext) -> None:
    """What a broker does that comes back without its disk."""
    await js.delete_stream("OPERATOR_CONFIG")
    await jetstream.ensure(js, [jetstream.OPERATOR_CONFIG])


def pending_of(operator: uuid.UUID) -> int:
    return OutboxEvent.objects.pending().filter(operator_id=operator).count()


def test_it_publishes_again_what_the_broker_lost_in_the_same_order() -> None:
    operators = some_operators(3)
    publish(90, operators)
    with_jetstream(lose_the_stream)

    assert replay("--from", "2020-01-01T00:00:00Z", "--missing-only") == (
        "90 matched\n0 still in the stream, 0 older than the stream keeps\n90 are published again\n"
    )
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_type, entry.changes) == ("publish_again", "event", {"events": [None, 90]})
    assert entry.actor.startswith("replay:")
    assert asyncio.run(Drainer(batch=20, max_attempts=8).drain())

    assert compare(read_stream()) == Figures(90, 90, lost=0, unexpected=0, duplicates=0, inversions=0)


def test_it_leaves_what_the_stream_still_holds() -> None:
    publish(30, some_operators(3))
    lost = list(OutboxEvent.objects.order_by("id")[10:15])

    async def lose_five(js: JetStreamContext) -> None:
        for event in lost:
            await js.delete_msg("OPERATOR_CONFIG", event.stream_sequence or 0)

    with_jetstream(lose_five)
    assert "25 still in the stream" in replay("--from", "2020-01-01", "--missing-only")
    assert [event.id for event in OutboxEvent.objects.pending()] == [event.id for event in lost]


def test_it_tells_another_stream_with_the_same_numbers_from_the_one_that_was_lost() -> None:
    """A new stream counts from one again: a sequence alone proves nothing."""
    publish(10, some_operators(1))
    with_jetstream(lose_the_stream)
    publish(10, some_operators(1))

    assert "20 matched\n10 still in the stream" in replay("--from", "2020-01-01", "--missing-only")


def test_it_does_not_call_lost_what_the_stream_let_go_by_age() -> None:
    publish(4, some_operators(1))
    with_jetstream(lose_the_stream)
    old = timezone.now() - jetstream.OPERATOR_CONFIG.max_age - timedelta(minutes=1)
    first = OutboxEvent.objects.order_by("id")[0]
    OutboxEvent.objects.filter(id=first.id).update(published_at=old)

    assert "0 still in the stream, 1 older than the stream keeps\n3 are published" in replay(
        "--from", "2020-01-01", "--missing-only"
    )


def test_it_takes_only_the_operators_named() -> None:
    one, two, three = some_operators(3)
    publish(30, [one, two, three])

    replay("--operator", str(one), "--operator", str(three))

    assert (pending_of(one), pending_of(two), pending_of(three)) == (10, 0, 10)


def test_a_consumer_sees_no_second_copy_within_the_window() -> None:
    (operator,) = some_operators(1)
    publish(10, [operator])
    replay("--operator", str(operator))
    assert pending_of(operator) == 10

    assert asyncio.run(Drainer(batch=100, max_attempts=8).drain())

    assert compare(read_stream()) == Figures(10, 10, lost=0, unexpected=0, duplicates=0, inversions=0)


def test_it_takes_only_the_time_named() -> None:
    (operator,) = some_operators(1)
    publish(3, [operator])
    times = [datetime.fromisoformat(f"2026-03-0{day}T12:00:00+00:00") for day in (1, 2, 3)]
    for event, created_at in zip(OutboxEvent.objects.order_by("id"), times, strict=True):
        OutboxEvent.objects.filter(id=event.id).update(created_at=created_at)

    # Without an offset a time is UTC; the end is not included.
    replay("--from", "2026-03-02T12:00:00", "--to", "2026-03-03T12:00:00Z")

    assert [event.version for event in OutboxEvent.objects.pending()] == [2]


def test_it_brings_parked_events_back_with_a_clean_sheet() -> None:
    (operator,) = some_operators(1)
    fill(2, operators=[operator])
    OutboxEvent.objects.filter(version=1).update(parked_at=timezone.now(), attempts=8, last_error="too large (10054)")

    assert replay("--parked") == "1 matched\n1 are published again\n"

    event = OutboxEvent.objects.get(version=1)
    assert (event.attempts, event.last_error, event.parked_at, event.available_at) == (0, "", None, None)
    assert asyncio.run(Drainer(batch=100, max_attempts=8).drain())
    assert len(read_stream()) == 2


def test_it_only_counts_in_a_dry_run() -> None:
    publish(3, some_operators(1))
    assert replay("--from", "2020-01-01", "--dry-run") == "3 matched\n3 would be published again\n"
    assert not OutboxEvent.objects.pending().exists()


def test_it_works_through_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.replay.BATCH", 7)
    publish(50, some_operators(3))
    assert "50 are published again" in replay("--from", "2020-01-01")
    assert OutboxEvent.objects.pending().count() == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Select something"),
        (["--missing-only"], "Select something"),
        (["--parked", "--missing-only"], "parked ones never reached the stream"),
        (["--from", "yesterday"], "argument --from: invalid timestamp value: 'yesterday'"),
        (["--to", "9999-12-31T23:59:59-01:00"], "argument --to: invalid timestamp value: '9999-12-31T23:59:59-01:00'"),
        (["--operator", "seven"], "argument --operator: invalid UUID value: 'seven'"),
    ],
)
def test_it_refuses_a_selection_that_makes_no_sense(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        replay(*arguments)


def test_it_changes_nothing_when_the_broker_cannot_be_asked(nats_server: Nats) -> None:
    publish(3, some_operators(1))
    nats_server.stop()
    try:
        with pytest.raises(CommandError, match="The broker does not answer"):
            replay("--from", "2020-01-01", "--missing-only")
    finally:
        nats_server.start()
    assert not OutboxEvent.objects.pending().exists()
