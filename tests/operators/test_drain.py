"""The drainer, one step or one pass at a time, on the real servers."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Protocol

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from nats.js import JetStreamContext
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from deploy.dev.nats import Nats
from deploy.dev.ports import free_port
from operators import jetstream
from operators.drain import Drainer
from operators.models import IdempotencyRecord, OutboxEvent
from operators.pending import PendingEvents, connection_parameters
from operators.publisher import Publisher, stream_of
from operators.retention import Retention
from tests.outbox import Figures, compare, fill, some_operators
from tests.streams import purge_stream, read_stream

pytestmark = pytest.mark.django_db(transaction=True)


class Drain(Protocol):
    def __call__(self, *, batch: int = ..., max_attempts: int = ...) -> bool: ...


@pytest.fixture(autouse=True)
def _empty_streams() -> None:
    purge_stream("OPERATOR_CONFIG")
    purge_stream("OPERATOR_HEALTH")


@pytest.fixture
def drain_now() -> Drain:
    def drain(*, batch: int = 100, max_attempts: int = 8) -> bool:
        return asyncio.run(Drainer(batch=batch, max_attempts=max_attempts).drain())

    return drain


def with_jetstream(work: Callable[[JetStreamContext], Awaitable[object]]) -> None:
    async def main() -> None:
        async with jetstream.connection("tests") as client:
            await work(client.jetstream(timeout=5))

    asyncio.run(main())


@pytest.fixture
def small_messages_only() -> Iterator[None]:
    """Let the stream refuse every message above 1,000 bytes."""

    def limit(size: int) -> None:
        async def work(js: JetStreamContext) -> None:
            await js.update_stream((await js.stream_info("OPERATOR_CONFIG")).config, max_msg_size=size)

        with_jetstream(work)

    limit(1000)
    yield
    limit(-1)


def published(event: str, result: str) -> float:
    return REGISTRY.get_sample_value("ops_nats_publish_total", {"event": event, "result": result}) or 0.0


def test_it_publishes_the_backlog_with_its_headers(drain_now: Drain) -> None:
    before = published("updated", "ok")
    fill(250, operators=some_operators(7))
    OutboxEvent.objects.update(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")

    assert drain_now()

    messages = read_stream()
    assert compare(messages) == Figures(250, 250, lost=0, unexpected=0, duplicates=0, inversions=0)
    first = OutboxEvent.objects.order_by("id")[0]
    assert messages[0].subject == "operator.config.updated"
    assert messages[0].body == first.payload
    assert messages[0].headers["Nats-Msg-Id"] == str(first.event_id)
    assert messages[0].headers["Content-Type"] == "application/json"
    assert messages[0].headers["traceparent"] == first.traceparent
    assert first.stream == "OPERATOR_CONFIG"
    last = OutboxEvent.objects.order_by("id").last()
    assert last is not None
    assert (last.stream_sequence or 0) - (first.stream_sequence or 0) == 249
    assert published("updated", "ok") - before == 250


def test_it_sends_each_kind_of_event_to_its_stream(drain_now: Drain) -> None:
    fill(3, operators=some_operators(1), subject="operator.config.created")
    fill(2, operators=some_operators(1), subject="operator.health")

    assert drain_now()

    assert len(read_stream("OPERATOR_CONFIG")) == 3
    assert len(read_stream("OPERATOR_HEALTH")) == 2
    assert stream_of("operator.healthy") == stream_of("operator.config") == ""


def test_it_leaves_nothing_of_a_change_that_was_rolled_back(drain_now: Drain) -> None:
    def failing_change() -> None:
        with transaction.atomic():
            fill(1, operators=some_operators(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing_change()

    assert drain_now()
    assert read_stream() == []


def test_it_does_not_skip_an_id_that_commits_late(drain_now: Drain) -> None:
    table, columns = OutboxEvent._meta.db_table, "event_id, operator_id, version, subject, payload, created_at"
    insert = f"""INSERT INTO {table} ({columns}, traceparent, attempts, last_error, stream)
        SELECT id, gen_random_uuid(), 1, 'operator.config.updated',
               jsonb_build_object('eventId', id, 'operatorId', id, 'version', 1), now(), '', 0, '', ''
        FROM (SELECT gen_random_uuid() AS id) AS made RETURNING id"""  # noqa: S608
    parameters = connection_parameters()
    with psycopg.connect(**parameters) as slow:
        early = slow.execute(insert).fetchone()
        fill(1, operators=some_operators(1))
        assert drain_now()
        assert OutboxEvent.objects.get().id > (early or (0,))[0]
        slow.commit()

    assert drain_now()
    assert compare(read_stream()) == Figures(2, 2, lost=0, unexpected=0, duplicates=0, inversions=0)


def test_it_sets_a_refused_event_aside_and_lets_the_other_operators_pass(
    drain_now: Drain, small_messages_only: None
) -> None:
    poisoned, *others = some_operators(4)
    fill(20, operators=others)
    fill(1, operators=[poisoned], filler=2000)
    fill(2, operators=[poisoned], first_version=2)
    fill(20, operators=others, first_version=100)

    assert not drain_now()

    refused = OutboxEvent.objects.get(operator_id=poisoned, version=1)
    assert refused.attempts == 1
    assert refused.last_error == "message size exceeds maximum allowed (10054)"
    assert refused.available_at is not None
    assert timedelta(0) < refused.available_at - timezone.now() <= timedelta(seconds=1)
    # Its operator's later events wait behind it and were never tried; everybody else's are out.
    waiting = OutboxEvent.objects.filter(operator_id=poisoned, version__gt=1)
    assert list(waiting.values_list("attempts", "published_at")) == [(0, None)] * 2
    figures = compare(read_stream())
    assert (figures.acked, figures.is_clean) == (40, True)


def test_it_parks_an_event_after_the_last_attempt_and_then_passes_its_operators_later_ones(
    drain_now: Drain, small_messages_only: None, caplog: pytest.LogCaptureFixture
) -> None:
    (operator,) = some_operators(1)
    fill(1, operators=[operator], filler=2000)
    fill(2, operators=[operator], first_version=2)
    assert not drain_now(max_attempts=2)
    OutboxEvent.objects.update(available_at=timezone.now() - timedelta(seconds=1))

    assert not drain_now(max_attempts=2)

    parked = OutboxEvent.objects.parked().get()
    assert (parked.version, parked.attempts, parked.available_at) == (1, 2, None)
    assert [message.body["version"] for message in read_stream()] == [2, 3]
    (record,) = [record for record in caplog.records if record.getMessage() == "event parked"]
    assert (record.levelname, record.__dict__["operatorId"]) == ("ERROR", str(operator))
    # A parked event is the alert's business; the next pass does not fail because of it.
    assert drain_now(max_attempts=2)


@pytest.mark.parametrize("filler", [1_048_100, 1_500_000])
def test_it_refuses_by_itself_what_would_make_the_server_cut_the_connection(drain_now: Drain, filler: int) -> None:
    fill(1, operators=some_operators(1), filler=filler)
    fill(5, operators=some_operators(1))

    assert not drain_now()

    refused = OutboxEvent.objects.get(published_at=None)
    assert "the server takes 1047552" in refused.last_error
    assert len(read_stream()) == 5


def test_it_refuses_a_subject_that_no_stream_takes(drain_now: Drain) -> None:
    fill(1, operators=some_operators(1), subject="operator.elsewhere")
    fill(5, operators=some_operators(1))

    assert not drain_now()

    assert OutboxEvent.objects.get(published_at=None).last_error == "no stream takes this subject (503)"
    assert len(read_stream()) == 5


def test_it_counts_no_attempt_while_a_stream_is_full_and_goes_on_with_the_other(drain_now: Drain) -> None:
    async def limit(js: JetStreamContext, size: int) -> None:
        await js.update_stream((await js.stream_info("OPERATOR_HEALTH")).config, max_bytes=size)

    fill(50, operators=some_operators(5), subject="operator.health")
    fill(50, operators=some_operators(5))
    with_jetstream(lambda js: limit(js, 5000))
    try:
        assert not drain_now(batch=20)
        pending = OutboxEvent.objects.pending()
        assert 0 < pending.filter(subject="operator.health").count() == pending.count() < 50
        assert not pending.exclude(attempts=0, available_at=None).exists()
        assert len(read_stream()) == 50
    finally:
        with_jetstream(lambda js: limit(js, jetstream.OPERATOR_HEALTH.max_bytes))
    assert drain_now(batch=20)
    figures = compare(read_stream("OPERATOR_HEALTH") + read_stream())
    assert figures == Figures(100, 100, lost=0, unexpected=0, duplicates=0, inversions=0)


def test_it_recognises_events_that_were_stored_but_not_marked(drain_now: Drain) -> None:
    fill(60, operators=some_operators(3))
    assert drain_now()
    sequences = dict(OutboxEvent.objects.values_list("event_id", "stream_sequence"))
    # Every second one, so that known and unknown events alternate in the batch.
    ids = list(OutboxEvent.objects.order_by("id").values_list("id", flat=True))
    OutboxEvent.objects.filter(id__in=ids[::2]).update(published_at=None, stream_sequence=None, stream="")
    fill(60, operators=some_operators(3))

    assert drain_now()

    assert compare(read_stream()) == Figures(120, 120, lost=0, unexpected=0, duplicates=0, inversions=0)
    now = dict(OutboxEvent.objects.filter(id__in=ids).values_list("event_id", "stream_sequence"))
    assert now == sequences


def test_it_stores_nothing_behind_a_message_that_was_not_stored() -> None:
    """The second of three is refused for its size: the third must not overtake it, whoever's it is."""
    (operator,) = some_operators(1)
    fill(1, operators=[operator])
    fill(1, operators=[operator], first_version=2, filler=2000)
    fill(1, operators=[operator], first_version=3)

    async def main() -> None:
        publisher = Publisher("tests")
        async with jetstream.connection("tests") as client:
            js = client.jetstream()
            config = (await js.stream_info("OPERATOR_CONFIG")).config
            await js.update_stream(config, max_msg_size=1000)
            try:
                connection = await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True)
                async with connection:
                    events = await PendingEvents(connection).take(10)
                    outcome = await publisher.collect(await publisher.send(events))
            finally:
                await js.update_stream(config, max_msg_size=-1)
                await publisher.close()
        assert [each.event.id for each in outcome.acknowledged] == [events[0].id]
        assert [each.event.id for each in outcome.refused] == [events[1].id]
        assert outcome.is_displaced
        assert outcome.away == {}

    asyncio.run(main())
    assert len(read_stream()) == 1


