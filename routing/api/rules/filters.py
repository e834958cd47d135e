"""The query parameters of the lists of rules; each wrong or unknown one is refused by its name."""

# ruff: noqa: N815 - the attributes are the parameters

from __future__ import annotations

from typing import Any, Final

import django_filters
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import QuerySet

from operators import validators
from operators.api.moments import read_moment
from operators.errors import FieldProblem, InvalidPayload
from routing.models import RoutingRule, RoutingRuleQuerySet

# The filters fill their messages in by %.
PLUS: Final = "Write + as %%2B."


def check_prefix(text: str) -> None:
    try:
        validators.validate_prefix(text)
    except ValidationError as error:
        raise ValidationError(f"{error.message} {PLUS}") from None


def check_moment(text: str) -> None:
    try:
        read_moment(text)
    except ValueError as error:
        raise ValidationError(f"{error} {PLUS}") from None


class RuleOrdering(django_filters.OrderingFilter):
    """Order by the wire names; the id comes last, and runs the same way, so that the index serves it backwards too."""

    def filter(self, qs: QuerySet[Any], value: list[str] | None) -> QuerySet[Any]:
        if not value:
            return qs
        tie = "-id" if value[0].startswith("-") else "id"
        return qs.order_by(*(self.get_ordering_value(param) for param in value), tie)


class OperatorRuleFilter(django_filters.FilterSet):
    """The filters of one operator's rules."""

    prefix = django_filters.CharFilter(validators=[check_prefix], help_text="Exactly this prefix.")
    prefixStarts = django_filters.CharFilter(
        field_name="prefix",
        lookup_expr="startswith",
        validators=[RegexValidator(r"^\+([1-9][0-9]{0,14})?$", f"+ and up to 15 digits, such as +4479. {PLUS}")],
        help_text="The beginning of the prefix: + and up to 15 digits.",
    )
    number = django_filters.CharFilter(
        method="covering", validators=[check_prefix], help_text="A number, or a part of one, that the rule covers."
    )
    mcc = django_filters.CharFilter(validators=[validators.validate_mcc])
    mnc = django_filters.CharFilter(validators=[validators.validate_mnc])
    currency = django_filters.CharFilter(validators=[validators.validate_currency])
    active = django_filters.ChoiceFilter(choices=(("true", "true"), ("false", "false")), method="being_active")
    effectiveAt = django_filters.CharFilter(
        method="in_force",
        validators=[check_moment],
        help_text="A moment with its offset: active rules whose time it lies in.",
    )
    ordering = RuleOrdering(
        fields=(
            ("prefix", "prefix"),
            ("priority", "priority"),
            ("cost_per_segment", "costPerSegment"),
            ("updated_at", "updatedAt"),
        ),
        help_text="One or more fields, with - in front for descending; by prefix unless given.",
    )

    class Meta:
        model = RoutingRule
        fields: tuple[str, ...] = ()

    def covering(self, queryset: RoutingRuleQuerySet, name: str, value: str) -> RoutingRuleQuerySet:
        return queryset.covering(value)

    def being_active(self, queryset: RoutingRuleQuerySet, name: str, value: str) -> RoutingRuleQuerySet:
        return queryset.filter(active=value == "true")

    def in_force(self, queryset: RoutingRuleQuerySet, name: str, value: str) -> RoutingRuleQuerySet:
        return queryset.at(read_moment(value))


class RuleFilter(OperatorRuleFilter):
    """The filters of all rules.

    A million of them have an index in the order of their prefixes alone: any other order would sort them all for each
    page, and is given only where a filter leaves few.
    """

    operatorId = django_filters.UUIDFilter(field_name="operator_id")

    def filter_queryset(self, queryset: Any) -> Any:
        asked = self.form.cleaned_data
        is_narrow = any(asked.get(name) for name in ("operatorId", "prefix", "number"))
        if not is_narrow and any(param.lstrip("-") != "prefix" for param in asked.get("ordering") or ()):
            raise InvalidPayload(
                [FieldProblem("ordering", "All rules come by prefix or -prefix; give operatorId, prefix or number.")]
            )
        return super().filter_queryset(queryset)
