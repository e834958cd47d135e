"""An operator with a week behind it, for the tests of its page: rows alone, for the page asks nobody else."""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.urls import reverse

from health.models import HealthReport, HealthStatus, HealthTransition, HealthWindow, WindowKind
from health.reducer import Condition, State, reduce
from operators.models import Operator

REPORT_EVERY: Final = timedelta(seconds=10)


def health_page(operator: Operator, name: str = "change") -> str:
    return reverse(f"admin:health_healthstatus_{name}", args=[operator.pk])


def make_partitions(since: datetime, until: datetime) -> None:
    """Give the log the days that lie before those which pg_partman made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'operator_health_log'::regclass")
        at = since.replace(hour=0, minute=0, second=0, microsecond=0)
        while at <= until:
            following = at + timedelta(days=1)
            name = f"operator_health_log_p{at:%Y_%m_%d}"
            cursor.execute("SELECT to_regclass(%s), to_regclass(%s)", [name, f"operator_health_log_p{at:%Y%m%d}"])
            if cursor.fetchone() == (None, None):
                cursor.execute(
                    f"CREATE TABLE {name} PARTITION OF operator_health_log FOR VALUES FROM (%s) TO (%s)",
                    [at, following],
                )
            at = following


def make_report(operator: Operator, at: datetime, **values: Any) -> HealthReport:
    return HealthReport(
        **{
            "event_id": uuid.uuid4(),
            "operator_id": operator.pk,
            "connector_id": "smpp-connector-0",
            "observed_at": at,
            "received_at": at + timedelta(milliseconds=40),
            "bind_state": "BOUND",
            "error_rate": 0.01,
            "bind_error": None,
            "latency_ms": 80,
            **values,
        }
    )


def make_move(
    operator: Operator, at: datetime, before: str, after: str, reason: str, **values: Any
) -> HealthTransition:
    return HealthTransition.objects.create(
        operator=operator, at=at, recorded_at=at, from_state=before, to_state=after, reason=reason, **values
    )


def make_window(operator: Operator, kind: WindowKind, start: datetime, end: datetime, **values: Any) -> HealthWindow:
    state = "UNHEALTHY" if kind is WindowKind.MAINTENANCE else "HEALTHY"
    return HealthWindow.objects.create(
        **{
            "operator": operator,
            "kind": kind,
            "state": state,
            "starts_at": start,
            "ends_at": end,
            "reason": "Carrier's works, OPS-7",
            "opened_by": "alice",
            **values,
        }
    )


def live_through(operator: Operator, start: datetime, end: datetime, *, seed: int = 7) -> None:
    """Give an operator plausible days: noise, a bad night, lost binds and silences, reduced as ingest would."""
    chance = random.Random(seed)
    condition = Condition()
    reports = []
    moves = []
    at, level, until, mode = start, 0.01, start, "calm"
    since: datetime | None = None
    reason = ""
    while at < end:
        if at >= until:
            mode = chance.choices(["calm", "bad", "worse", "lost", "silent"], [70, 12, 6, 8, 4])[0]
            minutes = {"calm": 600, "bad": 90, "worse": 30, "lost": 20, "silent": 120}[mode]
            until = at + timedelta(minutes=chance.uniform(0.3, 1) * minutes)
            level = {"calm": 0.015, "bad": 0.09, "worse": 0.32, "lost": 0.0, "silent": 0.0}[mode]
        if mode != "silent":
            is_bound = mode != "lost"
            rate = min(1.0, max(0.0, chance.gauss(level, level / 4))) if is_bound else 1.0
            error = None if is_bound else "ESME_RBINDFAIL"
            latency = round(chance.gauss(120, 20) * (1 + level * 8)) if is_bound else None
            bind = "BOUND" if is_bound else "UNBOUND"
            reports.append(
                make_report(operator, at, error_rate=rate, latency_ms=latency, bind_state=bind, bind_error=error)
            )
            condition, made = reduce(condition, observed_at=at, is_bound=is_bound, error_rate=rate)
            moves += [
                HealthTransition(
                    operator=operator,
                    at=move.at,
                    recorded_at=move.at,
                    from_state=move.before.value,
                    to_state=move.after.value,
                    reason=move.reason.value,
                    error_rate=rate if move.after is not State.UNKNOWN else None,
                    bind_error=error,
                )
                for move in made
            ]
            if made:
                since, reason = made[-1].at, made[-1].reason.value
        at += REPORT_EVERY
    HealthReport.objects.bulk_create(reports, batch_size=5000)
    HealthTransition.objects.bulk_create(moves)
    last = reports[-1]
    HealthStatus.objects.filter(pk=operator.pk).update(
        state=condition.state.value,
        since=since,
        reason=reason,
        observed_at=last.observed_at,
        received_at=last.received_at,
        connector_id=last.connector_id,
        bind_state=last.bind_state,
        error_rate=last.error_rate,
        bind_error=last.bind_error,
        latency_ms=last.latency_ms,
        effective_state=condition.state.value,
        effective_since=since,
        effective_reason=reason,
    )
    Operator.objects.filter(pk=operator.pk).update(health_state=condition.state.value)
