"""One row per operator: what its reports say, and what others see of it."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import F, Q

from health.reducer import Condition, State
from operators.models import HealthState, Operator


class HealthStatusQuerySet(models.QuerySet["HealthStatus"]):
    def of_live_operators(self) -> Self:
        return self.filter(operator__deleted_at=None)


class HealthStatus(models.Model):
    """Hold the reducer's memory of an operator, the newest report, and the effective state.

    The first half is written by ingest alone. The effective state is the measured one unless staff decide otherwise
    for a while (HealthWindow); it is also Operator.health_state. Whoever needs both rows locks this one first.
    """

    operator = models.OneToOneField(Operator, primary_key=True, on_delete=models.PROTECT, related_name="health_status")

    state = models.CharField("measured state", max_length=9, choices=HealthState, default=HealthState.UNKNOWN)
    since = models.DateTimeField("measured since", null=True)
    reason = models.CharField("measured reason", max_length=11, blank=True, default="")
    observed_at = models.DateTimeField("last report", null=True)
    received_at = models.DateTimeField("last report received", null=True)
    above_degraded_since = models.DateTimeField(null=True)
    above_unhealthy_since = models.DateTimeField(null=True)
    calm_since = models.DateTimeField(null=True)
    connector_id = models.CharField(max_length=128, blank=True, default="")
    bind_state = models.CharField(max_length=8, blank=True, default="")
    error_rate = models.FloatField(null=True)
    bind_error = models.CharField(max_length=128, null=True)  # noqa: DJ001 - null as on the wire
    latency_ms = models.IntegerField(null=True)

    effective_state = models.CharField("state", max_length=9, choices=HealthState, default=HealthState.UNKNOWN)
    effective_since = models.DateTimeField("since", null=True)
    effective_reason = models.CharField("reason", max_length=11, blank=True, default="")
    # When the effective state was written, by our clock; the live view looks for what is new since its last look.
    effective_set_at = models.DateTimeField(null=True)
    # The `version` of operator.health events: counts the changes of the effective state.
    sequence = models.PositiveBigIntegerField(default=0)

    objects = HealthStatusQuerySet.as_manager()

    class Meta:
        db_table = "operator_health_status"
        verbose_name = "health status"
        verbose_name_plural = "health"
        default_permissions = ("view",)
        permissions = (
            ("set_maintenance", "Can put an operator into maintenance and end it"),
            ("override_health", "Can override an operator's health state and end it"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(state__in=HealthState.values), name="health_status_state_known"),
            models.CheckConstraint(
                condition=Q(effective_state__in=HealthState.values), name="health_status_effective_state_known"
            ),
            models.CheckConstraint(
                condition=Q(observed_at=None, received_at=None)
                | Q(observed_at__isnull=False, received_at__isnull=False),
                name="health_status_report_whole",
            ),
            models.CheckConstraint(
                condition=Q(error_rate=None) | Q(error_rate__gte=0, error_rate__lte=1),
                name="health_status_error_rate_range",
            ),
            # A run begins at a report that was seen.
            models.CheckConstraint(
                condition=Q(above_degraded_since=None) | Q(above_degraded_since__lte=F("observed_at")),
                name="health_status_run_not_ahead",
            ),
        )

    def __str__(self) -> str:
        return f"{self.operator_id} {self.effective_state}"

    @property
    def condition(self) -> Condition:
        """What the reducer has to know."""
        return Condition(
            state=State(self.state),
            observed_at=self.observed_at,
            above_degraded_since=self.above_degraded_since,
            above_unhealthy_since=self.above_unhealthy_since,
            calm_since=self.calm_since,
        )

    def take(self, condition: Condition) -> None:
        """Remember what the reducer made of it."""
        self.state = condition.state.value
        self.observed_at = condition.observed_at
        self.above_degraded_since = condition.above_degraded_since
        self.above_unhealthy_since = condition.above_unhealthy_since
        self.calm_since = condition.calm_since
