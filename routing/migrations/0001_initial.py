"""Tables of routing: destination prefixes and rules, with the constraint that no two rules of an operator collide."""

from __future__ import annotations

import uuid

import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.core.validators
import django.db.models.deletion
from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations, models

import operators.validators
import routing.models.rule


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("operators", "0004_routing_in_the_audit_trail"),
    ]

    operations = [
        # Equality of operator, prefix and network beside the overlap of windows, in one GiST index.
        BtreeGistExtension(),
        migrations.CreateModel(
            name="DestinationPrefix",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False, verbose_name="prefix ID"
                    ),
                ),
                (
                    "prefix",
                    models.CharField(
                        db_collation="C",
                        help_text="+ and 1 to 15 digits (E.164).",
                        max_length=16,
                        unique=True,
                        validators=[operators.validators.validate_prefix],
                    ),
                ),
                (
                    "country",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="ISO 3166-1 alpha-2; empty for ranges that belong to none.",
                        max_length=2,
                    ),
                ),
                (
                    "network",
                    models.CharField(
                        blank=True, default="", help_text="The network's name, where known.", max_length=200
                    ),
                ),
                (
                    "mcc",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="3 digits (E.212), or empty.",
                        max_length=3,
                        verbose_name="MCC",
                    ),
                ),
                (
                    "mnc",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="2 or 3 digits (E.212), only beside an MCC.",
                        max_length=3,
                        verbose_name="MNC",
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        choices=[("REFERENCE", "reference data"), ("STAFF", "staff")],
                        default="STAFF",
                        editable=False,
                        max_length=9,
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("updated_by", models.CharField(editable=False, max_length=255)),
                ("updated_at", models.DateTimeField(editable=False)),
            ],
            options={
                "verbose_name_plural": "destination prefixes",
                "ordering": ("prefix",),
                "indexes": [
                    models.Index(fields=["country", "prefix"], name="destination_by_country"),
                    models.Index(
                        condition=models.Q(("mcc", ""), _negated=True),
                        fields=["mcc", "mnc"],
                        name="destination_by_network",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("prefix__regex", "^\\+[1-9][0-9]{0,14}$")),
                        name="destination_prefix_e164",
                        violation_error_message="A prefix is + and 1 to 15 digits, the first one 1 to 9 (E.164).",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("country__regex", "^([A-Z]{2})?$")),
                        name="destination_country_iso3166",
                        violation_error_message="The country is a two-letter code of ISO 3166-1, such as GB.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("mcc__regex", "^([0-9]{3})?$"),
                            ("mnc__regex", "^([0-9]{2,3})?$"),
                            models.Q(models.Q(("mcc", ""), _negated=True), ("mnc", ""), _connector="OR"),
                        ),
                        name="destination_network_e212",
                        violation_error_message="An MCC has 3 digits, an MNC 2 or 3 and only beside an MCC (E.212).",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("origin__in", ["REFERENCE", "STAFF"])), name="destination_origin_known"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RoutingRule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False, verbose_name="rule ID"
                    ),
                ),
                (
                    "prefix",
                    models.CharField(
                        db_collation="C",
                        help_text="+ and 1 to 15 digits (E.164), such as +4479.",
                        max_length=16,
                        validators=[operators.validators.validate_prefix],
                    ),
                ),
                (
                    "mcc",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="3 digits (E.212), or empty.",
                        max_length=3,
                        verbose_name="MCC",
                    ),
                ),
                (
                    "mnc",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="2 or 3 digits (E.212), only beside an MCC.",
                        max_length=3,
                        verbose_name="MNC",
                    ),
                ),
                (
                    "priority",
                    models.PositiveIntegerField(
                        default=10,
                        help_text="Lower is tried first.",
                        validators=[django.core.validators.MaxValueValidator(2147483647)],
                    ),
                ),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=100,
                        help_text="Share of the traffic among rules of equal priority.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(2147483647),
                        ],
                    ),
                ),
                (
                    "cost_per_segment",
                    models.DecimalField(
                        decimal_places=6,
                        help_text="Price of one SMS segment.",
                        max_digits=18,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "currency",
                    models.CharField(
                        default="USD",
                        help_text="ISO 4217.",
                        max_length=3,
                        validators=[operators.validators.validate_currency],
                    ),
                ),
                (
                    "effective_from",
                    models.DateTimeField(
                        blank=True, help_text="The rule routes from then on (UTC); empty: always has.", null=True
                    ),
                ),
                (
                    "effective_to",
                    models.DateTimeField(
                        blank=True,
                        help_text="The rule routes until then (UTC), exclusive; empty: until further notice.",
                        null=True,
                    ),
                ),
                ("active", models.BooleanField(default=True)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("created_by", models.CharField(editable=False, max_length=255)),
                ("updated_by", models.CharField(editable=False, max_length=255)),
                ("created_at", models.DateTimeField(editable=False)),
                ("updated_at", models.DateTimeField(editable=False)),
                (
                    "operator",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="routing_rules",
                        to="operators.operator",
                    ),
                ),
            ],
            options={
                "ordering": ("prefix", "id"),
                "indexes": [
                    models.Index(fields=["prefix", "id"], name="routing_rule_by_prefix"),
                    models.Index(fields=["operator", "prefix", "id"], name="routing_rule_by_operator"),
                ],
                "constraints": [
                    django.contrib.postgres.constraints.ExclusionConstraint(
                        condition=models.Q(("active", True)),
                        expressions=(
                            (models.F("operator"), "="),
                            (models.F("prefix"), "="),
                            (models.F("mcc"), "="),
                            (models.F("mnc"), "="),
                            (
                                routing.models.rule.Window(
                                    "effective_from",
                                    "effective_to",
                                    django.contrib.postgres.fields.ranges.RangeBoundary(),
                                ),
                                "&&",
                            ),
                        ),
                        name="routing_rule_no_double",
                        violation_error_message="The operator has an active rule for this prefix, MCC and MNC then.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("prefix__regex", "^\\+[1-9][0-9]{0,14}$")),
                        name="routing_rule_prefix_e164",
                        violation_error_message="A prefix is + and 1 to 15 digits, the first one 1 to 9 (E.164).",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("mcc__regex", "^([0-9]{3})?$"),
                            ("mnc__regex", "^([0-9]{2,3})?$"),
                            models.Q(models.Q(("mcc", ""), _negated=True), ("mnc", ""), _connector="OR"),
                        ),
                        name="routing_rule_network_e212",
                        violation_error_message="An MCC has 3 digits, an MNC 2 or 3 and only beside an MCC (E.212).",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("weight__gte", 1)),
                        name="routing_rule_weight_positive",
                        violation_error_message="The weight is at least 1.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("cost_per_segment__gte", 0)),
                        name="routing_rule_cost_not_negative",
                        violation_error_message="The price is at least 0.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")),
                        name="routing_rule_currency_iso4217",
                        violation_error_message="The currency is a three-letter code of ISO 4217, such as EUR.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("effective_from", None),
                            ("effective_to", None),
                            ("effective_to__gt", models.F("effective_from")),
                            _connector="OR",
                        ),
                        name="routing_rule_window_not_empty",
                        violation_error_message="effectiveTo lies after effectiveFrom.",
                    ),
                ],
            },
        ),
    ]
