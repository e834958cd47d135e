"""Compare Vault with the database after crashes, and mend what can be mended without losing a password.

It sees versions and labels, never a value. What it removes is soft-deleted first, and destroyed after the retention.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final
from uuid import UUID

from django.utils import timezone

from operators.actors import command_actor
from operators.audit import record_about
from operators.credentials import FIELD
from operators.models import AuditAction, AuditObject, CredentialAttempt, Operator
from operators.vault import Role, SecretMetadata, VersionState, vault

BATCH: Final = 100
# Longer than a write, its transaction and all their timeouts together.
ATTEMPT_GRACE: Final = timedelta(seconds=60)
ROOT: Final = FIELD.path.partition("{")[0]


class Finding(StrEnum):
    """What can be wrong between the two stores; the text is what staff read."""

    ABANDONED_ATTEMPT = "a write to Vault whose process died"
    ORPHAN = "secret of an operator that does not exist"
    UNREFERENCED_VERSION = "newer version that the operator does not name"
    KEPT_AFTER_DELETION = "readable version of a deleted operator"
    NAMED_BUT_DELETED = "soft-deleted version that a live operator names"
    EXPIRED = "version soft-deleted for longer than the retention"
    NOTHING_STORED = "operator without a secret"
    POINTER_BEYOND = "operator that names a version which does not exist"
    POINTER_DESTROYED = "operator that names a destroyed version"
    WRONG_LABEL = "secret labelled for another operator"
    UNKNOWN_KEY = "key that is no operator's id"

    @property
    def needs_person(self) -> bool:
        """Tell whether only staff can mend it: mostly by giving the operator a new password."""
        return self in NEEDS_PERSON


NEEDS_PERSON: Final = frozenset(
    {
        Finding.NOTHING_STORED,
        Finding.POINTER_BEYOND,
        Finding.POINTER_DESTROYED,
        Finding.WRONG_LABEL,
        Finding.UNKNOWN_KEY,
    }
)


@dataclass(frozen=True)
class Found:
    finding: Finding
    key: str
    detail: str


@dataclass(frozen=True)
class Case:
    """One operator's id as both stores show it."""

    id: UUID
    path: str
    secret: SecretMetadata | None
    attempt: CredentialAttempt | None
    row: Operator | None

    @property
    def named(self) -> frozenset[int]:
        """The versions that the row needs: the valid one and the one that staff can go back to."""
        if self.row is None:
            return frozenset()
        return frozenset({self.row.credential_version, self.row.credential_previous_version} - {None})  # type: ignore[arg-type]

    @property
    def readable(self) -> dict[int, VersionState]:
        return {
            number: state
            for number, state in (self.secret.versions if self.secret else {}).items()
            if not state.is_deleted and not state.is_destroyed
        }

    def soft_deleted_before(self, moment: datetime) -> list[int]:
        return [
            number
            for number, state in (self.secret.versions if self.secret else {}).items()
            if state.deleted_at is not None and state.deleted_at < moment and not state.is_destroyed
        ]


