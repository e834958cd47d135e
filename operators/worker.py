"""Run a worker that stays until it is told to stop, as a process among others."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final, Protocol

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Worker(Protocol):
    def stop(self) -> None:
        """Finish what is at hand, then return from `run()` or `drain()`."""

    async def run(self) -> None: ...

    async def drain(self) -> bool: ...


async def work(worker: Worker, *, once: bool) -> bool:
    """Run until SIGTERM or SIGINT, or until nothing is left to do; tell whether nothing stayed behind."""
    is_signalled = False

    def on_signal() -> None:
        nonlocal is_signalled
        if is_signalled:
            # Whoever asks twice does not want to wait for a server; dying here loses nothing.
            os._exit(1)
        is_signalled = True
        worker.stop()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    if once:
        return await worker.drain()
    await worker.run()
    return True
