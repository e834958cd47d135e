"""Put an event into the outbox, in the transaction of the change that it tells of, and release what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from operators import audit
from operators.actors import Actor
from operators.events import Event
from operators.models import AuditAction, AuditObject, OutboxEvent, OutboxQuerySet
from operators.tracing import span, traceparent
from operators.wire import wire_value


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


def publish_again(*, actor: Actor, events: OutboxQuerySet) -> int:
    """Let the drainer try the parked events of a set again, from the first attempt on; return how many."""
    with transaction.atomic():
        parked = list(events.parked().select_for_update(of=("self",)).order_by("id"))
        OutboxEvent.objects.filter(pk__in=[event.pk for event in parked]).update(
            parked_at=None, attempts=0, available_at=None
        )
        for event in parked:
            audit.record_about(
                AuditObject.EVENT,
                event.event_id,
                actor=actor,
                action=AuditAction.PUBLISH_AGAIN,
                changes={"parkedAt": (wire_value(event.parked_at), None)},
                at=timezone.now(),
                operator_id=event.operator_id,
                version=event.version,
            )
    return len(parked)
