"""Publish to JetStream from the threads of a web process, over one connection that lives on a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Sequence
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from operators import jetstream
from operators.pubacks import ACK_SECONDS, Outgoing, PubAcks

logger = logging.getLogger(__name__)


class Sender:
    """Connect at the first call, and again after a connection that failed; for any number of threads at once.

    The messages of all calls share the connection and are not put in order among each other.
    """

    _loop: asyncio.AbstractEventLoop | None
    _thread: threading.Thread | None
    _connecting: asyncio.Task[tuple[Client, PubAcks]] | None

    def __init__(self) -> None:
        self._forget()

    def send(self, messages: Sequence[Outgoing]) -> list[bool]:
        """Tell for each message whether JetStream has stored it; False may also mean that the answer was lost.

        Gives up 5 s after the broker's last sign, at 15 s in all, and at once while a lost connection is being made
        again.
        """
        if not messages:
            return []
        return asyncio.run_coroutine_threadsafe(self._send(messages), self._running_loop()).result()

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

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="sender", daemon=True)
                self._thread.start()
            return self._loop

    async def _send(self, messages: Sequence[Outgoing]) -> list[bool]:
        try:
            async with asyncio.timeout(ACK_SECONDS):
                acks = await self._connected()
        except (NatsError, OSError, TimeoutError) as error:
            # Only the type: the text can quote the URL, which holds the password.
            logger.warning("broker away", extra={"action": "send", "error": type(error).__name__})
            return [False] * len(messages)
        return [answer is not None and not answer.code for answer in await acks.publish(messages)]

    async def _connected(self) -> PubAcks:
        """Share one attempt among all who wait; one that was given up in haste goes on for those who come later."""
        task = self._connecting
        if task is None or (task.done() and (task.exception() is not None or task.result()[0].is_closed)):
            task = self._connecting = asyncio.create_task(self._connect())
        _, acks = await asyncio.shield(task)
        return acks

    async def _connect(self) -> tuple[Client, PubAcks]:
        client = await jetstream.connect("intake")
        try:
            return client, await PubAcks.open(client)
        except BaseException:
            await jetstream.close(client)
            raise

    async def _hang_up(self) -> None:
        task, self._connecting = self._connecting, None
        if task is None:
            return
        await asyncio.wait([task])
        if task.exception() is None:
            client, _ = task.result()
            await jetstream.close(client)


sender: Final = Sender()
os.register_at_fork(after_in_child=sender._forget)
atexit.register(sender.close)