def test_it_does_not_let_a_drainer_that_slept_publish_behind_its_successor() -> None:
    """Even when the stream has forgotten the ids, a stale batch is refused: it names a message that is not the last."""
    (operator,) = some_operators(1)
    fill(3, operators=[operator])

    async def main() -> None:
        sleeper, successor = Publisher("tests"), Publisher("tests")
        async with await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True) as connection:
            first, second, third = await PendingEvents(connection).take(10)
        try:
            assert (await sleeper.collect(await sleeper.send([first]))).acknowledged
            assert (await successor.collect(await successor.send([second, third]))).acknowledged
            forgotten = dataclasses.replace(second, event_id=str(uuid.uuid4()))
            outcome = await sleeper.collect(await sleeper.send([forgotten]))
        finally:
            await sleeper.close()
            await successor.close()
        assert outcome.acknowledged == []
        assert outcome.is_displaced

    asyncio.run(main())
    assert [message.body["version"] for message in read_stream()] == [1, 2, 3]


def test_it_holds_back_an_operator_whose_event_is_in_backoff() -> None:
    held, free = some_operators(2)
    fill(3, operators=[held])
    fill(3, operators=[free])
    OutboxEvent.objects.filter(operator_id=held, version=1).update(
        attempts=1, available_at=timezone.now() + timedelta(hours=1)
    )

    async def take() -> list[uuid.UUID]:
        async with await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True) as connection:
            return [event.operator_id for event in await PendingEvents(connection).take(10)]

    assert asyncio.run(take()) == [free] * 3
    OutboxEvent.objects.update(available_at=timezone.now())
    assert asyncio.run(take()) == [held] * 3 + [free] * 3


