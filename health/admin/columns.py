"""What the board tells of an operator, column by column, and how each column sorts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from django.db.models import Case, F, When
from django.db.models.expressions import OrderBy
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from health.models import HealthStatus, HealthWindow, TransitionReason, WindowKind
from health.reports import BindState
from health.sparkline import level_of, percent
from operators.admin import badges
from operators.models import HealthState, Status

LATE_AFTER: Final = timedelta(seconds=30)

SEVERITY: Final = Case(
    When(effective_state=HealthState.UNHEALTHY, then=0),
    When(effective_state=HealthState.DEGRADED, then=1),
    When(effective_state=HealthState.UNKNOWN, then=2),
    default=3,
)
STANDING: Final = Case(
    When(operator__status=Status.ACTIVE, then=0), When(operator__status=Status.SUSPENDED, then=1), default=2
)
BIND_SHAPES: Final[dict[str, str]] = {
    BindState.BOUND: "circle",
    BindState.FAILBACK: "triangle",
    BindState.UNBOUND: "cross",
}
RATE_MARKS: Final = {
    "unhealthy": SafeString('<i class="shape shape-cross"></i><span class="visually-hidden">above 20 %: </span>'),
    "degraded": SafeString('<i class="shape shape-triangle"></i><span class="visually-hidden">above 5 %: </span>'),
    "calm": SafeString(""),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One operator on the board."""

    status: HealthStatus
    window: HealthWindow | None
    sparkline: SafeString
    address: str
    now: datetime

    @property
    def is_active(self) -> bool:
        return self.status.operator.status == Status.ACTIVE

    @property
    def html(self) -> SafeString:
        return format_html(
            '<tr class="row-{}">{}</tr>',
            self.status.effective_state.lower(),
            format_html_join("", "{}", ((column.render(self),) for column in COLUMNS)),
        )


@dataclass(frozen=True, slots=True)
class Column:
    """A title, what a cell holds, and what the first click on the title puts on top; empty values stay last."""

    name: str
    title: str
    cell: Callable[[Line], SafeString]
    key: Case | F | None = None
    is_descending: bool = False

    def order(self, *, reverse: bool) -> tuple[OrderBy | Case | str, ...]:
        assert self.key is not None
        is_descending = self.is_descending is not reverse
        first = self.key.desc(nulls_last=True) if is_descending else self.key.asc(nulls_last=True)
        return first, STANDING, "operator__name", "pk"

    def render(self, line: Line) -> SafeString:
        return format_html('<td class="column-{}" data-title="{}">{}</td>', self.name, self.title, self.cell(line))


def _name(line: Line) -> SafeString:
    operator = line.status.operator
    standing = SafeString("") if line.is_active else badges.badge(operator.status)
    return format_html('<a href="{}">{}</a> {}', line.address, operator.name, standing)


def _state(line: Line) -> SafeString:
    badge = badges.badge(line.status.effective_state)
    return badge if line.window is None else format_html("{} {}", badge, _window_note(line, line.window))


def _window_note(line: Line, window: HealthWindow) -> SafeString:
    """Tell that staff decided this state, until when, and what the reports say meanwhile."""
    decided = "maintenance" if window.kind == WindowKind.MAINTENANCE else f"override by {window.opened_by}"
    is_today = window.ends_at.date() == line.now.date()
    until = f"{window.ends_at:%H:%M}" if is_today else f"{window.ends_at:%d %b, %H:%M}"
    measured = "" if line.status.state == window.state else format_html("<br>measured {}", line.status.state.lower())
    return format_html(
        '<span class="note" title="{}">{} until <time datetime="{}">{}</time>{}</span>',
        f"{window.reason} ({window.opened_by})",
        decided,
        window.ends_at.isoformat(),
        until,
        measured,
    )


def _since(line: Line) -> SafeString:
    reason = _reason_words(line.window.kind if line.window else line.status.effective_reason)
    return format_html("{} {}", badges.moment(line.status.effective_since), reason)


@lru_cache
def _reason_words(reason: str) -> SafeString:
    if not reason:
        return SafeString('<span class="note">never reported</span>')
    label = TransitionReason(reason).label if reason in TransitionReason else reason
    return format_html('<span class="note">{}</span>', str(label).lower())


def _error_rate(line: Line) -> SafeString:
    if (rate := line.status.error_rate) is None:
        return badges.NOTHING
    # Beside UNKNOWN the last figures are history, and say so by their look.
    return _rate(percent(rate), level_of(rate), line.status.state == HealthState.UNKNOWN)


@lru_cache(maxsize=badges.REMEMBERED)
def _rate(text: str, level: str, is_old: bool) -> SafeString:
    look = "old" if is_old else level
    return format_html('<span class="number rate rate-{}">{}{}</span>', look, RATE_MARKS[level], text)


def _bind(line: Line) -> SafeString:
    if not (state := line.status.bind_state):
        return badges.NOTHING
    return _bind_words(state, line.status.bind_error or "", line.status.state == HealthState.UNKNOWN)


@lru_cache(maxsize=badges.REMEMBERED)
def _bind_words(state: str, error: str, is_old: bool) -> SafeString:
    note = format_html('<span class="note mono">{}</span>', error) if error else ""
    return format_html(
        '<span class="bind bind-{}"><i class="shape shape-{}"></i>{}</span> {}',
        "old" if is_old else state.lower(),
        BIND_SHAPES.get(state, "ring"),
        state.capitalize(),
        note,
    )


def _latency(line: Line) -> SafeString:
    latency = line.status.latency_ms
    return badges.NOTHING if latency is None else _milliseconds(latency, line.status.state == HealthState.UNKNOWN)


@lru_cache(maxsize=badges.REMEMBERED)
def _milliseconds(latency: int, is_old: bool) -> SafeString:
    return format_html('<span class="number{}">{} ms</span>', " rate-old" if is_old else "", f"{latency:,}")


def _last_report(line: Line) -> SafeString:
    status = line.status
    if status.received_at is None or status.observed_at is None:
        return badges.NOTHING
    age = line.now - status.received_at
    is_late = line.is_active and age > LATE_AFTER
    return format_html(
        '<time datetime="{}" title="received {} UTC, observed {} UTC"{}>{}{}</time>',
        status.received_at.isoformat(),
        f"{status.received_at:%d %b %Y, %H:%M:%S}",
        f"{status.observed_at:%d %b %Y, %H:%M:%S}",
        SafeString(' class="late"') if is_late else "",
        SafeString('<i class="shape shape-triangle"></i>') if is_late else "",
        f"{max(0, int(age.total_seconds()))} s ago" if age < timedelta(minutes=2) else badges.ago(age.total_seconds()),
    )


COLUMNS: Final = (
    Column("name", "Operator", _name, F("operator__name")),
    Column("state", "State", _state, SEVERITY),
    Column("since", "Since", _since, F("effective_since"), is_descending=True),
    Column("error_rate", "Error rate", _error_rate, F("error_rate"), is_descending=True),
    Column("bind", "Bind", _bind, F("bind_state"), is_descending=True),
    Column("latency", "Latency", _latency, F("latency_ms"), is_descending=True),
    Column("last_report", "Last report", _last_report, F("received_at")),
    Column("sparkline", "Last hour", lambda line: line.sparkline),
)
WORST_FIRST: Final = "state"
SORTABLE: Final = {column.name: column for column in COLUMNS if column.key is not None}
