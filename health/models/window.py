"""Spans of time in which staff decide what others see of an operator's health."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import F, Q

from operators.models import HealthState, Operator


class WindowKind(models.TextChoices):
    MAINTENANCE = "MAINTENANCE"
    OVERRIDE = "OVERRIDE"


class HealthWindowQuerySet(models.QuerySet["HealthWindow"]):
    def open(self) -> Self:
        """Those that nobody has closed, also if their end has passed a moment ago: ingest closes them each second."""
        return self.filter(ended_at=None)

    def due(self, now: datetime) -> Self:
        return self.open().filter(ends_at__lte=now)


class HealthWindow(models.Model):
    """One maintenance, which others see as UNHEALTHY, or one override, which shows them the state that was chosen.

    At most one of each kind is open per operator; a maintenance beats an override, because sending into it loses
    messages.
    """

    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="health_windows", db_index=False)
    kind = models.CharField(max_length=11, choices=WindowKind)
    state = models.CharField(max_length=9, choices=HealthState, help_text="What others see while the window is open.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="When it closes by itself.")
    ended_at = models.DateTimeField(null=True, help_text="When it was closed; null while it is open.")
    reason = models.TextField()
    opened_by = models.CharField(max_length=255)
    closed_by = models.CharField(max_length=255, blank=True, default="", help_text="Empty where its time ran out.")

    objects = HealthWindowQuerySet.as_manager()

    class Meta:
        db_table = "operator_health_window"
        ordering = ("-id",)
        default_permissions = ("view",)
        indexes = (
            # An operator's windows, for its timeline and its uptime.
            models.Index(fields=("operator", "-starts_at"), name="health_window_by_operator"),
            # What closes next.
            models.Index(fields=("ends_at",), condition=Q(ended_at=None), name="health_window_open"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("operator", "kind"), condition=Q(ended_at=None), name="health_window_one_open"
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="health_window_ends_after_start"),
            models.CheckConstraint(condition=Q(kind__in=WindowKind.values), name="health_window_kind_known"),
            models.CheckConstraint(condition=Q(state__in=HealthState.values), name="health_window_state_known"),
            models.CheckConstraint(
                condition=~Q(kind=WindowKind.MAINTENANCE) | Q(state=HealthState.UNHEALTHY),
                name="health_window_maintenance_unhealthy",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.operator_id} until {self.ends_at}"
