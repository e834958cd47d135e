"""The list of routing rules, at a million rows, and what is done to many of them at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page
from django.db.models import Model, QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.admin.badges import moment, status_badge
from operators.admin.base import BoundedPaginator, TypedAdmin, actor_of
from operators.admin.listing import OperatorChangeList
from operators.errors import OperatorError
from operators.models import Operator, Status
from routing.admin.rules import badges
from routing.admin.rules.bulk import BULK_MOVES, MOST_AT_ONCE, Move
from routing.admin.rules.filters import CurrencyFilter, OperatorFilter, StateFilter, chosen_operator
from routing.admin.rules.page import about_operator
from routing.models import RoutingRule

MOST_OPERATORS: Final = 200
SELECT_ALL: Final = SafeString('<input type="checkbox" id="action-toggle" aria-label="Select all rules of this page">')
# What people put between the digits of a number.
SPACING: Final = re.compile(r"[\s().-]+")
DIGITS: Final = re.compile(r"(?:\+|00)?([1-9][0-9]{0,14})|\+")


class KeysFirstPaginator(BoundedPaginator):
    """Find a later page's rows by the index alone, and read those rows: skipped ones are never read."""

    def page(self, number: int | str) -> Page[Any]:
        page = super().page(number)
        if page.number > 1:
            all_rows, rows = self.object_list, page.object_list
            assert isinstance(all_rows, QuerySet)
            assert isinstance(rows, QuerySet)
            page.object_list = all_rows.filter(pk__in=list(rows.values_list("pk", flat=True)))
        return page


