"""The last hour of many operators at once, read from the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.contrib.postgres.aggregates import BoolOr
from django.db.models import DateTimeField, F, Func, Max, Q, Value

from health.models import HealthReport
from health.reports import BindState
from health.sparkline import HOUR, SPAN, SPANS, Span

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def last_hour(operator_ids: Sequence[UUID], *, now: datetime) -> dict[UUID, list[Span | None]]:
    """Read 30 spans of two minutes for each operator that reported; one query, whatever their number.

    Spans begin at even minutes, so that the picture moves on in steps. Both ends of the time are named, and all columns
    are in the index by operator: only today's partition is read, and yesterday's in the first hour of the day.
    """
    if not operator_ids:
        return {}
    begin = now - (now - EPOCH) % SPAN + SPAN - HOUR
    span = Func(Value(SPAN), F("observed_at"), Value(begin), function="date_bin", output_field=DateTimeField())
    rows = (
        HealthReport.objects.filter(operator_id__in=operator_ids, observed_at__gte=begin, observed_at__lt=begin + HOUR)
        .values_list("operator_id", span)
        .annotate(worst=Max("error_rate"), is_lost=BoolOr(Q(bind_state=BindState.UNBOUND.value)))
    )
    hours: dict[UUID, list[Span | None]] = {}
    for operator_id, began, worst, is_lost in rows:
        spans = hours.setdefault(operator_id, [None] * SPANS)
        spans[(began - begin) // SPAN] = Span(worst, is_lost)
    return hours
