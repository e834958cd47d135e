"""The broker: how we connect to it, and which streams, consumers and buckets must exist there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamSource,
)
from nats.js.errors import NotFoundError

logger = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 0.25

GIBIBYTE: Final = 1024**3


@dataclass(frozen=True)
class Stream:
    """Describe a stream on file storage that keeps messages up to its limits, whether or not anybody has read them."""

    name: str
    subjects: tuple[str, ...]
    description: str
    max_age: timedelta
    max_bytes: int
    duplicate_window: timedelta
    discard: DiscardPolicy
    # Another stream and a subject of it whose messages are copied into this one, which then has no subjects itself.
    source: tuple[str, str] | None = None

    def config(self) -> StreamConfig:
        return StreamConfig(
            name=self.name,
            subjects=list(self.subjects),
            sources=[StreamSource(name=self.source[0], filter_subject=self.source[1])] if self.source else None,
            description=self.description,
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_age=self.max_age.total_seconds(),
            max_bytes=self.max_bytes,
            duplicate_window=self.duplicate_window.total_seconds(),
            discard=self.discard,
            num_replicas=settings.NATS_REPLICAS,
        )


@dataclass(frozen=True)
class PullConsumer:
    """Describe a durable pull consumer for one reader at a time, who takes everything in order.

    Acknowledging a message settles all before it; deliveries are unlimited.
    """

    stream: str
    name: str
    description: str
    ack_wait: timedelta
    max_ack_pending: int

    def config(self) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=self.name,
            ack_policy=AckPolicy.ALL,
            description=self.description,
            ack_wait=self.ack_wait.total_seconds(),
            max_ack_pending=self.max_ack_pending,
            max_deliver=-1,
        )


@dataclass(frozen=True)
class Bucket:
    """Describe a key-value bucket whose keys vanish when nobody renews them."""

    name: str
    description: str
    ttl: timedelta

    def config(self) -> KeyValueConfig:
        return KeyValueConfig(
            bucket=self.name,
            description=self.description,
            ttl=self.ttl.total_seconds(),
            storage=StorageType.FILE,
            replicas=settings.NATS_REPLICAS,
            # Readers are served by any replica, not by the leader alone.
            direct=True,
        )


Item = Stream | PullConsumer | Bucket


# A retry may come this late and still be recognised: a drainer that died between the broker's acknowledgement and its
# own note of it, together with the outage that killed it. The server keeps the ids of the window in memory and rebuilds
# them from the stored messages when it starts (about 90,000 of them at 50 changes/s).
DUPLICATE_WINDOW: Final = timedelta(minutes=30)

OPERATOR_CONFIG: Final = Stream(
    name="OPERATOR_CONFIG",
    subjects=("operator.config.>",),
    description="Changes of operators, from the outbox",
    max_age=timedelta(days=7),
    max_bytes=GIBIBYTE,
    duplicate_window=DUPLICATE_WINDOW,
    # A full stream refuses what is new and the outbox keeps it; dropping the oldest would lose events in silence.
    discard=DiscardPolicy.NEW,
)
OPERATOR_HEALTH: Final = Stream(
    name="OPERATOR_HEALTH",
    subjects=("operator.health",),
    description="Moves of the health state, from the outbox",
    max_age=timedelta(hours=24),
    max_bytes=GIBIBYTE // 2,
    duplicate_window=DUPLICATE_WINDOW,
    discard=DiscardPolicy.NEW,
)
OUTBOX_STREAMS: Final = (OPERATOR_CONFIG, OPERATOR_HEALTH)
TOPOLOGY: Final[tuple[Item, ...]] = OUTBOX_STREAMS


class TopologyConflict(Exception):
    """What exists on the broker cannot become what we need without losing data; a person has to decide."""


async def connect(name: str) -> Client:
    """Connect to NATS_URL within 2 s and keep reconnecting for ever afterwards; raises OSError or NatsError.

    Nothing is buffered while the connection is away: a publish fails at once, so that its sender knows.
    """

    seen: set[str] = set()

    async def on_error(error: Exception) -> None:
        # Once per outage, not at every try. Only the type: the text can quote the URL, which holds the password.
        kind = type(error).__name__
        if kind not in seen:
            seen.add(kind)
            logger.warning("nats error", extra={"action": name, "error": kind})

    async def on_disconnected() -> None:
        if not client.is_closed:  # also called when we hang up ourselves
            logger.warning("nats disconnected", extra={"action": name})

    async def on_reconnected() -> None:
        seen.clear()
        logger.info("nats reconnected", extra={"action": name})

    client = Client()
    try:
        await asyncio.wait_for(
            client.connect(
                servers=[url.strip() for url in settings.NATS_URL.split(",")],
                name=f"ops-{name}",
                connect_timeout=1,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # declared int, used as seconds
                ping_interval=5,
                max_outstanding_pings=2,
                pending_size=-1,
                error_cb=on_error,
                disconnected_cb=on_disconnected,
                reconnected_cb=on_reconnected,
            ),
            CONNECT_SECONDS,
        )
    except BaseException:
        await close(client)
        raise
    return client


async def close(client: Client) -> None:
    """Close a connection that may be broken already."""
    with contextlib.suppress(NatsError, OSError, TimeoutError):
        await asyncio.wait_for(client.close(), CONNECT_SECONDS)


@asynccontextmanager
async def connection(name: str) -> AsyncIterator[Client]:
    client = await connect(name)
    try:
        yield client
    finally:
        await close(client)


async def ensure(js: JetStreamContext, items: Iterable[Item]) -> None:
    """Create what is missing and bring the rest up to date; raises TopologyConflict rather than lose a message.

    Limits that somebody has raised on the broker stay raised: lowering one would delete messages. A consumer comes
    after its stream.
    """
    for item in items:
        match item:
            case Stream():
                await _ensure_stream(js, item.config())
            case PullConsumer():
                await _ensure_consumer(js, item)
            case Bucket():
                await _ensure_bucket(js, item.config())


async def _ensure_consumer(js: JetStreamContext, item: PullConsumer) -> None:
    wanted = item.config()
    try:
        found = await js.consumer_info(item.stream, item.name)
    except NotFoundError:
        pass
    else:
        if found.config.ack_policy != wanted.ack_policy:
            # The server does not change it in place: made anew, right behind what has been acknowledged.
            assert found.ack_floor is not None
            await js.delete_consumer(item.stream, item.name)
            wanted.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            wanted.opt_start_seq = found.ack_floor.stream_seq + 1
        else:
            wanted.deliver_policy = found.config.deliver_policy
            wanted.opt_start_seq = found.config.opt_start_seq
    # The server's own create-or-update.
    await js.add_consumer(item.stream, wanted)


async def _ensure_bucket(js: JetStreamContext, wanted: KeyValueConfig) -> None:
    try:
        found = (await js.stream_info(f"KV_{wanted.bucket}")).config
    except NotFoundError:
        await js.create_key_value(wanted)
    else:
        await js.update_stream(found, max_age=wanted.ttl, num_replicas=wanted.replicas)


async def _ensure_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    assert wanted.name is not None
    try:
        found = (await js.stream_info(wanted.name)).config
    except NotFoundError:
        await js.add_stream(wanted)
        return
    for attribute in ("storage", "retention"):
        if getattr(found, attribute) != getattr(wanted, attribute):
            raise TopologyConflict(
                f"The stream {wanted.name} exists with {attribute} {getattr(found, attribute)!r}; "
                f"it must be {getattr(wanted, attribute)!r}, which the server cannot change in place."
            )
    if foreign := sorted(set(found.subjects or ()) - set(wanted.subjects or ())):
        raise TopologyConflict(
            f"The stream {wanted.name} also takes the subjects {', '.join(foreign)}, which are not ours."
        )
    await js.update_stream(
        found,
        subjects=wanted.subjects,
        description=wanted.description,
        max_age=_wider(found.max_age, wanted.max_age),
        max_bytes=_wider(found.max_bytes, wanted.max_bytes),
        duplicate_window=wanted.duplicate_window,
        discard=wanted.discard,
        num_replicas=wanted.num_replicas,
    )


def _wider(found: float | None, wanted: float | None) -> float | None:
    """Choose the limit that keeps more; the server says 0 or -1 for unlimited."""
    if found is None or found <= 0 or wanted is None:
        return found
    return max(found, wanted)


def provision(items: Iterable[Item]) -> None:
    """Connect, `ensure`, disconnect; for callers without an event loop of their own."""

    async def main() -> None:
        async with connection("provision") as client:
            await ensure(client.jetstream(timeout=5), items)

    asyncio.run(main())
