"""The partitions of the log as PostgreSQL's catalog has them, and what Prometheus sees of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from health.models import HealthReport
from operators.metrics import pg_errors

logger = logging.getLogger(__name__)

DAY: Final = timedelta(days=1)
LOG: Final = HealthReport._meta.db_table
# Where maintenance puts the rows of the default partition until each has gone to its own day.
ASIDE: Final = f"{LOG}_aside"
# Fewer whole days ahead than this, and a maintenance that fails tonight is a matter for tomorrow morning.
LEAST_AHEAD: Final = 2
COUNTED_STRAYS: Final = 10_000

_PARTITIONS: Final = r"""
    SELECT inhrelid::regclass::text,
           substring(bound from 'FROM \(''([^'']+)''\)')::timestamptz,
           substring(bound from 'TO \(''([^'']+)''\)')::timestamptz
    FROM pg_inherits
    JOIN pg_class ON pg_class.oid = inhrelid
    CROSS JOIN LATERAL pg_get_expr(relpartbound, pg_class.oid) AS bound
    WHERE inhparent = to_regclass(%s) AND bound <> 'DEFAULT'
    ORDER BY 2
"""
_DEFAULT: Final = """
    SELECT partdefid::regclass::text FROM pg_partitioned_table
    WHERE partrelid = to_regclass(%s) AND partdefid <> 0
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """One day of the log; `name` is quoted where SQL needs it."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Supply:
    """How far the log is provided for; strays are counted up to COUNTED_STRAYS."""

    days_ahead: int
    strays: int

    @property
    def is_short(self) -> bool:
        return self.days_ahead < LEAST_AHEAD


def midnight(moment: datetime) -> datetime:
    """Begin the day that holds the moment; the log's days are those of UTC."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def partitions(cursor: CursorWrapper) -> list[Partition]:
    """List the days of the log, oldest first, without the default partition."""
    cursor.execute(_PARTITIONS, [LOG])
    return [Partition(*row) for row in cursor.fetchall()]


def default_partition(cursor: CursorWrapper) -> str | None:
    cursor.execute(_DEFAULT, [LOG])
    row = cursor.fetchone()
    return row[0] if row else None


def set_aside(cursor: CursorWrapper) -> str | None:
    """Name the table of rows set aside, if a maintenance is under way or was killed."""
    cursor.execute("SELECT to_regclass(%s)::text", [ASIDE])
    name: str | None = cursor.fetchone()[0]
    return name


def days_ahead(found: Sequence[Partition], now: datetime) -> int:
    """Count the whole days after today that have a partition, without a gap from today on."""
    starts = {partition.start for partition in found}
    day = midnight(now)
    while day in starts:
        day += DAY
    return max((day - midnight(now)).days - 1, 0)


def supply(cursor: CursorWrapper) -> Supply:
    tables = [table for table in (default_partition(cursor), set_aside(cursor)) if table]
    strays = 0
    for table in tables:
        cursor.execute(f"SELECT count(*) FROM (SELECT FROM {table} LIMIT %s) AS counted", [COUNTED_STRAYS])  # noqa: S608
        strays += cursor.fetchone()[0]
    return Supply(days_ahead(partitions(cursor), timezone.now()), min(strays, COUNTED_STRAYS))


class PartitionsCollector(Collector):
    """Ask at scrape time, on a connection of its own; while the database is away, both families are missing."""

    def describe(self) -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily("ops_health_partition_days_ahead", "Whole days after today that the log has room for."),
            GaugeMetricFamily("ops_health_default_partition_rows", "Reports in no day's partition, up to 10,000."),
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        own = connection.copy()
        try:
            with own.cursor() as cursor:
                now = supply(cursor)
        except DatabaseError as error:
            pg_errors.labels("read" if getattr(error.__cause__, "sqlstate", None) else "connect").inc()
            logger.warning("no partitions to show", extra={"action": "scrape", "error": type(error).__name__})
            return
        finally:
            own.close()
        for family, value in zip(self.describe(), (now.days_ahead, now.strays), strict=True):
            family.add_metric([], value)
            yield family


@cache
def register() -> None:
    """Show the partitions among this process's metrics; calling it again changes nothing."""
    REGISTRY.register(PartitionsCollector())