def test_it_records_a_span_for_a_sampled_trace_only(drain_now: Drain, spans: InMemorySpanExporter) -> None:
    fill(2, operators=some_operators(2))
    sampled, unsampled = OutboxEvent.objects.order_by("id")
    trace = "0af7651916cd43dd8448eb211c80319c"
    OutboxEvent.objects.filter(id=sampled.id).update(traceparent=f"00-{trace}-b7ad6b7169203331-01")
    OutboxEvent.objects.filter(id=unsampled.id).update(traceparent=f"00-{'1' * 32}-b7ad6b7169203331-00")

    assert drain_now()

    (span,) = [span for span in spans.get_finished_spans() if span.name == "ops.nats.publish"]
    assert span.context is not None
    assert span.parent is not None
    assert format(span.context.trace_id, "032x") == trace
    assert format(span.parent.span_id, "016x") == "b7ad6b7169203331"
    assert dict(span.attributes or {}) == {
        "ops.operator_id": str(sampled.operator_id),
        "ops.action": "operator.config.updated",
    }


def test_it_deletes_what_was_kept_long_enough() -> None:
    fill(5, operators=some_operators(1))
    ids = list(OutboxEvent.objects.order_by("id").values_list("id", flat=True))
    old = timezone.now() - timedelta(days=settings.OUTBOX_RETENTION_DAYS, minutes=1)
    young = timezone.now() - timedelta(days=settings.OUTBOX_RETENTION_DAYS) + timedelta(minutes=1)
    OutboxEvent.objects.filter(id__in=ids[:2]).update(published_at=old)
    OutboxEvent.objects.filter(id=ids[2]).update(published_at=young)
    OutboxEvent.objects.filter(id=ids[3]).update(parked_at=old, created_at=old)
    OutboxEvent.objects.filter(id=ids[4]).update(created_at=old)
    for hours, key in ((settings.IDEMPOTENCY_HOURS + 1, "old"), (settings.IDEMPOTENCY_HOURS - 1, "young")):
        created_at = timezone.now() - timedelta(hours=hours)
        IdempotencyRecord.objects.create(actor="bob", key=key, fingerprint="f", created_at=created_at)
    retention = Retention()

    async def step() -> bool:
        async with await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True) as connection:
            return await retention.step(connection)

    assert not asyncio.run(step())

    assert sorted(OutboxEvent.objects.values_list("id", flat=True)) == ids[2:]
    assert [record.key for record in IdempotencyRecord.objects.all()] == ["young"]
    # The next pass is due in an hour.
    OutboxEvent.objects.filter(id=ids[2]).update(published_at=old)
    asyncio.run(step())
    assert OutboxEvent.objects.filter(id=ids[2]).exists()


