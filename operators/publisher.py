"""Offer events to JetStream, many in flight and yet in order, and sort out what became of each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from uuid import UUID

from nats.aio.client import Client
from nats.errors import BadHeaderError, BadSubjectError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import Header, PubAck
from nats.js.errors import APIError, NoStreamResponseError

from operators import jetstream
from operators.metrics import nats_publish
from operators.tracing import record_span

logger = logging.getLogger(__name__)

ACK_SECONDS: Final = 5.0
# The server counts the headers as payload and cuts the connection when the sum is too large.
HEADER_ALLOWANCE: Final = 1024

# nats-server's err_code: the stream's last message is another one than the publisher expected.
WRONG_LAST_MESSAGE: Final = 10070
STREAM_SEALED: Final = 10109


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """One row of the outbox, as the drainer needs it; the payload is JSON text that nobody here parses."""

    id: int
    event_id: str
    operator_id: UUID
    subject: str
    payload: str
    traceparent: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    event: PendingEvent
    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker will not have this very event; others are not to blame for it."""

    event: PendingEvent
    reason: str


@dataclass(slots=True)
class Outcome:
    """What became of a batch. Events in neither list were not stored, or nobody knows: they stay pending.

    `away` gives for each stream that took nothing the reason; `displaced` says that order alone was in the way.
    """

    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    away: dict[str, str] = field(default_factory=dict)
    displaced: bool = False

    @property
    def has_progress(self) -> bool:
        return bool(self.acknowledged or self.refused or self.displaced)


@dataclass(slots=True)
class Flight:
    """Events that are on their way, in order, with the outcome of those that could not even be sent."""

    sent: list[tuple[PendingEvent, asyncio.Future[PubAck]]] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    started_ns: int = field(default_factory=time.time_ns)


@cache
def stream_of(subject: str) -> str:
    """Name the stream that takes a subject; empty for a subject that none of ours takes."""
    for stream in jetstream.OUTBOX_STREAMS:
        for pattern in stream.subjects:
            if subject == pattern or (pattern.endswith(".>") and subject.startswith(pattern[:-1])):
                return stream.name
    return ""


