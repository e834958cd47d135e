"""Put an event into the outbox, in the transaction of the change that it tells of."""

from __future__ import annotations

from uuid import UUID

from django.db import connection
from django.utils import timezone

from operators.events import Event
from operators.models import OutboxEvent
from operators.tracing import span, traceparent


def append(event: Event) -> OutboxEvent:
    """Store an event for the drainer; raises RuntimeError outside a transaction.

    The caller holds the operator's row lock, so that ids and versions of one operator rise together.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("An event belongs into the transaction of its change.")
    operator_id = UUID(event.body["operatorId"])
    with span("ops.outbox.append", operator_id=operator_id, action=event.subject):
        return OutboxEvent.objects.create(
            event_id=event.event_id,
            operator_id=operator_id,
            version=event.body["version"],
            subject=event.subject,
            payload=event.body,
            traceparent=traceparent(),
            created_at=timezone.now(),
        )
