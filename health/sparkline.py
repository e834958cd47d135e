"""The error rate of an operator's last hour as a picture of a few strokes. Knows no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import sqrt
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from health.reducer import DEGRADED_ABOVE, UNHEALTHY_ABOVE

SPAN: Final = timedelta(minutes=2)
SPANS: Final = 30
HOUR: Final = SPAN * SPANS

STEP: Final = 4
BAR: Final = 3
WIDTH: Final = STEP * SPANS
HEIGHT: Final = 24

NO_REPORTS: Final = SafeString('<span class="quiet">no reports</span>')


@dataclass(frozen=True, slots=True)
class Span:
    """Two minutes with reports: the worst error rate among them, and whether the bind was lost in one."""

    worst: float
    is_lost: bool


@dataclass(frozen=True, slots=True)
class Strokes:
    """Path data by meaning, so that each gets a look of its own."""

    calm: str
    degraded: str
    unhealthy: str
    lost: str


def strokes(spans: Sequence[Span | None]) -> Strokes:
    """Draw a bar per span, a hollow one of full height where the bind was lost, nothing where no report came."""
    paths: dict[str, list[str]] = {"calm": [], "degraded": [], "unhealthy": [], "lost": []}
    for index, span in enumerate(spans):
        if span is None:
            continue
        left = index * STEP
        if span.is_lost:
            paths["lost"].append(f"M{left}.5 .5h{BAR - 1}v{HEIGHT - 1}h-{BAR - 1}z")
        else:
            paths[level_of(span.worst)].append(f"M{left} {HEIGHT}V{height_of(span.worst)}h{BAR}V{HEIGHT}z")
    return Strokes(**{name: "".join(parts) for name, parts in paths.items()})


def level_of(rate: float) -> str:
    if rate > UNHEALTHY_ABOVE:
        return "unhealthy"
    return "degraded" if rate > DEGRADED_ABOVE else "calm"


def height_of(rate: float) -> str:
    """Place a rate between the top (100 %) and just above the bottom (0 %, which is not the same as no report).

    By the square root: on a linear scale 5 % of 24 pixels would be one.
    """
    return f"{HEIGHT - max(1, sqrt(rate) * HEIGHT):.1f}"


LIMITS: Final = "".join(f"M0 {height_of(limit)}H{WIDTH}" for limit in (DEGRADED_ABOVE, UNHEALTHY_ABOVE))


def svg(spans: Sequence[Span | None]) -> SafeString:
    """Draw the hour, oldest span first."""
    if not any(spans):
        return NO_REPORTS
    drawn = strokes(spans)
    text = describe(spans)
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>'
        '<path class="spark-limits" d="{}"/><path class="spark-calm" d="{}"/><path class="spark-degraded" d="{}"/>'
        '<path class="spark-unhealthy" d="{}"/><path class="spark-lost" d="{}"/></svg>',
        WIDTH,
        HEIGHT,
        WIDTH,
        HEIGHT,
        text,
        text,
        LIMITS,
        drawn.calm,
        drawn.degraded,
        drawn.unhealthy,
        drawn.lost,
    )


def describe(spans: Sequence[Span | None]) -> str:
    """Say what the picture shows."""
    seen = [span for span in spans if span]
    # The last span has only begun: that no report came in it yet means nothing.
    silent = 2 * sum(span is None for span in spans[:-1])
    lost = 2 * sum(span.is_lost for span in seen)
    parts = [f"Error rate of the last hour: at worst {percent(max(span.worst for span in seen))}"]
    parts.append(f"lately {percent(seen[-1].worst)}")
    if lost:
        parts.append(f"bind lost in {lost} minutes")
    if silent:
        parts.append(f"no reports in {silent} minutes")
    return ", ".join(parts)


def percent(rate: float) -> str:
    return f"{rate * 100:.1f} %"
