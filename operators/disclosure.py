"""Hand out what a connector needs to bind, the password among it: counted, traced and written down."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from django.utils import timezone

from operators import metrics
from operators.audit import record_credential_read
from operators.credentials import FIELD
from operators.deadlines import deadline
from operators.errors import OperatorNotFound, VaultUnavailable
from operators.models import Operator, ReadResult
from operators.prepared import fetch
from operators.secrets import Secret
from operators.tracing import span
from operators.vault import SecretMissing

logger = logging.getLogger(__name__)


class BindRow(NamedTuple):
    """The columns of an operator that a bind needs, in this order: a model of them would cost more than the query."""

    pk: UUID
    host: str
    port: int
    system_id: str
    bind_type: str
    use_tls: bool
    max_tps: int
    burst_multiplier: Decimal
    enforcement_mode: str
    backup_operator_id: UUID | None
    version: int
    credential_version: int | None


_ROW: Final = f"""
    SELECT id, {", ".join(BindRow._fields[1:])} FROM {Operator._meta.db_table} WHERE id = %s AND deleted_at IS NULL
"""  # noqa: S608 - the names are ours
# Callers are promised an answer within 3 s. One that waited in line behind a call like this, for the breaker opens only
# after some of them, has time for another.
LONGEST: Final = 1.25


class CredentialMissing(VaultUnavailable):
    """The row names a version that Vault has not, or no longer.

    Not 404: to a connector that says that the operator is gone. The fault is on our side, and ends with a new password.
    """

    retry_after = 60

    def __init__(self) -> None:
        super().__init__("The credential store does not have this operator's password; staff have to set it anew.")


@dataclass(frozen=True)
class BindCredentials:
    """One operator as its row named it at one moment, and the password of exactly that version."""

    operator: BindRow
    password: Secret


def disclose_credentials(*, operator_id: UUID, caller: str, identity: str) -> BindCredentials:
    """Read the row, ask Vault for the version that it names, and write down who asked; nothing inside a transaction.

    Operators of every status have credentials to give: a bind is tried before activation, and suspension keeps it up.
    Raises OperatorNotFound, VaultUnavailable within LONGEST seconds, or the database's error when the audit row cannot
    be written: then no password leaves.
    """

    def record(version: int | None, result: ReadResult) -> None:
        record_credential_read(
            operator_id=operator_id,
            credential_version=version,
            caller=caller,
            identity=identity,
            result=result,
            at=timezone.now(),
        )

    with span("ops.internal.getCredentials", operator_id=operator_id, action="read_credentials"):
        operator = _find(operator_id)
        if operator is None:
            metrics.credentials_read.labels(ReadResult.NOT_FOUND).inc()
            record(None, ReadResult.NOT_FOUND)
            raise OperatorNotFound
        version = operator.credential_version
        try:
            with deadline(LONGEST):
                password = Secret(FIELD.read(operator))
        except SecretMissing:
            record(version, ReadResult.NOT_FOUND)
            raise _why_missing(operator) from None
        except VaultUnavailable:
            record(version, ReadResult.VAULT_ERROR)
            raise
        record(version, ReadResult.OK)
        return BindCredentials(operator, password)


def _find(operator_id: UUID) -> BindRow | None:
    """Read one that is not deleted."""
    rows = fetch(_ROW, [operator_id])
    return BindRow._make(rows[0]) if rows else None


def _why_missing(operator: BindRow) -> Exception:
    """Tell an operator that was deleted since its row was read from one whose password is lost."""
    if _find(operator.pk) is None:
        return OperatorNotFound()
    logger.error("the password that an operator names is not in Vault", extra={"operatorId": str(operator.pk)})
    return CredentialMissing()
