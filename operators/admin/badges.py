"""Small pieces of HTML that tell state at a glance: a shape and a word, never colour alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from operators.models import HealthState, Operator, Status

PASSWORD_AGE_LIMIT: Final = timedelta(days=180)
NOTHING: Final = SafeString('<span class="quiet">—</span>')

UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60))

SHAPES: Final = {
    Status.ACTIVE.value: "play",
    Status.SUSPENDED.value: "pause",
    Status.INACTIVE.value: "square",
    HealthState.HEALTHY.value: "circle",
    HealthState.DEGRADED.value: "triangle",
    HealthState.UNHEALTHY.value: "cross",
    HealthState.UNKNOWN.value: "ring",
    "DELETED": "cross",
    "WARNING": "triangle",
    "PUBLISHED": "circle",
    "PENDING": "ring",
    "PARKED": "cross",
}


@lru_cache(maxsize=1000)
def badge(state: str, text: str = "") -> SafeString:
    return format_html(
        '<span class="badge badge-{}"><i class="shape shape-{}"></i>{}</span>',
        state.lower(),
        SHAPES[state],
        text or state.capitalize(),
    )


def old_before() -> datetime:
    """Name the moment before which a password's last rotation is too long ago."""
    return timezone.now() - PASSWORD_AGE_LIMIT


def status_badge(operator: Operator) -> SafeString:
    return badge("DELETED") if operator.is_deleted else badge(operator.status)


def moment(at: datetime | None) -> SafeString:
    """Tell how long ago something was; the exact time shows on hover and to screen readers."""
    if at is None:
        return NOTHING
    seconds = (timezone.now() - at).total_seconds()
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        f"{at:%d %b %Y, %H:%M:%S} UTC",
        _ago(seconds),
    )


def _ago(seconds: float) -> str:
    """Say the largest unit that fits; Django's timesince, exact about months, costs ten times as much a row."""
    for unit, length in UNITS:
        if (count := int(seconds // length)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def password_age(operator: Operator) -> SafeString:
    age = timezone.now() - operator.credential_rotated_at
    text = "today" if age.days < 1 else f"{age.days} day{'s' if age.days > 1 else ''}"
    if age <= PASSWORD_AGE_LIMIT:
        return format_html('<span title="since {}">{}</span>', f"{operator.credential_rotated_at:%d %b %Y}", text)
    return format_html(
        '<span title="Older than {} days: ask for a new one.">{}</span>',
        PASSWORD_AGE_LIMIT.days,
        badge("WARNING", text),
    )


def address(operator: Operator) -> str:
    host = f"[{operator.host}]" if ":" in operator.host else operator.host
    return f"{host}:{operator.port}"


def chips(texts: Iterable[str]) -> SafeString:
    return format_html_join(" ", '<span class="chip">{}</span>', ((text,) for text in texts))
