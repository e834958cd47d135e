"""What time alone does: windows close, and an operator that nobody reports on becomes UNKNOWN."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Q

from health.live import LiveState, Offered
from health.models import HealthStatus, HealthWindow, TransitionReason
from health.moves import Moves, open_windows
from health.reducer import SILENCE, expire
from health.statuses import Statuses
from operators.models import HealthState

AT_ONCE: Final = 1000


def close_windows(*, now: datetime) -> int:
    """End the windows whose time has run out, and show again what was hidden; return how many. Raises Overtaken."""
    due = HealthWindow.objects.due(now).filter(operator__deleted_at=None)
    operator_ids = list(due.values_list("operator_id", flat=True)[:AT_ONCE])
    if not operator_ids:
        return 0
    moves, statuses = Moves(now), Statuses()
    with transaction.atomic(durable=True):
        locked = statuses.lock(set(operator_ids))
        # Somebody may have closed one while we waited for its operator.
        closing = list(due.filter(operator_id__in=locked))
        for window in closing:
            window.ended_at = window.ends_at
        HealthWindow.objects.bulk_update(closing, ("ended_at",))
        governing = open_windows(list(locked))
        for window in closing:
            moves.decided(
                locked[window.operator_id],
                window=governing.get(window.operator_id),
                reason=TransitionReason(window.kind),
                at=window.ends_at,
            )
        statuses.save(list(locked.values()), moved=set(locked))
        moves.write()
    moves.count()
    return len(closing)


def expire_silent(*, clock: datetime, now: datetime) -> int:
    """Make those UNKNOWN whose newest report the broker took more than 60 s before `clock`; return how many.

    Silence is measured by the broker's clock, so that a connector whose own clock is wrong does not flap. Raises
    Overtaken where an operator is deleted meanwhile.
    """
    before = clock - SILENCE
    silent_ids = list(
        HealthStatus.objects.of_live_operators()
        .exclude(state=HealthState.UNKNOWN)
        .filter(received_at__lt=before)
        .values_list("pk", flat=True)[:AT_ONCE]
    )
    if not silent_ids:
        return 0
    moves, statuses = Moves(now), Statuses()
    with transaction.atomic(durable=True):
        # Reports come through this very process, so none has come meanwhile; an operator may have been deleted.
        silent = list(statuses.lock(silent_ids).values())
        windows = open_windows(silent_ids)
        for status in silent:
            condition, stale = expire(status.condition)
            for move in stale:
                moves.measured(status, move, window=windows.get(status.operator_id))
            status.take(condition)
        statuses.save(silent, moved={status.operator_id for status in silent})
        moves.write()
    moves.count()
    return len(silent)


def live_changes(*, since: datetime, offered: Offered) -> list[LiveState]:
    """Read the effective states that were written since a moment, whoever wrote them, and that nobody has offered yet.

    Thousands may come up at once, and ingest wrote these itself: only what differs is read as a whole.
    """
    rows = HealthStatus.objects.of_live_operators().filter(effective_set_at__gte=since)
    written = rows.values_list("pk", "effective_state", "effective_since")
    unknown = [pk for pk, state, state_since in written.iterator() if offered.get(pk) != (state, state_since)]
    return [LiveState.of(status) for status in rows.filter(pk__in=unknown)] if unknown else []


def live_now(*, clock: datetime, windows_only: bool = False) -> list[LiveState]:
    """Read what the live view has to hold: operators heard of within 60 s, and those whose state staff decide."""
    held = Q(pk__in=HealthWindow.objects.open().values("operator_id"))
    wanted = held if windows_only else held | Q(received_at__gte=clock - SILENCE)
    rows = HealthStatus.objects.of_live_operators().exclude(effective_state=HealthState.UNKNOWN).filter(wanted)
    return [LiveState.of(status) for status in rows]
