"""Every move of a state, measured or decided by staff."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from operators.models import HealthState, Operator


class TransitionReason(models.TextChoices):
    BOUND = "BOUND"
    BIND_LOST = "BIND_LOST", "Bind lost"
    ERROR_RATE = "ERROR_RATE", "Error rate"
    STALE = "STALE", "No reports"
    MAINTENANCE = "MAINTENANCE"
    OVERRIDE = "OVERRIDE"


MEASURED: frozenset[str] = frozenset(
    {TransitionReason.BOUND, TransitionReason.BIND_LOST, TransitionReason.ERROR_RATE, TransitionReason.STALE}
)


class HealthTransition(models.Model):
    """Tell of one move: of the measured state where the reason is a report or its absence, else of the effective one.

    `is_hidden` marks a measured move that others did not see, because a window was open. `sequence` is the version of
    the operator.health event; null where there was none.
    """

    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="health_transitions", db_index=False)
    from_state = models.CharField("from", max_length=9, choices=HealthState)
    to_state = models.CharField("to", max_length=9, choices=HealthState)
    reason = models.CharField(max_length=11, choices=TransitionReason)
    at = models.DateTimeField(help_text="In event time: observedAt of the report; for STALE 60 s after the last one.")
    recorded_at = models.DateTimeField()
    error_rate = models.FloatField(null=True)
    bind_error = models.CharField(max_length=128, null=True)  # noqa: DJ001 - null as on the wire
    is_hidden = models.BooleanField(default=False)
    sequence = models.PositiveBigIntegerField(null=True)

    class Meta:
        db_table = "operator_health_transition"
        ordering = ("-id",)
        default_permissions = ("view",)
        indexes = (
            # An operator's timeline and its uptime.
            models.Index(fields=("operator", "-at", "-id"), name="health_transition_by_operator"),
        )
        constraints = (
            models.CheckConstraint(condition=~Q(from_state=models.F("to_state")), name="health_transition_moves"),
            models.CheckConstraint(
                condition=Q(reason__in=TransitionReason.values), name="health_transition_reason_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.operator_id} {self.from_state} to {self.to_state}"
