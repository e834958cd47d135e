"""One run of the migration: judge a row, create its operator, activate it, record what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, cast
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from operators import actions, signals
from operators.actors import Actor, Source
from operators.audit import record_about
from operators.errors import (
    DuplicateOperator,
    InvalidPayload,
    InvalidStatusTransition,
    OperatorNotFound,
    PreconditionFailed,
)
from operators.legacy.known import Known
from operators.legacy.lastpass import Keyring
from operators.legacy.report import ReportRow
from operators.legacy.sheet import Endpoint, SheetRow
from operators.models import AuditAction, AuditObject, LegacyRow, LegacyRun, Operator, RowOutcome, Status
from operators.secrets import Secret

# Two runs at once would each take the other's half-done row for one that was left behind.
RUN_LOCK: Final = 0x0B5_1E6AC
# What the names of the actors of all runs begin with.
MIGRATION_PREFIX: Final = "migration:"

# What the receivers of operator_migrated return, each beside itself.
Answers = list[tuple[object, list[str]]]


class AnotherRunUnderWay(Exception):
    """Another process migrates or rolls back right now."""


@contextmanager
def only_run() -> Iterator[None]:
    """Keep other runs away; raises AnotherRunUnderWay. PostgreSQL ends the lock together with the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [RUN_LOCK])
        if cursor.fetchone() != (True,):
            raise AnotherRunUnderWay
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [RUN_LOCK])


def actor_of(run_id: UUID) -> Actor:
    return Actor(f"{MIGRATION_PREFIX}{run_id}", Source.COMMAND)


def begin_run(sheet: str) -> LegacyRun:
    """Put a real run on record before its first row."""
    now = timezone.now()
    with transaction.atomic():
        run = LegacyRun.objects.create(sheet=sheet[:255], started_at=now)
        record_about(
            AuditObject.RUN,
            run.id,
            actor=actor_of(run.id),
            action=AuditAction.CREATE,
            changes={"sheet": (None, run.sheet)},
            at=now,
        )
    return run


