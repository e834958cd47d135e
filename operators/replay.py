"""Publish again what a broker lost, by making the rows pending once more; the drainer does the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import NotFoundError

from operators.actors import command_actor
from operators.audit import record_about
from operators.jetstream import OUTBOX_STREAMS, connection
from operators.models import AuditAction, AuditObject, OutboxEvent

BATCH: Final = 500

_MAX_AGE: Final = {stream.name: stream.max_age for stream in OUTBOX_STREAMS}


@dataclass(frozen=True)
class Selection:
    """Choose events by operator, by the time they were written down, or among those set aside."""

    operators: Sequence[UUID] = ()
    since: datetime | None = None
    until: datetime | None = None
    parked: bool = False
    missing_only: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.operators or self.since or self.until or self.parked)

    def condition(self) -> Q:
        condition = Q(parked_at__isnull=False, published_at=None) if self.parked else Q(published_at__isnull=False)
        if self.operators:
            condition &= Q(operator_id__in=self.operators)
        if self.since:
            condition &= Q(created_at__gte=self.since)
        if self.until:
            condition &= Q(created_at__lt=self.until)
        return condition


@dataclass(slots=True)
class Tally:
    """Count what was looked at: events that match, that the stream still holds, that it let go by age, made pending."""

    matched: int = 0
    held: int = 0
    aged_out: int = 0
    replayed: int = 0


def replay(selection: Selection, *, dry_run: bool = False) -> Tally:
    """Make the selected events pending again, oldest first; raises ValueError when nothing is selected.

    `missing_only` asks the stream for each event whether the stored sequence still holds it, 500 questions at a time;
    an event that is older than the stream keeps its messages counts as aged out, not as lost.
    """
    if selection.is_empty:
        raise ValueError("Select at least an operator, a time, or the parked events.")
    tally = Tally()
    for events in _batches(selection.condition()):
        tally.matched += len(events)
        if selection.missing_only:
            now = timezone.now()
            young = [event for event in events if _is_kept(event, now)]
            missing = asyncio.run(_missing(young))
            tally.aged_out += len(events) - len(young)
            tally.held += len(young) - len(missing)
            events = missing
        tally.replayed += len(events)
        if not dry_run:
            # A drainer may look between two batches: rows of one operator still come to it in order, for the batches
            # rise by id.
            with transaction.atomic():
                OutboxEvent.objects.filter(id__in=[event.id for event in events]).update(
                    published_at=None, parked_at=None, available_at=None, attempts=0, last_error=""
                )
                _record(events)
    return tally


def _record(events: Sequence[OutboxEvent]) -> None:
    """Add one entry for a batch: there may be millions of events in a replay."""
    if events:
        record_about(
            AuditObject.EVENT,
            f"{events[0].event_id} to {events[-1].event_id}",
            actor=command_actor("replay"),
            action=AuditAction.PUBLISH_AGAIN,
            changes={"events": (None, len(events))},
            at=timezone.now(),
        )


def _is_kept(event: OutboxEvent, now: datetime) -> bool:
    """Tell whether the stream ought to hold the event still."""
    assert event.published_at is not None
    return event.stream not in _MAX_AGE or event.published_at > now - _MAX_AGE[event.stream]


def _batches(condition: Q) -> Iterator[list[OutboxEvent]]:
    last_id = 0
    # Rows that become pending drop out of the condition, those that stay do not: go on by id, which no longer moves.
    while events := list(OutboxEvent.objects.filter(condition, id__gt=last_id).defer("payload").order_by("id")[:BATCH]):
        yield events
        last_id = events[-1].id


async def _missing(events: list[OutboxEvent]) -> list[OutboxEvent]:
    async with connection("replay_events") as client:
        js = client.jetstream(timeout=5)
        held = await asyncio.gather(*(_is_held(js, event) for event in events))
    return [event for event, is_held in zip(events, held, strict=True) if not is_held]


async def _is_held(js: JetStreamContext, event: OutboxEvent) -> bool:
    if not event.stream or event.stream_sequence is None:
        return False
    try:
        message = await js.get_msg(event.stream, event.stream_sequence)
    except NotFoundError:
        return False
    return (message.headers or {}).get(Header.MSG_ID.value) == str(event.event_id)
