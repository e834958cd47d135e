"""The drainer: it moves events from the outbox to JetStream, one active process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import AsyncConnection

from operators.flight import Outcome
from operators.jetstream import OUTBOX_STREAMS
from operators.metrics import pg_errors
from operators.pending import PendingEvents, connection_parameters
from operators.publisher import Publisher
from operators.retention import Retention

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
FIRST_REST_SECONDS: Final = 0.1
LONGEST_REST_SECONDS: Final = 5.0
# How long `drain()` waits for the lead before it leaves the work to the process that has it.
LEAD_SECONDS: Final = 10.0

_PATTERNS: Final = {
    stream.name: [subject.replace(">", "%") for subject in stream.subjects] for stream in OUTBOX_STREAMS
}


@dataclass(slots=True)
class Rest:
    """Leave a stream alone for a while that doubles with each failure."""

    seconds: float
    until: float


class Drainer:
    """Publish pending events batch by batch; `run()` stays, `drain()` ends when nothing more can be done.

    No database transaction is open while the broker is asked. A crash between any two steps repeats work that the
    stream recognises by Nats-Msg-Id within its duplicate window; consumers drop what comes later still by `version`.
    """

    pending_events = PendingEvents

    def __init__(self, *, batch: int, max_attempts: int, publisher: Publisher | None = None) -> None:
        self._batch = batch
        self._max_attempts = max_attempts
        self._publisher = publisher or Publisher()
        self._retention = Retention()
        self._rests: dict[str, Rest] = {}
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._parked = 0

    def stop(self) -> None:
        """Finish the batch at hand, then return from `run()` or `drain()`."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Lead or stand by until `stop()`; outlives outages of the database and of the broker."""
        failures = 0
        while not self._is_stopping:
            self._wake.clear()
            try:
                async with self._session() as pending:
                    failures = 0
                    await self._stand_by(pending)
                    await self._lead(pending)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                pg_errors.labels("connect").inc()
                # Only the type: the text can quote the connection string.
                logger.warning("database away", extra={"action": "drain_outbox", "error": type(error).__name__})
                await self._pause(min(FIRST_REST_SECONDS * 2**failures, LONGEST_REST_SECONDS))
                failures = min(failures + 1, 10)
        await self._publisher.close()

    async def drain(self) -> bool:
        """Publish what is there, and tell whether nothing was left behind or parked."""
        try:
            async with self._session() as pending:
                deadline = time.monotonic() + LEAD_SECONDS
                while not (is_leader := await pending.lead()) and time.monotonic() < deadline:
                    if self._is_stopping or not await pending.count():
                        break
                    await self._pause(0.1)
                while is_leader and not self._is_stopping and await self.step(pending):
                    pass
                return not await pending.count() and not self._parked
        finally:
            await self._publisher.close()

    async def step(self, pending: PendingEvents) -> bool:
        """Publish one batch; tell whether it made any progress, so that another step is worth while."""
        events = await pending.take(self._batch, without=self._resting())
        if not events:
            return False
        outcome = await self._publisher.collect(await self._publisher.send(events))
        if outcome.acknowledged:
            await pending.mark_published(outcome.acknowledged)
        if outcome.refused:
            await self._put_off(pending, outcome)
        self._note_streams(outcome)
        return outcome.has_progress

    async def _stand_by(self, pending: PendingEvents) -> None:
        """Ask for the lead every second; the one who has it may die at any moment."""
        while not self._is_stopping:
            if await pending.lead():
                logger.info("leading", extra={"action": "drain_outbox"})
                return
            await self._pause(POLL_SECONDS)

    async def _lead(self, pending: PendingEvents) -> None:
        while not self._is_stopping:
            self._wake.clear()
            has_work = await self.step(pending)
            await self._retention.step(pending.connection)
            if not has_work and not self._is_stopping:
                await self._listen(pending)

    async def _listen(self, pending: PendingEvents) -> None:
        """Sleep until a commit wakes us, a rest is over or a second has passed: the wake-up is a hint, no more."""
        now = time.monotonic()
        soonest = min((rest.until - now for rest in self._rests.values() if rest.until > now), default=POLL_SECONDS)
        # The socket turns readable by itself when a notification arrives; the next statement consumes it.
        loop, handle = asyncio.get_running_loop(), pending.connection.fileno()
        loop.add_reader(handle, self._wake.set)
        try:
            await self._pause(min(POLL_SECONDS, soonest))
        finally:
            loop.remove_reader(handle)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _put_off(self, pending: PendingEvents, outcome: Outcome) -> None:
        for refused in outcome.refused:
            logger.warning(
                "event refused",
                extra={
                    "action": refused.event.subject,
                    "operatorId": str(refused.event.operator_id),
                    "eventId": refused.event.event_id,
                    "attempts": refused.event.attempts + 1,
                    "error": refused.reason,
                },
            )
        for parked in await pending.mark_refused(outcome.refused, max_attempts=self._max_attempts):
            self._parked += 1
            logger.error(
                "event parked",
                extra={
                    "action": parked.event.subject,
                    "operatorId": str(parked.event.operator_id),
                    "eventId": parked.event.event_id,
                    "error": parked.reason,
                },
            )

    def _resting(self) -> list[str]:
        """List the subjects of streams that took nothing a moment ago, so that the others go on."""
        now = time.monotonic()
        return [
            pattern for name, rest in self._rests.items() if rest.until > now for pattern in _PATTERNS.get(name, ())
        ]

    def _note_streams(self, outcome: Outcome) -> None:
        now = time.monotonic()
        for name, reason in outcome.away.items():
            rest = self._rests.get(name)
            if rest is None:
                logger.warning("broker away", extra={"action": "drain_outbox", "stream": name, "error": reason})
            seconds = FIRST_REST_SECONDS if rest is None else min(rest.seconds * 2, LONGEST_REST_SECONDS)
            self._rests[name] = Rest(seconds, now + seconds)
        if not outcome.acknowledged:
            return
        # A stream rests because it refused, or because the connection was lost: then any answer ends its rest.
        for name in [name for name, rest in self._rests.items() if rest.until <= now and name not in outcome.away]:
            del self._rests[name]
            logger.info("broker back", extra={"action": "drain_outbox", "stream": name})

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[PendingEvents]:
        connection = await AsyncConnection.connect(**connection_parameters(), autocommit=True)
        try:
            # A notification that comes along with a statement's answer leaves nothing to read on the socket.
            connection.add_notify_handler(lambda _: self._wake.set())
            yield self.pending_events(connection)
        finally:
            await connection.close()
