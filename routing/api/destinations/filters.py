"""The query parameters of the list of destination prefixes; each wrong or unknown one is refused by its name."""

# ruff: noqa: N815 - the attributes are the parameters

from __future__ import annotations

import django_filters
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from operators import validators
from operators.api.filters import OperatorOrdering
from routing.api.rules.filters import PLUS, check_prefix
from routing.destinations import is_country
from routing.models import DestinationPrefix
from routing.models.destination import DestinationPrefixQuerySet


def check_country(text: str) -> None:
    if not is_country(text):
        raise ValidationError("The country is a two-letter code of ISO 3166-1, such as GB.")


class DestinationFilter(django_filters.FilterSet):
    country = django_filters.CharFilter(validators=[check_country], help_text="ISO 3166-1 alpha-2.")
    network = django_filters.CharFilter(
        lookup_expr="icontains", max_length=200, help_text="Part of the network's name, whatever the case."
    )
    mcc = django_filters.CharFilter(validators=[validators.validate_mcc])
    mnc = django_filters.CharFilter(validators=[validators.validate_mnc])
    prefixStarts = django_filters.CharFilter(
        field_name="prefix",
        lookup_expr="startswith",
        validators=[RegexValidator(r"^\+([1-9][0-9]{0,14})?\Z", f"+ and up to 15 digits, such as +4479. {PLUS}")],
        help_text="The beginning of the prefix: + and up to 15 digits.",
    )
    number = django_filters.CharFilter(
        method="covering",
        validators=[check_prefix],
        help_text="A number, or a part of one: the prefixes that cover it, the longest first.",
    )
    ordering = OperatorOrdering(
        fields=(("prefix", "prefix"), ("country", "country"), ("network", "network"), ("updated_at", "updatedAt")),
        help_text="One or more fields, with - in front for descending; by prefix unless given.",
    )

    class Meta:
        model = DestinationPrefix
        fields: tuple[str, ...] = ()

    def covering(self, queryset: DestinationPrefixQuerySet, name: str, value: str) -> DestinationPrefixQuerySet:
        return queryset.covering(value)
