"""The list's query parameters; each wrong or unknown one is refused by its name."""

# ruff: noqa: N815 - the attributes are the parameters

from __future__ import annotations

from typing import Any, Final

import django_filters
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request
from rest_framework.views import APIView

from operators.errors import FieldProblem, InvalidPayload
from operators.models import BindType, HealthState, Operator, Status
from operators.models.operator import OperatorQuerySet

PAGING: Final = frozenset({"page", "limit"})


class OperatorOrdering(django_filters.OrderingFilter):
    """Order by the wire names; the id comes last, so that pages neither repeat nor skip equal rows."""

    def filter(self, qs: QuerySet[Any], value: list[str] | None) -> QuerySet[Any]:
        if not value:
            return qs
        return qs.order_by(*(self.get_ordering_value(param) for param in value), "id")


class OperatorFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=Status.choices)
    healthState = django_filters.ChoiceFilter(field_name="health_state", choices=HealthState.choices)
    bindType = django_filters.ChoiceFilter(field_name="bind_type", choices=BindType.choices)
    q = django_filters.CharFilter(
        method="search", max_length=100, help_text="Part of name, host or systemId, or a whole tag."
    )
    tag = django_filters.CharFilter(method="with_tag", max_length=50, help_text="A whole tag.")
    ordering = OperatorOrdering(
        fields=(
            ("name", "name"),
            ("created_at", "createdAt"),
            ("updated_at", "updatedAt"),
            ("status", "status"),
            ("health_state", "healthState"),
            ("port", "port"),
        ),
        help_text="One or more fields, with - in front for descending; by name unless given.",
    )

    class Meta:
        model = Operator
        fields: tuple[str, ...] = ()

    def search(self, queryset: OperatorQuerySet, name: str, value: str) -> OperatorQuerySet:
        return queryset.search(value)

    def with_tag(self, queryset: OperatorQuerySet, name: str, value: str) -> OperatorQuerySet:
        return queryset.filter(tags__contains=[value])


class StrictFilterBackend(DjangoFilterBackend):
    """Filter, and refuse parameters that are unknown or given twice: a mistyped filter must not list everything."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        filterset = self.get_filterset_class(view, queryset)
        refuse_unknown(request, PAGING | set(filterset.base_filters if filterset else ()))
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered


def refuse_unknown(request: Request, known: set[str] | frozenset[str]) -> None:
    problems = [
        FieldProblem(name[:64], "There is no such parameter." if name not in known else "Give this parameter once.")
        for name, values in request.query_params.lists()
        if name not in known or len(values) > 1
    ]
    if problems:
        raise InvalidPayload(problems)
