"""Write down who changed what, in the transaction of the change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from operators.actors import Actor
from operators.models import AuditAction, AuditEntry, Operator
from operators.tracing import trace_id
from operators.wire import JSONValue


def record(
    *,
    operator: Operator,
    actor: Actor,
    action: AuditAction,
    changes: Mapping[str, tuple[JSONValue, JSONValue]],
    reason: str,
    at: datetime,
) -> AuditEntry:
    """Add an entry at the operator's present version; `changes` is {wire name: (before, after)}."""
    return AuditEntry.objects.create(
        operator=operator,
        version=operator.version,
        action=action,
        actor=actor.name,
        source=actor.source,
        reason=reason,
        changes={name: list(pair) for name, pair in changes.items()},
        trace_id=trace_id(),
        at=at,
    )
