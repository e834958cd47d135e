"""Look into JetStream as a consumer would."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import nats
from django.conf import settings
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError


@dataclass(frozen=True)
class Message:
    subject: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body


def read_stream(stream: str = "OPERATOR_CONFIG") -> list[Message]:
    """Return every message that the stream holds, oldest first."""
    return asyncio.run(_read(stream))


def purge_stream(stream: str = "OPERATOR_CONFIG") -> None:
    asyncio.run(_purge(stream))


async def _read(stream: str) -> list[Message]:
    connection = await nats.connect(settings.NATS_URL)
    try:
        js = connection.jetstream()
        expected = (await js.stream_info(stream)).state.messages
        if not expected:
            return []
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL, inactive_threshold=30)
        subscription = await js.pull_subscribe("", stream=stream, config=config)
        found: list[Message] = []
        while len(found) < expected:
            batch = await subscription.fetch(min(500, expected - len(found)), timeout=5)
            found += [Message(message.subject, dict(message.headers or {}), message.data) for message in batch]
        return found
    finally:
        await connection.close()


async def _purge(stream: str) -> None:
    connection = await nats.connect(settings.NATS_URL)
    try:
        await connection.jetstream().purge_stream(stream)
    except NotFoundError:
        pass
    finally:
        await connection.close()
