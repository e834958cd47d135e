"""The Vault half of a change: one journalled check-and-set write, its outcome known or left for the reconciler.

No function here runs inside a transaction: a slow Vault must never hold a row lock.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from operators.errors import FieldProblem, InvalidPayload, PreconditionFailed, VaultUnavailable
from operators.fields import VaultCredentialField
from operators.models import CredentialAttempt, Operator
from operators.secrets import Secret
from operators.vault import CasMismatch, OutcomeUnknown, Role, SecretMetadata, vault

logger = logging.getLogger(__name__)

# Longer than all calls of one write together: an attempt that is older has died or lost Vault's answer.
LEASE: Final = timedelta(seconds=30)
WRITES_PER_ATTEMPT: Final = 3

_field = Operator._meta.get_field("password")
assert isinstance(_field, VaultCredentialField)
FIELD: Final[VaultCredentialField] = _field


class CredentialChangeUnderWay(PreconditionFailed):
    """Another write to this operator's secret holds the lease."""

    def __init__(self) -> None:
        super().__init__("Another change of this operator's password is under way; read the operator again and retry.")


@dataclass(frozen=True)
class StoredCredential:
    """A version that lies in Vault and that no row names yet."""

    operator_id: UUID
    path: str
    version: int
    attempt_id: UUID

    def close(self) -> None:
        """End the attempt, inside the transaction that makes the row name this version.

        Raises CredentialChangeUnderWay when we were so slow that the reconciler has ended it or another write has taken
        it over: by now the version may be withdrawn.
        """
        if not CredentialAttempt.objects.filter(id=self.attempt_id).delete()[0]:
            raise CredentialChangeUnderWay


def store(operator: Operator, secret: Secret, *, actor_name: str) -> StoredCredential:
    """Write the secret as the next KV v2 version; costs three calls to Vault.

    Raises CredentialChangeUnderWay while another write to the same operator is open, and VaultUnavailable when Vault
    did not take it. An attempt whose outcome stayed unknown is left open for the reconciler.
    """
    path = FIELD.path_for(operator)
    attempt = _open_attempt(operator.id, actor_name)
    try:
        base = _current_version(path) if attempt.is_contested or not operator._state.adding else 0
        CredentialAttempt.objects.filter(id=attempt.id).update(base_version=base)
        _label(path, operator.id, attempt.id)
        version = _write(path, operator, secret, attempt, base)
    except OutcomeUnknown:
        raise
    except Exception:
        # A contested attempt stays: the write that it took over may still be on its way.
        CredentialAttempt.objects.filter(id=attempt.id, is_contested=False).delete()
        raise
    return StoredCredential(operator_id=operator.id, path=path, version=version, attempt_id=attempt.id)


@contextmanager
def removed_on_failure(stored: StoredCredential | None) -> Iterator[None]:
    """Take the new version out of Vault again when the transaction inside fails.

    If even whether it committed is unknown, the attempt tells: while it is open nothing was committed, and afterwards
    the version belongs to the row, or to whoever has ended the attempt.
    """
    try:
        yield
    except Exception:
        if stored is not None:
            _remove(stored)
        raise


def soft_delete_all(operator: Operator) -> None:
    """Soft-delete every version of a deleted operator's secret; what fails is left for the reconciler."""
    path = FIELD.path_for(operator)
    try:
        metadata = vault(Role.ADMIN).describe(path)
        live = [number for number, state in metadata.versions.items() if not state.is_deleted] if metadata else []
        if live:
            vault(Role.ADMIN).soft_delete(path, live)
    except VaultUnavailable as error:
        logger.warning(
            "secret of a deleted operator not yet soft-deleted: %s", error, extra={"operatorId": str(operator.id)}
        )


def undelete(operator: Operator) -> None:
    """Bring back the versions that a deleted operator's row names; raises InvalidPayload when they are destroyed."""
    path = FIELD.path_for(operator)
    metadata = vault(Role.ADMIN).describe(path)
    if not _is_there(metadata, operator.credential_version):
        raise InvalidPayload(
            [
                FieldProblem(
                    "password", "The stored password was destroyed after the retention; create the operator anew."
                )
            ]
        )
    wanted = [operator.credential_version]
    if operator.credential_previous_version and _is_there(metadata, operator.credential_previous_version):
        wanted.append(operator.credential_previous_version)
    vault(Role.ADMIN).undelete(path, wanted)


