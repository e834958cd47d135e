"""Small pieces of HTML that tell state at a glance: a shape and a word, never colour alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from operators.models import BindType, HealthState, Operator, Status

PASSWORD_AGE_LIMIT: Final = timedelta(days=180)
NOTHING: Final = SafeString('<span class="quiet">—</span>')

BIND_SHORT: Final[dict[str, str]] = {BindType.TRANSCEIVER: "TRX", BindType.TRANSMITTER: "TX", BindType.RECEIVER: "RX"}

# Escaping and formatting is most of a row's cost, and the same few values come again on every page.
REMEMBERED: Final = 10_000

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


@lru_cache(maxsize=REMEMBERED)
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
        ago(seconds),
    )


def ago(seconds: float) -> str:
    """Say the largest unit that fits; Django's timesince, exact about months, costs ten times as much a row."""
    for unit, length in UNITS:
        if (count := int(seconds // length)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def password_age(operator: Operator) -> SafeString:
    age = timezone.now() - operator.credential_rotated_at
    return _password_age(age.days, f"{operator.credential_rotated_at:%d %b %Y}", age > PASSWORD_AGE_LIMIT)


@lru_cache(maxsize=REMEMBERED)
def _password_age(days: int, since: str, is_old: bool) -> SafeString:
    text = "today" if days < 1 else f"{days} day{'s' if days > 1 else ''}"
    if not is_old:
        return format_html('<span title="since {}">{}</span>', since, text)
    return format_html(
        '<span title="Older than {} days: ask for a new one.">{}</span>',
        PASSWORD_AGE_LIMIT.days,
        badge("WARNING", text),
    )


def address(operator: Operator) -> str:
    host = f"[{operator.host}]" if ":" in operator.host else operator.host
    return f"{host}:{operator.port}"


@lru_cache(maxsize=REMEMBERED)
def breakable(text: str) -> SafeString:
    """Let a long name break at its dots."""
    labels = format_html_join(SafeString(".<wbr>"), "{}", ((part,) for part in text.split(".")))
    return format_html('<span class="mono">{}</span>', labels)


@lru_cache(maxsize=REMEMBERED)
def bind(bind_type: str, use_tls: bool) -> SafeString:
    lock = SafeString('<span class="chip chip-tls">TLS</span>') if use_tls else ""
    return format_html('<abbr title="{}">{}</abbr> {}', BindType(bind_type).label, BIND_SHORT[bind_type], lock)


@lru_cache(maxsize=REMEMBERED)
def tps(max_tps: int, burst_multiplier: Decimal) -> SafeString:
    return format_html(
        '<span class="number" title="bursts up to {} times that">{}</span>', burst_multiplier, f"{max_tps:,}"
    )


@lru_cache(maxsize=REMEMBERED)
def chips(texts: tuple[str, ...]) -> SafeString:
    return format_html_join(" ", '<span class="chip">{}</span>', ((text,) for text in texts))
