"""The statuses that ingest works on: locked for one transaction, remembered for the next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    "observed_at, received_at, above_degraded_since, above_unhealthy_since, calm_since, connector_id, bind_state, "
    "error_rate, bind_error, latency_ms"
)
MOVED: Final = "state, since, reason, effective_state, effective_since, effective_reason, effective_set_at, sequence"
_STORE_MEASURED: Final = f"""
    UPDATE {_TABLE} AS status SET {", ".join(f"{name} = stage.{name}" for name in MEASURED.split(", "))}
    FROM measured_stage AS stage JOIN {_OPERATOR} AS operator ON operator.id = stage.operator_id
    WHERE status.operator_id = stage.operator_id AND status.xmin = stage.version::xid AND operator.deleted_at IS NULL
"""  # noqa: S608
_STORE_MOVED: Final = f"""
    UPDATE {_TABLE} AS status SET {", ".join(f"{name} = stage.{name}" for name in MOVED.split(", "))}
    FROM moved_stage AS stage WHERE status.operator_id = stage.operator_id
"""  # noqa: S608


class Overtaken(Exception):
    """Somebody else has written a status that was remembered, or deleted its operator: read it and begin again."""


class Statuses:
    """Read statuses, and write them back unless somebody else has written them since; for one thread.

    They are remembered from one transaction to the next: reading and locking a thousand rows of twenty columns would
    cost more than all the rest of a batch. A row's version is its xmin, the transaction that wrote it.
    """

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[str, HealthStatus]] = {}

    def recall(self, operator_ids: Collection[UUID]) -> dict[UUID, HealthStatus]:
        """Return what is remembered, and lock and read the rest; `confirm` what will not be saved."""
        found = {operator_id: self._known[operator_id][1] for operator_id in operator_ids if operator_id in self._known}
        return found | self.lock([operator_id for operator_id in operator_ids if operator_id not in found])

    def lock(self, operator_ids: Collection[UUID]) -> dict[UUID, HealthStatus]:
        """Lock the statuses of those operators that exist and are not deleted; makes the rows that are missing."""
        if not operator_ids:
            return {}
        found = self._lock(operator_ids)
        if len(found) < len(operator_ids):
            missing = set(operator_ids) - found.keys()
            without = Operator.objects.live().filter(pk__in=missing, health_status=None).values_list("pk", flat=True)
            if fresh := [HealthStatus(operator_id=operator_id) for operator_id in without]:
                HealthStatus.objects.bulk_create(fresh, ignore_conflicts=True)
                found |= self._lock([status.operator_id for status in fresh])
        return found

    def confirm(self, operator_ids: Collection[UUID]) -> None:
        """Lock statuses that were recalled; raises Overtaken where one is not as it was, or its operator is gone."""
        before = {operator_id: self._known[operator_id][1] for operator_id in operator_ids}
        now = self.lock(operator_ids)
        if any(now.get(operator_id) is not status for operator_id, status in before.items()):
            raise Overtaken

    def save(self, statuses: Sequence[HealthStatus], *, moved: Collection[UUID]) -> None:
        """Write statuses back, whole where their operators are among `moved`; raises Overtaken."""
        if not statuses:
            return
        stage(
            "measured_stage",
            f"SELECT operator_id, xmin::text AS version, {MEASURED} FROM {_TABLE}",  # noqa: S608 - the names are ours
            (_measured(status, self._known[status.operator_id][0]) for status in statuses),
        )
        with connection.cursor() as cursor:
            cursor.execute(_STORE_MEASURED)
            if cursor.rowcount != len(statuses):
                raise Overtaken
        if moved:
            stage(
                "moved_stage",
                f"SELECT operator_id, {MOVED} FROM {_TABLE}",  # noqa: S608
                (_moved(status) for status in statuses if status.operator_id in moved),
            )
            with connection.cursor() as cursor:
                cursor.execute(_STORE_MOVED)
        # All rows that one transaction wrote have the same version.
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
        unread = [
            operator_id
            for operator_id, version in versions.items()
            if (known := self._known.get(operator_id)) is None or known[0] != version
        ]
        for operator_id, status in HealthStatus.objects.in_bulk(unread).items():
            self._known[operator_id] = (versions[operator_id], status)
        return {operator_id: self._known[operator_id][1] for operator_id in versions}


def _measured(status: HealthStatus, version: str) -> str:
    return (
        f"{status.operator_id.hex}\t{version}\t{moment(status.observed_at)}\t{moment(status.received_at)}\t"
        f"{moment(status.above_degraded_since)}\t{moment(status.above_unhealthy_since)}\t{moment(status.calm_since)}\t"
        f"{text(status.connector_id)}\t{status.bind_state}\t{number(status.error_rate)}\t{text(status.bind_error)}\t"
        f"{number(status.latency_ms)}\n"
    )


def _moved(status: HealthStatus) -> str:
    return (
        f"{status.operator_id.hex}\t{status.state}\t{moment(status.since)}\t{status.reason}\t{status.effective_state}\t"
        f"{moment(status.effective_since)}\t{status.effective_reason}\t{moment(status.effective_set_at)}\t"
        f"{status.sequence}\n"
    )
