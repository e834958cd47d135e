"""Events: what all have in common, the configuration events, and the JSON Schemas in docs/events that bind them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Literal, TypedDict

from django.conf import settings
from jsonschema import Draft202012Validator, FormatChecker

from operators.models import Operator
from operators.wire import JSONValue, rfc3339

# Named in changedFields, but their values stay here: secrets, a table of their own, staff's free text.
WITHOUT_VALUES: Final = frozenset({"credentials", "routingRules", "notes", "contacts"})

Changes = Mapping[str, tuple[JSONValue, JSONValue]]


class Envelope(TypedDict):
    schemaVersion: Literal["1"]
    type: str
    eventId: str
    operatorId: str
    version: int
    occurredAt: str


class TpsLimit(TypedDict):
    maxTps: int
    burstMultiplier: float
    enforcementMode: str


class CreatedBody(Envelope):
    name: str
    host: str
    port: int
    systemId: str
    systemType: str
    bindType: str
    useTls: bool
    tpsLimit: TpsLimit
    backupOperatorId: str | None
    status: str
    createdAt: str
    createdBy: str


class UpdatedBody(Envelope):
    changedFields: list[str]
    previousValues: dict[str, JSONValue]
    newValues: dict[str, JSONValue]
    updatedAt: str
    updatedBy: str


class DeletedBody(Envelope):
    deletedAt: str
    deletedBy: str


@dataclass(frozen=True)
class Event:
    """One event, ready for the outbox."""

    subject: str
    body: Envelope

    @property
    def event_id(self) -> uuid.UUID:
        return uuid.UUID(self.body["eventId"])


class EventInvalid(Exception):
    """An event does not match its schema: a fault of this service, so the change must not be committed."""


def created(operator: Operator) -> Event:
    body: CreatedBody = {
        **_envelope("operator.config.created.v1", operator, operator.created_at),
        "name": operator.name,
        "host": operator.host,
        "port": operator.port,
        "systemId": operator.system_id,
        "systemType": operator.system_type,
        "bindType": operator.bind_type,
        "useTls": operator.use_tls,
        "tpsLimit": {
            "maxTps": operator.max_tps,
            "burstMultiplier": float(operator.burst_multiplier),
            "enforcementMode": operator.enforcement_mode,
        },
        "backupOperatorId": str(operator.backup_operator_id) if operator.backup_operator_id else None,
        "status": operator.status,
        "createdAt": rfc3339(operator.created_at),
        "createdBy": operator.created_by,
    }
    return checked("operator.config.created", body)


def updated(operator: Operator, changes: Changes) -> Event:
    """Tell of changed fields, `changes` being {wire name: (before, after)}."""
    with_values = {name: pair for name, pair in changes.items() if name not in WITHOUT_VALUES}
    body: UpdatedBody = {
        **_envelope("operator.config.updated.v1", operator, operator.updated_at),
        "changedFields": sorted(changes),
        "previousValues": {name: before for name, (before, _) in with_values.items()},
        "newValues": {name: after for name, (_, after) in with_values.items()},
        "updatedAt": rfc3339(operator.updated_at),
        "updatedBy": operator.updated_by,
    }
    return checked("operator.config.updated", body)


def deleted(operator: Operator) -> Event:
    assert operator.deleted_at is not None
    body: DeletedBody = {
        **_envelope("operator.config.deleted.v1", operator, operator.deleted_at),
        "deletedAt": rfc3339(operator.deleted_at),
        "deletedBy": operator.updated_by,
    }
    return checked("operator.config.deleted", body)


def validate(body: Mapping[str, object]) -> None:
    """Check a body against the schema of its type; raises EventInvalid that names the path, never the value."""
    errors = sorted(_validator(str(body["type"])).iter_errors(body), key=lambda error: list(error.absolute_path))
    if errors:
        where = "; ".join(f"{'.'.join(map(str, error.absolute_path)) or 'body'}: {error.validator}" for error in errors)
        raise EventInvalid(f"{body['type']} breaks its schema at {where}")


def checked(subject: str, body: Envelope) -> Event:
    """Make an event of a body that keeps its schema; raises EventInvalid."""
    validate(body)
    return Event(subject=subject, body=body)


def envelope(event_type: str, *, operator_id: uuid.UUID, version: int, occurred_at: datetime) -> Envelope:
    """Begin an event's body with a fresh eventId; `version` rises with each event of its kind and operator."""
    return {
        "schemaVersion": "1",
        "type": event_type,
        "eventId": str(uuid.uuid4()),
        "operatorId": str(operator_id),
        "version": version,
        "occurredAt": rfc3339(occurred_at),
    }


def _envelope(event_type: str, operator: Operator, occurred_at: datetime) -> Envelope:
    return envelope(event_type, operator_id=operator.id, version=operator.version, occurred_at=occurred_at)


@cache
def _validator(event_type: str) -> Draft202012Validator:
    schema = json.loads((settings.BASE_DIR / "docs" / "events" / f"{event_type}.json").read_text())
    return Draft202012Validator(schema, format_checker=FormatChecker())
