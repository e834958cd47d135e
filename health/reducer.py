"""The state machine of contract §5: a report and what came before it in, at most two moves out. Knows no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

DEGRADED_ABOVE: Final = 0.05
UNHEALTHY_ABOVE: Final = 0.20
HOLD: Final = timedelta(seconds=60)
SILENCE: Final = timedelta(seconds=60)


class State(StrEnum):
    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


class Reason(StrEnum):
    BOUND = "BOUND"
    BIND_LOST = "BIND_LOST"
    ERROR_RATE = "ERROR_RATE"
    STALE = "STALE"


class Condition(Struct, frozen=True):
    """What must be remembered of an operator; moments are observedAt of reports.

    Each run holds the first report of an unbroken series above 5 %, above 20 %, or at most 5 %.
    """

    state: State = State.UNKNOWN
    observed_at: datetime | None = None
    above_degraded_since: datetime | None = None
    above_unhealthy_since: datetime | None = None
    calm_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Move:
    before: State
    after: State
    reason: Reason
    at: datetime


def is_late(condition: Condition, observed_at: datetime) -> bool:
    """Tell whether a report is not newer than the newest one seen, so that it is logged and moves nothing."""
    return condition.observed_at is not None and observed_at <= condition.observed_at


def reduce(
    condition: Condition, *, observed_at: datetime, is_bound: bool, error_rate: float
) -> tuple[Condition, tuple[Move, ...]]:
    """Take one report in that is not late: rule 6 by the report's time first, then at most one move of its own."""
    assert not is_late(condition, observed_at)
    moves: tuple[Move, ...] = ()
    if condition.observed_at is not None and observed_at - condition.observed_at > SILENCE:
        condition, moves = expire(condition)
    condition = Condition(
        state=condition.state,
        observed_at=observed_at,
        above_degraded_since=_run(
            condition.above_degraded_since, observed_at, is_bound and error_rate > DEGRADED_ABOVE
        ),
        above_unhealthy_since=_run(
            condition.above_unhealthy_since, observed_at, is_bound and error_rate > UNHEALTHY_ABOVE
        ),
        calm_since=_run(condition.calm_since, observed_at, is_bound and error_rate <= DEGRADED_ABOVE),
    )
    step = _next(condition, is_bound=is_bound, error_rate=error_rate)
    if step is None:
        return condition, moves
    after, reason = step
    return replace(condition, state=after), (*moves, Move(condition.state, after, reason, observed_at))


def expire(condition: Condition) -> tuple[Condition, tuple[Move, ...]]:
    """Apply rule 6 to an operator that was silent for more than 60 s: every run breaks, and what was known is not."""
    assert condition.observed_at is not None
    silent = Condition(observed_at=condition.observed_at)
    if condition.state is State.UNKNOWN:
        return silent, ()
    return silent, (Move(condition.state, State.UNKNOWN, Reason.STALE, condition.observed_at + SILENCE),)


def _run(since: datetime | None, observed_at: datetime, holds: bool) -> datetime | None:
    return (since or observed_at) if holds else None


def _next(condition: Condition, *, is_bound: bool, error_rate: float) -> tuple[State, Reason] | None:
    """Rules 1 to 5; the runs of `condition` include the report at hand."""
    state = condition.state
    if not is_bound:
        return (State.UNHEALTHY, Reason.BIND_LOST) if state is not State.UNHEALTHY else None
    if state is State.UNKNOWN:
        return State.HEALTHY, Reason.BOUND
    if state is State.UNHEALTHY:
        return (State.DEGRADED, Reason.BOUND) if error_rate <= UNHEALTHY_ABOVE else None
    if state is State.HEALTHY:
        held = _has_held(condition.above_degraded_since, condition.observed_at)
        return (State.DEGRADED, Reason.ERROR_RATE) if held else None
    if _has_held(condition.above_unhealthy_since, condition.observed_at):
        return State.UNHEALTHY, Reason.ERROR_RATE
    return (State.HEALTHY, Reason.ERROR_RATE) if _has_held(condition.calm_since, condition.observed_at) else None


def _has_held(since: datetime | None, now: datetime | None) -> bool:
    return since is not None and now is not None and now - since >= HOLD
