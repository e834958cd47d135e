"""The event operator.health: what others see of an operator's health has changed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from operators.events import Envelope, Event, checked, envelope
from operators.wire import rfc3339


class HealthBody(Envelope):
    previousState: str
    newState: str
    reason: str
    errorRate: float | None
    bindError: str | None
    observedAt: str


def moved(
    *,
    operator_id: UUID,
    sequence: int,
    previous_state: str,
    new_state: str,
    reason: str,
    error_rate: float | None,
    bind_error: str | None,
    observed_at: datetime,
    occurred_at: datetime,
) -> Event:
    """Tell of one change of the effective state; `sequence` counts them per operator (contract §6)."""
    body: HealthBody = {
        **envelope("operator.health.v1", operator_id=operator_id, version=sequence, occurred_at=occurred_at),
        "previousState": previous_state,
        "newState": new_state,
        "reason": reason,
        "errorRate": error_rate,
        "bindError": bind_error,
        "observedAt": rfc3339(observed_at),
    }
    return checked("operator.health", body)
