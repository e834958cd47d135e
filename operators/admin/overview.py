"""What the console's first page tells: state, what needs attention, what happened last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count, Min, Q

from operators.admin.history import Change, changes_of
from operators.admin.listing import state_summary
from operators.models import AuditEntry, HealthState, Operator, OutboxEvent, Status

LAST_CHANGES: Final = 8
MOST_TROUBLED: Final = 8


@dataclass(frozen=True)
class Backlog:
    """Events that no consumer has seen yet."""

    pending: int
    parked: int
    oldest: datetime | None


@dataclass(frozen=True)
class Overview:
    summary: dict[str, int]
    troubled: list[Operator]
    changes: list[Change]
    backlog: Backlog


def overview() -> Overview:
    """Read the first page's figures: five queries at most, whatever the number of operators."""
    troubled = Operator.objects.live().filter(
        status=Status.ACTIVE, health_state__in=(HealthState.UNHEALTHY, HealthState.DEGRADED)
    )
    return Overview(
        summary=state_summary(),
        troubled=list(troubled.order_by("-health_state", "name")[:MOST_TROUBLED]),
        changes=changes_of(AuditEntry.objects.select_related("operator").order_by("-id")[:LAST_CHANGES]),
        backlog=_backlog(),
    )


def _backlog() -> Backlog:
    # Unpublished rows only: partial indexes hold exactly these, while the published ones are kept for days.
    counts = OutboxEvent.objects.filter(published_at=None).aggregate(
        pending=Count("pk", filter=Q(parked_at=None)),
        parked=Count("pk", filter=~Q(parked_at=None)),
        oldest=Min("created_at", filter=Q(parked_at=None)),
    )
    return Backlog(**counts)
