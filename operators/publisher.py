"""Offer events to JetStream, many in flight and yet in order, and sort out what became of each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadHeaderError, BadSubjectError
from nats.errors import Error as NatsError
from nats.js.api import Header

from operators import jetstream
from operators.flight import Acknowledged, Answer, Flight, Outcome, PendingEvent, Refused
from operators.metrics import nats_publish
from operators.tracing import record_span

ACK_SECONDS: Final = 5.0
# The server counts the headers as payload and cuts the connection when the sum is too large.
HEADER_ALLOWANCE: Final = 1024

# err_code of nats-server: the stream's last message is another one than the publisher expected.
WRONG_LAST_MESSAGE: Final = 10070
# These have a code of 400 to 499 too, and yet say nothing about the event: the account's limits are reached, the stream
# is sealed, the cluster still stores an earlier copy, the stream has too many messages waiting.
NOT_ABOUT_THE_EVENT: Final = frozenset({WRONG_LAST_MESSAGE, 10002, 10109, 10158, 10167})


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
        self._inbox = ""
        self._flight = Flight(0)
        self._last_ids: dict[str, str] = {}

    async def send(self, events: Sequence[PendingEvent]) -> Flight:
        """Put a batch on the wire, in order; stops at the first event that cannot be sent."""
        flight = self._flight = Flight(self._flight.number + 1)
        last_ids = dict(self._last_ids)
        try:
            client = await self._connected()
            room = client.max_payload - HEADER_ALLOWANCE
            for position, event in enumerate(events):
                stream, payload = stream_of(event.subject), event.payload.encode()
                if len(payload) > room:
                    reason = f"The event has {len(payload)} bytes; the server takes {room}."
                    flight.outcome.refused.append(Refused(event, reason))
                    break
                # Not nats-py's publish_async: up to 2.16 its futures never learn of a refusal.
                await client.publish(
                    event.subject,
                    payload,
                    reply=f"{self._inbox}.{flight.number}.{position}",
                    headers=self._headers(event, last_ids.get(stream, "")),
                )
                flight.events.append(event)
                if stream:
                    last_ids[stream] = event.event_id
        except (BadSubjectError, BadHeaderError) as error:
            flight.outcome.refused.append(Refused(events[len(flight.events)], type(error).__name__))
        except (NatsError, OSError, TimeoutError) as error:
            flight.is_lost = True
            # Which streams the unsent events are for does not matter: they share the connection.
            flight.outcome.away = {stream.name: type(error).__name__ for stream in jetstream.OUTBOX_STREAMS}
            nats_publish.labels(events[0].kind, "error").inc()
        flight.sent()
        return flight

    async def collect(self, flight: Flight) -> Outcome:
        """Wait for the acknowledgements, at most 5 s, and say what became of each event."""
        await self._wait_for(flight)
        counts: Counter[tuple[str, str]] = Counter()
        for position, event in enumerate(flight.events):
            if result := self._sort(flight.outcome, event, flight.answers.get(position)):
                counts[event.kind, result] += 1
        for labels, count in counts.items():
            nats_publish.labels(*labels).inc(count)
        for acknowledged in flight.outcome.acknowledged:
            event = acknowledged.event
            record_span(
                "ops.nats.publish",
                parent=event.traceparent,
                operator_id=event.operator_id,
                action=event.subject,
                started_ns=flight.started_ns,
            )
        if flight.is_lost:
            # A new connection leaves behind whatever this one still holds: buffered messages, late answers.
            await self.close()
        return flight.outcome

    async def close(self) -> None:
        """Give up the connection; the next batch makes a new one."""
        client, self._client = self._client, None
        self._last_ids.clear()
        if client is not None:
            await jetstream.close(client)

    def _sort(self, outcome: Outcome, event: PendingEvent, answer: Answer | None) -> str:
        """Put an event where it belongs, and return how the metric counts it, if it does."""
        stream = stream_of(event.subject)
        if answer is not None and not answer.code:
            outcome.acknowledged.append(Acknowledged(event, answer.stream, answer.sequence))
            if answer.is_duplicate:
                self._last_ids.pop(stream, None)  # stored earlier, so not necessarily the last one
            elif stream:
                self._last_ids[stream] = event.event_id
            return "ok"
        if answer is not None and _blames_the_event(stream, answer):
            outcome.refused.append(Refused(event, f"{answer.text} ({answer.err_code or answer.code})"))
            return "error"
        self._last_ids.pop(stream, None)
        if answer is not None and answer.err_code == WRONG_LAST_MESSAGE:
            outcome.is_displaced = True
            return ""
        # One error per stream and batch: the events behind the first one were not really tried.
        is_first = stream not in outcome.away
        if is_first:
            outcome.away[stream] = "no answer" if answer is None else f"{answer.text} ({answer.err_code})"
        return "error" if is_first else ""

    def _headers(self, event: PendingEvent, last_id: str) -> dict[str, str]:
        headers = {Header.MSG_ID.value: event.event_id, "Content-Type": "application/json"}
        if event.traceparent:
            headers["traceparent"] = event.traceparent
        if last_id:
            headers[Header.EXPECTED_LAST_MSG_ID.value] = last_id
        return headers

    async def _connected(self) -> Client:
        if self._client is not None and not self._client.is_connected:
            await self.close()
        if self._client is None:
            self._client = await jetstream.connect(self._name)
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.>", cb=self._on_answer)
        return self._client

    async def _on_answer(self, message: Msg) -> None:
        _, number, position = message.subject.rsplit(".", 2)
        if int(number) == self._flight.number:
            self._flight.note(int(position), Answer.of(message))

    async def _wait_for(self, flight: Flight) -> None:
        """Return when all have answered, the connection is lost or time is up."""
        deadline = time.monotonic() + ACK_SECONDS
        while not await flight.complete(0.1):
            if self._client is None or not self._client.is_connected or time.monotonic() > deadline:
                flight.is_lost = True
                return


def _blames_the_event(stream: str, answer: Answer) -> bool:
    """Tell a refusal of this very event from trouble of its stream or of the whole broker."""
    if answer.code == 503 and not answer.err_code:
        return not stream
    return 400 <= answer.code < 500 and answer.err_code not in NOT_ABOUT_THE_EVENT
