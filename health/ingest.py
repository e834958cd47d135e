"""Take reports into the log and let the states follow, one transaction for a batch (contract §5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from msgspec import Struct

from health import metrics
from health.copying import moment, number, stage, text
from health.live import LiveState
from health.models import HealthReport, HealthStatus
from health.moves import Moves, open_windows
from health.reducer import Condition, Move, is_late, reduce
from health.reports import Report
from health.statuses import Overtaken, Statuses
from operators.tracing import span

# Each try after the first fails by one more deletion in its few milliseconds.
TRIES: Final = 10

_LOG: Final = HealthReport._meta.db_table
_COLUMNS: Final = (
    "event_id, operator_id, connector_id, observed_at, received_at, bind_state, error_rate, bind_error, latency_ms"
)
_STORE: Final = f"INSERT INTO {_LOG} ({_COLUMNS}) SELECT {_COLUMNS} FROM log_stage ON CONFLICT DO NOTHING"  # noqa: S608


class Received(Struct, frozen=True, gc=False):
    """A report, and when the broker took it, by the broker's clock; the rest is for a dead letter."""

    report: Report
    received_at: datetime
    subject: str = ""
    raw: bytes = b""
    sequence: int | None = None


@dataclass(slots=True)
class Outcome:
    """What became of a batch; `unknown` holds the reports of operators that do not exist or are deleted."""

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    unknown: list[Received] = field(default_factory=list)
    live: list[LiveState] = field(default_factory=list)

    def joined(self, later: Outcome) -> Outcome:
        """Add up with what became of the batch after this one."""
        return Outcome(
            self.accepted + later.accepted,
            self.duplicates + later.duplicates,
            self.late + later.late,
            self.unknown + later.unknown,
            self.live + later.live,
        )


@dataclass(slots=True)
class _Passage:
    """One operator's way through a batch."""

    condition: Condition
    newest: Received
    moves: list[tuple[Move, Report]] = field(default_factory=list)


def take_in(batch: Sequence[Received], *, now: datetime, statuses: Statuses | None = None) -> Outcome:
    """Log a batch, move the states in the order of delivery, and tell of the moves; all of it or nothing.

    Repeats fall out of the log by their key and need no other care: to the reducer they are late. `statuses` is kept
    by a caller that comes again.
    """
    statuses = statuses or Statuses()
    with metrics.batch_seconds.time(), span("ops.health.ingest", action="take_in"):
        try:
            outcome, moves = _insist(batch, now, statuses)
        except BaseException:
            statuses.forget()
            raise
    moves.count()
    for result, count in (
        ("accepted", outcome.accepted),
        ("duplicate", outcome.duplicates),
        ("late", outcome.late),
    ):
        metrics.reports.labels(result).inc(count)
    return outcome


def _insist(batch: Sequence[Received], now: datetime, statuses: Statuses) -> tuple[Outcome, Moves]:
    """Write a batch, and begin again where a decision of staff, or a deletion, has overtaken it.

    From the second try on all statuses are read and locked, which keeps decisions away until the commit, but not a
    deletion: it locks the operator alone.
    """
    for _ in range(TRIES - 1):
        with suppress(Overtaken):
            return _write(batch, now, statuses)
        statuses.forget()
    return _write(batch, now, statuses)


def _write(batch: Sequence[Received], now: datetime, statuses: Statuses) -> tuple[Outcome, Moves]:
    with transaction.atomic(durable=True):
        found = statuses.recall({each.report.operator_id for each in batch})
        known = [each for each in batch if each.report.operator_id in found]
        new = _log(known)
        passages, taken = _reduce(known, found)
        # Saving confirms the others; a move has to see whether a window is open, and hold it until the commit.
        statuses.confirm([key for key in found if key not in passages or passages[key].moves])
        moves = _apply(passages, found, now)
        changed = [found[operator_id] for operator_id in passages]
        statuses.save(changed, moved={each.operator_id for each in moves.transitions})
        moves.write()
    return (
        Outcome(
            accepted=taken,
            duplicates=len(known) - new,
            # A repeat is late as well; what is late and was new is late in the contract's sense.
            late=max(new - taken, 0),
            unknown=[each for each in batch if each.report.operator_id not in found],
            live=[LiveState.of(status, is_report=True) for status in changed],
        ),
        moves,
    )


def _log(batch: Sequence[Received]) -> int:
    """Append reports to the log and return how many were new; the others had been logged before."""
    stage("log_stage", f"SELECT {_COLUMNS} FROM {_LOG}", map(_line, batch))  # noqa: S608 - the names are ours
    with connection.cursor() as cursor:
        cursor.execute(_STORE)
        return int(cursor.rowcount)


def _line(each: Received) -> str:
    report = each.report
    return (
        f"{report.event_id.hex}\t{report.operator_id.hex}\t{text(report.connector_id)}\t{moment(report.observed_at)}\t"
        f"{moment(each.received_at)}\t{report.bind_state.value}\t{number(report.error_rate)}\t"
        f"{text(report.bind_error)}\t{number(report.latency_ms)}\n"
    )


def _reduce(batch: Iterable[Received], statuses: dict[UUID, HealthStatus]) -> tuple[dict[UUID, _Passage], int]:
    """Run each operator's reports through the state machine; return their passages and how many were not late."""
    passages: dict[UUID, _Passage] = {}
    taken = 0
    for each in batch:
        report = each.report
        passage = passages.get(report.operator_id)
        condition = passage.condition if passage else statuses[report.operator_id].condition
        if is_late(condition, report.observed_at):
            continue
        taken += 1
        condition, moves = reduce(
            condition, observed_at=report.observed_at, is_bound=report.is_bound, error_rate=report.error_rate
        )
        if passage is None:
            passage = passages[report.operator_id] = _Passage(condition, each)
        else:
            passage.condition, passage.newest = condition, each
        passage.moves += [(move, report) for move in moves]
    return passages, taken


def _apply(passages: dict[UUID, _Passage], statuses: dict[UUID, HealthStatus], now: datetime) -> Moves:
    """Bring the statuses to where the passages ended."""
    windows = open_windows([operator_id for operator_id, passage in passages.items() if passage.moves])
    moves = Moves(now)
    for operator_id, passage in passages.items():
        status = statuses[operator_id]
        for move, report in passage.moves:
            moves.measured(status, move, report=report, window=windows.get(operator_id))
        status.take(passage.condition)
        report = passage.newest.report
        status.received_at = passage.newest.received_at
        status.connector_id, status.bind_state = report.connector_id, report.bind_state.value
        status.error_rate, status.bind_error = report.error_rate, report.bind_error
        status.latency_ms = report.latency_ms
    return moves
