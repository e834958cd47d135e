"""The consumer of reports: from the stream into the database, on to the live view, then the acknowledgement."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from health import clock
from health.deadletters import NotBuried, bury
from health.ingest import Outcome, Received, take_in
from health.lag import Lag
from health.lead import DatabaseThread, try_to_lead
from health.liveview import LiveView
from health.messages import refused, sort
from health.pull import Delivery, Pull, PullLost
from health.reducer import SILENCE
from health.reports import DeadReason
from health.statuses import Overtaken, Statuses
from health.streams import INGEST_CONSUMER
from operators import jetstream
from operators.metrics import pg_errors
from operators.pubacks import PubAcks

logger = logging.getLogger(__name__)

ACTION: Final = "ingest_health"
TICK_SECONDS: Final = 1.0
FIRST_REST_SECONDS: Final = 0.1
LONGEST_REST_SECONDS: Final = 5.0
# How long `drain()` waits for the lead before it leaves the work to the process that has it.
LEAD_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 5.0
DRAINED_SECONDS: Final = 60.0
# Keys of the live view live 60 s; those that no report renews are written again this often.
RENEW_SECONDS: Final = 20.0
REWINDS: Final = 3
# A transaction becomes visible a moment after the time that it wrote into its rows.
OVERLAP: Final = timedelta(seconds=20)

_DATABASE_AWAY: Final = (OperationalError, InterfaceError)
_BROKER_AWAY: Final = (NatsError, OSError, TimeoutError, PullLost, NotBuried)


@dataclass(frozen=True)
class Session:
    """One connection to the broker, from the rewind of the consumer on."""

    client: Client
    js: JetStreamContext
    pull: Pull
    view: LiveView
    writer: asyncio.Task[None]
    acks: PubAcks


class Consumer:
    """Take reports in batch by batch, one active process at a time; `run()` stays, `drain()` ends when all is taken in.

    One process alone, because a report overtaken by the operator's next one would be late and move nothing. It is
    acknowledged after the commit; a crash between the two repeats work that falls out as repeats.
    """

    def __init__(self, *, batch: int, with_clock: bool = True, lag: Lag | None = None) -> None:
        self._batch = batch
        self._with_clock = with_clock
        self._lag = lag or Lag()
        self._statuses = Statuses()
        self._database = DatabaseThread()
        self._stopping = asyncio.Event()
        self._ticked_at = 0.0
        self._renewed_at = 0.0
        self._looked_at = datetime.now(UTC)
        self._unreachable_since: datetime | None = None

    def stop(self) -> None:
        """Finish the batch at hand, then return from `run()` or `drain()`."""
        self._stopping.set()

    async def run(self) -> None:
        """Lead or stand by until `stop()`; outlives outages of the database and of the broker."""
        failures = 0
        try:
            while not self._stopping.is_set():
                try:
                    await self._stand_by()
                    failures = 0
                    await self._lead()
                except _DATABASE_AWAY as error:
                    await self._lose_lead(error)
                    await self._pause(_rest(failures))
                    failures += 1
        finally:
            await self._database.close()

    async def drain(self) -> bool:
        """Take in what the stream holds, and tell whether nothing was left behind."""
        try:
            deadline = time.monotonic() + LEAD_SECONDS
            while not await self._database.do(try_to_lead):
                if time.monotonic() > deadline or self._stopping.is_set():
                    return False
                await self._pause(0.1)
            async with self._session() as session:
                while not self._stopping.is_set():
                    if await self._step(session, seconds=0.1):
                        continue
                    await session.client.flush()
                    info = await session.js.consumer_info(INGEST_CONSUMER.stream, INGEST_CONSUMER.name)
                    if not info.num_pending and not info.num_ack_pending:
                        self._lag.advance(datetime.now(UTC))
                        await self._tick(session.view)
                        return await session.view.settle(DRAINED_SECONDS)
            return False
        finally:
            await self._database.close()

    async def _stand_by(self) -> None:
        """Ask for the lead every second; the one who has it may die at any moment."""
        while not self._stopping.is_set():
            if await self._database.do(try_to_lead):
                logger.info("leading", extra={"action": ACTION})
                self._statuses.forget()
                self._unreachable_since = None
                return
            self._lag.clear()
            await self._pause(TICK_SECONDS)

    async def _lose_lead(self, error: Exception) -> None:
        pg_errors.labels("connect").inc()
        # Only the type: the text can quote the connection string.
        logger.warning("database away", extra={"action": ACTION, "error": type(error).__name__})
        await self._database.disconnect()

    async def _lead(self) -> None:
        """Work until `stop()`; raises OperationalError or InterfaceError when the lead is lost with the connection."""
        failures = 0
        while not self._stopping.is_set():
            try:
                async with self._session() as session:
                    if failures:
                        logger.info("broker back", extra={"action": ACTION})
                    failures = 0
                    while not self._stopping.is_set():
                        await self._step(session, seconds=TICK_SECONDS)
                    await session.view.settle(SETTLE_SECONDS)
            except _BROKER_AWAY as error:
                if not failures:
                    logger.warning("broker away", extra={"action": ACTION, "error": _name(error)})
                await self._tick(None)
                await self._pause(_rest(failures))
                failures += 1

    async def _step(self, session: Session, *, seconds: float) -> bool:
        """Take in what has come, or wait for it so long; tell whether there was anything."""
        if session.writer.done():
            await session.writer  # whatever ended it must not pass unseen
        messages = await session.pull.take(seconds)
        if messages:
            await self._process(session, messages)
        else:
            session.view.offer((), is_behind=False)
            if session.pull.idle_at is not None:
                self._lag.advance(session.pull.idle_at)
        if time.monotonic() - self._ticked_at >= TICK_SECONDS:
            await self._tick(session.view)
        return bool(messages)

    async def _process(self, session: Session, messages: Sequence[Delivery]) -> None:
        received, letters = sort(messages, now=datetime.now(UTC))
        # Stored before the original is acknowledged: nothing vanishes between the two.
        await bury(session.acks, letters)
        if received:
            outcome = await self._take_in(session, received)
            await bury(
                session.acks,
                [
                    refused(each, DeadReason.UNKNOWN_OPERATOR, "operatorId", "There is no such operator.")
                    for each in outcome.unknown
                ],
            )
            session.view.offer(outcome.live, is_behind=len(messages) == self._batch)
        await session.pull.acknowledge(messages[-1])
        self._lag.advance(messages[-1].received_at)

    async def _take_in(self, session: Session, batch: Sequence[Received]) -> Outcome:
        """Take a batch in; one that the database refuses is halved until the report at fault is found and buried."""
        try:
            return await self._database.do(take_in, batch, now=datetime.now(UTC), statuses=self._statuses)
        except (DataError, IntegrityError) as error:
            pg_errors.labels("write").inc()
            logger.warning("batch refused", extra={"action": ACTION, "reports": len(batch), "error": _name(error)})
            if len(batch) == 1:
                text = f"The database refuses the report: {_name(error)}."
                await bury(session.acks, [refused(batch[0], DeadReason.INVALID_FIELD, "", text)])
                return Outcome()
        middle = len(batch) // 2
        first = await self._take_in(session, batch[:middle])
        return first.joined(await self._take_in(session, batch[middle:]))

    async def _tick(self, view: LiveView | None) -> None:
        """Let time do its work, and bring to the live view what others have changed."""
        self._ticked_at = time.monotonic()
        now = datetime.now(UTC)
        # An operator was deleted in the middle of it: nothing is written, and the next tick does it without that one.
        with contextlib.suppress(Overtaken):
            await self._database.do(clock.close_windows, now=now)
            if self._with_clock and (known_until := self._known_until(now)):
                await self._database.do(clock.expire_silent, clock=known_until, now=now)
        if view is None:
            return
        view.offer(await self._database.do(clock.live_changes, since=self._looked_at - OVERLAP, offered=view.offered))
        self._looked_at = now
        if time.monotonic() - self._renewed_at >= RENEW_SECONDS:
            self._renewed_at = time.monotonic()
            view.offer(await self._database.do(clock.live_now, clock=now, windows_only=True))

    def _known_until(self, now: datetime) -> datetime | None:
        """Say up to when we know that no other report has come: a backlog is not silence.

        Where the broker cannot be reached for longer than a report may be, nobody reports, and that is silence too. A
        broker that answers and does not deliver keeps a backlog.
        """
        if self._unreachable_since is not None and now - self._unreachable_since > SILENCE:
            return now
        return self._lag.caught_up_at

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        try:
            client = await jetstream.connect(ACTION)
        except _BROKER_AWAY:
            self._unreachable_since = self._unreachable_since or datetime.now(UTC)
            raise
        self._unreachable_since = None
        writer: asyncio.Task[None] | None = None
        try:
            js = client.jetstream(timeout=5)
            after = await _rewind(js)
            acks = await PubAcks.open(client)
            pull, view = Pull(client, INGEST_CONSUMER, batch=self._batch, after=after), LiveView(acks)
            writer = asyncio.create_task(view.run())
            # What ended while nobody led must not hide what comes now.
            await self._database.do(clock.close_windows, now=datetime.now(UTC))
            # Whoever led before may have died between commit and live view.
            view.offer(await self._database.do(clock.live_now, clock=datetime.now(UTC)))
            await pull.start()
            yield Session(client, js, pull, view, writer, acks)
            await client.flush()  # the last acknowledgements
        finally:
            if writer is not None:
                writer.cancel()
            await jetstream.close(client)


async def _rewind(js: JetStreamContext) -> int:
    """Have the broker deliver again, in order, what was delivered to somebody and never acknowledged.

    Otherwise it would come only after the acknowledgement's time is up, behind newer reports of the same operators.
    Returns the consumer's number of the last delivery; raises PullLost while a frozen process, whose requests the
    broker still serves, takes them away again.
    """
    for _ in range(REWINDS):
        try:
            info = await js.consumer_info(INGEST_CONSUMER.stream, INGEST_CONSUMER.name)
        except NotFoundError:
            logger.error("no consumer: manage.py bootstrap makes it", extra={"action": ACTION})
            raise
        if not info.num_ack_pending:
            assert info.delivered is not None
            last: int = info.delivered.consumer_seq
            return last
        await js.reset_consumer(INGEST_CONSUMER.stream, INGEST_CONSUMER.name)
    raise PullLost


def _rest(failures: int) -> float:
    return min(FIRST_REST_SECONDS * 2.0 ** min(failures, 10), LONGEST_REST_SECONDS)


def _name(error: BaseException) -> str:
    return type(error).__name__
