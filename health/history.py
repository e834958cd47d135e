"""What happened to one operator's health: its moves and the windows that staff opened."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet

from health.models import HealthTransition, HealthWindow
from health.models.transition import MEASURED
from health.reducer import State
from health.timeline import Span, spans

# More moves than one operator makes in 60 s.
LOOK_BACK: Final = 50


def read_spans(operator_id: UUID, *, start: datetime, end: datetime) -> list[Span]:
    """Read how the measured state went, hidden moves included: two queries."""
    moves = HealthTransition.objects.filter(operator_id=operator_id, reason__in=MEASURED)
    # In the order of the index health_transition_by_operator. The clock's move of a silent operator may be dated up to
    # 60 s after the ones that were decided later, so that among the last few the newest decision counts.
    earlier = moves.filter(at__lt=start).order_by("-at", "-id").values_list("id", "to_state")[:LOOK_BACK]
    last_id, last = max(earlier, default=(0, State.UNKNOWN))
    # In the order in which they were decided, which timeline.spans asks for.
    decided = moves.filter(at__gte=start, id__gt=last_id).order_by("id").values_list("at", "to_state")
    return spans(
        ((at, State(state)) for at, state in decided),
        before=State(last),
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
