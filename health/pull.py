"""A standing pull on a durable consumer: what the broker has comes at once, and its silence is heard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final, Self

from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from operators.jetstream import PullConsumer

EXPIRES_SECONDS: Final = 30
# While there is nothing to deliver the broker says so this often.
HEARTBEAT_SECONDS: Final = 1
# A request is lost when the stream's leader changes or the connection did; nothing else tells.
LOST_SECONDS: Final = 5.0
# Above the broker's own limit for one message, or a large one would block all that follow.
MAX_BYTES: Final = 72 * 1024 * 1024

_DELIVERED: Final = "$JS.ACK."
_PENDING_HEADER: Final = "Nats-Pending-Messages"
_HEARTBEAT: Final = "100"
_NOBODY: Final = "503"


class PullLost(Exception):
    """The broker does not answer any more, or a delivery was lost on its way: begin again at what is acknowledged."""


class Delivery(Struct, frozen=True, gc=False):
    """One message, its place in the stream, and when the broker took it."""

    subject: str
    data: bytes
    sequence: int
    received_at: datetime
    order: int
    reply: str

    @classmethod
    def of(cls, message: Msg) -> Self:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<nanoseconds>.<pending>; with a
        # domain there are two tokens more in front and one behind (ADR-15).
        tokens = message.reply.split(".")
        sequence, order, nanoseconds = tokens[5:8] if len(tokens) == 9 else tokens[7:10]
        received_at = datetime.fromtimestamp(int(nanoseconds) / 1e9, UTC)
        return cls(message.subject, message.data, int(sequence), received_at, int(order), message.reply)


class Pull:
    """Keep up to two batches of messages coming, in order and without a gap; for one task.

    `after` is the consumer's number of the last delivery, which like all before it is acknowledged. nats-py's fetch
    waits where a batch is not full, and does not tell when a delivery is missing.
    """

    def __init__(self, client: Client, consumer: PullConsumer, *, batch: int, after: int) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}"
        self._batch = batch
        self._inbox = client.new_inbox()
        self._ready: deque[Delivery] = deque()
        self._requested = 0
        # The first one too must follow: what went to the requests of somebody else, who may be frozen, would be
        # acknowledged together with what came to us.
        self._order = after
        self._is_lost = False
        self._has_news = asyncio.Event()
        self._heard_at = time.monotonic()
        # When the broker last said that it had nothing for us, and nothing lay here either.
        self.idle_at: datetime | None = None

    async def start(self) -> None:
        await self._client.subscribe(self._inbox, cb=self._on_message)
        await self._request()

    async def take(self, seconds: float) -> list[Delivery]:
        """Return what is there, at most a batch, or wait for it; empty when time is up. Raises PullLost, NatsError."""
        if not self._ready:
            self._has_news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_news.wait(), seconds)
        taken = [self._ready.popleft() for _ in range(min(self._batch, len(self._ready)))]
        if self._is_lost or (self._requested and time.monotonic() - self._heard_at > LOST_SECONDS):
            raise PullLost
        await self._request()
        return taken

    async def acknowledge(self, last: Delivery) -> None:
        """Acknowledge a delivery and all before it (AckPolicy.ALL)."""
        await self._client.publish(last.reply)

    async def _request(self) -> None:
        if self._requested + len(self._ready) > self._batch:
            return
        request = {
            "batch": self._batch,
            "max_bytes": MAX_BYTES,
            "expires": EXPIRES_SECONDS * 10**9,
            "idle_heartbeat": HEARTBEAT_SECONDS * 10**9,
        }
        if not self._requested:
            self._heard_at = time.monotonic()  # nobody was asked, so nobody could be heard
        self._requested += self._batch
        await self._client.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        if message.reply.startswith(_DELIVERED):
            delivery = Delivery.of(message)
            self._is_lost |= delivery.order != self._order + 1
            self._order = delivery.order
            self._requested -= 1
            self._ready.append(delivery)
            self._has_news.set()
            return
        # A status: a heartbeat, or the end of a request with the number of messages that it will not bring.
        headers = message.headers or {}
        status = headers.get("Status")
        if status == _HEARTBEAT:
            if not self._ready:
                self.idle_at = datetime.now(UTC)
            return
        # No such consumer any more, or no JetStream: asking again at once would go round in circles.
        self._is_lost |= status == _NOBODY
        self._requested = max(self._requested - int(headers.get(_PENDING_HEADER, self._batch)), 0)
        self._has_news.set()