class Reconciler:
    """Go through both stores once; a dry run finds the same and changes nothing.

    Raises VaultUnavailable when Vault goes away meanwhile; what was done until then stays, and the next run goes on.
    """

    def __init__(
        self,
        *,
        grace: timedelta,
        retention: timedelta,
        dry_run: bool = False,
        attempt_grace: timedelta = ATTEMPT_GRACE,
    ) -> None:
        now = timezone.now()
        self._settled_before = now - grace
        self._expired_before = now - retention
        self._attempt_dead_before = now - attempt_grace
        self._dry_run = dry_run
        self._vault = vault(Role.RECONCILER)
        self.checked = 0
        self.tally: Counter[Finding] = Counter()

    @property
    def needs_person(self) -> bool:
        return any(finding.needs_person for finding in self.tally)

    def run(self) -> Iterator[Found]:
        """Check every id that Vault, the operators or the journal know, and yield what was wrong with it."""
        for found in self._all():
            self.tally[found.finding] += 1
            if not self._dry_run and not found.finding.needs_person:
                _record(found)
            yield found

    def _all(self) -> Iterator[Found]:
        seen: set[UUID] = set()
        for key in self._vault.list_keys(ROOT):
            operator_id = _parse(key)
            if operator_id is None:
                yield Found(Finding.UNKNOWN_KEY, key, "look at it by hand")
            else:
                seen.add(operator_id)
        yield from self._check(sorted(seen))
        yield from self._check(_missing_from(seen, Operator.objects.order_by("id").values_list("id", flat=True)))
        yield from self._check(
            _missing_from(seen, CredentialAttempt.objects.order_by("id").values_list("operator_id", flat=True))
        )

    def _check(self, ids: Iterable[UUID]) -> Iterator[Found]:
        waiting = iter(ids)
        while batch := list(islice(waiting, BATCH)):
            for case in self._cases(batch):
                self.checked += 1
                yield from self._judge(case)

    def _cases(self, ids: Iterable[UUID]) -> Iterator[Case]:
        """Look at Vault first, the journal second and the rows last.

        A version that we see was written under an attempt. If that is no longer open when we look, its outcome is
        committed and the row that we read afterwards shows it: no write that is under way looks like a leftover.
        """
        secrets = {id_: self._vault.describe(_path(id_)) for id_ in ids}
        attempts = {
            attempt.operator_id: attempt for attempt in CredentialAttempt.objects.filter(operator_id__in=secrets)
        }
        rows = Operator.objects.in_bulk(list(secrets))
        for id_, secret in secrets.items():
            yield Case(id=id_, path=_path(id_), secret=secret, attempt=attempts.get(id_), row=rows.get(id_))

    def _judge(self, case: Case) -> Iterator[Found]:
        if case.attempt is not None:
            if case.attempt.started_at < self._attempt_dead_before:
                yield from self._settle_attempt(case, case.attempt)
            return
        if case.row is None:
            yield from self._judge_orphan(case)
        elif case.row.is_deleted:
            yield from self._judge_deleted(case, case.row)
        else:
            yield from self._judge_live(case, case.row)
        if case.secret and case.secret.labels.get("operator_id", str(case.id)) != str(case.id):
            yield Found(Finding.WRONG_LABEL, str(case.id), "its password may be another operator's: rotate it")

    def _settle_attempt(self, case: Case, attempt: CredentialAttempt) -> Iterator[Found]:
        leftovers = [number for number in case.readable if number > attempt.base_version and number not in case.named]
        # First of all, and by its id: if it lives after all, either its commit ends the attempt or we do, never both.
        if not self._dry_run and not CredentialAttempt.objects.filter(id=attempt.id).delete()[0]:
            return
        self._withdraw(case, leftovers)
        yield Found(
            Finding.ABANDONED_ATTEMPT, str(case.id), _numbers("soft-delete", leftovers) or "left nothing behind"
        )

    def _judge_orphan(self, case: Case) -> Iterator[Found]:
        if case.secret is None or _last_write(case.secret) >= self._settled_before:
            return
        if case.readable:
            self._withdraw(case, list(case.readable))
            yield Found(Finding.ORPHAN, str(case.id), _numbers("soft-delete", case.readable))
        elif all(
            state.is_destroyed or (state.deleted_at and state.deleted_at < self._expired_before)
            for state in case.secret.versions.values()
        ):
            if not self._dry_run and not self._is_known(case.id):
                self._vault.purge(case.path)
            yield Found(Finding.EXPIRED, str(case.id), "remove the secret, for there is no operator")

    def _judge_deleted(self, case: Case, row: Operator) -> Iterator[Found]:
        assert row.deleted_at is not None
        # The deletion itself does this right after its commit.
        if case.readable and row.deleted_at < self._attempt_dead_before:
            self._withdraw(case, list(case.readable))
            yield Found(Finding.KEPT_AFTER_DELETION, str(case.id), _numbers("soft-delete", case.readable))
        if row.deleted_at < self._expired_before:
            yield from self._destroy(case, case.soft_deleted_before(self._expired_before))

    def _judge_live(self, case: Case, row: Operator) -> Iterator[Found]:
        # A rotation that ended between our look at Vault and at the row is seen by a second look.
        secret = case.secret
        if secret is None or row.credential_version not in secret.versions:
            secret = self._vault.describe(case.path)
        if secret is None:
            yield Found(Finding.NOTHING_STORED, str(case.id), "give it a new password")
            return
        state = secret.versions.get(row.credential_version)
        if state is None:
            detail = f"names {row.credential_version}, the newest is {secret.current_version}: give it a new password"
            yield Found(Finding.POINTER_BEYOND, str(case.id), detail)
        elif state.is_destroyed:
            yield Found(
                Finding.POINTER_DESTROYED, str(case.id), f"names {row.credential_version}: give it a new password"
            )
        hidden = [number for number in sorted(case.named) if _is_hidden(secret.versions.get(number))]
        if hidden:
            if not self._dry_run:
                self._vault.undelete(case.path, hidden)
            yield Found(Finding.NAMED_BUT_DELETED, str(case.id), _numbers("undelete", hidden))
        strays = [
            number
            for number, state in case.readable.items()
            if number > row.credential_version and number not in case.named and state.created_at < self._settled_before
        ]
        if strays:
            self._withdraw(case, strays)
            yield Found(Finding.UNREFERENCED_VERSION, str(case.id), _numbers("soft-delete", strays))
        expired = [n for n in case.soft_deleted_before(self._expired_before) if n not in case.named]
        yield from self._destroy(case, expired)

    def _withdraw(self, case: Case, versions: list[int]) -> None:
        """Soft-delete versions, and bring back those that turn out to be named by a live row after all."""
        if self._dry_run or not versions:
            return
        self._vault.soft_delete(case.path, versions)
        row = Operator.objects.live().filter(id=case.id).first()
        if row is not None:
            named = {row.credential_version, row.credential_previous_version}
            if wrongly := [number for number in versions if number in named]:
                self._vault.undelete(case.path, wrongly)

    def _destroy(self, case: Case, versions: list[int]) -> Iterator[Found]:
        if not versions:
            return
        if not self._dry_run:
            self._vault.destroy(case.path, versions)
        yield Found(Finding.EXPIRED, str(case.id), _numbers("destroy", versions))

    def _is_known(self, operator_id: UUID) -> bool:
        return (
            Operator.objects.filter(id=operator_id).exists()
            or CredentialAttempt.objects.filter(operator_id=operator_id).exists()
        )


