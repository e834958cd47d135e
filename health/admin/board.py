"""The board: every live operator's health on one list, the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from health.admin.columns import COLUMNS, SORTABLE, WORST_FIRST, Line
from health.admin.filters import OperatorTagFilter, StateFilter, StatusFilter, WindowFilter
from health.models import HealthStatus, HealthWindow
from health.moves import open_windows
from health.recent import last_hour
from health.sparkline import NO_REPORTS, svg
from operators.admin import badges
from operators.admin.base import ReadOnlyAdmin
from operators.models import HealthState, Operator

# Reports come every 10 s from each of many operators: a minute without any is no operator's fault.
QUIET_AFTER: Final = timedelta(seconds=60)

SHOWN: Final = (
    "state",
    "observed_at",
    "received_at",
    "bind_state",
    "error_rate",
    "bind_error",
    "latency_ms",
    "effective_state",
    "effective_since",
    "effective_reason",
    "operator__name",
    "operator__status",
)


@dataclass(frozen=True)
class Heading:
    """A column's title and, where it sorts, its link; `sort` is the value of aria-sort, empty unless it sorts now."""

    name: str
    title: str
    address: str
    sort: str


@dataclass(frozen=True)
class Summary:
    """Live operators by what others see of them, and when anything was last heard from any."""

    live: int
    unhealthy: int
    degraded: int
    unknown: int
    healthy: int
    decided: int
    newest: datetime | None
    now: datetime

    @property
    def is_quiet(self) -> bool:
        return self.newest is not None and self.now - self.newest > QUIET_AFTER

    @property
    def heard(self) -> SafeString:
        return badges.moment(self.newest)


class BoardChangeList(ChangeList):
    """Read what a page of the board shows besides its rows: the open windows and the last hour, a query each."""

    lines: list[Line]

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[HealthStatus]:
        rows: QuerySet[HealthStatus] = super().get_queryset(request, exclude_parameters)
        return rows.filter(operator__deleted_at=None).only(*SHOWN)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        name, is_reverse = self._order
        return list(SORTABLE[name].order(reverse=is_reverse))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        statuses: list[HealthStatus] = list(self.result_list)
        operator_ids = [status.operator_id for status in statuses]
        now = timezone.now()
        windows = open_windows(operator_ids)
        hours = last_hour(operator_ids, now=now)
        root = reverse("admin:health_healthstatus_changelist")
        self.result_list = statuses
        self.lines = [
            Line(
                status=status,
                window=windows.get(status.operator_id),
                sparkline=svg(hours[status.operator_id]) if status.operator_id in hours else NO_REPORTS,
                # Asking the URL resolver for every row costs more than the row.
                address=f"{root}{status.operator_id}/change/",
                now=now,
            )
            for status in statuses
        ]

    @property
    def _order(self) -> tuple[str, bool]:
        chosen = self.params.get(ORDER_VAR, WORST_FIRST)
        name = chosen.removeprefix("-")
        return (name, chosen.startswith("-")) if name in SORTABLE else (WORST_FIRST, False)

    @property
    def headings(self) -> Iterator[Heading]:
        name, is_reverse = self._order
        for column in COLUMNS:
            is_sorted = column.name == name
            next_order = f"-{column.name}" if is_sorted and not is_reverse else column.name
            direction = "descending" if column.is_descending is not is_reverse else "ascending"
            yield Heading(
                name=column.name,
                title=column.title,
                address=self.get_query_string({ORDER_VAR: next_order}) if column.key is not None else "",
                sort=direction if is_sorted else "",
            )

    @property
    def body(self) -> SafeString:
        return format_html_join("", "{}", ((line.html,) for line in self.lines))

    @property
    def pages(self) -> list[int | str]:
        return list(self.paginator.get_elided_page_range(self.page_num)) if self.multi_page else []


class BoardPage(ReadOnlyAdmin[HealthStatus]):
    """Show all live operators at a glance, for those who watch them."""

    change_list_template = "admin/health/board.html"
    list_display = ("__str__",)
    list_filter = (StateFilter, StatusFilter, WindowFilter, OperatorTagFilter)
    list_max_show_all = 50
    list_select_related = ("operator",)
    ordering = ("pk",)
    search_fields = ("operator__name", "operator__host", "operator__system_id")
    search_help_text = "Part of a name, host or system_id, or a whole tag."

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BoardChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HealthStatus], search_term: str
    ) -> tuple[QuerySet[HealthStatus], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(operator__in=Operator.objects.live().search(search_term)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {"title": "Health board", "summary": summarise(), **(extra_context or {})}
        return super().changelist_view(request, context)


def summarise() -> Summary:
    """Count live operators by state, and find the newest report; one query."""
    decided = HealthWindow.objects.open().values("operator_id")
    counts = HealthStatus.objects.of_live_operators().aggregate(
        live=Count("pk"),
        **{state.lower(): Count("pk", filter=Q(effective_state=state)) for state in HealthState.values},
        decided=Count("pk", filter=Q(pk__in=decided)),
        newest=Max("received_at"),
    )
    return Summary(**counts, now=timezone.now())
