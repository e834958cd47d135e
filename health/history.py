"""What happened to one operator's health: its moves and the windows that staff opened."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from health.models import HealthTransition, HealthWindow
from health.models.transition import MEASURED
from health.reducer import State
from health.timeline import Span, spans


def read_spans(operator_id: UUID, *, start: datetime, end: datetime) -> list[Span]:
    """Read how the measured state went, hidden moves included: two queries."""
    moves = HealthTransition.objects.filter(operator_id=operator_id, reason__in=MEASURED)
    # In the order of the index health_transition_by_operator; the moment decides, for the identity tells no date.
    last = moves.filter(at__lt=start).order_by("-at", "-id").values_list("to_state", flat=True).first()
    # In the order in which they were decided, which timeline.spans asks for.
    decided = moves.filter(at__gte=start).order_by("id").values_list("at", "to_state")
    return spans(
        ((at, State(state)) for at, state in decided),
        before=State(last) if last else State.UNKNOWN,
        start=start,
        end=end,
    )


def transitions_of(operator_id: UUID) -> QuerySet[HealthTransition]:
    """List the moves, newest first."""
    return HealthTransition.objects.filter(operator_id=operator_id).order_by("-at", "-id")


def windows_since(operator_id: UUID, moment: datetime) -> list[HealthWindow]:
    """Read the windows that are open or were so after the moment, newest first."""
    since = Q(ended_at=None) | Q(ended_at__gt=moment)
    return list(HealthWindow.objects.filter(since, operator_id=operator_id).order_by("-starts_at", "-id"))


def span_of(window: HealthWindow, now: datetime) -> tuple[datetime, datetime]:
    """Tell from when to when a window was open so far; one that is due is over, also before ingest has closed it."""
    return window.starts_at, window.ended_at or min(window.ends_at, now)
