"""The topology on a real broker: made, made again, widened, and never at the cost of a message."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from django.conf import settings
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from deploy.dev.nats import Nats
from health.streams import INGEST_CONSUMER, LIVE_VIEW, SMPP_HEALTH
from health.streams import TOPOLOGY as HEALTH_TOPOLOGY
from operators import jetstream
from operators.jetstream import OPERATOR_CONFIG, OPERATOR_HEALTH, PullConsumer, Stream, TopologyConflict, ensure
from operators.jetstream import TOPOLOGY as OPERATOR_TOPOLOGY

TRIAL = Stream(
    name="TRIAL",
    subjects=("trial.>",),
    description="for tests",
    max_age=timedelta(days=1),
    max_bytes=1_000_000,
    duplicate_window=timedelta(minutes=2),
    discard=DiscardPolicy.NEW,
)


def on_broker(work: Callable[[JetStreamContext], Awaitable[None]]) -> None:
    """Run the work with the trial stream gone before and after."""

    async def main() -> None:
        async with jetstream.connection("tests") as client:
            js = client.jetstream(timeout=5)
            try:
                await work(js)
            finally:
                with contextlib.suppress(NotFoundError):
                    await js.delete_stream(TRIAL.name)

    asyncio.run(main())


def test_it_provides_what_the_contract_names() -> None:
    async def work(js: JetStreamContext) -> None:
        for stream, subjects, hours in (
            (OPERATOR_CONFIG, ["operator.config.>"], 7 * 24),
            (OPERATOR_HEALTH, ["operator.health"], 24),
            (SMPP_HEALTH, ["smpp.health.>"], 24),
        ):
            config = (await js.stream_info(stream.name)).config
            assert config.subjects == subjects
            assert config.max_age == hours * 3600
            assert (config.storage, config.retention) == (StorageType.FILE, RetentionPolicy.LIMITS)
        config = (await js.stream_info("OPERATOR_CONFIG")).config
        assert (config.discard, config.duplicate_window) == (DiscardPolicy.NEW, 1800)
        consumer = (await js.consumer_info("SMPP_HEALTH", "ops-health-consumer")).config
        assert (consumer.durable_name, consumer.ack_policy) == (INGEST_CONSUMER.name, AckPolicy.ALL)
        assert consumer.deliver_subject is None
        assert (await (await js.key_value(LIVE_VIEW.name)).status()).ttl == 60

    on_broker(work)


def test_it_keeps_messages_and_positions_when_run_again() -> None:
    async def work(js: JetStreamContext) -> None:
        await ensure(js, [TRIAL])
        await js.publish("trial.a", b"{}")
        await ensure(js, [TRIAL, *OPERATOR_TOPOLOGY, *HEALTH_TOPOLOGY])
        await ensure(js, [TRIAL, *OPERATOR_TOPOLOGY, *HEALTH_TOPOLOGY])
        assert (await js.stream_info("TRIAL")).state.messages == 1

    on_broker(work)


def test_it_brings_a_stream_up_to_date() -> None:
    async def work(js: JetStreamContext) -> None:
        await js.add_stream(dataclasses.replace(TRIAL, subjects=("trial.a",), max_bytes=500_000).config())
        await ensure(js, [dataclasses.replace(TRIAL, subjects=("trial.a", "trial.b"))])
        config = (await js.stream_info("TRIAL")).config
        assert config.subjects == ["trial.a", "trial.b"]
        assert config.max_bytes == 1_000_000

    on_broker(work)


@pytest.mark.parametrize(("found", "kept"), [(30 * 86_400.0, 30 * 86_400.0), (0.0, 0.0), (3600.0, 86_400.0)])
def test_it_never_lowers_a_limit(found: float, kept: float) -> None:
    async def work(js: JetStreamContext) -> None:
        await js.add_stream(TRIAL.config(), max_age=found, max_bytes=-1)
        await ensure(js, [TRIAL])
        config = (await js.stream_info("TRIAL")).config
        assert config.max_age == kept
        assert config.max_bytes == -1

    on_broker(work)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (StreamConfig(storage=StorageType.MEMORY), "TRIAL exists with storage 'memory'; it must be .*'file'"),
        (StreamConfig(retention=RetentionPolicy.WORK_QUEUE), "TRIAL exists with retention 'workqueue'"),
        (
            StreamConfig(subjects=["trial.>", "foreign.>"]),
            "TRIAL also takes the subjects foreign.>",
        ),
    ],
)
def test_it_refuses_a_stream_that_it_cannot_change_in_place(found: StreamConfig, message: str) -> None:
    async def work(js: JetStreamContext) -> None:
        found.subjects = found.subjects or ["trial.>"]
        await js.add_stream(found, name="TRIAL")
        await js.publish("trial.a", b"{}")
        with pytest.raises(TopologyConflict, match=message):
            await ensure(js, [TRIAL])
        assert (await js.stream_info("TRIAL")).state.messages == 1

    on_broker(work)


def test_it_gives_up_soon_when_the_broker_is_away_and_names_no_password(
    nats_server: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    nats_server.stop()
    try:
        with pytest.raises((NatsError, OSError, TimeoutError)) as failed:
            asyncio.run(asyncio.wait_for(jetstream.connect("tests"), 10))
    finally:
        nats_server.start()
    password = settings.NATS_URL.split(":")[2].split("@")[0]
    assert len(password) > 10
    assert password not in f"{failed.value!r}{caplog.text}"


def test_it_changes_how_a_consumer_acknowledges_without_losing_its_place() -> None:
    wanted = PullConsumer(
        stream=TRIAL.name, name="trial", description="", ack_wait=timedelta(seconds=30), max_ack_pending=10
    )

    async def work(js: JetStreamContext) -> None:
        await jetstream.ensure(js, [TRIAL])
        for number in range(3):
            await js.publish("trial.x", str(number).encode())
        await js.add_consumer(TRIAL.name, ConsumerConfig(durable_name="trial", ack_policy=AckPolicy.EXPLICIT))
        old = await js.pull_subscribe_bind("trial", TRIAL.name)
        for message in await old.fetch(2):
            await message.ack_sync()

        for _ in range(2):
            await jetstream.ensure(js, [wanted])

        info = await js.consumer_info(TRIAL.name, "trial")
        assert (info.config.ack_policy, info.num_pending) == (AckPolicy.ALL, 1)
        subscription = await js.pull_subscribe_bind("trial", TRIAL.name)
        assert [message.data for message in await subscription.fetch(1)] == [b"2"]

    on_broker(work)
