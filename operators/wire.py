"""The one mapping between the names of the model's fields and those that API, events, history and reports use."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

JSONValue = str | int | float | bool | list["JSONValue"] | None

WIRE_NAMES: Final[dict[str, str]] = {
    "id": "operatorId",
    "name": "name",
    "host": "host",
    "port": "port",
    "system_id": "systemId",
    "system_type": "systemType",
    "bind_type": "bindType",
    "use_tls": "useTls",
    "max_tps": "tpsLimit.maxTps",
    "burst_multiplier": "tpsLimit.burstMultiplier",
    "enforcement_mode": "tpsLimit.enforcementMode",
    "status": "status",
    "health_state": "healthState",
    "version": "version",
    "credential_version": "credentialVersion",
    "credential_rotated_at": "credentialRotatedAt",
    "backup_operator": "backupOperatorId",
    "backup_operator_id": "backupOperatorId",
    "notes": "notes",
    "contacts": "contacts",
    "tags": "tags",
    "created_by": "createdBy",
    "updated_by": "updatedBy",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "deleted_at": "deletedAt",
    "password": "password",
}


def wire_name(attribute: str) -> str:
    """Translate a model field's name; KeyError for one that nobody outside may see."""
    return WIRE_NAMES[attribute]


def rfc3339(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC, to the microsecond, with a Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def wire_value(value: object) -> JSONValue:
    """Bring a model's value to the JSON that API, events and history show."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list):
        return [wire_value(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} has no form on the wire.")