def _record(found: Found) -> None:
    """Add what was mended to the audit trail, as the operator's where there is one."""
    operator_id = _parse(f"{found.key}/")
    operator = Operator.objects.filter(pk=operator_id).first() if operator_id else None
    record_about(
        AuditObject.CREDENTIAL,
        found.key,
        actor=command_actor("reconcile"),
        action=AuditAction.RECONCILE,
        changes={},
        reason=f"{found.finding}: {found.detail}",
        at=timezone.now(),
        operator_id=operator.pk if operator else None,
        version=operator.version if operator else None,
    )


def _path(operator_id: UUID) -> str:
    return FIELD.path_for(Operator(id=operator_id))


def _parse(key: str) -> UUID | None:
    """Read an operator's id from a listed folder; only its canonical form is one."""
    try:
        operator_id = UUID(key.removesuffix("/"))
    except ValueError:
        return None
    return operator_id if key == f"{operator_id}/" else None


def _missing_from(seen: set[UUID], ids: Iterable[UUID]) -> Iterator[UUID]:
    for id_ in ids:
        if id_ not in seen:
            seen.add(id_)
            yield id_


def _last_write(secret: SecretMetadata) -> datetime:
    return max([secret.created_at, *(state.created_at for state in secret.versions.values())])


def _is_hidden(state: VersionState | None) -> bool:
    return state is not None and state.is_deleted and not state.is_destroyed


def _numbers(verb: str, versions: Iterable[int]) -> str:
    listed = ", ".join(str(number) for number in sorted(versions))
    return f"{verb} version {listed}" if listed else ""
