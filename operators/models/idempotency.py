"""What an Idempotency-Key was used for, so that a repeated request gets the first one's answer."""

from __future__ import annotations

import uuid

from django.db import models


class IdempotencyRecord(models.Model):
    """Bind a caller's key to one body and to the operator, or the routing rule, that it creates.

    The body is kept only as a keyed fingerprint, for it may hold a password. The new thing's id (`operator_id`,
    whatever it is the id of) is chosen here, before the work begins: after a crash in the middle, the repeated request
    carries on with the same one.
    """

    actor = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    operator_id = models.UUIDField(default=uuid.uuid4)
    response = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("actor", "key"), name="idempotency_unique_key"),)
        indexes = (
            # Retention.
            models.Index(fields=("created_at",), name="idempotency_by_age"),
        )

    def __str__(self) -> str:
        return f"{self.actor}: {self.key}"
