"""How much of the time an operator was up, as far as it was measured. Knows no database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from health.reducer import State
from health.timeline import Span

PERIOD: Final = timedelta(days=30)
UP: Final = frozenset({State.HEALTHY, State.DEGRADED})


@dataclass(frozen=True, slots=True)
class Uptime:
    """Split the period: up, down, and what counts neither way, in maintenance or without reports."""

    up: timedelta = timedelta()
    down: timedelta = timedelta()
    maintenance: timedelta = timedelta()
    unknown: timedelta = timedelta()

    @property
    def measured(self) -> timedelta:
        return self.up + self.down

    @property
    def total(self) -> timedelta:
        return self.measured + self.maintenance + self.unknown

    @property
    def share(self) -> float | None:
        """Tell the part of the measured time that was up, 0 to 1; None where nothing was measured."""
        return self.up / self.measured if self.measured else None


def uptime(spans: Iterable[Span], maintenances: Iterable[tuple[datetime, datetime]]) -> Uptime:
    """Add up the spans of the measured state outside of the maintenances, which may overlap and reach beyond them."""
    windows = _merged(maintenances)
    up = down = maintenance = unknown = timedelta()
    for span in spans:
        left_out = sum((_overlap(span, window) for window in windows), timedelta())
        counted = span.length - left_out
        maintenance += left_out
        if span.state in UP:
            up += counted
        elif span.state is State.UNHEALTHY:
            down += counted
        else:
            unknown += counted
    return Uptime(up=up, down=down, maintenance=maintenance, unknown=unknown)


def _merged(windows: Iterable[tuple[datetime, datetime]]) -> Sequence[tuple[datetime, datetime]]:
    """Join windows that touch, so that no moment is left out twice."""
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        elif start < end:
            merged.append((start, end))
    return merged


def _overlap(span: Span, window: tuple[datetime, datetime]) -> timedelta:
    return max(min(span.end, window[1]) - max(span.start, window[0]), timedelta())
