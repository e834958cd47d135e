"""Every way to change an operator. Console, REST and commands call these; nothing else saves one.

Each action validates, asks Vault where a password is involved, and then does its one short transaction: lock the row,
change it, raise the version, audit entry, outbox event, signal. All raise what operators.errors describes.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypedDict, cast
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone
from prometheus_client import Counter

from operators import credentials, events, metrics, signals, validators
from operators.acting import acting
from operators.actors import Actor
from operators.changes import commit_change, lock_operator, raise_version, record_change, refuse_stale
from operators.errors import (
    DuplicateOperator,
    FieldProblem,
    InvalidPayload,
    InvalidStatusTransition,
    OperatorError,
    OperatorNotFound,
    VaultUnavailable,
)
from operators.models import AuditAction, Operator, Status
from operators.secrets import Secret
from operators.tracing import span
from operators.wire import JSONValue, wire_name, wire_value

logger = logging.getLogger(__name__)

# Whoever changes who backs up whom takes this lock before any row lock: no ring, no deadlock.
BACKUP_LOCK: Final = 0x0B5_BACC0


class OperatorValues(TypedDict, total=False):
    """What callers may set, by the model's names."""

    name: str
    host: str
    port: int
    system_id: str
    system_type: str
    bind_type: str
    use_tls: bool
    max_tps: int
    burst_multiplier: object
    enforcement_mode: str
    backup_operator_id: UUID | None
    notes: str
    contacts: list[str]
    tags: list[str]


def create_operator(
    *, actor: Actor, values: OperatorValues, password: Secret, operator_id: UUID | None = None
) -> Operator:
    """Create an INACTIVE operator: Vault first (check-and-set 0), then row, audit entry and event at once."""
    now = timezone.now()
    operator = Operator(
        id=operator_id or uuid.uuid4(),
        credential_version=1,
        credential_rotated_at=now,
        created_by=actor.name,
        updated_by=actor.name,
        created_at=now,
        updated_at=now,
        **values,
    )
    with _action("ops.admin.createOperator", metrics.operator_create, actor, AuditAction.CREATE, operator.id):
        _validate(operator, password, is_backup_new=True)
        _refuse_duplicate(operator)
        stored = credentials.store(operator, password, actor_name=actor.name)
        with credentials.removed_on_failure(stored), _duplicates_told(operator), transaction.atomic(durable=True):
            _settle_backup(operator, is_changed=operator.backup_operator_id is not None)
            operator.credential_version = stored.version
            with span("ops.pg.insertOperator", operator_id=operator.id):
                operator.save(force_insert=True)
            record_change(operator, actor, AuditAction.CREATE, _first_values(operator), event=events.created(operator))
            stored.close()
            signals.operator_created.send(sender=Operator, operator=operator, actor=actor)
    return operator


def update_operator(
    *,
    actor: Actor,
    operator_id: UUID,
    changes: OperatorValues,
    password: Secret | None = None,
    expected_version: int | None = None,
    reason: str = "",
) -> Operator:
    """Change fields, and rotate the password where one is given; without any difference nothing is written."""
    action = AuditAction.UPDATE if changes or password is None else AuditAction.ROTATE_CREDENTIAL
    with _action("ops.admin.updateOperator", metrics.operator_update, actor, action, operator_id):
        draft = Operator.objects.find(operator_id)
        refuse_stale(draft, expected_version)
        before = _assign(draft, changes)
        _validate(draft, password, is_backup_new="backup_operator_id" in changes)
        _refuse_duplicate(draft)
        if password is None and not _differences(draft, before):
            return draft
        cleaned = cast("OperatorValues", {name: getattr(draft, name) for name in changes})
        stored = credentials.store(draft, password, actor_name=actor.name) if password else None
        with credentials.removed_on_failure(stored), _duplicates_told(draft), transaction.atomic(durable=True):
            _lock_backups(is_needed="backup_operator_id" in changes)
            operator = lock_operator(operator_id)
            refuse_stale(operator, expected_version)
            changed = _differences(operator, _assign(operator, cleaned))
            _settle_backup(operator, is_changed="backupOperatorId" in changed)
            if stored:
                changed |= _point_at(operator, stored.version)
                stored.close()
            if changed:
                commit_change(operator, actor, action, changed, reason)
    return operator


def revert_credential(
    *, actor: Actor, operator_id: UUID, expected_version: int | None = None, reason: str = ""
) -> Operator:
    """Make the previous password valid again; the present one becomes the previous."""
    action = AuditAction.REVERT_CREDENTIAL
    with _action("ops.admin.revertCredential", metrics.operator_update, actor, action, operator_id):
        seen = Operator.objects.find(operator_id)
        credentials.refuse_unusable_previous(seen)
        with transaction.atomic(durable=True):
            operator = lock_operator(operator_id)
            refuse_stale(operator, expected_version)
            if operator.credential_version != seen.credential_version or not operator.credential_previous_version:
                raise credentials.CredentialChangeUnderWay
            changed = _point_at(operator, operator.credential_previous_version)
            commit_change(operator, actor, action, changed, reason)
    return operator


