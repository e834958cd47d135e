"""Drainers as real processes: some end themselves with SIGKILL at a chosen point, some are broken on purpose.

They are forked from a server process that has imported everything, so that a round costs a fraction of a second.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Sequence
from enum import StrEnum
from multiprocessing.context import ForkServerProcess

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from django.db import connections

from operators import pending
from operators.drain import Drainer
from operators.flight import Acknowledged, Flight, Outcome, PendingEvent
from operators.pending import PendingEvents
from operators.publisher import Publisher

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


class Point(StrEnum):
    """The boundaries between the drainer's steps."""

    AFTER_SELECT = "after select"
    AFTER_SEND = "after send, before the acknowledgement"
    AFTER_ACK = "after the acknowledgement, before the update"
    AFTER_UPDATE = "after the update, before the commit"
    AFTER_COMMIT = "after the commit"


class Fuse:
    """Kill this process when a point is reached for the n-th time."""

    def __init__(self, point: Point, passes: int) -> None:
        self._point, self._passes = point, passes

    def burn(self, point: Point) -> None:
        if point is self._point:
            self._passes -= 1
            if self._passes <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def is_next(self, point: Point) -> bool:
        return point is self._point and self._passes == 1


class UnmarkedPublisher(Publisher):
    """Leave out Nats-Msg-Id, to show that the harness sees second copies."""

    def _headers(self, event: PendingEvent, last_id: str) -> dict[str, str]:
        return {"Content-Type": "application/json"}


class UnchainedPublisher(Publisher):
    """Leave out the order, to show that the harness sees inversions."""

    def _headers(self, event: PendingEvent, last_id: str) -> dict[str, str]:
        return super()._headers(event, "")


class MortalPublisher(Publisher):
    fuse: Fuse
    rng: random.Random

    async def send(self, events: Sequence[PendingEvent]) -> Flight:
        flight = await super().send(events)
        if self.fuse.is_next(Point.AFTER_SEND):
            # Sometimes all of the batch is on the wire by now, sometimes a part, sometimes nothing.
            await asyncio.sleep(self.rng.choice((0, 0.0005, 0.002, 0.005)))
        self.fuse.burn(Point.AFTER_SEND)
        return flight

    async def collect(self, flight: Flight) -> Outcome:
        outcome = await super().collect(flight)
        self.fuse.burn(Point.AFTER_ACK)
        return outcome


class MortalUnmarkedPublisher(MortalPublisher, UnmarkedPublisher):
    pass


def _mortal_events(fuse: Fuse) -> type[PendingEvents]:
    class MortalEvents(PendingEvents):
        async def take(self, limit: int, *, without: Sequence[str] = ()) -> list[PendingEvent]:
            events = await super().take(limit, without=without)
            fuse.burn(Point.AFTER_SELECT)
            return events

        async def mark_published(self, acknowledged: Sequence[Acknowledged]) -> None:
            async with self.connection.transaction():
                await super().mark_published(acknowledged)
                fuse.burn(Point.AFTER_UPDATE)
            fuse.burn(Point.AFTER_COMMIT)

    return MortalEvents


def _drain_until_killed(database: str, point: Point, seed: int, batch: int, is_marked: bool) -> None:
    connections["default"].settings_dict["NAME"] = database
    rng = random.Random(seed)

    async def main() -> None:
        publisher = (MortalPublisher if is_marked else MortalUnmarkedPublisher)("faults")
        publisher.fuse, publisher.rng = Fuse(point, rng.randint(1, 3)), rng
        drainer = Drainer(batch=batch, max_attempts=8, publisher=publisher)
        drainer.pending_events = _mortal_events(publisher.fuse)
        await drainer.drain()

    asyncio.run(main())


def _stay(database: str, batch: int, lease_seconds: int) -> None:
    connections["default"].settings_dict["NAME"] = database
    pending.LEASE_SECONDS = lease_seconds  # type: ignore[misc]  # Final for everybody but the clock of a test

    async def main() -> None:
        drainer = Drainer(batch=batch, max_attempts=8)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, drainer.stop)
        await drainer.run()

    asyncio.run(main())


def kill_at(point: Point, *, seed: int, batch: int = 20, is_marked: bool = True) -> int | None:
    """Run a drainer until it kills itself; return its exit code, which is -SIGKILL unless it ran out of work before."""
    process = start(_drain_until_killed, point, seed, batch, is_marked)
    process.join(30)
    return process.exitcode


def stay(*, batch: int = 50, lease_seconds: int = 15) -> ForkServerProcess:
    """Start a drainer that stays."""
    return start(_stay, batch, lease_seconds)


def start(target: Callable[..., None], *arguments: object) -> ForkServerProcess:
    database = connections["default"].settings_dict["NAME"]
    process = _context.Process(target=target, args=(database, *arguments), daemon=True)
    process.start()
    return process
