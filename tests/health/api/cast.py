"""What the tests of health's API share: where things are, and reports as a connector writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from health.models import HealthReport
from operators.models import Operator
from operators.wire import rfc3339

INTAKE: Final = "/v1/internal/health"


def report(operator: Operator | UUID, **overrides: Any) -> dict[str, Any]:
    operator_id = operator.pk if isinstance(operator, Operator) else operator
    return {
        "eventId": str(uuid4()),
        "operatorId": str(operator_id),
        "connectorId": "smpp-connector-1",
        "observedAt": rfc3339(timezone.now()),
        "bindState": "BOUND",
        "errorRate": 0.01,
        "bindError": None,
        "latencyMs": 42,
    } | overrides


def post(client: APIClient, body: object, **extra: Any) -> Any:
    """Send a body: bytes and text as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.post(INTAKE, raw, content_type="application/json", **extra)


def log(operator: Operator, moments: Sequence[datetime]) -> list[HealthReport]:
    """Put reports into the log, as ingest leaves them."""
    return HealthReport.objects.bulk_create(
        HealthReport(
            event_id=uuid4(),
            operator_id=operator.pk,
            connector_id="smpp-connector-1",
            observed_at=moment,
            received_at=moment + timedelta(milliseconds=80),
            bind_state="BOUND",
            error_rate=0.25,
            bind_error="ESME_RTHROTTLED",
            latency_ms=None,
        )
        for moment in moments
    )


def partitions_read(sql: str) -> set[str]:
    """Name the partitions of the log that the plan of this statement would touch."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        [(plans,)] = cursor.fetchall()
    found: set[str] = set()
    waiting = [plans[0]["Plan"]]
    while waiting:
        plan = waiting.pop()
        waiting += plan.get("Plans", [])
        if name := plan.get("Relation Name"):
            found.add(name)
    return found
