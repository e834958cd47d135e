"""Write down who changed what, in the transaction of the change, and who was given which password."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from operators.actors import Actor
from operators.models import AuditAction, AuditEntry, CredentialRead, Operator
from operators.tracing import trace_id
from operators.wire import JSONValue

# Not through the ORM, which would ask for the new id and cost as much again as the statement.
_ADD_READ: Final = f"""
    INSERT INTO {CredentialRead._meta.db_table}
        (operator_id, credential_version, caller, identity, result, trace_id, at)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""  # noqa: S608 - the table's name is ours


def record(
    *,
    operator: Operator,
    actor: Actor,
    action: AuditAction,
    changes: Mapping[str, tuple[JSONValue, JSONValue]],
    reason: str,
    at: datetime,
) -> AuditEntry:
    """Add an entry at the operator's present version; `changes` is {wire name: (before, after)}."""
    return AuditEntry.objects.create(
        operator=operator,
        version=operator.version,
        action=action,
        actor=actor.name,
        source=actor.source,
        reason=reason,
        changes={name: list(pair) for name, pair in changes.items()},
        trace_id=trace_id(),
        at=at,
    )


def record_credential_read(
    *, operator_id: UUID, credential_version: int | None, caller: str, identity: str, result: str, at: datetime
) -> None:
    """Add one row in a transaction of its own; call it outside any other, before the password leaves.

    Whatever goes wrong is raised as a database error: then there is no row, and the caller gives no password away.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ADD_READ, (operator_id, credential_version, caller, identity, result, trace_id(), at))
