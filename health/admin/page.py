"""One operator's health: what it is now, how it went, and what staff decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from health.admin.figures import draw
from health.admin.windows import WindowPages, buttons_of
from health.admin.wording import duration, explain, floored_percent, milliseconds, percent
from health.binderrors import hint_for
from health.history import read_spans, span_of, transitions_of, windows_since
from health.models import HealthStatus, HealthTransition, HealthWindow, WindowKind
from health.ranges import RANGES, range_of
from health.series import read_series
from health.timeline import Span, clip
from health.uptime import PERIOD, Uptime, uptime
from operators.admin import badges
from operators.admin.base import BoundedPaginator
from operators.admin.page import find_operator, header_of, page_url
from operators.models import Operator

TRANSITIONS_PAGE: Final = 25
# In the order of the key beside the timeline.
STATES: Final = ("healthy", "degraded", "unhealthy", "unknown")


@dataclass(frozen=True)
class Now:
    """The state that others see, why, and the newest report."""

    status: HealthStatus
    windows: Sequence[HealthWindow]

    @property
    def badge(self) -> SafeString:
        return badges.badge(self.status.effective_state)

    @property
    def since(self) -> SafeString:
        return badges.moment(self.status.effective_since)

    @property
    def why(self) -> str:
        return explain(
            self.status.effective_reason,
            self.status.effective_state,
            is_window_open=any(window.kind == self.status.effective_reason for window in self.windows),
        )

    @property
    def is_hidden(self) -> bool:
        """Tell whether a window decides what others see."""
        return bool(self.windows)

    @property
    def measured_badge(self) -> SafeString:
        return badges.badge(self.status.state)

    @property
    def measured_since(self) -> SafeString:
        return badges.moment(self.status.since)

    @property
    def measured_why(self) -> str:
        return explain(self.status.reason, self.status.state, is_window_open=False)

    @property
    def error_rate(self) -> str:
        return percent(self.status.error_rate)

    @property
    def latency(self) -> str:
        return milliseconds(self.status.latency_ms)

    @property
    def hint(self) -> str:
        return hint_for(self.status.bind_error)

    @property
    def observed(self) -> SafeString:
        return badges.moment(self.status.observed_at)


@dataclass(frozen=True)
class Up:
    """The uptime in words."""

    period: Uptime

    @property
    def share(self) -> str:
        return floored_percent(self.period.share)

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        return (
            ("Up", duration(self.period.up)),
            ("Down", duration(self.period.down)),
            ("Maintenance", duration(self.period.maintenance)),
            ("Unknown", duration(self.period.unknown)),
        )

    @property
    def measured(self) -> str:
        return f"{duration(self.period.measured)} of {duration(self.period.total)}"


@dataclass(frozen=True)
class Moved:
    """One transition, ready to be shown."""

    row: HealthTransition
    why: str

    @property
    def before(self) -> SafeString:
        return badges.badge(self.row.from_state)

    @property
    def after(self) -> SafeString:
        return badges.badge(self.row.to_state)

    @property
    def error_rate(self) -> str:
        return percent(self.row.error_rate)


class OperatorHealthPages(WindowPages):
    """Show one operator's health; only reports and decisions change it."""

    @method_decorator(require_safe)
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Read the page: the same number of queries whatever the operator has been through."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        operator = find_operator(object_id)
        now = timezone.now()
        start = max(now - PERIOD, min(operator.created_at, now))
        chosen = range_of(request.GET.get("range"))
        frame = chosen.until(now)
        page = BoundedPaginator(transitions_of(operator.pk), TRANSITIONS_PAGE).get_page(request.GET.get("p"))
        moves = list(page.object_list)
        windows = windows_since(operator.pk, min([start, frame.start, *(move.at for move in moves)]))
        spans = read_spans(operator.pk, start=min(start, frame.start), end=now)
        open_windows = [window for window in windows if window.ended_at is None]
        context = {
            **self.admin_site.each_context(request),
            **header_of(request, operator),
            "opts": self.opts,
            "media": self.media,
            "title": f"Health of {operator.name}",
            "original": operator,
            "now": Now(_status(operator), open_windows),
            "up": Up(_uptime(spans, windows, start, now)),
            "buttons": buttons_of(request, operator, open_windows),
            "ranges": tuple(RANGES),
            "states": STATES,
            "range": chosen.name,
            "frame": frame,
            "figures": draw(
                chosen,
                frame,
                buckets=read_series(operator.pk, frame),
                spans=spans,
                windows=windows,
                now=now,
            ),
            "page": page,
            "moves_shown": _moved(moves, windows),
            "open_windows": open_windows,
            "past_windows": [window for window in windows if window.ended_at is not None and window.ended_at > start],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/health/operator.html", context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the operator's history: it tells of maintenances and overrides too."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(page_url("history", find_operator(object_id)))


def _status(operator: Operator) -> HealthStatus:
    """Read the status; an operator that came in by a side door has none before its first report."""
    return HealthStatus.objects.filter(pk=operator.pk).first() or HealthStatus(operator=operator)


def _uptime(spans: Iterable[Span], windows: Iterable[HealthWindow], start: datetime, now: datetime) -> Uptime:
    maintenances = [span_of(window, now) for window in windows if window.kind == WindowKind.MAINTENANCE]
    return uptime(clip(list(spans), start=start, end=now), maintenances)


def _moved(moves: Iterable[HealthTransition], windows: Sequence[HealthWindow]) -> list[Moved]:
    return [
        Moved(
            move,
            explain(
                move.reason,
                move.to_state,
                is_window_open=any(
                    window.kind == move.reason
                    and window.starts_at <= move.at
                    and (window.ended_at is None or move.at < window.ended_at)
                    for window in windows
                ),
            ),
        )
        for move in moves
    ]
