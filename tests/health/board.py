"""How the tests of the board put operators, statuses and reports into the database."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from health.models import HealthReport, HealthStatus, HealthWindow, WindowKind
from operators.models import HealthState, Operator, Status

BOARD: Final = "/admin/health/healthstatus/"


def put(
    name: str,
    state: str = HealthState.HEALTHY,
    *,
    status: str = Status.ACTIVE,
    tags: Sequence[str] = (),
    age: timedelta | None = timedelta(seconds=5),
    **measured: Any,
) -> HealthStatus:
    """Store an operator whose last report is `age` old, as rows alone: the board asks nobody else."""
    now = timezone.now()
    number = uuid.uuid4().hex[:8]
    operator = Operator.objects.create(
        name=name,
        host=f"smpp-{number}.telco.example",
        system_id=f"acc{number}",
        max_tps=100,
        status=status,
        tags=list(tags),
        health_state=state,
        credential_version=1,
        credential_rotated_at=now,
        created_at=now,
        updated_at=now,
    )
    seen = now - age if age is not None else None
    reported = {"bind_state": "BOUND", "error_rate": 0.01, "latency_ms": 80, "reason": "BOUND"} if seen else {}
    values = {"state": state, "since": seen, "observed_at": seen, "received_at": seen, **reported, **measured}
    shown = {"effective_state": state, "effective_since": seen, "effective_reason": values.get("reason", "")}
    return HealthStatus.objects.create(operator=operator, **(shown | values))


def report(status: HealthStatus, at: datetime, **values: Any) -> HealthReport:
    return HealthReport(
        **{
            "event_id": uuid.uuid4(),
            "operator_id": status.operator_id,
            "connector_id": "smpp-1",
            "observed_at": at,
            "received_at": at,
            "bind_state": "BOUND",
            "error_rate": 0.01,
            "latency_ms": 80,
        }
        | values
    )


def open_window(status: HealthStatus, kind: WindowKind, state: str, **values: Any) -> HealthWindow:
    """Show `state` to others from now on, as the action does that opens a window."""
    now = timezone.now()
    HealthStatus.objects.filter(pk=status.pk).update(
        effective_state=state, effective_since=now, effective_reason=kind.value
    )
    return HealthWindow.objects.create(
        operator_id=status.operator_id,
        kind=kind,
        state=state,
        **{"starts_at": now, "ends_at": now + timedelta(hours=4), "reason": "Carrier works", "opened_by": "dora"}
        | values,
    )
