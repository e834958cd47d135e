"""A consumer of the configuration stream in a process of its own, which knows nothing of this service."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from multiprocessing.connection import Connection

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

SILENCE_SECONDS = 60

Key = tuple[str, int]


class Subscriber:
    """Note when each of `count` events arrives, by operator and version; CLOCK_MONOTONIC is one for all processes."""

    def __init__(self, url: str, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._answers, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_listen, args=(url, count, theirs), daemon=True)
        self._process.start()
        theirs.close()  # so that the death of the process is an end of file
        assert self._answers.recv() == "ready"

    def arrivals(self) -> dict[Key, float]:
        arrived: dict[Key, float] = self._answers.recv()
        self._process.join()
        return arrived


def _listen(url: str, count: int, pipe: Connection) -> None:
    async def main() -> dict[Key, float]:
        broker = await nats.connect(url)
        subscription = await broker.jetstream().subscribe(
            "operator.config.updated",
            config=ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.NEW),
        )
        await broker.flush()
        pipe.send("ready")
        arrived: dict[Key, float] = {}
        while len(arrived) < count:
            message = await subscription.next_msg(timeout=SILENCE_SECONDS)
            now = time.monotonic()
            body = json.loads(message.data)
            arrived[body["operatorId"], body["version"]] = now
        await broker.close()
        return arrived

    pipe.send(asyncio.run(main()))
