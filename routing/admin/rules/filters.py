"""The filters beside the list of rules."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from operators.admin.base import parse_uuid
from operators.models import Operator
from routing.models import RoutingRule, RoutingRuleQuerySet, RuleState


class PickFilter(admin.SimpleListFilter):
    """Choose from more than a list of links can hold: a box, and the other filters hidden beside it."""

    template = "admin/routing/pick_filter.html"
    others: list[tuple[str, str]]
    without: str

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        name = str(self.parameter_name)
        form = forms.Form(initial={name: self.shown(request)}, auto_id="pick_%s")
        form.fields[name] = self.make_field(model_admin)
        self.box = form[name]

    def make_field(self, model_admin: Any) -> forms.Field:
        raise NotImplementedError

    def shown(self, request: HttpRequest) -> object:
        return self.value()

    def has_output(self) -> bool:
        return True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return []

    def choices(self, changelist: ChangeList) -> Any:
        self.others = [
            (name, value)
            for name, values in changelist.filter_params.items()
            if name not in (self.parameter_name, PAGE_VAR)
            for value in values
        ]
        self.without = changelist.get_query_string(remove=[str(self.parameter_name)])
        return ()


class OperatorFilter(PickFilter):
    title = "operator"
    parameter_name = "operator"

    def make_field(self, model_admin: Any) -> forms.Field:
        return forms.ModelChoiceField(
            Operator.objects.live(),
            required=False,
            widget=AutocompleteSelect(RoutingRule._meta.get_field("operator"), model_admin.admin_site),
        )

    def shown(self, request: HttpRequest) -> object:
        return chosen_operator(request)

    def queryset(self, request: HttpRequest, queryset: QuerySet[RoutingRule]) -> QuerySet[RoutingRule]:
        if not self.value():
            return queryset
        return queryset.filter(operator_id=pk) if (pk := chosen_operator(request)) else queryset.none()


class CurrencyFilter(PickFilter):
    """Take a code; asking a million rules for theirs would read them all, and a list of every code is half the page."""

    title = "currency"
    parameter_name = "currency"

    def make_field(self, model_admin: Any) -> forms.Field:
        box = forms.TextInput(attrs={"placeholder": "such as EUR", "size": 10, "autocomplete": "off"})
        return forms.CharField(max_length=3, required=False, widget=box)

    def queryset(self, request: HttpRequest, queryset: QuerySet[RoutingRule]) -> QuerySet[RoutingRule]:
        return queryset.filter(currency=code.strip().upper()) if (code := self.value()) else queryset


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, state.label.capitalize()) for state in RuleState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[RoutingRule]) -> QuerySet[RoutingRule]:
        assert isinstance(queryset, RoutingRuleQuerySet)
        return queryset.in_state(RuleState(state), timezone.now()) if (state := self.value()) else queryset


def chosen_operator(request: HttpRequest) -> UUID | None:
    return parse_uuid(request.GET.get("operator", ""))
