"""The link of a row to the one before it, set by PostgreSQL; operators.chain says how."""

from __future__ import annotations

from django.db import models


class Chained(models.Model):
    """Number a row without a gap and name the hash of the row before; empty until its transaction commits."""

    sequence = models.PositiveBigIntegerField(null=True, editable=False)
    previous_hash = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    hash = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)

    class Meta:
        abstract = True
        constraints = (
            # Finds a chain's head as well. Without the rows under way: their dead entries would lie before the head.
            models.UniqueConstraint(
                fields=("sequence",), condition=models.Q(sequence__isnull=False), name="%(class)s_sequence"
            ),
        )
