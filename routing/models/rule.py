"""Routing rules: which operator carries which destination, in which order, at what price, and when."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeBoundary, RangeOperators
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Func, Q

from operators import validators
from operators.models import Operator
from routing.models.destination import LONGEST_PREFIX, check_network, prefixes_of
from routing.models.ratesheet import RateSheet

BIGGEST: Final = 2_147_483_647
SCALE: Final = Decimal("0.000001")


class Window(Func):
    """The time in which a rule routes, from its beginning up to but not including its end; NULL is unbounded."""

    function = "tstzrange"
    output_field = DateTimeRangeField()


class Digits(Func):
    """The digits of a prefix as a number; no two prefixes have the same, for none begins with 0."""

    template = "substr(%(expressions)s, 2)::bigint"
    output_field = models.BigIntegerField()


class RuleState(models.TextChoices):
    """What time and switch make of a rule; whether its operator routes is another question."""

    IN_FORCE = "IN_FORCE", "in force"
    FUTURE = "FUTURE", "future"
    ENDED = "ENDED", "ended"
    INACTIVE = "INACTIVE", "inactive"


class RoutingRuleQuerySet(models.QuerySet["RoutingRule"]):
    def of_live_operators(self) -> Self:
        """Leave out what belongs to operators that are deleted."""
        return self.filter(operator__deleted_at=None)

    def at(self, moment: Any) -> Self:
        """Keep what is in force at a moment, whatever its operator's state."""
        return self.filter(
            Q(effective_from=None) | Q(effective_from__lte=moment),
            Q(effective_to=None) | Q(effective_to__gt=moment),
            active=True,
        )

    def in_state(self, state: RuleState, moment: Any) -> Self:
        """Keep the rules of which `state_at` says this."""
        match state:
            case RuleState.INACTIVE:
                return self.filter(active=False)
            case RuleState.IN_FORCE:
                return self.at(moment)
            case RuleState.FUTURE:
                return self.filter(active=True, effective_from__gt=moment)
            case RuleState.ENDED:
                return self.filter(active=True, effective_to__lte=moment)

    def covering(self, number: str) -> Self:
        """Keep the rules whose prefix a number or prefix lies in."""
        return self.filter(prefix__in=prefixes_of(number))


