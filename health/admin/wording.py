"""Health in words: why a state is what it is, and how figures are written."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from health.models import TransitionReason
from operators.models import HealthState

NOTHING: Final = "—"

ERROR_RATES: Final[dict[str, str]] = {
    HealthState.HEALTHY: "The error rate has been at most 5 % for 60 s.",
    HealthState.DEGRADED: "The error rate has been above 5 % for 60 s.",
    HealthState.UNHEALTHY: "The error rate has been above 20 % for 60 s.",
}
WINDOWS: Final[dict[str, tuple[str, str]]] = {
    TransitionReason.MAINTENANCE: ("In maintenance.", "The maintenance ended."),
    TransitionReason.OVERRIDE: ("Overridden by staff.", "The override ended."),
}


def explain(reason: str, state: str, *, is_window_open: bool) -> str:
    """Say in a sentence why an operator came into a state."""
    match reason:
        case TransitionReason.BOUND if state == HealthState.DEGRADED:
            return "Bound again, with an error rate of at most 20 %."
        case TransitionReason.BOUND:
            return "The connector is bound."
        case TransitionReason.BIND_LOST:
            return "The bind is lost."
        case TransitionReason.ERROR_RATE:
            return ERROR_RATES.get(state, "The error rate changed.")
        case TransitionReason.STALE:
            return "No report came for more than 60 s."
        case TransitionReason.MAINTENANCE | TransitionReason.OVERRIDE:
            begun, ended = WINDOWS[reason]
            return begun if is_window_open else ended
        case _:
            return "No report has come yet."


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share * 100:.2f} %"


def floored_percent(share: float | None) -> str:
    """Write a share that must not look better than it is: 99.996 % is not 100 %."""
    if share is None:
        return NOTHING
    # A tenth of a millionth, so that what arithmetic lost of a whole hundredth is not taken for a missing one.
    return f"{math.floor(share * 10_000 + 1e-7) / 100:.2f} %"


def short_percent(share: float) -> str:
    return f"{share * 100:g} %"


def milliseconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.0f} s"


def duration(length: timedelta) -> str:
    """Write a length of time in its two largest units."""
    seconds = int(length.total_seconds())
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else f"{seconds} s"
