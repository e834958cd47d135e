"""The statuses that ingest works on: locked for one transaction, remembered for the next."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final
from uuid import UUID

from django.db import connection

from health.copying import moment, number, stage, text
from health.models import HealthStatus
from operators.models import Operator

_TABLE: Final = HealthStatus._meta.db_table
_OPERATOR: Final = Operator._meta.db_table

# Ordered, so that two writers wait for each other instead of dying of a deadlock.
_LOCK: Final = f"""
    SELECT status.operator_id, status.xmin::text
    FROM {_TABLE} AS status JOIN {_OPERATOR} AS operator ON operator.id = status.operator_id
    WHERE status.operator_id = ANY (%s) AND operator.deleted_at IS NULL
    ORDER BY status.operator_id FOR NO KEY UPDATE OF status
"""  # noqa: S608 - the tables' names are ours
_VERSION: Final = f"SELECT xmin::text FROM {_TABLE} WHERE operator_id = %s"  # noqa: S608

# What every report changes, and what only a move does.
MEASURED: Final = (
    "operator_id, observed_at, received_at, above_degraded_since, above_unhealthy_since, calm_since, connector_id, "
    "bind_state, error_rate, bind_error, latency_ms"
)
MOVED: Final = (
    "operator_id, state, since, reason, effective_state, effective_since, effective_reason, effective_set_at, sequence"
)


class Statuses:
    """Lock statuses and write them back; those that nobody else has written since are not read again.

    A row's version is its xmin, the transaction that wrote it. Reading a thousand rows of twenty columns would cost as
    much as all the rest of a batch.
    """

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[str, HealthStatus]] = {}

    def lock(self, operator_ids: Collection[UUID]) -> dict[UUID, HealthStatus]:
        """Lock the statuses of those operators that exist and are not deleted; makes the rows that are missing."""
        found = self._lock(operator_ids)
        if len(found) < len(operator_ids):
            missing = set(operator_ids) - found.keys()
            without = Operator.objects.live().filter(pk__in=missing, health=None).values_list("pk", flat=True)
            if fresh := [HealthStatus(operator_id=operator_id) for operator_id in without]:
                HealthStatus.objects.bulk_create(fresh, ignore_conflicts=True)
                found |= self._lock([status.operator_id for status in fresh])
        return found

    def save(self, statuses: Sequence[HealthStatus], *, moved: Collection[UUID]) -> None:
        """Write locked statuses back, whole where their operators are among `moved`."""
        if not statuses:
            return
        _store("measured_stage", MEASURED, map(_measured, statuses))
        if moved:
            _store("moved_stage", MOVED, (_moved(status) for status in statuses if status.operator_id in moved))
        # All rows that this transaction wrote have the same version.
        with connection.cursor() as cursor:
            cursor.execute(_VERSION, [statuses[0].operator_id])
            [version] = cursor.fetchone()
        self._known.update({status.operator_id: (version, status) for status in statuses})

    def forget(self) -> None:
        """Read everything anew: a transaction failed, and what is remembered may never have been written."""
        self._known.clear()

    def _lock(self, operator_ids: Collection[UUID]) -> dict[UUID, HealthStatus]:
        with connection.cursor() as cursor:
            cursor.execute(_LOCK, [list(operator_ids)])
            versions: dict[UUID, str] = dict(cursor.fetchall())
        found = {
            operator_id: known[1]
            for operator_id, version in versions.items()
            if (known := self._known.get(operator_id)) and known[0] == version
        }
        if unread := versions.keys() - found.keys():
            found |= HealthStatus.objects.in_bulk(list(unread))
        return found


def _store(table: str, columns: str, lines: Iterable[str]) -> None:
    """Write columns of many rows, the first of which is the key."""
    stage(table, _TABLE, columns, lines)
    key, *others = columns.split(", ")
    assignments = ", ".join(f"{name} = stage.{name}" for name in others)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE} AS status SET {assignments} "  # noqa: S608 - the names are ours
            f"FROM {table} AS stage WHERE status.{key} = stage.{key}"
        )


def _measured(status: HealthStatus) -> str:
    return (
        f"{status.operator_id}\t{moment(status.observed_at)}\t{moment(status.received_at)}\t"
        f"{moment(status.above_degraded_since)}\t{moment(status.above_unhealthy_since)}\t{moment(status.calm_since)}\t"
        f"{text(status.connector_id)}\t{status.bind_state}\t{number(status.error_rate)}\t{text(status.bind_error)}\t"
        f"{number(status.latency_ms)}\n"
    )


def _moved(status: HealthStatus) -> str:
    return (
        f"{status.operator_id}\t{status.state}\t{moment(status.since)}\t{status.reason}\t{status.effective_state}\t"
        f"{moment(status.effective_since)}\t{status.effective_reason}\t{moment(status.effective_set_at)}\t"
        f"{status.sequence}\n"
    )
