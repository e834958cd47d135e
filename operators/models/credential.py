"""The journal of credential writes: what was about to happen in Vault when a process died."""

from __future__ import annotations

import uuid

from django.db import models


class CredentialAttempt(models.Model):
    """Mark a write to an operator's secret as under way; the row is gone once its outcome is known and stored.

    The unique operator makes it a lease as well: of two rotations at once, one is turned away before Vault is asked.
    Its id travels in the secret's custom metadata, so that a write whose answer was lost is recognised.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    # Not a foreign key: at creation the attempt comes before the operator.
    operator_id = models.UUIDField(unique=True)
    base_version = models.PositiveIntegerField(
        help_text="The KV version that the write was checked against; 0 at creation."
    )
    actor = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    # Set where an earlier attempt was left open: its write may still arrive, so finding a new version proves nothing.
    is_contested = models.BooleanField(default=False)

    class Meta:
        ordering = ("started_at",)

    def __str__(self) -> str:
        return f"attempt {self.id} on {self.operator_id}"
