"""Create the tables of the system of record."""

from __future__ import annotations

import uuid
from decimal import Decimal

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models

import operators.fields
import operators.validators


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CredentialAttempt",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("operator_id", models.UUIDField(unique=True)),
                (
                    "base_version",
                    models.PositiveIntegerField(
                        help_text="The KV version that the write was checked against; 0 at creation."
                    ),
                ),
                ("actor", models.CharField(max_length=255)),
                ("started_at", models.DateTimeField()),
                ("is_contested", models.BooleanField(default=False)),
            ],
            options={
                "ordering": ("started_at",),
            },
        ),
        migrations.CreateModel(
            name="LegacyRun",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("sheet", models.CharField(max_length=255)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("rolled_back_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ("-started_at",),
            },
        ),
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("actor", models.CharField(max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=64)),
                ("operator_id", models.UUIDField(default=uuid.uuid4)),
                ("response", models.JSONField(null=True)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["created_at"], name="idempotency_by_age")],
                "constraints": [models.UniqueConstraint(fields=("actor", "key"), name="idempotency_unique_key")],
            },
        ),
        migrations.CreateModel(
            name="Operator",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="operator ID",
                    ),
                ),
                ("name", models.CharField(max_length=128, validators=[operators.validators.validate_name])),
                (
                    "host",
                    models.CharField(
                        help_text="Hostname or IP address; no scheme, port or path.",
                        max_length=253,
                        validators=[operators.validators.validate_host],
                    ),
                ),
                (
                    "port",
                    models.PositiveIntegerField(
                        default=2775,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(65535),
                        ],
                    ),
                ),
                (
                    "system_id",
                    models.CharField(
                        help_text="1 to 15 ASCII characters.",
                        max_length=15,
                        validators=[operators.validators.validate_system_id],
                        verbose_name="system_id",
                    ),
                ),
                (
                    "system_type",
                    models.CharField(
                        blank=True,
                        default="",
                        max_length=12,
                        validators=[operators.validators.validate_system_type],
                        verbose_name="system_type",
                    ),
                ),
                (
                    "bind_type",
                    models.CharField(
                        choices=[
                            ("TRANSCEIVER", "Transceiver"),
                            ("TRANSMITTER", "Transmitter"),
                            ("RECEIVER", "Receiver"),
                        ],
                        default="TRANSCEIVER",
                        max_length=11,
                    ),
                ),
                ("use_tls", models.BooleanField(default=False, verbose_name="TLS")),
                (
                    "max_tps",
                    models.PositiveIntegerField(
                        help_text="Messages per second that the carrier allows.",
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="max TPS",
                    ),
                ),
                (
                    "burst_multiplier",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal("1.50"),
                        help_text="Short bursts may reach this multiple of the limit.",
                        max_digits=6,
                        validators=[django.core.validators.MinValueValidator(Decimal("1.00"))],
                    ),
                ),
                (
                    "enforcement_mode",
                    models.CharField(
                        choices=[("HARD_REJECT", "Hard Reject"), ("SOFT_THROTTLE", "Soft Throttle")],
                        default="HARD_REJECT",
                        max_length=13,
                        verbose_name="on limit",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("INACTIVE", "Inactive"), ("ACTIVE", "Active"), ("SUSPENDED", "Suspended")],
                        default="INACTIVE",
                        editable=False,
                        max_length=9,
                    ),
                ),
                (
                    "health_state",
                    models.CharField(
                        choices=[
                            ("UNKNOWN", "Unknown"),
                            ("HEALTHY", "Healthy"),
                            ("DEGRADED", "Degraded"),
                            ("UNHEALTHY", "Unhealthy"),
                        ],
                        default="UNKNOWN",
                        editable=False,
                        max_length=9,
                        verbose_name="health",
                    ),
                ),
                ("version", models.PositiveBigIntegerField(default=1, editable=False)),
                (
                    "password",
                    operators.fields.VaultCredentialField(
                        key="password",
                        path="ops/operators/{pk}/credentials",
                        stored_with=("system_id",),
                        version_field="credential_version",
                    ),
                ),
                ("credential_version", models.PositiveIntegerField(editable=False)),
                ("credential_previous_version", models.PositiveIntegerField(editable=False, null=True)),
                ("credential_rotated_at", models.DateTimeField(editable=False)),
                (
                    "notes",
                    models.TextField(
                        blank=True,
                        default="",
                        max_length=10000,
                        validators=[django.core.validators.MaxLengthValidator(10000)],
                    ),
                ),
                (
                    "contacts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200), blank=True, default=list, size=50
                    ),
                ),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=50), blank=True, default=list, size=50
                    ),
                ),
                ("created_by", models.CharField(editable=False, max_length=255)),
                ("updated_by", models.CharField(editable=False, max_length=255)),
                ("created_at", models.DateTimeField(editable=False)),
                ("updated_at", models.DateTimeField(editable=False)),
                ("deleted_at", models.DateTimeField(editable=False, null=True)),
                (
                    "backup_operator",
                    models.ForeignKey(
                        blank=True,
                        help_text="Takes over when this operator's bind is lost.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="backed_up_operators",
                        to="operators.operator",
                    ),
                ),
            ],
            options={
                "ordering": ("name", "id"),
                "permissions": (
                    ("change_operator_status", "Can activate, suspend and deactivate operators"),
                    ("rotate_credential", "Can rotate an operator's password and go back to the previous one"),
                    ("restore_operator", "Can restore a deleted operator"),
                ),
            },
        ),
        migrations.CreateModel(
            name="LegacyRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("line", models.PositiveIntegerField()),
                ("name", models.CharField(max_length=255)),
                (
                    "outcome",
                    models.CharField(
                        choices=[("created", "Created"), ("skipped", "Skipped"), ("failed", "Failed")], max_length=7
                    ),
                ),
                ("field", models.CharField(blank=True, default="", max_length=30)),
                ("reason", models.TextField(blank=True, default="")),
                (
                    "prefixes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=16), default=list, size=None
                    ),
                ),
                ("cost_per_segment", models.DecimalField(decimal_places=6, max_digits=18, null=True)),
                ("currency", models.CharField(blank=True, default="", max_length=3)),
                ("mcc", models.CharField(blank=True, default="", max_length=3)),
                ("mnc", models.CharField(blank=True, default="", max_length=3)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="rows", to="operators.legacyrun"
                    ),
                ),
                (
                    "operator",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legacy_rows",
                        to="operators.operator",
                    ),
                ),
            ],
            options={
                "ordering": ("line",),
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveBigIntegerField(help_text="The operator's version after the change.")),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("create", "Create"),
                            ("update", "Update"),
                            ("rotate_credential", "Rotate Credential"),
                            ("revert_credential", "Revert Credential"),
                            ("activate", "Activate"),
                            ("suspend", "Suspend"),
                            ("deactivate", "Deactivate"),
                            ("delete", "Delete"),
                            ("restore", "Restore"),
                        ],
                        max_length=20,
                    ),
                ),
                ("actor", models.CharField(max_length=255)),
                ("source", models.CharField(max_length=10)),
                ("reason", models.TextField(blank=True, default="")),
                ("changes", models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ("trace_id", models.CharField(blank=True, default="", max_length=32)),
                ("at", models.DateTimeField()),
                (
                    "operator",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="audit_entries",
                        to="operators.operator",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "audit entries",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event_id", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("operator_id", models.UUIDField()),
                ("version", models.PositiveBigIntegerField()),
                ("subject", models.CharField(max_length=100)),
                ("payload", models.JSONField()),
                ("traceparent", models.CharField(blank=True, default="", max_length=55)),
                ("created_at", models.DateTimeField()),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("available_at", models.DateTimeField(null=True)),
                ("last_error", models.TextField(blank=True, default="")),
                ("parked_at", models.DateTimeField(null=True)),
                ("published_at", models.DateTimeField(null=True)),
                ("stream", models.CharField(blank=True, default="", max_length=50)),
                ("stream_sequence", models.PositiveBigIntegerField(null=True)),
            ],
            options={
                "ordering": ("id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("parked_at", None), ("published_at", None)),
                        fields=["id"],
                        name="outbox_pending",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("parked_at", None), ("published_at", None), models.Q(("available_at", None), _negated=True)
                        ),
                        fields=["operator_id", "id"],
                        name="outbox_backing_off",
                    ),
                    models.Index(
                        condition=models.Q(("parked_at", None), ("published_at", None)),
                        fields=["created_at"],
                        name="outbox_pending_by_age",
                    ),
                    models.Index(
                        condition=models.Q(("published_at", None), models.Q(("parked_at", None), _negated=True)),
                        fields=["parked_at"],
                        name="outbox_parked",
                    ),
                    models.Index(
                        condition=models.Q(("published_at", None), _negated=True),
                        fields=["published_at"],
                        name="outbox_published",
                    ),
                    models.Index(fields=["operator_id", "id"], name="outbox_by_operator"),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="operator",
            index=models.Index(
                condition=models.Q(("deleted_at", None)), fields=["name", "id"], name="operator_live_by_name"
            ),
        ),
        migrations.AddIndex(
            model_name="operator",
            index=models.Index(
                condition=models.Q(("deleted_at", None)),
                fields=["status", "health_state"],
                name="operator_live_by_state",
            ),
        ),
        migrations.AddIndex(
            model_name="operator",
            index=django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="operator_tags"),
        ),
        migrations.AddIndex(
            model_name="operator",
            index=models.Index(fields=["-updated_at", "id"], name="operator_by_update"),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("name"),
                condition=models.Q(("deleted_at", None)),
                name="operator_unique_name",
                violation_error_message="Another operator already has this name.",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.UniqueConstraint(
                condition=models.Q(("deleted_at", None)),
                fields=("host", "port", "system_id"),
                name="operator_unique_bind",
                violation_error_message="Another operator already has this host, port and system_id.",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("name__regex", "^\\S(.*\\S)?$")),
                name="operator_name_trimmed",
                violation_error_message="The name has 1 to 128 characters and no spaces around it.",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("port__range", (1, 65535))),
                name="operator_port_range",
                violation_error_message="The port lies between 1 and 65535.",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("system_id__regex", "^[\\x20-\\x7e]{1,15}$")),
                name="operator_system_id_ascii",
                violation_error_message="The system_id has 1 to 15 printable ASCII characters.",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("system_type__regex", "^[\\x20-\\x7e]{0,12}$")),
                name="operator_system_type_ascii",
                violation_error_message="The system_type has at most 12 printable ASCII characters.",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("bind_type__in", ["TRANSCEIVER", "TRANSMITTER", "RECEIVER"])),
                name="operator_bind_type_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("max_tps__gte", 1)),
                name="operator_max_tps_positive",
                violation_error_message="maxTps is at least 1.",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("burst_multiplier__gte", Decimal("1.00"))),
                name="operator_burst_at_least_one",
                violation_error_message="burstMultiplier is at least 1.00.",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("enforcement_mode__in", ["HARD_REJECT", "SOFT_THROTTLE"])),
                name="operator_enforcement_mode_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["INACTIVE", "ACTIVE", "SUSPENDED"])), name="operator_status_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("health_state__in", ["UNKNOWN", "HEALTHY", "DEGRADED", "UNHEALTHY"])),
                name="operator_health_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("deleted_at", None), ("status", "INACTIVE"), _connector="OR"),
                name="operator_deleted_is_inactive",
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("version__gte", 1)), name="operator_version_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("credential_version__gte", 1)), name="operator_credential_version_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="operator",
            constraint=models.CheckConstraint(
                condition=models.Q(("backup_operator", models.F("id")), _negated=True),
                name="operator_not_its_own_backup",
                violation_error_message="An operator cannot be its own backup.",
            ),
        ),
        migrations.AddConstraint(
            model_name="legacyrow",
            constraint=models.UniqueConstraint(fields=("run", "line"), name="legacy_row_unique_line"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["operator", "-id"], name="audit_by_operator"),
        ),
    ]
