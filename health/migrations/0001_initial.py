"""Tables of health: statuses, moves and windows; the log of reports follows in a migration of its own."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = (("operators", "0002_wake_the_drainer"),)

    operations = (
        migrations.CreateModel(
            name="HealthStatus",
            fields=[
                (
                    "operator",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="health_status",
                        serialize=False,
                        to="operators.operator",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("UNKNOWN", "Unknown"),
                            ("HEALTHY", "Healthy"),
                            ("DEGRADED", "Degraded"),
                            ("UNHEALTHY", "Unhealthy"),
                        ],
                        default="UNKNOWN",
                        max_length=9,
                        verbose_name="measured state",
                    ),
                ),
                ("since", models.DateTimeField(null=True, verbose_name="measured since")),
                ("reason", models.CharField(blank=True, default="", max_length=11, verbose_name="measured reason")),
                ("observed_at", models.DateTimeField(null=True, verbose_name="last report")),
                ("received_at", models.DateTimeField(null=True, verbose_name="last report received")),
                ("above_degraded_since", models.DateTimeField(null=True)),
                ("above_unhealthy_since", models.DateTimeField(null=True)),
                ("calm_since", models.DateTimeField(null=True)),
                ("connector_id", models.CharField(blank=True, default="", max_length=128)),
                ("bind_state", models.CharField(blank=True, default="", max_length=8)),
                ("error_rate", models.FloatField(null=True)),
                ("bind_error", models.CharField(max_length=128, null=True)),
                ("latency_ms", models.IntegerField(null=True)),
                (
                    "effective_state",
                    models.CharField(
                        choices=[
                            ("UNKNOWN", "Unknown"),
                            ("HEALTHY", "Healthy"),
                            ("DEGRADED", "Degraded"),
                            ("UNHEALTHY", "Unhealthy"),
                        ],
                        default="UNKNOWN",
                        max_length=9,
                        verbose_name="state",
                    ),
                ),
                ("effective_since", models.DateTimeField(null=True, verbose_name="since")),
                ("effective_reason", models.CharField(blank=True, default="", max_length=11, verbose_name="reason")),
                ("effective_set_at", models.DateTimeField(null=True)),
                ("sequence", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "verbose_name": "health status",
                "verbose_name_plural": "health",
                "db_table": "operator_health_status",
                "permissions": (
                    ("set_maintenance", "Can put an operator into maintenance and end it"),
                    ("override_health", "Can override an operator's health state and end it"),
                ),
                "default_permissions": ("view",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["UNKNOWN", "HEALTHY", "DEGRADED", "UNHEALTHY"])),
                        name="health_status_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("effective_state__in", ["UNKNOWN", "HEALTHY", "DEGRADED", "UNHEALTHY"])),
                        name="health_status_effective_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("observed_at", None), ("received_at", None)),
                            models.Q(("observed_at__isnull", False), ("received_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="health_status_report_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("error_rate", None),
                            models.Q(("error_rate__gte", 0), ("error_rate__lte", 1)),
                            _connector="OR",
                        ),
                        name="health_status_error_rate_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("above_degraded_since", None),
                            ("above_degraded_since__lte", models.F("observed_at")),
                            _connector="OR",
                        ),
                        name="health_status_run_not_ahead",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HealthTransition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "from_state",
                    models.CharField(
                        choices=[
                            ("UNKNOWN", "Unknown"),
                            ("HEALTHY", "Healthy"),
                            ("DEGRADED", "Degraded"),
                            ("UNHEALTHY", "Unhealthy"),
                        ],
                        max_length=9,
                        verbose_name="from",
                    ),
                ),
                (
                    "to_state",
                    models.CharField(
                        choices=[
                            ("UNKNOWN", "Unknown"),
                            ("HEALTHY", "Healthy"),
                            ("DEGRADED", "Degraded"),
                            ("UNHEALTHY", "Unhealthy"),
                        ],
                        max_length=9,
                        verbose_name="to",
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("BOUND", "Bound"),
                            ("BIND_LOST", "Bind lost"),
                            ("ERROR_RATE", "Error rate"),
                            ("STALE", "No reports"),
                            ("MAINTENANCE", "Maintenance"),
                            ("OVERRIDE", "Override"),
                        ],
                        max_length=11,
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        help_text="In event time: observedAt of the report; for STALE 60 s after the last one."
                    ),
                ),
                ("recorded_at", models.DateTimeField()),
                ("error_rate", models.FloatField(null=True)),
                ("bind_error", models.CharField(max_length=128, null=True)),
                ("is_hidden", models.BooleanField(default=False)),
                ("sequence", models.PositiveBigIntegerField(null=True)),
                (
                    "operator",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="health_transitions",
                        to="operators.operator",
                    ),
                ),
            ],
            options={
                "db_table": "operator_health_transition",
                "ordering": ("-id",),
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["operator", "-at", "-id"], name="health_transition_by_operator")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("from_state", models.F("to_state")), _negated=True),
                        name="health_transition_moves",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("reason__in", ["BOUND", "BIND_LOST", "ERROR_RATE", "STALE", "MAINTENANCE", "OVERRIDE"])
                        ),
                        name="health_transition_reason_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HealthWindow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(choices=[("MAINTENANCE", "Maintenance"), ("OVERRIDE", "Override")], max_length=11),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("UNKNOWN", "Unknown"),
                            ("HEALTHY", "Healthy"),
                            ("DEGRADED", "Degraded"),
                            ("UNHEALTHY", "Unhealthy"),
                        ],
                        help_text="What others see while the window is open.",
                        max_length=9,
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(help_text="When it closes by itself.")),
                ("ended_at", models.DateTimeField(help_text="When it was closed; null while it is open.", null=True)),
                ("reason", models.TextField()),
                ("opened_by", models.CharField(max_length=255)),
                (
                    "closed_by",
                    models.CharField(blank=True, default="", help_text="Empty where its time ran out.", max_length=255),
                ),
                (
                    "operator",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="health_windows",
                        to="operators.operator",
                    ),
                ),
            ],
            options={
                "db_table": "operator_health_window",
                "ordering": ("-id",),
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["operator", "-starts_at"], name="health_window_by_operator"),
                    models.Index(condition=models.Q(("ended_at", None)), fields=["ends_at"], name="health_window_open"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("operator", "kind"),
                        name="health_window_one_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))),
                        name="health_window_ends_after_start",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["MAINTENANCE", "OVERRIDE"])), name="health_window_kind_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["UNKNOWN", "HEALTHY", "DEGRADED", "UNHEALTHY"])),
                        name="health_window_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "MAINTENANCE"), _negated=True), ("state", "UNHEALTHY"), _connector="OR"
                        ),
                        name="health_window_maintenance_unhealthy",
                    ),
                ],
            },
        ),
    )