class RoutingRule(models.Model):
    """Send what goes to `prefix` over `operator` at this price; only routing.actions and routing.imports write it.

    Each change of a rule raises its operator's version too.
    """

    id = models.UUIDField("rule ID", primary_key=True, default=uuid.uuid4, editable=False)
    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="routing_rules", db_index=False)
    # In the C collation an index serves equality, order and "starts with" alike.
    prefix = models.CharField(
        max_length=LONGEST_PREFIX + 1,
        db_collation="C",
        validators=[validators.validate_prefix],
        help_text="+ and 1 to 15 digits (E.164), such as +4479.",
    )
    mcc = models.CharField("MCC", max_length=3, blank=True, default="", help_text="3 digits (E.212), or empty.")
    mnc = models.CharField(
        "MNC", max_length=3, blank=True, default="", help_text="2 or 3 digits (E.212), only beside an MCC."
    )
    priority = models.PositiveIntegerField(
        default=10, validators=[MaxValueValidator(BIGGEST)], help_text="Lower is tried first."
    )
    weight = models.PositiveIntegerField(
        default=100,
        validators=[MinValueValidator(1), MaxValueValidator(BIGGEST)],
        help_text="Share of the traffic among rules of equal priority.",
    )
    cost_per_segment = models.DecimalField(
        max_digits=18, decimal_places=6, validators=[MinValueValidator(0)], help_text="Price of one SMS segment."
    )
    currency = models.CharField(
        max_length=3, default="USD", validators=[validators.validate_currency], help_text="ISO 4217."
    )
    effective_from = models.DateTimeField(
        null=True, blank=True, help_text="The rule routes from then on (UTC); empty: always has."
    )
    effective_to = models.DateTimeField(
        null=True, blank=True, help_text="The rule routes until then (UTC), exclusive; empty: until further notice."
    )
    active = models.BooleanField(default=True)
    rate_sheet = models.ForeignKey(
        RateSheet,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="rules",
        db_index=False,
        help_text="The rate sheet that made the rule.",
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_by = models.CharField(max_length=255, editable=False)
    updated_by = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(editable=False)
    updated_at = models.DateTimeField(editable=False)

    objects = RoutingRuleQuerySet.as_manager()

    class Meta:
        ordering = ("prefix", "id")
        indexes = (
            # Resolution (prefix among the number's prefixes), and the list of all rules in its order. It holds all that
            # resolution reads of a rule: the rules of one prefix lie all over the table, for each sheet has its own.
            models.Index(
                fields=("prefix", "id"),
                include=(
                    "operator",
                    "mcc",
                    "mnc",
                    "priority",
                    "weight",
                    "cost_per_segment",
                    "currency",
                    "effective_from",
                    "effective_to",
                    "active",
                ),
                name="routing_rule_by_prefix",
            ),
            # An operator's rules, its overlaps, and the rules that a rate sheet's lines meet.
            models.Index(fields=("operator", "prefix", "id"), name="routing_rule_by_operator"),
            # What one rate sheet made.
            models.Index(fields=("rate_sheet",), condition=Q(rate_sheet__isnull=False), name="routing_rule_by_sheet"),
        )
        constraints = (
            # A GiST index weighs its columns in this order and compares whole pages of entries with each new one: with
            # the number first, a sheet of a hundred thousand prices is written in half the time.
            ExclusionConstraint(
                name="routing_rule_no_double",
                expressions=(
                    (Digits("prefix"), RangeOperators.EQUAL),
                    (F("operator"), RangeOperators.EQUAL),
                    (F("mcc"), RangeOperators.EQUAL),
                    (F("mnc"), RangeOperators.EQUAL),
                    (Window("effective_from", "effective_to", RangeBoundary()), RangeOperators.OVERLAPS),
                ),
                condition=Q(active=True),
                violation_error_message="The operator has an active rule for this prefix, MCC and MNC then.",
            ),
            models.CheckConstraint(
                condition=Q(prefix__regex=r"^\+[1-9][0-9]{0,14}$"),
                name="routing_rule_prefix_e164",
                violation_error_message="A prefix is + and 1 to 15 digits, the first one 1 to 9 (E.164).",
            ),
            models.CheckConstraint(
                condition=Q(mcc__regex=r"^([0-9]{3})?$") & Q(mnc__regex=r"^([0-9]{2,3})?$") & (~Q(mcc="") | Q(mnc="")),
                name="routing_rule_network_e212",
                violation_error_message="An MCC has 3 digits, an MNC 2 or 3 and only beside an MCC (E.212).",
            ),
            models.CheckConstraint(
                condition=Q(weight__gte=1),
                name="routing_rule_weight_positive",
                violation_error_message="The weight is at least 1.",
            ),
            models.CheckConstraint(
                condition=Q(cost_per_segment__gte=0),
                name="routing_rule_cost_not_negative",
                violation_error_message="The price is at least 0.",
            ),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[A-Z]{3}$"),
                name="routing_rule_currency_iso4217",
                violation_error_message="The currency is a three-letter code of ISO 4217, such as EUR.",
            ),
            models.CheckConstraint(
                condition=Q(effective_from=None) | Q(effective_to=None) | Q(effective_to__gt=F("effective_from")),
                name="routing_rule_window_not_empty",
                violation_error_message="effectiveTo lies after effectiveFrom.",
            ),
        )

    def __str__(self) -> str:
        network = "/".join(part for part in (self.mcc, self.mnc) if part)
        return f"{self.prefix} {network}".rstrip()

    @property
    def specificity(self) -> int:
        """Count how narrowly the rule names a network: 0 any, 1 an MCC, 2 an MCC and MNC."""
        return bool(self.mcc) + bool(self.mnc)

    def state_at(self, moment: datetime) -> RuleState:
        if not self.active:
            return RuleState.INACTIVE
        if self.effective_to is not None and self.effective_to <= moment:
            return RuleState.ENDED
        if self.effective_from is not None and self.effective_from > moment:
            return RuleState.FUTURE
        return RuleState.IN_FORCE

    def in_words(self) -> str:
        """Tell the whole rule on one line, for the audit trail and for lists of conflicts."""
        start = f"{self.effective_from:%Y-%m-%dT%H:%MZ}" if self.effective_from else ""
        end = f"{self.effective_to:%Y-%m-%dT%H:%MZ}" if self.effective_to else ""
        window = f", {start}/{end}" if start or end else ""
        return (
            f"{self}: {self.cost_per_segment.quantize(SCALE)} {self.currency}, priority {self.priority}, "
            f"weight {self.weight}{window}{'' if self.active else ', inactive'}"
        )

    def clean(self) -> None:
        """Check what spans several fields; raises ValidationError by field."""
        problems: dict[str, Any] = {}
        try:
            check_network(self.mcc, self.mnc)
        except ValidationError as error:
            problems |= error.error_dict
        if self.effective_from and self.effective_to and self.effective_to <= self.effective_from:
            problems["effective_to"] = ValidationError("effectiveTo lies after effectiveFrom.", code="window")
        if problems:
            raise ValidationError(problems)
