"""Write down who changed what, in the transaction of the change, and who was given which password."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from operators.actors import Actor
from operators.models import AuditAction, AuditEntry, AuditObject, Operator
from operators.prepared import execute
from operators.tracing import trace_id
from operators.wire import JSONValue

Changes = Mapping[str, tuple[JSONValue, JSONValue]]

# Commits the row, then waits until it is on the disk; not to be had inside a transaction (migration 0008).
_ADD_READ: Final = """
    CALL add_credential_read(%s::uuid, %s::int, %s::text, %s::text, %s::text, %s::text, %s::timestamptz)
"""


def record(
    *,
    operator: Operator,
    actor: Actor,
    action: AuditAction,
    changes: Changes,
    reason: str,
    at: datetime,
) -> AuditEntry:
    """Add an entry at the operator's present version; `changes` is {wire name: (before, after)}."""
    return _add(actor, action, changes, reason, at, operator_id=operator.pk, version=operator.version)


def record_about(
    about: AuditObject,
    object_id: object,
    *,
    actor: Actor,
    action: AuditAction,
    changes: Changes,
    at: datetime,
    reason: str = "",
    operator_id: UUID | None = None,
    version: int | None = None,
) -> AuditEntry:
    """Add an entry about something else than an operator: of one, or of none.

    `version` is that of the thing where it counts one, and the operator's where it is of an operator.
    """
    about_what = {"object_type": about, "object_id": str(object_id)[:255]}
    return _add(actor, action, changes, reason, at, operator_id=operator_id, version=version, **about_what)


def _add(
    actor: Actor, action: AuditAction, changes: Changes, reason: str, at: datetime, **about: UUID | int | str | None
) -> AuditEntry:
    return AuditEntry.objects.create(
        action=action,
        actor=actor.name,
        source=actor.source,
        reason=reason,
        changes={name: list(pair) for name, pair in changes.items()},
        trace_id=trace_id(),
        at=at,
        **about,
    )


def record_credential_read(
    *, operator_id: UUID, credential_version: int | None, caller: str, identity: str, result: str, at: datetime
) -> None:
    """Add one row that outlives a crash; call it outside any transaction, before the password leaves.

    Whatever goes wrong is raised as a database error: then there is no row, and the caller gives no password away.
    """
    execute(_ADD_READ, (operator_id, credential_version, caller, identity, result, trace_id(), at))
