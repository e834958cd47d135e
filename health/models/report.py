"""The log of reports: append-only, partitioned by day, read by operator and time alone."""

from __future__ import annotations

from django.db import models


class HealthReport(models.Model):
    """One report as it came; nothing points at it, and partitions that are old enough are dropped.

    The table and its partitions are made by the migration, for the ORM cannot say PARTITION BY. Queries name the
    operator and both ends of the time, or they read every partition.
    """

    pk = models.CompositePrimaryKey("event_id", "observed_at")
    event_id = models.UUIDField()
    operator_id = models.UUIDField()
    connector_id = models.CharField(max_length=128)
    observed_at = models.DateTimeField()
    received_at = models.DateTimeField(help_text="When the broker took the report, by its clock.")
    bind_state = models.CharField(max_length=8)
    error_rate = models.FloatField()
    bind_error = models.CharField(max_length=128, null=True)  # noqa: DJ001 - null as on the wire
    latency_ms = models.IntegerField(null=True)

    class Meta:
        db_table = "operator_health_log"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.operator_id} {self.observed_at}"
