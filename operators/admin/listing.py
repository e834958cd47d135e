"""The list of operators, with its counts and its bulk moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.admin import badges
from operators.admin.base import BoundedPaginator, TypedAdmin, actor_of, parse_uuid
from operators.admin.filters import BackupFilter, ExistenceFilter, PasswordAgeFilter, TagFilter
from operators.admin.moves import BULK_MOVES, Move
from operators.admin.page import names_backed_up_by
from operators.errors import OperatorError
from operators.models import HealthState, Operator, OperatorQuerySet, Status

MOST_AT_ONCE: Final = 200
SELECT_ALL: Final = SafeString(
    '<input type="checkbox" id="action-toggle" aria-label="Select all operators of this page">'
)


class OperatorChangeList(ChangeList):
    """Hand the list's filters on in each row's link, without asking the URL resolver about every one of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._query = f"?{self.preserved_filters}" if self.preserved_filters else ""
        self.preserved_filters = ""

    def url_for_result(self, result: Model) -> str:
        return f"{super().url_for_result(result)}{self._query}"


class ListPage(TypedAdmin[Operator]):
    """Show operators with their state at a glance, and move many of them at once."""

    list_display = (
        "name_and_tags",
        "address",
        "system_id",
        "bind",
        "status_now",
        "health",
        "tps",
        "password_age",
        "updated",
    )
    list_filter = (
        "status",
        "health_state",
        "bind_type",
        "use_tls",
        TagFilter,
        BackupFilter,
        PasswordAgeFilter,
        ExistenceFilter,
    )
    list_per_page = 40
    ordering = ("name", "id")
    paginator = BoundedPaginator
    search_fields = ("name", "host", "system_id", "tags")
    search_help_text = "Part of a name, host or system_id, or a whole tag."
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OperatorChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operator]:
        rows = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.url_name == "operators_operator_changelist":
            # Sorting by a column drags along every byte of a row; the list shows none of these.
            return rows.defer("notes", "contacts")
        return rows

    @admin.display(description=SELECT_ALL)
    def action_checkbox(self, operator: Operator) -> SafeString:
        """Draw what Django draws, without rendering a widget's template for each row: a fifth of the page's time."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="Select {} for an action">',
            helpers.ACTION_CHECKBOX_NAME,
            operator.pk,
            operator.name,
        )

    @admin.display(description="name", ordering="name")
    def name_and_tags(self, operator: Operator) -> SafeString:
        return format_html('{} <span class="chips">{}</span>', operator.name, badges.chips(tuple(operator.tags)))

    @admin.display(description="host", ordering="host")
    def address(self, operator: Operator) -> SafeString:
        return badges.breakable(badges.address(operator))

    @admin.display(description="bind", ordering="bind_type")
    def bind(self, operator: Operator) -> SafeString:
        return badges.bind(operator.bind_type, operator.use_tls)

    @admin.display(description="status", ordering="status")
    def status_now(self, operator: Operator) -> SafeString:
        return badges.status_badge(operator)

    @admin.display(description="health", ordering="health_state")
    def health(self, operator: Operator) -> SafeString:
        return badges.badge(operator.health_state)

    @admin.display(description="TPS", ordering="max_tps")
    def tps(self, operator: Operator) -> SafeString:
        return badges.tps(operator.max_tps, operator.burst_multiplier)

    @admin.display(description="password", ordering="-credential_rotated_at")
    def password_age(self, operator: Operator) -> SafeString:
        return badges.password_age(operator)

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, operator: Operator) -> SafeString:
        return badges.moment(operator.updated_at)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        summary = None if request.method == "POST" else state_summary()
        return super().changelist_view(request, {"title": "Operators", "summary": summary, **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Operator], search_term: str
    ) -> tuple[QuerySet[Operator], bool]:
        assert isinstance(queryset, OperatorQuerySet)
        found = queryset.search(search_term)
        if request.resolver_match and request.resolver_match.url_name == "autocomplete":
            found = found.live()
            if other := parse_uuid(request.GET.get("not", "")):
                found = found.exclude(pk=other)
        return found, False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer the bulk moves that this person may make; Django's own deletion, which removes rows, is not one."""
        return {
            name: (_bulk_action(name), name, f"{move.label} selected operators")
            for name, move in BULK_MOVES.items()
            if move.is_permitted(request)
        }

    def confirm_bulk(self, request: HttpRequest, queryset: QuerySet[Operator], name: str) -> HttpResponse | None:
        """Show whom the move touches and ask for a reason; after the confirmation make it, one by one."""
        move = BULK_MOVES[name]
        operators = list(queryset.order_by("name", "id")[: MOST_AT_ONCE + 1])
        if len(operators) > MOST_AT_ONCE:
            message = f"At most {MOST_AT_ONCE} operators at once: narrow the selection. Nothing was changed."
            self.message_user(request, message, messages.ERROR)
            return None
        able = [operator for operator in operators if move.is_possible(operator)]
        if "confirmed" in request.POST:
            return self._run_bulk(request, move, able)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": f"{move.label} {len(able)} operator{'s' if len(able) != 1 else ''}",
            "move": move,
            "action_name": name,
            "able": [(operator, badges.address(operator), badges.status_badge(operator)) for operator in able],
            "unable": [operator for operator in operators if not move.is_possible(operator)],
            "backed_up": names_backed_up_by(able) if move.name == "delete" else [],
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/operators/operator/bulk.html", context)

    def _run_bulk(self, request: HttpRequest, move: Move, operators: list[Operator]) -> HttpResponse | None:
        reason = request.POST.get("reason", "").strip()[:1000]
        done = []
        for operator in operators:
            try:
                move.run(actor=actor_of(request), operator_id=operator.pk, expected_version=None, reason=reason)
                done.append(operator.name)
            except OperatorError as refusal:
                self.message_user(request, f"{operator.name}: {refusal}", messages.ERROR)
        if done:
            self.message_user(request, f"{move.label}: done for {_enumerate(done)}.", messages.SUCCESS)
        return None


def state_summary() -> dict[str, int]:
    """Count live operators by what staff ask about; one query."""
    active = Q(status=Status.ACTIVE)
    return Operator.objects.live().aggregate(
        live=Count("pk"),
        active=Count("pk", filter=active),
        suspended=Count("pk", filter=Q(status=Status.SUSPENDED)),
        inactive=Count("pk", filter=Q(status=Status.INACTIVE)),
        unhealthy=Count("pk", filter=active & Q(health_state=HealthState.UNHEALTHY)),
        degraded=Count("pk", filter=active & Q(health_state=HealthState.DEGRADED)),
        without_backup=Count("pk", filter=active & Q(backup_operator=None)),
        old_passwords=Count("pk", filter=Q(credential_rotated_at__lt=badges.old_before())),
    )


def _bulk_action(name: str) -> Callable[[ListPage, HttpRequest, QuerySet[Operator]], HttpResponse | None]:
    return lambda pages, request, queryset: pages.confirm_bulk(request, queryset, name)


def _enumerate(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
