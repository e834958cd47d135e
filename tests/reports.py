"""Reports as a connector publishes them, and what must become of them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import nats
from django.conf import settings

from health.models import HealthTransition
from health.reducer import Condition, Move, is_late, reduce
from health.streams import DEAD_LETTERS, LIVE_VIEW, SMPP_HEALTH
from operators.models import Operator
from tests.streams import purge_stream, read_stream

Body = dict[str, Any]


def body(operator: Operator | uuid.UUID, *, at: datetime, **overrides: Any) -> Body:
    """Make the body of a report of a healthy bind."""
    return {
        "eventId": str(uuid.uuid4()),
        "operatorId": str(operator.pk if isinstance(operator, Operator) else operator),
        "connectorId": "smpp-connector-0",
        "observedAt": at.isoformat(),
        "bindState": "BOUND",
        "errorRate": 0.01,
        "bindError": None,
        "latencyMs": 120,
        **overrides,
    }


def publish(messages: Iterable[tuple[str, bytes]]) -> None:
    """Have the broker store messages, in order."""

    async def main() -> None:
        connection = await nats.connect(settings.NATS_URL)
        before = (await connection.jetstream().stream_info(SMPP_HEALTH.name)).state.last_seq
        count = 0
        for subject, raw in messages:
            await connection.publish(subject, raw)
            count += 1
        await connection.flush()
        while (await connection.jetstream().stream_info(SMPP_HEALTH.name)).state.last_seq < before + count:
            await asyncio.sleep(0.02)
        await connection.close()

    asyncio.run(main())


def report(bodies: Iterable[Body]) -> None:
    publish((f"smpp.health.{each['operatorId']}", json.dumps(each).encode()) for each in bodies)


def empty_streams() -> None:
    for stream in (SMPP_HEALTH.name, DEAD_LETTERS.name, f"KV_{LIVE_VIEW.name}"):
        purge_stream(stream)


def live_view() -> dict[str, Body | None]:
    """Read the newest value of each key of the live view; None where it was deleted."""
    messages = read_stream(f"KV_{LIVE_VIEW.name}")
    return {each.subject.rpartition(".")[2]: json.loads(each.raw) if each.raw else None for each in messages}


Path = list[tuple[str, str, str, datetime]]


def expected_moves(bodies: Iterable[Body]) -> dict[str, Path]:
    """Run reports through the state machine in the order of their delivery."""
    conditions: dict[str, Condition] = defaultdict(Condition)
    moves: dict[str, list[Move]] = defaultdict(list)
    for each in bodies:
        at = datetime.fromisoformat(each["observedAt"])
        operator_id = each["operatorId"]
        if not is_late(conditions[operator_id], at):
            conditions[operator_id], made = reduce(
                conditions[operator_id],
                observed_at=at,
                is_bound=each["bindState"] != "UNBOUND",
                error_rate=each["errorRate"],
            )
            moves[operator_id] += made
    return {
        operator_id: [(move.before.value, move.after.value, move.reason.value, move.at) for move in path]
        for operator_id, path in moves.items()
    }


def stored_moves() -> dict[str, Path]:
    paths: dict[str, Path] = defaultdict(list)
    for each in HealthTransition.objects.order_by("id"):
        paths[str(each.operator_id)].append((each.from_state, each.to_state, each.reason, each.at.astimezone(UTC)))
    return dict(paths)
