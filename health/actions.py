"""Every way in which staff decide what others see of an operator's health: a maintenance and an override.

Each action is one short transaction: lock the status, close and open windows, audit entry, and the move with its event
where others see something new. The operator's version stays, for its configuration does. All raise what
operators.errors and health.errors describe.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from health.errors import NoOpenWindow
from health.models import HealthStatus, HealthWindow, TransitionReason, WindowKind
from health.moves import Moves, open_windows
from health.statuses import Statuses
from operators import audit
from operators.acting import acting
from operators.actors import Actor
from operators.errors import FieldProblem, InvalidPayload, OperatorNotFound
from operators.models import AuditAction, HealthState, Operator
from operators.wire import rfc3339

logger = logging.getLogger(__name__)

LONGEST: Final = timedelta(days=30)
MAX_REASON: Final = 1000
# UNKNOWN is what nobody measured; choosing it would tell routing nothing.
OVERRIDES: Final = (HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY)
WIRE_NAMES: Final = {WindowKind.MAINTENANCE: "maintenance", WindowKind.OVERRIDE: "healthOverride"}


def start_maintenance(*, actor: Actor, operator_id: UUID, until: datetime, reason: str) -> HealthWindow:
    """Show an operator as UNHEALTHY until then, so that routing leaves it out; replaces a maintenance that is open."""
    now = timezone.now()
    with _action(actor, AuditAction.START_MAINTENANCE, operator_id):
        reason = _checked(now, until=until, reason=reason)
        return _open(actor, operator_id, WindowKind.MAINTENANCE, HealthState.UNHEALTHY, until, reason)


def end_maintenance(*, actor: Actor, operator_id: UUID, reason: str = "") -> HealthWindow:
    """Show again what an override or the reports say; raises NoOpenWindow."""
    with _action(actor, AuditAction.END_MAINTENANCE, operator_id):
        return _close(actor, operator_id, WindowKind.MAINTENANCE, _short(reason))


def override_health(
    *, actor: Actor, operator_id: UUID, state: HealthState, until: datetime, reason: str
) -> HealthWindow:
    """Show others this state until then, whatever the reports say; replaces an override that is open.

    While a maintenance is open nobody sees it.
    """
    now = timezone.now()
    with _action(actor, AuditAction.OVERRIDE_HEALTH, operator_id):
        reason = _checked(now, until=until, reason=reason, state=state)
        return _open(actor, operator_id, WindowKind.OVERRIDE, HealthState(state), until, reason)


def end_override(*, actor: Actor, operator_id: UUID, reason: str = "") -> HealthWindow:
    """Show again what the reports say; raises NoOpenWindow."""
    with _action(actor, AuditAction.END_OVERRIDE, operator_id):
        return _close(actor, operator_id, WindowKind.OVERRIDE, _short(reason))


def _action(actor: Actor, action: AuditAction, operator_id: UUID) -> AbstractContextManager[None]:
    """Wrap an action in its span and its log line."""
    return acting(
        "ops.health.setWindow",
        logger=logger,
        actor=actor,
        action=action,
        done=f"operator {action.label.lower()} done",
        operator_id=operator_id,
    )


def _checked(now: datetime, *, until: datetime, reason: str, state: str | None = None) -> str:
    """Return the trimmed reason; raises InvalidPayload that lists all broken rules."""
    problems = []
    if state is not None and state not in OVERRIDES:
        problems.append(FieldProblem("state", f"This field is one of {', '.join(OVERRIDES)}."))
    if timezone.is_naive(until):
        problems.append(FieldProblem("until", "This moment needs its offset from UTC."))
    elif until <= now:
        problems.append(FieldProblem("until", "This moment has passed."))
    elif until > now + LONGEST:
        problems.append(FieldProblem("until", f"At most {LONGEST.days} days ahead."))
    reason = reason.strip()
    if not reason:
        problems.append(FieldProblem("reason", "Say why."))
    problems += _reason_problems(reason)
    if problems:
        raise InvalidPayload(problems)
    return reason


def _short(reason: str) -> str:
    reason = reason.strip()
    if problems := _reason_problems(reason):
        raise InvalidPayload(problems)
    return reason


def _reason_problems(reason: str) -> list[FieldProblem]:
    if len(reason) > MAX_REASON:
        return [FieldProblem("reason", f"At most {MAX_REASON} characters.")]
    return [FieldProblem("reason", "NUL is not text.")] if "\x00" in reason else []


def _open(
    actor: Actor, operator_id: UUID, kind: WindowKind, state: HealthState, until: datetime, reason: str
) -> HealthWindow:
    with transaction.atomic(durable=True):
        status, operator = _lock(operator_id)
        # Read under the lock: of two at once the second one begins after the first one has ended.
        now = timezone.now()
        if until <= now:
            raise InvalidPayload([FieldProblem("until", "This moment has passed.")])
        replaced = _close_open(actor, operator_id, kind, now)
        window = HealthWindow.objects.create(
            operator=operator,
            kind=kind,
            state=state,
            starts_at=now,
            ends_at=until,
            reason=reason,
            opened_by=actor.name,
        )
        moves = _show(status, kind, now)
        action = AuditAction.START_MAINTENANCE if kind is WindowKind.MAINTENANCE else AuditAction.OVERRIDE_HEALTH
        audit.record(
            operator=operator,
            actor=actor,
            action=action,
            changes={WIRE_NAMES[kind]: (_told(replaced), _told(window))},
            reason=reason,
            at=now,
        )
        moves.write()
    moves.count()
    return window


def _close(actor: Actor, operator_id: UUID, kind: WindowKind, reason: str) -> HealthWindow:
    with transaction.atomic(durable=True):
        status, operator = _lock(operator_id)
        now = timezone.now()
        closed = _close_open(actor, operator_id, kind, now)
        if closed is None:
            raise NoOpenWindow(kind)
        moves = _show(status, kind, now)
        action = AuditAction.END_MAINTENANCE if kind is WindowKind.MAINTENANCE else AuditAction.END_OVERRIDE
        audit.record(
            operator=operator,
            actor=actor,
            action=action,
            changes={WIRE_NAMES[kind]: (_told(closed), None)},
            reason=reason,
            at=now,
        )
        moves.write()
    moves.count()
    return closed


def _lock(operator_id: UUID) -> tuple[HealthStatus, Operator]:
    """Lock the status, and then the operator: that it is not deleted holds until the commit."""
    status = Statuses().lock({operator_id}).get(operator_id)
    operator = Operator.objects.live().select_for_update(of=("self",)).filter(pk=operator_id).first()
    if status is None or operator is None:
        raise OperatorNotFound
    return status, operator


def _close_open(actor: Actor, operator_id: UUID, kind: WindowKind, now: datetime) -> HealthWindow | None:
    """Close the open window of this kind and return it; one of the other kind only where its time has run out.

    Ingest closes those each second. If it is away, an expired override must not come to light behind a maintenance.
    """
    found = None
    for window in HealthWindow.objects.open().filter(operator_id=operator_id):
        is_due = window.ends_at <= now
        if window.kind != kind and not is_due:
            continue
        window.ended_at = window.ends_at if is_due else now
        window.closed_by = "" if is_due else actor.name
        window.save(update_fields=["ended_at", "closed_by"])
        if window.kind == kind:
            found = window
    return found


def _show(status: HealthStatus, kind: WindowKind, now: datetime) -> Moves:
    """Bring the effective state to what the windows now say; the caller writes the moves."""
    governing = open_windows([status.operator_id]).get(status.operator_id)
    moves = Moves(now)
    moves.decided(
        status,
        window=governing,
        reason=TransitionReason(governing.kind if governing else kind),
        at=now,
    )
    status.save(
        update_fields=[
            "effective_state",
            "effective_since",
            "effective_reason",
            "effective_set_at",
            "sequence",
        ]
    )
    return moves


def _told(window: HealthWindow | None) -> str | None:
    """Tell of a window in the words of the history."""
    if window is None:
        return None
    state = f"{window.state} " if window.kind == WindowKind.OVERRIDE else ""
    return f"{state}until {rfc3339(window.ends_at)}: {window.reason}"
