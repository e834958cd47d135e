"""Write moves of the state down: transitions, what others see, and the events that tell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from health import events
from health.metrics import transitions as transitions_total
from health.models import HealthStatus, HealthTransition, HealthWindow, TransitionReason, WindowKind
from health.reducer import Move, Reason
from health.reports import Report
from operators import outbox
from operators.events import Event
from operators.models import Operator


def open_windows(operator_ids: Sequence[UUID]) -> dict[UUID, HealthWindow]:
    """Find the open window that governs each operator; a maintenance beats an override."""
    rows = HealthWindow.objects.open().filter(operator_id__in=operator_ids).order_by("-kind")
    assert WindowKind.OVERRIDE > WindowKind.MAINTENANCE  # so a maintenance comes last and stays
    return {window.operator_id: window for window in rows}


class Moves:
    """Collect the moves of one transaction, whose statuses are locked, and write them in a few statements.

    It changes the effective fields of the statuses that it is given; the caller saves them.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.transitions: list[HealthTransition] = []
        self._events: list[Event] = []
        self._states: dict[UUID, str] = {}

    def measured(
        self,
        status: HealthStatus,
        move: Move,
        *,
        window: HealthWindow | None,
        report: Report | None = None,
    ) -> None:
        """Note a move of the measured state and the report behind it; others see it unless a window is open."""
        figures = None if move.reason is Reason.STALE else report
        status.since, status.reason = move.at, move.reason.value
        self._note(
            status,
            HealthTransition(
                operator_id=status.operator_id,
                from_state=move.before.value,
                to_state=move.after.value,
                reason=TransitionReason(move.reason.value),
                at=move.at,
                recorded_at=self.now,
                error_rate=figures.error_rate if figures else None,
                bind_error=figures.bind_error if figures else None,
                is_hidden=window is not None,
            ),
        )

    def decided(
        self, status: HealthStatus, *, window: HealthWindow | None, reason: TransitionReason, at: datetime
    ) -> None:
        """Show what an opened or closed window makes of the state; nothing where that is what others see already."""
        state = window.state if window else status.state
        if state == status.effective_state:
            status.effective_reason = TransitionReason(window.kind).value if window else status.reason
            return
        self._note(
            status,
            HealthTransition(
                operator_id=status.operator_id,
                from_state=status.effective_state,
                to_state=state,
                reason=reason,
                at=at,
                recorded_at=self.now,
                error_rate=status.error_rate,
                bind_error=status.bind_error,
            ),
        )

    def write(self) -> None:
        """Write transitions, Operator.health_state and events; the metrics follow the commit by `count`."""
        HealthTransition.objects.bulk_create(self.transitions)
        # In the order in which every writer of several operators locks them.
        list(Operator.objects.select_for_update(no_key=True).filter(pk__in=self._states).order_by("pk").values("pk"))
        by_state: dict[str, list[UUID]] = {}
        for operator_id, state in self._states.items():
            by_state.setdefault(state, []).append(operator_id)
        for state, operator_ids in by_state.items():
            Operator.objects.filter(pk__in=operator_ids).update(health_state=state)
        outbox.append_all(self._events)

    def count(self) -> None:
        """Count what was written, once it is committed."""
        for (before, after), number in self._counted().items():
            transitions_total.labels(before, after).inc(number)

    def _counted(self) -> Mapping[tuple[str, str], int]:
        return Counter((each.from_state, each.to_state) for each in self.transitions if not each.is_hidden)

    def _note(self, status: HealthStatus, transition: HealthTransition) -> None:
        self.transitions.append(transition)
        if transition.is_hidden:
            return
        status.sequence += 1
        transition.sequence = status.sequence
        self._events.append(
            events.moved(
                operator_id=status.operator_id,
                sequence=status.sequence,
                previous_state=status.effective_state,
                new_state=transition.to_state,
                reason=transition.reason,
                error_rate=transition.error_rate,
                bind_error=transition.bind_error,
                observed_at=transition.at,
                occurred_at=self.now,
            )
        )
        status.effective_state = transition.to_state
        status.effective_since = transition.at
        status.effective_reason = transition.reason
        status.effective_set_at = self.now
        self._states[status.operator_id] = transition.to_state