def activate_operator(
    *, actor: Actor, operator_id: UUID, expected_version: int | None = None, reason: str = ""
) -> Operator:
    """Let the platform bind to the operator and route over it."""
    return _move(actor, operator_id, Status.ACTIVE, AuditAction.ACTIVATE, expected_version, reason)


def suspend_operator(
    *, actor: Actor, operator_id: UUID, expected_version: int | None = None, reason: str = ""
) -> Operator:
    """Take an active operator out of routing for a while."""
    return _move(actor, operator_id, Status.SUSPENDED, AuditAction.SUSPEND, expected_version, reason)


def deactivate_operator(
    *, actor: Actor, operator_id: UUID, expected_version: int | None = None, reason: str = ""
) -> Operator:
    """Take the operator out of service."""
    return _move(actor, operator_id, Status.INACTIVE, AuditAction.DEACTIVATE, expected_version, reason)


def delete_operator(
    *, actor: Actor, operator_id: UUID, expected_version: int | None = None, reason: str = ""
) -> Operator:
    """Delete softly: the row first, then the secret's versions; operators that it backed up lose their backup."""
    with _action("ops.admin.deleteOperator", metrics.operator_delete, actor, AuditAction.DELETE, operator_id):
        with transaction.atomic(durable=True):
            _lock_backups(is_needed=True)
            _lock_with_backed_up(operator_id)
            operator = lock_operator(operator_id)
            refuse_stale(operator, expected_version)
            _release_backed_up(operator, actor)
            previous_status = operator.status
            operator.status = Status.INACTIVE
            operator.deleted_at = timezone.now()
            raise_version(operator, actor, operator.deleted_at)
            changes: dict[str, tuple[JSONValue, JSONValue]] = {"deletedAt": (None, wire_value(operator.deleted_at))}
            if previous_status != Status.INACTIVE:
                changes["status"] = (previous_status, Status.INACTIVE.value)
            operator.save(update_fields=("status", "deleted_at", "version", "updated_by", "updated_at"))
            record_change(operator, actor, AuditAction.DELETE, changes, event=events.deleted(operator), reason=reason)
            signals.operator_deleted.send(sender=Operator, operator=operator, actor=actor)
        credentials.soft_delete_all(operator)
    return operator


def restore_operator(
    *, actor: Actor, operator_id: UUID, expected_version: int | None = None, reason: str = ""
) -> Operator:
    """Bring a deleted operator back as INACTIVE, with the password it had; refused where it would collide."""
    with _action("ops.admin.restoreOperator", metrics.operator_update, actor, AuditAction.RESTORE, operator_id):
        seen = Operator.objects.exclude(deleted_at=None).filter(pk=operator_id).first()
        if seen is None:
            if Operator.objects.live().filter(pk=operator_id).exists():
                raise InvalidStatusTransition(current="not deleted", target="restored")
            raise OperatorNotFound
        refuse_stale(seen, expected_version)
        _refuse_duplicate(seen)
        credentials.undelete(seen)
        try:
            with _duplicates_told(seen), transaction.atomic(durable=True):
                operator = lock_operator(operator_id, is_deleted=True)
                refuse_stale(operator, expected_version)
                changes = {"deletedAt": (wire_value(operator.deleted_at), None)}
                operator.deleted_at = None
                commit_change(operator, actor, AuditAction.RESTORE, changes, reason)
        except OperatorError:
            if not Operator.objects.live().filter(pk=operator_id).exists():
                credentials.soft_delete_all(seen)
            raise
    return operator


@contextmanager
def _action(name: str, counter: Counter, actor: Actor, action: AuditAction, operator_id: UUID) -> Iterator[None]:
    """Wrap an action in its span, its counter and its log line."""
    done = f"operator {action.label.lower()} done"
    with acting(name, logger=logger, actor=actor, action=action, done=done, operator_id=operator_id):
        try:
            yield
        except OperatorError as error:
            if result := _result(counter, error):
                counter.labels(result).inc()
            raise
        counter.labels("ok").inc()


def _result(counter: Counter, error: OperatorError) -> str:
    if isinstance(error, VaultUnavailable):
        return "vault_error"
    if counter is metrics.operator_create:
        return "invalid" if isinstance(error, InvalidPayload) else "duplicate"
    if isinstance(error, OperatorNotFound):
        return "not_found"
    return "" if isinstance(error, InvalidPayload) else "conflict"


