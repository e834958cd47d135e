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

# The chain's lock lasts until the commit is done. Waiting for the disk while holding it would let only one read pass
# per flush, so the row is committed without waiting, and the second statement waits for all that came before it:
# many connections then share one flush.
_ADD_READ: Final = f"""
    INSERT INTO {CredentialRead._meta.db_table}
        (operator_id, credential_version, caller, identity, result, trace_id, at)
    SELECT %s, %s, %s, %s, %s, %s, %s FROM set_config('synchronous_commit', 'off', true)
"""  # noqa: S608 - the table's name is ours
_FLUSH: Final = "SELECT pg_logical_emit_message(true, 'audit', '')"


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
    """Add one row that outlives a crash; call it outside any transaction, before the password leaves.

    Whatever goes wrong is raised as a database error: then there is no row, and the caller gives no password away.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ADD_READ, (operator_id, credential_version, caller, identity, result, trace_id(), at))
        cursor.execute(_FLUSH)
