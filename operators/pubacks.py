"""Publish many messages at once and learn of each whether JetStream stored it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from operators.flight import Answer

logger = logging.getLogger(__name__)

# Longer than a disk may take to sync, shorter than the time to a connector's next report.
ACK_SECONDS: Final = 5.0
# With answers that keep coming: a broker that syncs each message to a slow disk takes a second or two for a thousand.
LONGEST_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    subject: str
    payload: bytes
    headers: Mapping[str, str] | None = None


@dataclass(slots=True)
class _Round:
    """What the broker has said so far about the messages of one call, by their position."""

    answers: list[Answer | None]
    unanswered: int
    silence: asyncio.Timeout = field(default_factory=lambda: asyncio.Timeout(None))
    is_complete: asyncio.Event = field(default_factory=asyncio.Event)


class PubAcks:
    """Collect acknowledgements in one inbox of a connection, for any number of tasks at once.

    At a third of the cost of nats-py's `publish`, which makes a request of its own for each message and keeps it in
    memory when it fails (up to 2.16), and unlike its `publish_async` it learns of refusals.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._numbers = itertools.count()
        self._rounds: dict[int, _Round] = {}

    @classmethod
    async def open(cls, client: Client) -> Self:
        """Subscribe the inbox."""
        acks = cls(client)
        await client.subscribe(f"{acks._inbox}.*.*", cb=acks._on_answer)
        return acks

    async def publish(self, messages: Sequence[Outgoing]) -> list[Answer | None]:
        """Publish in order and return an answer for each; None where the broker, or the connection, gave none.

        An answer with a code is a refusal. Gives up 5 s after the broker's last sign, and at 15 s in all.
        """
        number = next(self._numbers)
        current = self._rounds[number] = _Round([None] * len(messages), len(messages))
        try:
            async with asyncio.timeout(LONGEST_SECONDS), current.silence:
                self._wait(current)
                for position, message in enumerate(messages):
                    await self._client.publish(
                        message.subject,
                        message.payload,
                        reply=f"{self._inbox}.{number}.{position}",
                        headers=dict(message.headers) if message.headers else None,
                    )
                if messages:
                    await current.is_complete.wait()
        except (NatsError, OSError, TimeoutError) as error:
            # Only the type: the text can quote the URL, which holds the password.
            extra = {"action": "publish", "error": type(error).__name__, "unanswered": current.unanswered}
            logger.warning("broker did not answer", extra=extra)
        finally:
            del self._rounds[number]
        return current.answers

    async def _on_answer(self, message: Msg) -> None:
        _, number, position = message.subject.rsplit(".", 2)
        current = self._rounds.get(int(number))
        if current is None or current.answers[int(position)] is not None:
            return
        current.answers[int(position)] = Answer.of(message)
        current.unanswered -= 1
        if current.unanswered:
            self._wait(current)
        else:
            current.is_complete.set()

    def _wait(self, current: _Round) -> None:
        """Give the broker its time from now."""
        if not current.silence.expired():
            current.silence.reschedule(asyncio.get_running_loop().time() + ACK_SECONDS)