def _move(
    actor: Actor, operator_id: UUID, target: Status, action: AuditAction, expected_version: int | None, reason: str
) -> Operator:
    with (
        _action("ops.admin.moveOperator", metrics.operator_update, actor, action, operator_id),
        transaction.atomic(durable=True),
    ):
        operator = lock_operator(operator_id)
        refuse_stale(operator, expected_version)
        if target not in operator.status_moves:
            raise InvalidStatusTransition(current=operator.status, target=target)
        changes = {"status": (wire_value(operator.status), target.value)}
        operator.status = target
        commit_change(operator, actor, action, changes, reason)
    return operator


def _lock_with_backed_up(operator_id: UUID) -> None:
    """Lock an operator and those that it backs up in one order, so that two who lock several cannot deadlock."""
    together = Q(pk=operator_id) | Q(backup_operator_id=operator_id)
    list(Operator.objects.select_for_update(of=("self",)).filter(together).order_by("id").values("id"))


def _assign(operator: Operator, changes: OperatorValues) -> dict[str, object]:
    """Set the values on the operator and return those that they replace."""
    before = {name: getattr(operator, name) for name in changes}
    for name, value in changes.items():
        setattr(operator, name, value)
    return before


def _differences(operator: Operator, before: Mapping[str, object]) -> dict[str, tuple[JSONValue, JSONValue]]:
    """Compare validated values with those before, by wire name."""
    return {
        wire_name(name): (wire_value(value), wire_value(getattr(operator, name)))
        for name, value in before.items()
        if value != getattr(operator, name)
    }


def _validate(operator: Operator, password: Secret | None, *, is_backup_new: bool) -> None:
    """Check every rule of single values; raises InvalidPayload that lists all broken ones."""
    problems = []
    operator.normalize()
    try:
        operator.clean_fields(exclude={"password", "backup_operator"})
    except ValidationError as error:
        for attribute, messages in error.message_dict.items():
            problems.append(FieldProblem(wire_name(attribute), messages[0]))
    if is_backup_new:
        problems += _backup_problems(operator)
    if password is not None:
        try:
            validators.validate_password(password)
        except ValidationError as error:
            problems += [FieldProblem("password", message) for message in error.messages]
    if problems:
        raise InvalidPayload(problems)


def _refuse_duplicate(operator: Operator) -> None:
    others = Operator.objects.exclude(pk=operator.pk)
    by_bind = others.same_bind(host=operator.host, port=operator.port, system_id=operator.system_id).first()
    if by_bind:
        raise DuplicateOperator(existing=by_bind, fields=("host", "port", "systemId"))
    if by_name := others.same_name(operator.name).first():
        raise DuplicateOperator(existing=by_name, fields=("name",))


@contextmanager
def _duplicates_told(operator: Operator) -> Iterator[None]:
    """Turn the unique constraints' refusal into DuplicateOperator: of two at once, this is the one that lost."""
    try:
        yield
    except IntegrityError:
        _refuse_duplicate(operator)
        raise


def _lock_backups(*, is_needed: bool) -> None:
    if is_needed:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [BACKUP_LOCK])


def _settle_backup(operator: Operator, *, is_changed: bool) -> None:
    """Look at the backup again under the lock: only now nobody else can delete it or close a ring."""
    if is_changed and operator.backup_operator_id is not None:
        _lock_backups(is_needed=True)
        if problems := _backup_problems(operator):
            raise InvalidPayload(problems)


def _backup_problems(operator: Operator) -> list[FieldProblem]:
    """Tell of a backup that is missing, deleted, the operator itself, or part of a ring."""
    follower = operator.backup_operator_id
    if follower is not None and not Operator.objects.live().filter(pk=follower).exists():
        return [FieldProblem("backupOperatorId", "There is no such operator.")]
    seen = set()
    while follower is not None and follower not in seen:
        if follower == operator.id:
            return [FieldProblem("backupOperatorId", "An operator cannot, over others, back up itself.")]
        seen.add(follower)
        follower = Operator.objects.values_list("backup_operator_id", flat=True).get(pk=follower)
    return []


def _release_backed_up(operator: Operator, actor: Actor) -> None:
    """Take a vanishing backup from those who name it, each a change of its own; deleted ones just forget it."""
    operator.backed_up_operators.exclude(deleted_at=None).update(backup_operator=None)
    for backed_up in operator.backed_up_operators.live().select_for_update().order_by("id"):
        changes = {"backupOperatorId": (wire_value(operator.id), None)}
        backed_up.backup_operator = None
        commit_change(backed_up, actor, AuditAction.UPDATE, changes, f"Its backup {operator.name} was deleted.")


def _point_at(operator: Operator, version: int) -> dict[str, tuple[JSONValue, JSONValue]]:
    operator.credential_previous_version = operator.credential_version
    operator.credential_version = version
    operator.credential_rotated_at = timezone.now()
    return {"credentials": (operator.credential_previous_version, version)}


def _first_values(operator: Operator) -> dict[str, tuple[JSONValue, JSONValue]]:
    told = OperatorValues.__annotations__
    return {wire_name(name): (None, wire_value(getattr(operator, name))) for name in told if getattr(operator, name)}
