"""Fill the outbox without actions, and compare it with what a stream holds."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection

from operators.models import OutboxEvent
from tests.streams import Message

_FILL = """
    INSERT INTO operators_outboxevent
        (event_id, operator_id, version, subject, payload, traceparent, created_at, attempts, last_error, stream)
    SELECT event_id, operator_id, version, %(subject)s,
           jsonb_build_object('eventId', event_id, 'operatorId', operator_id, 'version', version,
                              'type', %(subject)s || '.v1', 'filler', repeat('x', %(filler)s)),
           '', now(), 0, '', ''
    FROM (
        SELECT gen_random_uuid() AS event_id,
               (%(operators)s::uuid[])[n %% cardinality(%(operators)s::uuid[]) + 1] AS operator_id,
               %(first)s + n / cardinality(%(operators)s::uuid[]) AS version
        FROM generate_series(0, %(count)s - 1) AS n ORDER BY n
    ) AS made
"""


def some_operators(count: int) -> list[uuid.UUID]:
    return [uuid.uuid4() for _ in range(count)]


def fill(
    count: int,
    *,
    operators: Sequence[uuid.UUID],
    first_version: int = 1,
    subject: str = "operator.config.updated",
    filler: int = 300,
) -> None:
    """Insert events of about 500 bytes, the operators taking turns, each with rising versions."""
    with connection.cursor() as cursor:
        cursor.execute(
            _FILL,
            {
                "count": count,
                "operators": list(operators),
                "first": first_version,
                "subject": subject,
                "filler": filler,
            },
        )


@dataclass(frozen=True)
class Figures:
    """Compare outbox and stream in the words of a Jepsen checker.

    `inversions` counts messages that follow a higher version of their operator, second copies not included.
    """

    attempts: int
    acked: int
    lost: int
    unexpected: int
    duplicates: int
    inversions: int

    @property
    def is_clean(self) -> bool:
        return (self.lost, self.unexpected, self.duplicates, self.inversions) == (0, 0, 0, 0)


def compare(messages: Iterable[Message]) -> Figures:
    written = {str(event_id) for event_id in OutboxEvent.objects.values_list("event_id", flat=True)}
    acked = {
        str(event_id) for event_id in OutboxEvent.objects.exclude(published_at=None).values_list("event_id", flat=True)
    }
    copies: Counter[str] = Counter()
    newest: dict[str, int] = {}
    inversions = 0
    for message in messages:
        body = json.loads(message.raw)
        copies[body["eventId"]] += 1
        if copies[body["eventId"]] > 1:
            continue
        inversions += body["version"] < newest.get(body["operatorId"], 0)
        newest[body["operatorId"]] = max(body["version"], newest.get(body["operatorId"], 0))
    return Figures(
        attempts=len(written),
        acked=len(acked),
        lost=len(acked - copies.keys()),
        unexpected=len(copies.keys() - written),
        duplicates=sum(copies.values()) - len(copies),
        inversions=inversions,
    )
