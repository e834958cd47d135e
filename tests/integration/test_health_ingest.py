"""From a connector's report to the state that others see: stream, database, live view, events, on real servers."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import pytest
from django.conf import settings
from django.core.management import call_command

from health.models import HealthReport, HealthStatus, HealthTransition
from health.streams import DEAD_LETTERS, INGEST_CONSUMER, LIVE_VIEW, SMPP_HEALTH
from operators.models import Operator, OutboxEvent
from tests.factories import make_operator
from tests.streams import purge_stream, read_stream

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC).replace(microsecond=0)


def body(operator: Operator | uuid.UUID, *, at: datetime, **overrides: Any) -> dict[str, Any]:
    operator_id = operator.pk if isinstance(operator, Operator) else operator
    return {
        "eventId": str(uuid.uuid4()),
        "operatorId": str(operator_id),
        "connectorId": "smpp-connector-0",
        "observedAt": at.isoformat(),
        "bindState": "BOUND",
        "errorRate": 0.01,
        "bindError": None,
        "latencyMs": 120,
        **overrides,
    }


def publish(*messages: tuple[str, bytes]) -> None:
    async def main() -> None:
        connection = await nats.connect(settings.NATS_URL)
        js = connection.jetstream()
        for subject, raw in messages:
            await js.publish(subject, raw)
        await connection.close()

    asyncio.run(main())


def report(*bodies: dict[str, Any]) -> None:
    publish(*((f"smpp.health.{each['operatorId']}", json.dumps(each).encode()) for each in bodies))


def ingest(**options: Any) -> None:
    call_command("ingest_health", once=True, **options)


@pytest.fixture(autouse=True)
def empty_streams() -> None:
    for stream in (SMPP_HEALTH.name, DEAD_LETTERS.name, f"KV_{LIVE_VIEW.name}"):
        purge_stream(stream)


def test_it_turns_a_report_into_log_state_and_event() -> None:
    operator = make_operator()

    report(body(operator, at=NOW))
    ingest()

    assert HealthReport.objects.get().operator_id == operator.pk
    status = HealthStatus.objects.get(pk=operator.pk)
    assert (status.state, status.effective_state, status.since, status.sequence) == ("HEALTHY", "HEALTHY", NOW, 1)
    operator.refresh_from_db()
    assert (operator.health_state, operator.version) == ("HEALTHY", 1)
    [transition] = HealthTransition.objects.all()
    assert (transition.from_state, transition.to_state, transition.reason) == ("UNKNOWN", "HEALTHY", "BOUND")
    event = OutboxEvent.objects.get(subject="operator.health")
    assert event.payload["newState"] == "HEALTHY"
    [live] = read_stream(f"KV_{LIVE_VIEW.name}")
    assert live.subject == f"$KV.ops_health.{operator.pk}"
    assert live.body["state"] == "HEALTHY"
