"""The drawings of the health page, from what was read of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from health import charts
from health.admin.wording import duration, milliseconds, percent, short_percent
from health.charts import Block, Chart, Point, Tick
from health.history import span_of
from health.models import HealthWindow, WindowKind
from health.ranges import Frame, Range
from health.reducer import DEGRADED_ABOVE, UNHEALTHY_ABOVE
from health.series import Bucket
from health.timeline import Span, clip


@dataclass(frozen=True)
class Lane:
    """One row of the timeline."""

    label: str
    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Row:
    """One bucket, in the table that says what the charts show."""

    at: datetime
    reports: int
    mean_error_rate: str
    worst_error_rate: str
    mean_latency: str
    worst_latency: str


@dataclass(frozen=True)
class Figures:
    ticks: tuple[Tick, ...]
    lanes: tuple[Lane, ...]
    error_rate: Chart
    latency: Chart
    rows: tuple[Row, ...]
    bucket: str


def draw(
    chosen: Range,
    frame: Frame,
    *,
    buckets: Sequence[Bucket],
    spans: Sequence[Span],
    windows: Sequence[HealthWindow],
    now: datetime,
) -> Figures:
    """Draw the timeline and both charts over one frame."""
    return Figures(
        ticks=charts.draw_ticks(frame, chosen),
        lanes=_lanes(frame, spans, windows, now),
        error_rate=_error_rate(frame, buckets),
        latency=_latency(frame, buckets),
        rows=tuple(_row(bucket) for bucket in buckets),
        bucket=duration(frame.step),
    )


def _error_rate(frame: Frame, buckets: Sequence[Bucket]) -> Chart:
    points = [Point(each.at, each.mean_error_rate, each.worst_error_rate, each.reports) for each in buckets]
    scale = charts.scale_for(
        [point.worst for point in points],
        least=0.25,
        limits=((DEGRADED_ABOVE, "degraded"), (UNHEALTHY_ABOVE, "unhealthy")),
        label=short_percent,
    )
    return charts.draw_chart(points, frame, scale, lambda point: _title(point, frame.step, percent))


def _latency(frame: Frame, buckets: Sequence[Bucket]) -> Chart:
    points = [
        Point(each.at, each.mean_latency, each.worst_latency, each.reports)
        for each in buckets
        if each.mean_latency is not None and each.worst_latency is not None
    ]
    scale = charts.scale_for([point.worst for point in points], least=10, label=milliseconds)
    return charts.draw_chart(points, frame, scale, lambda point: _title(point, frame.step, milliseconds))


def _title(point: Point, step: timedelta, written: charts.Label) -> str:
    reports = f"{point.reports} report{'s' if point.reports != 1 else ''}"
    return (
        f"{point.at:%d %b, %H:%M} to {point.at + step:%H:%M} UTC: average {written(point.mean)}, "
        f"worst {written(point.worst)}, {reports}"
    )


def _row(bucket: Bucket) -> Row:
    return Row(
        at=bucket.at,
        reports=bucket.reports,
        mean_error_rate=percent(bucket.mean_error_rate),
        worst_error_rate=percent(bucket.worst_error_rate),
        mean_latency=milliseconds(bucket.mean_latency),
        worst_latency=milliseconds(bucket.worst_latency),
    )


def _lanes(frame: Frame, spans: Sequence[Span], windows: Sequence[HealthWindow], now: datetime) -> tuple[Lane, ...]:
    """Show what the reports say, and above it what staff decided, where they decided anything in this time."""
    lanes = [_window_lane(frame, windows, kind, now) for kind in WindowKind]
    return (
        *(lane for lane in lanes if lane.blocks),
        _measured_lane(clip(spans, start=frame.start, end=frame.end), frame),
    )


def _measured_lane(spans: Sequence[Span], frame: Frame) -> Lane:
    lengths: dict[str, timedelta] = {}
    for span in spans:
        lengths[span.state.lower()] = lengths.get(span.state.lower(), timedelta()) + span.length
    return Lane(
        label="Measured",
        summary=", ".join(f"{name} {duration(length)}" for name, length in lengths.items()),
        blocks=charts.draw_band(spans, frame, _measured_title),
    )


def _measured_title(group: Sequence[Span]) -> str:
    states = dict.fromkeys(span.state for span in group)
    words = ", ".join(state.capitalize() for state in states)
    return _told(words if len(group) == 1 else f"{len(group)} states ({words})", group[0].start, group[-1].end)


def _window_lane(frame: Frame, windows: Sequence[HealthWindow], kind: WindowKind, now: datetime) -> Lane:
    blocks = []
    for window in windows:
        start, end = span_of(window, now)
        if window.kind != kind or end <= frame.start or start >= frame.end:
            continue
        word = kind.label if kind is WindowKind.MAINTENANCE else window.get_state_display()
        title = f"{_told(word, start, end)}, by {window.opened_by}: {window.reason}"
        blocks.append(charts.draw_block(start, end, frame, name=kind.lower(), word=word, title=title))
    return Lane(label=kind.label, summary="; ".join(block.title for block in blocks), blocks=tuple(blocks))


def _told(word: str, start: datetime, end: datetime) -> str:
    return f"{word} from {start:%d %b, %H:%M:%S} to {end:%d %b, %H:%M:%S} UTC, {duration(end - start)}"