class RuleChangeList(OperatorChangeList):
    """Keep to an order that an index serves: among all rules by prefix, and any within one operator."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Model]) -> list[Any]:
        ordering = [str(name) for name in super().get_ordering(request, queryset)]
        fields = [name for name in ordering if name.lstrip("-") not in ("id", "pk")]
        if chosen_operator(request) is None and any(name.lstrip("-") != "prefix" for name in fields):
            fields = ["prefix"]
        return [*fields, "-id" if fields[0].startswith("-") else "id"]


class ListPage(TypedAdmin[RoutingRule]):
    """Show rules in the order of their prefixes; the filters and the search lead to the few that are meant."""

    list_display = ("destination", "carrier", "price", "priority", "weight", "window", "state", "updated")
    list_filter = (OperatorFilter, StateFilter, CurrencyFilter)
    list_per_page = 50
    list_select_related = ("operator",)
    ordering = ("prefix", "id")
    paginator = KeysFirstPaginator
    search_fields = ("prefix",)
    search_help_text = "The beginning of a prefix, such as +4479, or part of an operator's name."
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False

    @property
    def media(self) -> Media:
        field = RoutingRule._meta.get_field("operator")
        return (
            super().media
            + AutocompleteSelect(field, self.admin_site).media
            + Media(css={"all": ["console/routing.css"]})
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RuleChangeList

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        return self.list_display if chosen_operator(request) else ("destination",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RoutingRule]:
        # Sorting by a column drags along every byte of a row; no page of rules shows these.
        unseen = ("operator__notes", "operator__contacts", "operator__tags")
        return RoutingRule.objects.of_live_operators().select_related("operator").defer(*unseen)

    @admin.display(description=SELECT_ALL)
    def action_checkbox(self, rule: RoutingRule) -> SafeString:
        """Draw what Django draws, without rendering a widget's template for each row."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="Select {} of {}">',
            helpers.ACTION_CHECKBOX_NAME,
            rule.pk,
            str(rule),
            rule.operator.name,
        )

    @admin.display(description="prefix", ordering="prefix")
    def destination(self, rule: RoutingRule) -> SafeString:
        return badges.destination(rule.prefix, rule.mcc, rule.mnc)

    @admin.display(description="operator")
    def carrier(self, rule: RoutingRule) -> SafeString:
        """Name the operator, and its status where that keeps it from routing."""
        operator = rule.operator
        return format_html(
            '<a href="?operator={}">{}</a> {}',
            operator.pk,
            operator.name,
            "" if operator.status == Status.ACTIVE else status_badge(operator),
        )

    @admin.display(description="price", ordering="cost_per_segment")
    def price(self, rule: RoutingRule) -> SafeString:
        return badges.price(rule.cost_per_segment, rule.currency)

    @admin.display(description="window")
    def window(self, rule: RoutingRule) -> SafeString:
        return badges.window(rule)

    @admin.display(description="state")
    def state(self, rule: RoutingRule) -> SafeString:
        return badges.state_badge(rule, timezone.now())

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, rule: RoutingRule) -> SafeString:
        return moment(rule.updated_at)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        context: dict[str, Any] = {"title": "Routing rules"}
        pk = chosen_operator(request)
        if operator := Operator.objects.filter(pk=pk).first() if pk else None:
            context |= {"title": f"Routes of {operator.name}", **about_operator(request, operator)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RoutingRule], search_term: str
    ) -> tuple[QuerySet[RoutingRule], bool]:
        if not (term := search_term.strip()):
            return queryset, False
        if match := DIGITS.fullmatch(SPACING.sub("", term)):
            return queryset.filter(prefix__startswith=f"+{match.group(1) or ''}"), False
        # Resolved here: by a join the names would be asked of every rule.
        found = Operator.objects.live().filter(name__icontains=term).values_list("pk", flat=True)[:MOST_OPERATORS]
        return queryset.filter(operator_id__in=list(found)), False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer what this person may do to many rules; Django's own deletion, which asks no action, is not there."""
        if not self.has_change_permission(request):
            return {}
        return {name: (_bulk_action(name), name, f"{move.label} (selected rules)") for name, move in BULK_MOVES.items()}

    def confirm_bulk(self, request: HttpRequest, queryset: QuerySet[RoutingRule], name: str) -> HttpResponse | None:
        """Show which rules the move touches and ask for a reason; after the confirmation make it, one by one."""
        move, now = BULK_MOVES[name], timezone.now()
        rules = list(queryset.order_by("prefix", "id")[: MOST_AT_ONCE + 1])
        if len(rules) > MOST_AT_ONCE:
            message = f"At most {MOST_AT_ONCE} rules at once: narrow the selection. Nothing was changed."
            self.message_user(request, message, messages.ERROR)
            return None
        able = [rule for rule in rules if move.is_possible(rule, now)]
        if "confirmed" in request.POST:
            return self._run_bulk(request, move, able)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": f"{move.label}: {len(able)} rule{'s' if len(able) != 1 else ''}",
            "move": move,
            "action_name": name,
            "able": [(rule, badges.price(rule.cost_per_segment, rule.currency), badges.window(rule)) for rule in able],
            "unable": [(rule, badges.state_badge(rule, now)) for rule in rules if rule not in able],
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "back": f"{reverse('admin:routing_routingrule_changelist')}?{request.GET.urlencode()}",
        }
        return TemplateResponse(request, "admin/routing/routingrule/bulk.html", context)

    def _run_bulk(self, request: HttpRequest, move: Move, rules: list[RoutingRule]) -> HttpResponse | None:
        reason = request.POST.get("reason", "").strip()[:1000]
        done = 0
        for rule in rules:
            try:
                move.run(actor=actor_of(request), rule_id=rule.pk, reason=reason)
                done += 1
            except OperatorError as refusal:
                self.message_user(request, f"{rule} of {rule.operator}: {refusal}", messages.ERROR)
        if done:
            message = f"{move.label}: done for {done} rule{'s' if done != 1 else ''}."
            self.message_user(request, message, messages.SUCCESS)
        return None


def _bulk_action(name: str) -> Callable[[ListPage, HttpRequest, QuerySet[RoutingRule]], HttpResponse | None]:
    return lambda pages, request, queryset: pages.confirm_bulk(request, queryset, name)