class Publisher:
    """Publish batches over one connection of its own; for one task at a time.

    Order: each message names the one before it (Nats-Expected-Last-Msg-Id), so that after one failure the server
    refuses all that follow, instead of storing an operator's next event before this one. Duplicates are recognised
    before that test, and the last id outlives a restart of the server. The first message of a batch names the last one
    known to be stored, which also stops a drainer that slept while another one took over.
    """

    def __init__(self, name: str = "drain_outbox") -> None:
        self._name = name
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._last_ids: dict[str, str] = {}

    async def send(self, events: Sequence[PendingEvent]) -> Flight:
        """Put a batch on the wire, in order; stops at the first event that cannot be sent."""
        flight = Flight()
        last_ids = dict(self._last_ids)
        try:
            js, room = await self._connected(len(events))
            for event in events:
                payload = event.payload.encode()
                if len(payload) > room:
                    flight.outcome.refused.append(
                        Refused(event, f"The event has {len(payload)} bytes; the server takes {room}.")
                    )
                    break
                stream = stream_of(event.subject)
                try:
                    future = await js.publish_async(
                        event.subject, payload, headers=self._headers(event, last_ids.get(stream, ""))
                    )
                except (BadSubjectError, BadHeaderError) as error:
                    flight.outcome.refused.append(Refused(event, type(error).__name__))
                    break
                flight.sent.append((event, future))
                if stream:
                    last_ids[stream] = event.event_id
        except (NatsError, OSError, TimeoutError) as error:
            # Which streams the unsent events are for does not matter: they share the connection.
            flight.outcome.away = {stream.name: _brief(error) for stream in jetstream.OUTBOX_STREAMS}
            nats_publish.labels(events[0].subject.rpartition(".")[2], "error").inc()
            if not flight.sent:
                await self.close()
        return flight

    async def collect(self, flight: Flight) -> Outcome:
        """Wait for the acknowledgements, at most 5 s, and say what became of each event."""
        await self._wait_for_answers([future for _, future in flight.sent])
        outcome = flight.outcome
        counts: Counter[tuple[str, str]] = Counter()
        is_broken = bool(outcome.away)
        for event, future in flight.sent:
            stream, kind = stream_of(event.subject), event.subject.rpartition(".")[2]
            error: BaseException | None = TimeoutError() if future.cancelled() else future.exception()
            if error is None:
                ack = future.result()
                outcome.acknowledged.append(Acknowledged(event, ack.stream, ack.seq))
                counts[kind, "ok"] += 1
                if ack.duplicate:
                    self._last_ids.pop(stream, None)  # stored earlier, so not necessarily the last one
                elif stream:
                    self._last_ids[stream] = event.event_id
                continue
            if isinstance(error, APIError) and error.err_code == WRONG_LAST_MESSAGE:
                outcome.displaced = True
                self._last_ids.pop(stream, None)
                continue
            if reason := _own_fault(stream, error):
                outcome.refused.append(Refused(event, reason))
                counts[kind, "error"] += 1
                continue
            if stream not in outcome.away:
                outcome.away[stream] = _brief(error)
                counts[kind, "error"] += 1
            self._last_ids.pop(stream, None)
            is_broken = is_broken or not isinstance(error, (APIError, NoStreamResponseError))
        for labels, count in counts.items():
            nats_publish.labels(*labels).inc(count)
        for acknowledged in outcome.acknowledged:
            record_span(
                "ops.nats.publish",
                parent=acknowledged.event.traceparent,
                operator_id=acknowledged.event.operator_id,
                action=acknowledged.event.subject,
                started_ns=flight.started_ns,
            )
        if is_broken:
            # A new connection leaves behind whatever this one still holds: buffered messages, late answers.
            await self.close()
        return outcome

    async def close(self) -> None:
        """Give up the connection; the next batch makes a new one."""
        client, self._client, self._js = self._client, None, None
        self._last_ids.clear()
        if client is not None:
            await jetstream.close(client)

    def _headers(self, event: PendingEvent, last_id: str) -> dict[str, str]:
        headers = {Header.MSG_ID.value: event.event_id, "Content-Type": "application/json"}
        if event.traceparent:
            headers["traceparent"] = event.traceparent
        if last_id:
            headers[Header.EXPECTED_LAST_MSG_ID.value] = last_id
        return headers

    async def _connected(self, in_flight: int) -> tuple[JetStreamContext, int]:
        """Return the context of a live connection, and how many bytes a payload may have."""
        if self._client is not None and not self._client.is_connected:
            await self.close()
        if self._client is None or self._js is None:
            self._client = await jetstream.connect(self._name)
            self._js = self._client.jetstream(publish_async_max_pending=max(in_flight, 5000))
        return self._js, self._client.max_payload - HEADER_ALLOWANCE

    async def _wait_for_answers(self, futures: list[asyncio.Future[PubAck]]) -> None:
        """Return when all have answered, the connection is lost or time is up; cancels those without an answer."""
        if not futures or self._client is None:
            return
        answers = asyncio.gather(*futures, return_exceptions=True)
        deadline = time.monotonic() + ACK_SECONDS
        while not answers.done() and self._client.is_connected and time.monotonic() < deadline:
            await asyncio.wait({answers}, timeout=0.1)
        answers.cancel()
        await asyncio.wait({answers})


def _own_fault(stream: str, error: BaseException) -> str:
    """Tell why the event itself is to blame; empty when the broker or the stream is."""
    if isinstance(error, NoStreamResponseError) and not stream:
        return "No stream takes this subject."
    is_refusal = isinstance(error, APIError) and error.code is not None and 400 <= error.code < 500
    if is_refusal and getattr(error, "err_code", None) != STREAM_SEALED:
        return _brief(error)
    return ""


def _brief(error: BaseException) -> str:
    if isinstance(error, APIError):
        return f"{error.description} ({error.err_code})"
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
