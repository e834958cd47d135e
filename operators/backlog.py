"""How many events wait in the outbox, as Prometheus sees it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import Final

from django.db import DatabaseError, connection
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from operators.metrics import pg_errors
from operators.models import OutboxEvent

logger = logging.getLogger(__name__)

# Each part reads one partial index: outbox_pending, outbox_pending_by_age, outbox_parked.
BACKLOG: Final = """
    SELECT (SELECT count(*) FROM {table} WHERE published_at IS NULL AND parked_at IS NULL),
           (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)
              FROM {table} WHERE published_at IS NULL AND parked_at IS NULL),
           (SELECT count(*) FROM {table} WHERE published_at IS NULL AND parked_at IS NOT NULL)
"""


class OutboxBacklogCollector(Collector):
    """Count at scrape time, on a connection of its own: whoever scrapes may be any thread of any process.

    While the database is away the three families are missing, and `ops_pg_errors_total` tells why.
    """

    def describe(self) -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily("ops_outbox_pending", "Events that wait for the broker."),
            GaugeMetricFamily("ops_outbox_oldest_age_seconds", "Age of the oldest event that waits; 0 when none does."),
            GaugeMetricFamily("ops_outbox_parked", "Events set aside after too many refusals."),
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        own = connection.copy()
        try:
            with own.cursor() as cursor:
                cursor.execute(BACKLOG.format(table=OutboxEvent._meta.db_table))
                row = cursor.fetchone()
        except DatabaseError as error:
            pg_errors.labels("read" if getattr(error.__cause__, "sqlstate", None) else "connect").inc()
            logger.warning("no backlog to show", extra={"action": "scrape", "error": type(error).__name__})
            return
        finally:
            own.close()
        for family, value in zip(self.describe(), row, strict=True):
            # Another transaction's clock may be a moment ahead of ours.
            family.add_metric([], max(float(value), 0.0))
            yield family


@cache
def register() -> None:
    """Show the backlog among this process's metrics; calling it again changes nothing."""
    REGISTRY.register(OutboxBacklogCollector())
