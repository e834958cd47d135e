"""Undo a run: delete softly what it created, as long as nobody has touched it since."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction
from django.utils import timezone

from operators import actions
from operators.actors import Source
from operators.audit import record_about
from operators.errors import OperatorNotFound, PreconditionFailed
from operators.legacy.migration import MIGRATION_PREFIX, actor_of
from operators.legacy.report import ReportRow
from operators.models import AuditAction, AuditEntry, AuditObject, LegacyRow, LegacyRun, Operator
from operators.wire import wire_value

DELETED, KEPT, GONE = OUTCOMES = ("deleted", "kept", "gone")


class Rollback:
    """Go through a run's operators and delete each that is as the migration made it; a second pass finds them gone.

    Kept are those that somebody changed, in whatever way, and those that are another operator's backup by now.
    """

    def __init__(self, *, run: LegacyRun, dry_run: bool) -> None:
        self._run = run
        self._dry_run = dry_run

    def __iter__(self) -> Iterator[ReportRow]:
        """Delete one operator at a time; a lost database connection ends it between two. Vault may be away."""
        created = Operator.objects.filter(created_by=actor_of(self._run.id).name)
        lines = dict(LegacyRow.objects.filter(operator__in=created).values_list("operator_id", "line"))
        for operator_id in created.order_by("created_at", "id").values_list("id", flat=True):
            operator = Operator.objects.get(pk=operator_id)
            outcome, reason = self._settle(operator)
            # A row that the run did not get to record has no line.
            yield ReportRow(lines.get(operator_id, 0), operator.name, outcome, reason=reason)

    def finish(self) -> None:
        """Mark the run as rolled back; the first time counts."""
        if self._dry_run or self._run.rolled_back_at is not None:
            return
        now = self._run.rolled_back_at = timezone.now()
        with transaction.atomic():
            self._run.save(update_fields=["rolled_back_at"])
            record_about(
                AuditObject.RUN,
                self._run.id,
                actor=actor_of(self._run.id),
                action=AuditAction.ROLL_BACK,
                changes={"rolledBackAt": (None, wire_value(now))},
                at=now,
            )

    def _settle(self, operator: Operator) -> tuple[str, str]:
        if operator.is_deleted:
            return GONE, "It is deleted already."
        if reason := _why_kept(operator):
            return KEPT, reason
        if not self._dry_run:
            try:
                actions.delete_operator(
                    actor=actor_of(self._run.id),
                    operator_id=operator.id,
                    expected_version=operator.version,
                    reason=f"Rollback of migration run {self._run.id}",
                )
            except OperatorNotFound:
                return GONE, "It is deleted already."
            except PreconditionFailed as error:
                return KEPT, str(error)
        return DELETED, ""


def _why_kept(operator: Operator) -> str:
    changes = AuditEntry.objects.filter(operator=operator).exclude(
        actor__startswith=MIGRATION_PREFIX, source=Source.COMMAND
    )
    if last := changes.first():
        return f"{last.actor} changed it on {last.at:%Y-%m-%d} ({last.get_action_display().lower()})."
    if backed_up := operator.backed_up_operators.live().first():
        return f"It is the backup of “{backed_up.name}”."
    return ""
