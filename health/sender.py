"""Publish to JetStream from the threads of a web process, over one connection that lives on a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from operators import jetstream
from operators.flight import Answer

logger = logging.getLogger(__name__)

# Without any answer, connecting included: a caller with a timeout of 3 s still hears of a broker that is away.
SECONDS: Final = 2.5
# With answers that keep coming: a broker that syncs each message to a slow disk takes a second or two for a thousand.
LONGEST: Final = 15.0


@dataclass(frozen=True, slots=True)
class Message:
    subject: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Flight:
    """What the broker has said so far about the messages of one call, by their position."""

    is_stored: list[bool]
    unanswered: int
    limit: asyncio.Timeout = field(default_factory=lambda: asyncio.Timeout(None))
    is_complete: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, position: int, answer: Answer) -> None:
        self.is_stored[position] = not answer.code
        self.unanswered -= 1
        if not self.unanswered:
            self.is_complete.set()
        self.wait()

    def wait(self) -> None:
        """Give the broker its time from now."""
        if not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time() + SECONDS)


class Sender:
    """Connect at the first call, and again after a connection that failed; for any number of threads at once.

    The messages of all calls share the connection and are not put in order among each other.
    """

    _loop: asyncio.AbstractEventLoop | None
    _thread: threading.Thread | None
    _connecting: asyncio.Task[Client] | None

    def __init__(self) -> None:
        self._forget()

    def send(self, messages: Sequence[Message]) -> list[bool]:
        """Tell for each message whether JetStream has stored it; False may also mean that the answer was lost.

        Gives up 2.5 s after the broker's last sign, and at once while a lost connection is being made again.
        """
        if not messages:
            return []
        flight = _Flight([False] * len(messages), len(messages))
        future = asyncio.run_coroutine_threadsafe(self._send(messages, flight), self._running_loop())
        try:
            future.result(LONGEST)
        except TimeoutError:
            future.cancel()
        return list(flight.is_stored)

    def close(self) -> None:
        """Hang up and end the thread; the next call begins anew."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._hang_up(), loop).result(jetstream.CONNECT_SECONDS * 2)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _forget(self) -> None:
        """Begin without thread and connection, also in the child of a fork, which inherits neither."""
        self._lock = threading.Lock()
        self._loop = self._thread = self._connecting = None
        self._inbox = ""
        self._numbers = itertools.count()
        self._flights: dict[int, _Flight] = {}

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="sender", daemon=True)
                self._thread.start()
            return self._loop

    async def _send(self, messages: Sequence[Message], flight: _Flight) -> None:
        number = next(self._numbers)
        self._flights[number] = flight
        try:
            async with flight.limit:
                flight.wait()
                client = await self._connected()
                for position, message in enumerate(messages):
                    # Not js.publish: up to nats-py 2.16 each one that fails stays in the client's memory for ever.
                    await client.publish(
                        message.subject,
                        message.body,
                        reply=f"{self._inbox}.{number}.{position}",
                        headers=dict(message.headers),
                    )
                await flight.is_complete.wait()
        except (NatsError, OSError, TimeoutError) as error:
            # Only the type: the text can quote the URL, which holds the password.
            extra = {"action": "send", "error": type(error).__name__, "unanswered": flight.unanswered}
            logger.warning("broker did not answer", extra=extra)
        finally:
            del self._flights[number]

    async def _connected(self) -> Client:
        """Share one attempt among all who wait; one that was given up in haste goes on for those who come later."""
        task = self._connecting
        if task is None or (task.done() and (task.exception() is not None or task.result().is_closed)):
            task = self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(task)

    async def _connect(self) -> Client:
        client = await jetstream.connect("intake")
        try:
            self._inbox = client.new_inbox()
            await client.subscribe(f"{self._inbox}.>", cb=self._on_answer)
        except BaseException:
            await jetstream.close(client)
            raise
        return client

    async def _on_answer(self, message: Msg) -> None:
        _, number, position = message.subject.rsplit(".", 2)
        if flight := self._flights.get(int(number)):
            flight.note(int(position), Answer.of(message))

    async def _hang_up(self) -> None:
        task, self._connecting = self._connecting, None
        if task is None:
            return
        await asyncio.wait([task])
        if task.exception() is None:
            await jetstream.close(task.result())


sender: Final = Sender()
os.register_at_fork(after_in_child=sender._forget)
atexit.register(sender.close)
