"""Delete what has been kept long enough: published events, and answers kept for Idempotency-Keys."""

from __future__ import annotations

import logging
import time
from typing import Final

from django.conf import settings
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from operators.models import IdempotencyRecord, OutboxEvent

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 3600.0
BREATHER_SECONDS: Final = 1.0
BATCH: Final = 1000

_EVENTS: Final = OutboxEvent._meta.db_table
_RECORDS: Final = IdempotencyRecord._meta.db_table
_DELETE_EVENTS: Final = f"""
    DELETE FROM {_EVENTS} WHERE id IN (
        SELECT id FROM {_EVENTS} WHERE published_at < now() - make_interval(days => %s)
        ORDER BY published_at LIMIT %s)
"""  # noqa: S608 - the tables' names are ours
_DELETE_RECORDS: Final = f"""
    DELETE FROM {_RECORDS} WHERE id IN (
        SELECT id FROM {_RECORDS} WHERE created_at < now() - make_interval(hours => %s)
        ORDER BY created_at LIMIT %s)
"""  # noqa: S608


class Retention:
    """Delete in batches of 1,000, so that no delete holds the drainer up; at most one pass an hour."""

    def __init__(self) -> None:
        self._due = 0.0

    async def step(self, connection: AsyncConnection[TupleRow]) -> bool:
        """Delete one batch when it is time; tell whether there may be more."""
        if time.monotonic() < self._due:
            return False
        events = (await connection.execute(_DELETE_EVENTS, (settings.OUTBOX_RETENTION_DAYS, BATCH))).rowcount
        records = (await connection.execute(_DELETE_RECORDS, (settings.IDEMPOTENCY_HOURS, BATCH))).rowcount
        if events or records:
            logger.info("retention", extra={"action": "retention", "events": events, "idempotencyRecords": records})
        has_more = BATCH in (events, records)
        self._due = time.monotonic() + (BREATHER_SECONDS if has_more else EVERY_SECONDS)
        return has_more