class Migration:
    """Take the sheet's rows in, each on its own; without a run it is a dry run and only says what would happen.

    VaultUnavailable and a lost database connection end it between two rows. What is done stays, and the next run
    carries on: it skips what is there, and finishes the row that was created but not yet activated or recorded.
    """

    def __init__(self, *, keyring: Keyring, run: LegacyRun | None) -> None:
        self._keyring = keyring
        self._run = run
        self._known = Known.from_database()
        self._unfinished = find_unfinished()

    def take(self, row: SheetRow) -> ReportRow:
        """Judge one row and, in a real run, do what it asks for; costs a Vault write and about ten queries."""
        if duplicate := self._known.duplicate(row):
            return self._skip(row, duplicate)
        if row.faults:
            return self._fail(row, row.faults[0].field, row.faults[0].rule)
        assert row.endpoint is not None
        found = self._keyring.find(system_id=row.endpoint.system_id, host=row.endpoint.host, name=row.name)
        if found.password is None:
            return self._fail(row, "password", found.problem, found.warnings)
        warnings = found.warnings
        if self._run is None:
            warnings += self._route(row, None)
        else:
            try:
                operator = self._create(self._run, row, found.password)
            except DuplicateOperator as error:  # another process was faster
                return self._skip(row, str(error))
            except InvalidPayload as error:
                return self._fail(row, *_first_problem(error))
            warnings += self._route(row, operator)
            if row.is_live:
                _activate(self._run, operator)
            self._record(row, RowOutcome.CREATED, operator=operator)
        self._known.add(row)
        return ReportRow(row.line, row.name, RowOutcome.CREATED.value, warnings=warnings)

    def finish(self) -> None:
        """Mark the run as complete, so that nobody looks for rows that it left half-done."""
        if self._run is not None:
            self._run.finished_at = timezone.now()
            self._run.save(update_fields=["finished_at"])

    def _create(self, run: LegacyRun, row: SheetRow, password: Secret) -> Operator:
        assert row.endpoint is not None
        return actions.create_operator(
            actor=actor_of(run.id),
            values=actions.OperatorValues(
                name=row.name,
                host=row.endpoint.host,
                port=row.endpoint.port,
                system_id=row.endpoint.system_id,
                system_type=row.system_type,
                bind_type=row.bind_type,
                max_tps=row.max_tps,
                burst_multiplier=row.burst_multiplier,
                enforcement_mode=row.enforcement_mode,
                notes=row.notes,
                contacts=list(row.contacts),
            ),
            password=password,
        )

    def _route(self, row: SheetRow, operator: Operator | None) -> tuple[str, ...]:
        """Have rules made of the row's destinations and price; returns the warnings of those who make them."""
        actor = actor_of(self._run.id) if self._run else None
        answers = signals.operator_migrated.send(sender=Operator, operator=operator, actor=actor, routes=row.routes)
        return tuple(warning for _, warnings in cast("Answers", answers) for warning in warnings)

    def _skip(self, row: SheetRow, reason: str) -> ReportRow:
        operator = None
        if row.endpoint and not row.faults and (key := (row.name.lower(), row.endpoint)) in self._unfinished:
            operator = self._unfinished.pop(key)
            reason = "An interrupted run created it already; this run finishes it."
            if self._run is not None and _is_as_migrated(operator):
                self._route(row, operator)
                if row.is_live and operator.status == Status.INACTIVE:
                    _activate(self._run, operator)
        self._record(row, RowOutcome.SKIPPED, "duplicate", reason, operator=operator)
        return ReportRow(row.line, row.name, RowOutcome.SKIPPED.value, "duplicate", reason)

    def _fail(self, row: SheetRow, field: str, reason: str, warnings: tuple[str, ...] = ()) -> ReportRow:
        self._record(row, RowOutcome.FAILED, field, reason)
        return ReportRow(row.line, row.name, RowOutcome.FAILED.value, field, reason, warnings)

    def _record(
        self, row: SheetRow, outcome: RowOutcome, field: str = "", reason: str = "", operator: Operator | None = None
    ) -> None:
        if self._run is None:
            return
        LegacyRow.objects.create(
            run=self._run,
            line=row.line,
            name=row.name[:255],
            outcome=outcome,
            field=field,
            reason=reason,
            operator=operator,
            prefixes=list(row.routes.prefixes),
            cost_per_segment=row.routes.cost_per_segment,
            currency=row.routes.currency,
            mcc=row.routes.mcc,
            mnc=row.routes.mnc,
        )


def find_unfinished() -> dict[tuple[str, Endpoint], Operator]:
    """Find the operators that an interrupted run created and did not get to record: at most one a run.

    An operator that anybody has changed since is left as it is, and only recorded.
    """
    interrupted = LegacyRun.objects.filter(finished_at=None, rolled_back_at=None).values_list("id", flat=True)
    operators = (
        Operator.objects.live()
        .filter(created_by__in=[actor_of(run_id).name for run_id in interrupted])
        .exclude(Exists(LegacyRow.objects.filter(operator=OuterRef("pk"))))
    )
    return {
        (operator.name.lower(), Endpoint(operator.host, operator.port, operator.system_id)): operator
        for operator in operators
    }


def _is_as_migrated(operator: Operator) -> bool:
    """Tell whether nobody but a migration has changed the operator: otherwise their word stands."""
    return operator.updated_by.startswith(MIGRATION_PREFIX)


def _activate(run: LegacyRun, operator: Operator) -> None:
    """Activate what a run has created, unless somebody has changed it since."""
    operator.refresh_from_db()
    if not _is_as_migrated(operator):
        return
    with suppress(PreconditionFailed, InvalidStatusTransition, OperatorNotFound):
        actions.activate_operator(actor=actor_of(run.id), operator_id=operator.id, expected_version=operator.version)


def _first_problem(error: InvalidPayload) -> tuple[str, str]:
    """Translate a refusal by the action to the sheet's words; the sheet's own rules should have come first."""
    problem = error.problems[0]
    field = problem.field.removeprefix("tpsLimit.")
    return ("contact" if field == "contacts" else field), problem.message
