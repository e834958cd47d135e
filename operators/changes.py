"""Write a change of an operator down: the row under its lock, the next version, history, event, signal.

Actions call these inside their transaction. Whatever belongs to an operator's configuration, also in other apps, goes
through `commit_change`, so that its version and its events have no gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from django.utils import timezone

from operators import audit, events, outbox, signals
from operators.actors import Actor
from operators.errors import OperatorNotFound, PreconditionFailed
from operators.models import AuditAction, Operator
from operators.wire import JSONValue


def lock_operator(operator_id: UUID, *, is_deleted: bool = False) -> Operator:
    """Lock and read one operator until the transaction ends; raises OperatorNotFound."""
    operator = (
        Operator.objects.select_for_update(of=("self",))
        .filter(pk=operator_id, deleted_at__isnull=not is_deleted)
        .first()
    )
    if operator is None:
        raise OperatorNotFound
    return operator


class Signed(Protocol):
    """A row whose every change raises its version and names its author."""

    version: int
    updated_by: str


def refuse_stale(row: Signed, expected_version: int | None, *, what: str = "operator") -> None:
    """Raise PreconditionFailed unless the row is at the version that the caller saw; None means any."""
    if expected_version is not None and row.version != expected_version:
        raise PreconditionFailed(
            f"The {what} is at version {row.version}, not {expected_version}: {row.updated_by} changed it meanwhile."
        )


def raise_version(operator: Operator, actor: Actor, now: datetime) -> None:
    operator.version += 1
    operator.updated_by = actor.name
    operator.updated_at = now


def commit_change(
    operator: Operator,
    actor: Actor,
    action: AuditAction,
    changes: Mapping[str, tuple[JSONValue, JSONValue]],
    reason: str,
) -> None:
    """Save the locked operator with its next version, and tell of it in history, outbox and signal.

    `changes` is {wire name: (before, after)}.
    """
    raise_version(operator, actor, timezone.now())
    # Every column but the key: the row is locked, so nothing can have changed under it.
    operator.save(update_fields=[field.name for field in operator._meta.concrete_fields if not field.primary_key])
    record_change(operator, actor, action, changes, event=events.updated(operator, changes), reason=reason)
    signals.operator_changed.send(sender=Operator, operator=operator, actor=actor, changed_fields=frozenset(changes))


def record_change(
    operator: Operator,
    actor: Actor,
    action: AuditAction,
    changes: Mapping[str, tuple[JSONValue, JSONValue]],
    *,
    event: events.Event,
    reason: str = "",
) -> None:
    """Add audit entry and event at the operator's present version."""
    audit.record(operator=operator, actor=actor, action=action, changes=changes, reason=reason, at=operator.updated_at)
    outbox.append(event)
