"""The last hour of many operators at once, read from the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from health.ranges import EPOCH
from health.reports import BindState
from health.sparkline import HOUR, SPAN, SPANS, Span

# Both ends of the time are named, and all columns are in the index by operator: only today's partition is read, and
# yesterday's in the first hour of the day. A row per operator, for 1,500 rows of the ORM cost more than the query.
LAST_HOUR: Final = """
    SELECT operator_id, array_agg(span), array_agg(worst), array_agg(is_lost)
    FROM (
        SELECT operator_id,
               extract(epoch FROM date_bin(%(seconds)s * interval '1 second', observed_at, %(begin)s) - %(begin)s)::int
                   / %(seconds)s AS span,
               max(error_rate) AS worst,
               bool_or(bind_state = %(unbound)s) AS is_lost
        FROM operator_health_log
        WHERE operator_id = ANY(%(operators)s) AND observed_at >= %(begin)s AND observed_at < %(end)s
        GROUP BY operator_id, date_bin(%(seconds)s * interval '1 second', observed_at, %(begin)s)
    ) AS spans
    GROUP BY operator_id
"""


def last_hour(operator_ids: Sequence[UUID], *, now: datetime) -> dict[UUID, list[Span | None]]:
    """Read 30 spans of two minutes for each operator that reported; one query, whatever their number.

    Spans begin at even minutes, so that the picture moves on in steps.
    """
    if not operator_ids:
        return {}
    begin = now - (now - EPOCH) % SPAN + SPAN - HOUR
    with connection.cursor() as cursor:
        cursor.execute(
            LAST_HOUR,
            {
                "operators": list(operator_ids),
                "begin": begin,
                "end": begin + HOUR,
                "seconds": int(SPAN.total_seconds()),
                "unbound": BindState.UNBOUND.value,
            },
        )
        rows = cursor.fetchall()
    return {operator_id: _in_order(*columns) for operator_id, *columns in rows}


def _in_order(spans: list[int], worst: list[float], is_lost: list[bool]) -> list[Span | None]:
    hour: list[Span | None] = [None] * SPANS
    for index, rate, lost in zip(spans, worst, is_lost, strict=True):
        hour[index] = Span(rate, lost)
    return hour
