"""The database side of the drainer: leadership, the claim, and what is written down after publishing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db import connection as django_connection
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, args_row

from operators.flight import Acknowledged, PendingEvent, Refused
from operators.models import OutboxEvent

CHANNEL: Final = "ops_outbox"
# A leader that is frozen keeps its TCP connection, and with it the lock; the server ends a session this silent. It must
# be longer than anything a healthy leader does between two statements (ACK_SECONDS, connecting to the broker).
LEASE_SECONDS: Final = 15

FIRST_RETRY_SECONDS: Final = 1
LONGEST_RETRY_SECONDS: Final = 300

_TABLE: Final = OutboxEvent._meta.db_table
_TAKE: Final = f"""
    SELECT id, event_id::text, operator_id, subject, payload::text, traceparent, attempts
    FROM {_TABLE}
    WHERE published_at IS NULL AND parked_at IS NULL
      AND operator_id <> ALL (ARRAY(
          SELECT operator_id FROM {_TABLE}
          WHERE published_at IS NULL AND parked_at IS NULL AND available_at > now()))
      AND subject NOT LIKE ALL (%s::text[])
    ORDER BY id
    LIMIT %s
"""  # noqa: S608 - the table's name is ours
_PUBLISHED: Final = f"""
    UPDATE {_TABLE} AS event
    SET published_at = now(), stream = ack.stream, stream_sequence = ack.sequence, available_at = NULL, last_error = ''
    FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS ack(id, stream, sequence)
    WHERE event.id = ack.id
"""  # noqa: S608
_REFUSED: Final = f"""
    UPDATE {_TABLE}
    SET attempts = attempts + 1, last_error = %(reason)s,
        parked_at = CASE WHEN attempts + 1 >= %(max_attempts)s THEN now() END,
        available_at = CASE WHEN attempts + 1 < %(max_attempts)s
            THEN now() + make_interval(secs => least(%(first)s * 2.0 ^ least(attempts, 30), %(longest)s)) END
    WHERE id = %(id)s
    RETURNING parked_at IS NOT NULL
"""  # noqa: S608
_COUNT: Final = f"SELECT count(*) FROM {_TABLE} WHERE published_at IS NULL AND parked_at IS NULL"  # noqa: S608


def connection_parameters() -> dict[str, Any]:
    """Take Django's own connection parameters, with a lease on the session."""
    parameters: dict[str, Any] = django_connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    parameters["application_name"] = "ops-drain_outbox"
    parameters["options"] = f"{parameters.get('options', '')} -c idle_session_timeout={LEASE_SECONDS * 1000}".strip()
    return parameters


class PendingEvents:
    """Read and mark the outbox over one autocommitting connection; the session's advisory lock makes the leader."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self.connection = connection

    async def lead(self) -> bool:
        """Try to become the one active drainer; losing the connection is losing the lead."""
        cursor = await self.connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended('operators.drain_outbox', 0))"
        )
        row = await cursor.fetchone()
        if row is None or not row[0]:
            return False
        await self.connection.execute(f"LISTEN {CHANNEL}")
        return True

    async def take(self, limit: int, *, without: Sequence[str] = ()) -> list[PendingEvent]:
        """Read the oldest pending events, but none of an operator that waits behind a refused one.

        Selected by their own state and never by "id above the last": ids do not commit in order. `without` lists LIKE
        patterns of subjects to leave out.
        """
        async with self.connection.cursor(row_factory=args_row(PendingEvent)) as cursor:
            await cursor.execute(_TAKE, (list(without), limit))
            return await cursor.fetchall()

    async def mark_published(self, acknowledged: Sequence[Acknowledged]) -> None:
        await self.connection.execute(
            _PUBLISHED,
            (
                [each.event.id for each in acknowledged],
                [each.stream for each in acknowledged],
                [each.sequence for each in acknowledged],
            ),
        )

    async def mark_refused(self, refused: Iterable[Refused], *, max_attempts: int) -> list[Refused]:
        """Count an attempt and put the event off, or park it after the last attempt; return those parked now.

        Once an event is parked the later ones of its operator pass. Consumers see the gap in `version` and read the
        operator anew.
        """
        parked = []
        for each in refused:
            cursor = await self.connection.execute(
                _REFUSED,
                {
                    "id": each.event.id,
                    "reason": each.reason,
                    "max_attempts": max_attempts,
                    "first": FIRST_RETRY_SECONDS,
                    "longest": LONGEST_RETRY_SECONDS,
                },
            )
            row = await cursor.fetchone()
            if row is not None and row[0]:
                parked.append(each)
        return parked

    async def count(self) -> int:
        cursor = await self.connection.execute(_COUNT)
        row = await cursor.fetchone()
        return int(row[0]) if row else 0
