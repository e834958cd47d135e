"""The runs of migrate_legacy_operators and what became of every line, with the routes that the sheet named."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models

from operators.models.operator import Operator


class RowOutcome(models.TextChoices):
    CREATED = "created"
    SKIPPED = "skipped"
    FAILED = "failed"


class LegacyRun(models.Model):
    """One run of the migration; rolled back as a whole by its id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sheet = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    rolled_back_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-started_at",)

    def __str__(self) -> str:
        return f"{self.sheet} {self.started_at:%Y-%m-%d %H:%M}"


class LegacyRow(models.Model):
    """One line of the sheet in one run; prefixes and price are what routing rules are made of."""

    run = models.ForeignKey(LegacyRun, on_delete=models.CASCADE, related_name="rows")
    line = models.PositiveIntegerField()
    name = models.CharField(max_length=255)
    outcome = models.CharField(max_length=7, choices=RowOutcome)
    field = models.CharField(max_length=30, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    operator = models.ForeignKey(Operator, null=True, on_delete=models.PROTECT, related_name="legacy_rows")
    prefixes = ArrayField(models.CharField(max_length=16), default=list)
    cost_per_segment = models.DecimalField(max_digits=18, decimal_places=6, null=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    mcc = models.CharField(max_length=3, blank=True, default="")
    mnc = models.CharField(max_length=3, blank=True, default="")

    class Meta:
        ordering = ("line",)
        constraints = (models.UniqueConstraint(fields=("run", "line"), name="legacy_row_unique_line"),)

    def __str__(self) -> str:
        return f"line {self.line}: {self.name}"
