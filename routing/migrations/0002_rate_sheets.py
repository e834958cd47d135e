"""Rate sheets: uploads, their lines, and what applying one changed; rules name the sheet that made them.

A hundred thousand prices in one transaction need an exclusion constraint that is cheap to write, too.
"""

from __future__ import annotations

import uuid

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models

import routing.models.rule


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0004_routing_in_the_audit_trail"),
        ("routing", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="RateSheet",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False, verbose_name="sheet ID"
                    ),
                ),
                ("filename", models.CharField(max_length=255)),
                ("size", models.PositiveBigIntegerField(help_text="Bytes.")),
                ("sha256", models.CharField(max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("UPLOADED", "uploaded"),
                            ("PREVIEWED", "previewed"),
                            ("APPLIED", "applied"),
                            ("UNDONE", "undone"),
                            ("FAILED", "failed"),
                        ],
                        default="UPLOADED",
                        max_length=9,
                    ),
                ),
                (
                    "failure",
                    models.TextField(
                        blank=True, default="", help_text="Why the last preview could not be made, in words."
                    ),
                ),
                ("column_map", models.JSONField(default=dict)),
                ("titles", models.JSONField(default=list)),
                ("sample", models.JSONField(default=list)),
                ("notes", models.JSONField(default=list, help_text="What the first look at the file noticed.")),
                (
                    "default_currency",
                    models.CharField(help_text="For lines without a currency (ISO 4217).", max_length=3),
                ),
                ("default_effective_from", models.DateTimeField(help_text="For lines without a date (UTC).")),
                (
                    "is_full",
                    models.BooleanField(
                        default=False,
                        help_text="The sheet names every price: whatever it does not name ends.",
                        verbose_name="full sheet",
                    ),
                ),
                (
                    "missing_end_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When what a full sheet does not name ends; its earliest date unless given.",
                        null=True,
                    ),
                ),
                ("counts", models.JSONField(default=dict)),
                ("warnings", models.JSONField(default=list, help_text="What the preview noticed.")),
                ("seen_version", models.PositiveBigIntegerField(blank=True, null=True)),
                ("progress", models.PositiveIntegerField(default=0, help_text="Lines read so far.")),
                (
                    "total",
                    models.PositiveIntegerField(
                        blank=True, help_text="Lines of prices; null until all are read.", null=True
                    ),
                ),
                ("uploaded_by", models.CharField(max_length=255)),
                ("uploaded_source", models.CharField(max_length=10)),
                ("uploaded_at", models.DateTimeField()),
                ("previewed_at", models.DateTimeField(blank=True, null=True)),
                ("applied_by", models.CharField(blank=True, default="", max_length=255)),
                ("applied_source", models.CharField(blank=True, default="", max_length=10)),
                ("applied_at", models.DateTimeField(blank=True, null=True)),
                (
                    "applied_version",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="The operator's version since then.", null=True
                    ),
                ),
                ("undone_by", models.CharField(blank=True, default="", max_length=255)),
                ("undone_source", models.CharField(blank=True, default="", max_length=10)),
                ("undone_at", models.DateTimeField(blank=True, null=True)),
                (
                    "operator",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rate_sheets",
                        to="operators.operator",
                    ),
                ),
            ],
            options={
                "ordering": ("-uploaded_at", "id"),
            },
        ),
        migrations.CreateModel(
            name="RateSheetEnding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rule_id", models.UUIDField()),
                (
                    "is_superseded",
                    models.BooleanField(help_text="The rule became inactive; otherwise it ends earlier."),
                ),
                ("effective_to", models.DateTimeField(help_text="The rule's end before.", null=True)),
                ("updated_by", models.CharField(max_length=255)),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="RateSheetLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "line",
                    models.PositiveIntegerField(help_text="In the file, from 1; null for the kind ended.", null=True),
                ),
                ("prefix", models.CharField(blank=True, db_collation="C", default="", max_length=16)),
                ("mcc", models.CharField(blank=True, default="", max_length=3, verbose_name="MCC")),
                ("mnc", models.CharField(blank=True, default="", max_length=3, verbose_name="MNC")),
                ("cost", models.DecimalField(decimal_places=6, max_digits=18, null=True)),
                ("currency", models.CharField(blank=True, default="", max_length=3)),
                ("effective_from", models.DateTimeField(null=True)),
                ("effective_to", models.DateTimeField(null=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("new", "new"),
                            ("dearer", "dearer"),
                            ("cheaper", "cheaper"),
                            ("currencyChanged", "other currency"),
                            ("unchanged", "unchanged"),
                            ("ended", "ended"),
                            ("rejected", "rejected"),
                        ],
                        max_length=15,
                    ),
                ),
                (
                    "writes",
                    models.BooleanField(default=False, help_text="Applying the sheet makes a rule of this line."),
                ),
                ("rule_id", models.UUIDField(null=True)),
                ("old_cost", models.DecimalField(decimal_places=6, max_digits=18, null=True)),
                ("old_currency", models.CharField(blank=True, default="", max_length=3)),
                (
                    "change_percent",
                    models.DecimalField(
                        decimal_places=2,
                        help_text="Null where there was no price, or another currency.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                ("field", models.CharField(blank=True, default="", max_length=20)),
                ("value", models.CharField(blank=True, default="", max_length=200)),
                ("reason", models.TextField(blank=True, default="")),
            ],
            options={
                "ordering": ("sheet", "line", "id"),
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="RateSheetProfile",
            fields=[
                (
                    "operator",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="rate_sheet_profile",
                        serialize=False,
                        to="operators.operator",
                    ),
                ),
                ("column_map", models.JSONField()),
                ("default_currency", models.CharField(max_length=3)),
                ("updated_by", models.CharField(max_length=255)),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="RateSheetFile",
            fields=[
                (
                    "sheet",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="file",
                        serialize=False,
                        to="routing.ratesheet",
                    ),
                ),
                ("content", models.BinaryField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="routingrule",
            name="rate_sheet",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                editable=False,
                help_text="The rate sheet that made the rule.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="rules",
                to="routing.ratesheet",
            ),
        ),
        migrations.AddIndex(
            model_name="routingrule",
            index=models.Index(
                condition=models.Q(("rate_sheet__isnull", False)), fields=["rate_sheet"], name="routing_rule_by_sheet"
            ),
        ),
        migrations.AddField(
            model_name="ratesheetending",
            name="sheet",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="endings",
                to="routing.ratesheet",
            ),
        ),
        migrations.AddField(
            model_name="ratesheetline",
            name="sheet",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="lines",
                to="routing.ratesheet",
            ),
        ),
        migrations.AddIndex(
            model_name="ratesheet",
            index=models.Index(fields=["-uploaded_at", "id"], name="rate_sheet_by_upload"),
        ),
        migrations.AddIndex(
            model_name="ratesheet",
            index=models.Index(fields=["operator", "-uploaded_at", "id"], name="rate_sheet_by_operator"),
        ),
        migrations.AddConstraint(
            model_name="ratesheet",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["UPLOADED", "PREVIEWED", "APPLIED", "UNDONE", "FAILED"])),
                name="rate_sheet_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="ratesheet",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status__in", ("APPLIED", "UNDONE")), _negated=True),
                    ("applied_at__isnull", False),
                    _connector="OR",
                ),
                name="rate_sheet_applied_has_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="ratesheetending",
            constraint=models.UniqueConstraint(fields=("sheet", "rule_id"), name="rate_sheet_ending_once"),
        ),
        migrations.AddIndex(
            model_name="ratesheetline",
            index=models.Index(fields=["sheet", "kind", "line"], name="rate_sheet_line_by_kind"),
        ),
        # The same rule, with the prefix as a number and in the first place: half the time for each row.
        migrations.RemoveConstraint(
            model_name="routingrule",
            name="routing_rule_no_double",
        ),
        migrations.AddConstraint(
            model_name="routingrule",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                condition=models.Q(("active", True)),
                expressions=(
                    (routing.models.rule.Digits("prefix"), "="),
                    (models.F("operator"), "="),
                    (models.F("mcc"), "="),
                    (models.F("mnc"), "="),
                    (
                        routing.models.rule.Window(
                            "effective_from", "effective_to", django.contrib.postgres.fields.ranges.RangeBoundary()
                        ),
                        "&&",
                    ),
                ),
                name="routing_rule_no_double",
                violation_error_message="The operator has an active rule for this prefix, MCC and MNC then.",
            ),
        ),
    ]
