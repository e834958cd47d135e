"""The addresses of health, under /v1/admin/ and under /v1/internal/."""

from __future__ import annotations

from django.urls import path

from health.api import views

admin = [
    path("operators/<uuid:operator_id>/health", views.OperatorHealth.as_view(), name="operator-health"),
    path(
        "operators/<uuid:operator_id>/health/status",
        views.OperatorHealthStatus.as_view(),
        name="operator-health-status",
    ),
    path(
        "operators/<uuid:operator_id>/health/transitions",
        views.OperatorHealthTransitions.as_view(),
        name="operator-health-transitions",
    ),
    path("operators/<uuid:operator_id>/maintenance", views.OperatorMaintenance.as_view(), name="operator-maintenance"),
    path(
        "operators/<uuid:operator_id>/health-override",
        views.OperatorHealthOverride.as_view(),
        name="operator-health-override",
    ),
]
internal = [
    path("health", views.ReportIntake.as_view(), name="health-intake"),
]
