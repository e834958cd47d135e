"""The filters beside the board; a value that nobody offers filters nothing."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from health.models import HealthStatus, HealthWindow, WindowKind
from operators.admin.filters import TagFilter
from operators.models import HealthState, Operator, Status


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        worst_first = (HealthState.UNHEALTHY, HealthState.DEGRADED, HealthState.UNKNOWN, HealthState.HEALTHY)
        return [(state.value, str(state.label).capitalize()) for state in worst_first]

    def queryset(self, request: HttpRequest, queryset: QuerySet[HealthStatus]) -> QuerySet[HealthStatus]:
        return queryset.filter(effective_state=state) if (state := self.value()) in HealthState else queryset


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (status.value, str(status.label).capitalize())
            for status in (Status.ACTIVE, Status.SUSPENDED, Status.INACTIVE)
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[HealthStatus]) -> QuerySet[HealthStatus]:
        return queryset.filter(operator__status=status) if (status := self.value()) in Status else queryset


class WindowFilter(admin.SimpleListFilter):
    """Find operators whose state staff decide at the moment."""

    title = "decision of staff"
    parameter_name = "window"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("any", "Either"), *((kind.value.lower(), str(kind.label)) for kind in WindowKind)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[HealthStatus]) -> QuerySet[HealthStatus]:
        windows = HealthWindow.objects.open().filter(operator_id=OuterRef("pk"))
        match self.value():
            case "any":
                return queryset.filter(Exists(windows))
            case ("maintenance" | "override") as kind:
                return queryset.filter(Exists(windows.filter(kind=WindowKind(kind.upper()))))
            case _:
                return queryset


class OperatorTagFilter(TagFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        return queryset.filter(operator__in=super().queryset(request, Operator.objects.live()))
