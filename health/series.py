"""An operator's reports over a stretch of time, a line per bucket: what the charts draw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, DateTimeField, F, Func, Max, QuerySet, Value

from health.models import HealthReport
from health.ranges import EPOCH, Frame


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the reports of one bucket say; rates are 0 to 1, latencies milliseconds, null where none told one."""

    at: datetime
    reports: int
    mean_error_rate: float
    worst_error_rate: float
    mean_latency: float | None
    worst_latency: int | None


def read_series(operator_id: UUID, frame: Frame) -> list[Bucket]:
    """Read the buckets that have reports, in order: one query, the dearest of its page."""
    return [Bucket(**row) for row in series_query(operator_id, frame)]


def series_query(operator_id: UUID, frame: Frame) -> QuerySet[HealthReport, Any]:
    """Group in the database, from the covering index; both bounds are given, so that only their partitions are read."""
    # Columns beyond those of the index health_log_by_operator would send each row's read to the table.
    bucket = Func(Value(frame.step), F("observed_at"), Value(EPOCH), function="date_bin", output_field=DateTimeField())
    reports = HealthReport.objects.filter(
        operator_id=operator_id, observed_at__gte=frame.start, observed_at__lt=frame.end
    )
    return (
        reports.annotate(at=bucket)
        .values("at")
        .annotate(
            reports=Count("*"),
            mean_error_rate=Avg("error_rate"),
            worst_error_rate=Max("error_rate"),
            mean_latency=Avg("latency_ms"),
            worst_latency=Max("latency_ms"),
        )
        .order_by("at")
    )