def test_it_sleeps_when_there_is_nothing_to_do_also_after_an_outage(nats_server: Nats) -> None:
    class CountingDrainer(Drainer):
        steps = 0

        async def step(self, pending: PendingEvents) -> bool:
            self.steps += 1
            return await super().step(pending)

    async def main() -> int:
        drainer = CountingDrainer(batch=10, max_attempts=8)
        running = asyncio.create_task(drainer.run())
        while not drainer._rests:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(nats_server.start)
        while await asyncio.to_thread(count_pending):
            await asyncio.sleep(0.05)
        before = drainer.steps
        await asyncio.sleep(2.2)
        drainer.stop()
        await running
        return drainer.steps - before

    def count_pending() -> int:
        try:
            return OutboxEvent.objects.pending().count()
        finally:
            connection.close()

    fill(5, operators=some_operators(1))
    nats_server.stop()
    try:
        # One look a second, and one each for what ends: the batch, the sleep.
        assert asyncio.run(main()) <= 5
    finally:
        nats_server.start()
    assert compare(read_stream()).is_clean


def test_it_says_through_its_exit_code_that_something_stayed(small_messages_only: None) -> None:
    fill(1, operators=some_operators(1))
    call_command("drain_outbox", once=True)
    fill(1, operators=some_operators(1), filler=2000)
    with pytest.raises(SystemExit) as ended:
        call_command("drain_outbox", once=True)
    assert ended.value.code == 1


def test_it_says_that_the_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "PORT", free_port())
    with pytest.raises(CommandError, match=r"^The database does not answer\.$"):
        call_command("drain_outbox", once=True)


def test_it_leaves_the_work_to_a_drainer_that_has_the_lead(drain_now: Drain) -> None:
    async def with_a_leader() -> tuple[bool, bool]:
        async with await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True) as leader:
            assert await PendingEvents(leader).lead()
            is_clean = await Drainer(batch=10, max_attempts=8).drain()
            await asyncio.to_thread(add_one)
            return is_clean, await Drainer(batch=10, max_attempts=8).drain()

    def add_one() -> None:
        fill(1, operators=some_operators(1))
        connection.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("operators.drain.LEAD_SECONDS", 0.3)
        assert asyncio.run(with_a_leader()) == (True, False)
    assert read_stream() == []
    assert drain_now()


def test_it_refuses_a_senseless_batch() -> None:
    with pytest.raises(CommandError, match="--batch lies between 1 and 5000"):
        call_command("drain_outbox", once=True, batch=0)


def test_it_reads_through_the_small_indexes() -> None:
    """With 20,000 published rows around, the claim looks at the pending ones only."""
    fill(20_000, operators=some_operators(50))
    OutboxEvent.objects.update(published_at=timezone.now(), stream="OPERATOR_CONFIG", stream_sequence=1)
    fill(10, operators=some_operators(5))
    from operators.pending import _TAKE

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE operators_outboxevent")
        cursor.execute(f"EXPLAIN {_TAKE}", ([], 500))
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "outbox_pending" in plan
    assert "Seq Scan" not in plan
