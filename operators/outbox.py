"""Put an event into the outbox, in the transaction of the change that it tells of."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import connection
from django.utils import timezone

from operators.events import Event
from operators.models import OutboxEvent
from operators.tracing import span, traceparent


def append(event: Event) -> OutboxEvent:
    """Store an event for the drainer; raises RuntimeError outside a transaction.

    The caller holds the lock of the row that the event's version counts, so that ids and versions rise together.
    """
    with span("ops.outbox.append", operator_id=UUID(event.body["operatorId"]), action=event.subject):
        [stored] = append_all([event])
    return stored


def append_all(events: Sequence[Event]) -> list[OutboxEvent]:
    """Store many events at once, in their order; see `append`."""
    if not connection.in_atomic_block:
        raise RuntimeError("An event belongs into the transaction of its change.")
    parent, now = traceparent(), timezone.now()
    return OutboxEvent.objects.bulk_create(
        OutboxEvent(
            event_id=event.event_id,
            operator_id=UUID(event.body["operatorId"]),
            version=event.body["version"],
            subject=event.subject,
            payload=event.body,
            traceparent=parent,
            created_at=now,
        )
        for event in events
    )
