"""The one mapping between the names of the model's fields and those that API, events, history and reports use."""

from __future__ import annotations

from typing import Final

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
