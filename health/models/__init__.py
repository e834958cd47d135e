"""What is kept of health: the log of reports, one status per operator, its moves, and the windows that staff open."""

from __future__ import annotations

from health.models.report import HealthReport
from health.models.status import HealthStatus, HealthStatusQuerySet
from health.models.transition import HealthTransition, TransitionReason
from health.models.window import HealthWindow, HealthWindowQuerySet, WindowKind

__all__ = [
    "HealthReport",
    "HealthStatus",
    "HealthStatusQuerySet",
    "HealthTransition",
    "HealthWindow",
    "HealthWindowQuerySet",
    "TransitionReason",
    "WindowKind",
]