def refuse_unusable_previous(operator: Operator) -> None:
    """Raise InvalidPayload unless the previous version can be read again."""
    previous = operator.credential_previous_version
    if previous is None:
        raise InvalidPayload([FieldProblem("credentialVersion", "There is no previous password to go back to.")])
    metadata = vault(Role.ADMIN).describe(FIELD.path_for(operator))
    if not _is_there(metadata, previous) or (metadata and metadata.versions[previous].is_deleted):
        raise InvalidPayload([FieldProblem("credentialVersion", "The previous password is no longer in the store.")])


def _is_there(metadata: SecretMetadata | None, version: int) -> bool:
    return metadata is not None and version in metadata.versions and not metadata.versions[version].is_destroyed


def _open_attempt(operator_id: UUID, actor_name: str) -> CredentialAttempt:
    now = timezone.now()
    attempt, is_new = CredentialAttempt.objects.get_or_create(
        operator_id=operator_id, defaults={"base_version": 0, "actor": actor_name, "started_at": now}
    )
    if is_new:
        return attempt
    # The conditional UPDATE decides between two that find the same abandoned attempt.
    fresh_id = uuid.uuid4()
    taken = CredentialAttempt.objects.filter(id=attempt.id, started_at__lt=now - LEASE).update(
        id=fresh_id, actor=actor_name, started_at=now, is_contested=True
    )
    if not taken:
        raise CredentialChangeUnderWay
    return CredentialAttempt.objects.get(id=fresh_id)


def _current_version(path: str) -> int:
    metadata = vault(Role.ADMIN).describe(path)
    return metadata.current_version if metadata else 0


def _label(path: str, operator_id: UUID, attempt_id: UUID) -> None:
    try:
        vault(Role.ADMIN).label(path, {"operator_id": str(operator_id), "attempt_id": str(attempt_id)})
    except OutcomeUnknown as error:
        # A label alone changes nothing that anybody reads: not knowing is as good as not done.
        raise VaultUnavailable(str(error)) from None


def _write(path: str, operator: Operator, secret: Secret, attempt: CredentialAttempt, base: int) -> int:
    """Write until one answer is certain.

    Check-and-set lets at most one write succeed per base version. After a lost answer the new version is taken for
    ours only if the label names our attempt and no earlier attempt can still be arriving; otherwise we write once
    more on top, so that the version we return is one whose content we know.
    """
    answer_lost = False
    for _ in range(WRITES_PER_ATTEMPT):
        try:
            return vault(Role.ADMIN).write(path, FIELD.payload_for(operator, secret), cas=base)
        except OutcomeUnknown:
            answer_lost = True
        except CasMismatch:
            pass
        except VaultUnavailable as error:
            if answer_lost:
                raise OutcomeUnknown(str(error)) from None
            raise
        try:
            metadata = vault(Role.ADMIN).describe(path)
        except VaultUnavailable as error:
            raise OutcomeUnknown(str(error)) from None
        current = metadata.current_version if metadata else 0
        is_ours = metadata is not None and metadata.labels.get("attempt_id") == str(attempt.id)
        if answer_lost and is_ours and not attempt.is_contested and current == base + 1:
            logger.info("lost answer of a credential write recognised", extra={"operatorId": str(operator.id)})
            return current
        base = current
    raise OutcomeUnknown


def _remove(stored: StoredCredential) -> None:
    try:
        if not CredentialAttempt.objects.filter(id=stored.attempt_id).exists():
            return
        vault(Role.ADMIN).soft_delete(stored.path, [stored.version])
        CredentialAttempt.objects.filter(id=stored.attempt_id).delete()
    except (VaultUnavailable, OperationalError, InterfaceError) as error:
        logger.warning(
            "unreferenced credential version left for reconcile_credentials: %s",
            type(error).__name__,
            extra={"operatorId": str(stored.operator_id)},
        )
