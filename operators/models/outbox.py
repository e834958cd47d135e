"""The transactional outbox: an event is a row, written in the transaction of the change that it tells of."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q

PENDING = Q(published_at=None, parked_at=None)


class OutboxQuerySet(models.QuerySet["OutboxEvent"]):
    def pending(self) -> Self:
        return self.filter(PENDING)

    def parked(self) -> Self:
        return self.filter(published_at=None).exclude(parked_at=None)


class OutboxEvent(models.Model):
    """Hold one event until the broker has acknowledged it, and for days after (replay_events).

    Rows of one operator get their ids in version order, because the writer holds the operator's row lock; ids of
    different operators commit in any order, so that readers select by `published_at`, never by "id above the last".
    """

    event_id = models.UUIDField(default=uuid.uuid4, unique=True)
    operator_id = models.UUIDField()
    version = models.PositiveBigIntegerField()
    subject = models.CharField(max_length=100)
    payload = models.JSONField()
    traceparent = models.CharField(max_length=55, blank=True, default="")
    created_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    # Backoff after the broker refused this very row; later rows of the same operator wait behind it.
    available_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True, default="")
    parked_at = models.DateTimeField(null=True)
    published_at = models.DateTimeField(null=True)
    stream = models.CharField(max_length=50, blank=True, default="")
    stream_sequence = models.PositiveBigIntegerField(null=True)

    objects = OutboxQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        indexes = (
            # The drainer's claim, in its order.
            models.Index(fields=("id",), condition=PENDING, name="outbox_pending"),
            # The rows that hold their operator back; a handful.
            models.Index(
                fields=("operator_id", "id"), condition=PENDING & ~Q(available_at=None), name="outbox_backing_off"
            ),
            # ops_outbox_oldest_age_seconds.
            models.Index(fields=("created_at",), condition=PENDING, name="outbox_pending_by_age"),
            # The console's and the alert's parked rows.
            models.Index(
                fields=("parked_at",), condition=Q(published_at=None) & ~Q(parked_at=None), name="outbox_parked"
            ),
            # Retention.
            models.Index(fields=("published_at",), condition=~Q(published_at=None), name="outbox_published"),
            # replay_events by operator; by time it walks the primary key.
            models.Index(fields=("operator_id", "id"), name="outbox_by_operator"),
        )

    def __str__(self) -> str:
        return f"{self.subject} {self.operator_id} v{self.version}"
