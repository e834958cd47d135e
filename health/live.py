"""What consumers read of an operator's health while it is alive: the values of the KV bucket ops_health."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from health.models import HealthStatus
from operators.models import HealthState
from operators.wire import rfc3339

# The state of each operator that was given to the live view last, and since when it is.
Offered = Mapping[UUID, tuple[str, datetime | None]]


class LiveState(Struct, frozen=True, gc=False):
    """One key of the bucket: the effective state, and the newest report's figures (contract §5)."""

    operator_id: UUID
    state: str
    since: datetime | None
    error_rate: float | None
    bind_error: str | None
    observed_at: datetime | None
    # When the broker took the report that this tells of; None where no report is the cause.
    received_at: datetime | None = None

    @classmethod
    def of(cls, status: HealthStatus, *, is_report: bool = False) -> LiveState:
        return cls(
            operator_id=status.operator_id,
            state=status.effective_state,
            since=status.effective_since,
            error_rate=status.error_rate,
            bind_error=status.bind_error,
            observed_at=status.observed_at,
            received_at=status.received_at if is_report else None,
        )

    @property
    def is_known(self) -> bool:
        """A missing key means UNKNOWN, so that one is deleted."""
        return self.state != HealthState.UNKNOWN

    def payload(self) -> bytes:
        return json.dumps(
            {
                "state": self.state,
                "since": rfc3339(self.since) if self.since else None,
                "errorRate": self.error_rate,
                "bindError": self.bind_error,
                "observedAt": rfc3339(self.observed_at) if self.observed_at else None,
            }
        ).encode()
