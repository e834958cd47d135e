"""A consumer of the live view in a process of its own, which knows nothing of this service."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Final

import nats
from nats.aio.msg import Msg

# What is under way at the end still arrives, until it has been silent for so long.
SILENCE_SECONDS: Final = 3
PLAIN: Final = "bench.plain"
END: Final = "bench.end"

Key = tuple[str, datetime]


class Watcher:
    """Note when the live view first tells of each report, by operator and time; CLOCK_MONOTONIC is one for all.

    Messages to `bench.plain` are noted by their text: what the broker and two event loops take alone.
    """

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._answers, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_watch, args=(url, theirs), daemon=True)
        self._process.start()
        theirs.close()  # so that the death of the process is an end of file
        assert self._answers.recv() == "ready"

    def arrivals(self) -> tuple[dict[Key, float], dict[str, float]]:
        """Wait for the end, which somebody publishes to `bench.end`."""
        arrived: tuple[dict[Key, float], dict[str, float]] = self._answers.recv()
        self._process.join()
        return arrived


def _watch(url: str, pipe: Connection) -> None:
    async def main() -> tuple[dict[Key, float], dict[str, float]]:
        live: dict[Key, float] = {}
        plain: dict[str, float] = {}
        has_ended = asyncio.Event()
        heard_at = time.monotonic()

        async def on_live(message: Msg) -> None:
            nonlocal heard_at
            now = heard_at = time.monotonic()
            if message.data:
                observed_at = datetime.fromisoformat(json.loads(message.data)["observedAt"])
                live.setdefault((message.subject.rpartition(".")[2], observed_at), now)

        async def on_plain(message: Msg) -> None:
            plain[message.data.decode()] = time.monotonic()

        async def on_end(message: Msg) -> None:
            has_ended.set()

        broker = await nats.connect(url)
        await broker.subscribe("$KV.ops_health.>", cb=on_live)
        await broker.subscribe(PLAIN, cb=on_plain)
        await broker.subscribe(END, cb=on_end)
        await broker.flush()
        pipe.send("ready")
        await has_ended.wait()
        while time.monotonic() - heard_at < SILENCE_SECONDS:
            await asyncio.sleep(0.1)
        await broker.close()
        return live, plain

    pipe.send(asyncio.run(main()))
