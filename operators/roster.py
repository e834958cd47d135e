"""Every operator as the platform's other services hold it, read in the order of the primary key."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from operators.errors import OperatorNotFound
from operators.models import Operator
from operators.wire import JSONValue, rfc3339

# Rows become plain values: model instances and serializers would cost five times as much.
COLUMNS: Final = (
    "id",
    "name",
    "host",
    "port",
    "system_id",
    "system_type",
    "bind_type",
    "use_tls",
    "max_tps",
    "burst_multiplier",
    "enforcement_mode",
    "status",
    "health_state",
    "version",
    "credential_version",
    "credential_rotated_at",
    "backup_operator_id",
    "tags",
    "created_by",
    "updated_by",
    "created_at",
    "updated_at",
)
Row = tuple[Any, ...]


def read_one(operator_id: UUID) -> Row:
    """Read one that is not deleted; raises OperatorNotFound."""
    row: Row | None = Operator.objects.live().filter(pk=operator_id).values_list(*COLUMNS).first()
    if row is None:
        raise OperatorNotFound
    return row


def read_some(count: int, *, after: UUID | None = None, at_or_after: UUID | None = None) -> list[Row]:
    """Read the next ones that are not deleted; what is behind costs nothing."""
    operators = Operator.objects.live().order_by("pk")
    if after is not None:
        operators = operators.filter(pk__gt=after)
    if at_or_after is not None:
        operators = operators.filter(pk__gte=at_or_after)
    return list(operators.values_list(*COLUMNS)[:count])


def on_the_wire(row: Row) -> dict[str, JSONValue]:
    """Name a row's values as the API does; what only staff need is left out."""
    operator = dict(zip(COLUMNS, row, strict=True))
    backup_id = operator["backup_operator_id"]
    return {
        "operatorId": str(operator["id"]),
        "name": operator["name"],
        "host": operator["host"],
        "port": operator["port"],
        "systemId": operator["system_id"],
        "systemType": operator["system_type"],
        "bindType": operator["bind_type"],
        "useTls": operator["use_tls"],
        "tpsLimit": {
            "maxTps": operator["max_tps"],
            "burstMultiplier": float(operator["burst_multiplier"]),
            "enforcementMode": operator["enforcement_mode"],
        },
        "status": operator["status"],
        "healthState": operator["health_state"],
        "version": operator["version"],
        "credentialVersion": operator["credential_version"],
        "credentialRotatedAt": rfc3339(operator["credential_rotated_at"]),
        "backupOperatorId": str(backup_id) if backup_id else None,
        "tags": operator["tags"],
        "createdBy": operator["created_by"],
        "updatedBy": operator["updated_by"],
        "createdAt": rfc3339(operator["created_at"]),
        "updatedAt": rfc3339(operator["updated_at"]),
    }
