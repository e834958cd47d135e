"""Every table of the system of record."""

from __future__ import annotations

from operators.models.audit import AuditAction, AuditEntry, AuditObject
from operators.models.credential import CredentialAttempt
from operators.models.credential_read import CredentialRead, ReadResult
from operators.models.idempotency import IdempotencyRecord
from operators.models.legacy import LegacyRow, LegacyRun, RowOutcome
from operators.models.operator import (
    STATUS_MOVES,
    BindType,
    EnforcementMode,
    HealthState,
    Operator,
    OperatorQuerySet,
    Status,
)
from operators.models.outbox import OutboxEvent, OutboxQuerySet

__all__ = [
    "STATUS_MOVES",
    "AuditAction",
    "AuditEntry",
    "AuditObject",
    "BindType",
    "CredentialAttempt",
    "CredentialRead",
    "EnforcementMode",
    "HealthState",
    "IdempotencyRecord",
    "LegacyRow",
    "LegacyRun",
    "Operator",
    "OperatorQuerySet",
    "OutboxEvent",
    "OutboxQuerySet",
    "ReadResult",
    "RowOutcome",
    "Status",
]
