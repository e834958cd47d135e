"""Make a sheet's prices the operator's rules: all of them in one transaction, or none."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from operators.actors import Actor
from operators.changes import commit_change, lock_operator
from operators.errors import FieldProblem, InvalidPayload, PreconditionFailed
from operators.models import AuditAction
from routing.actions import WIRE_NAME
from routing.errors import MOST_LISTED, ImportNotAllowed, RateChangeUnconfirmed
from routing.imports.locking import hold_rules, lock_sheet
from routing.imports.profiles import remember
from routing.imports.steps import allow_long, join_as_sets, step
from routing.models import (
    LineKind,
    RateSheet,
    RateSheetEnding,
    RateSheetFile,
    RateSheetLine,
    RoutingRule,
    SheetStatus,
)

_RULE: Final = RoutingRule._meta.db_table
_LINE: Final = RateSheetLine._meta.db_table
_ENDING: Final = RateSheetEnding._meta.db_table

# Every active rule that shares a moment with a line of its key, and what comes of it: one that begins before the line
# ends where the line begins, one that begins with or after it never routes. No rule meets two lines, for the reader
# rejects a line that repeats another's key. Then the rules that a full sheet does not name.
_TOUCH: Final = f"""
    CREATE TEMP TABLE sheet_touched ON COMMIT DROP AS
    SELECT line.id AS line_id, rule.id AS rule_id, rule.effective_from, line.effective_from AS at,
        coalesce(rule.effective_from >= line.effective_from, false) AS is_superseded
    FROM {_LINE} AS line JOIN {_RULE} AS rule
        ON rule.operator_id = %(operator)s AND rule.active
        AND rule.prefix = line.prefix AND rule.mcc = line.mcc AND rule.mnc = line.mnc
        AND tstzrange(rule.effective_from, rule.effective_to) && tstzrange(line.effective_from, line.effective_to)
    WHERE line.sheet_id = %(sheet)s AND line.writes
    UNION ALL
    SELECT id, rule_id, effective_from, effective_to, coalesce(effective_from >= effective_to, false)
    FROM {_LINE} WHERE sheet_id = %(sheet)s AND kind = '{LineKind.ENDED}'
"""  # noqa: S608 - the tables' names are ours
_KEEP: Final = f"""
    INSERT INTO {_ENDING} (sheet_id, rule_id, is_superseded, effective_to, updated_by, updated_at)
    SELECT %(sheet)s, rule.id, touched.is_superseded, rule.effective_to, rule.updated_by, rule.updated_at
    FROM sheet_touched AS touched JOIN {_RULE} AS rule
        ON rule.id = touched.rule_id AND rule.operator_id = %(operator)s
"""  # noqa: S608
_END: Final = f"""
    UPDATE {_RULE} AS rule
    SET active = NOT touched.is_superseded,
        effective_to = CASE WHEN touched.is_superseded THEN rule.effective_to ELSE touched.at END,
        version = rule.version + 1, updated_by = %(actor)s, updated_at = %(now)s
    FROM sheet_touched AS touched WHERE rule.id = touched.rule_id AND rule.operator_id = %(operator)s
"""  # noqa: S608
# A new rule takes its place among the operator's others from the first rule that it replaces.
_INSERT: Final = f"""
    INSERT INTO {_RULE} (
        id, operator_id, prefix, mcc, mnc, priority, weight, cost_per_segment, currency, effective_from, effective_to,
        active, rate_sheet_id, version, created_by, updated_by, created_at, updated_at
    )
    SELECT gen_random_uuid(), %(operator)s, line.prefix, line.mcc, line.mnc,
        coalesce(replaced.priority, %(priority)s), coalesce(replaced.weight, %(weight)s),
        line.cost, line.currency, line.effective_from, line.effective_to,
        true, %(sheet)s, 1, %(actor)s, %(actor)s, %(now)s, %(now)s
    FROM {_LINE} AS line LEFT JOIN (
        SELECT DISTINCT ON (touched.line_id) touched.line_id, rule.priority, rule.weight
        FROM sheet_touched AS touched JOIN {_RULE} AS rule
            ON rule.id = touched.rule_id AND rule.operator_id = %(operator)s
        ORDER BY touched.line_id, touched.effective_from NULLS FIRST
    ) AS replaced ON replaced.line_id = line.id
    WHERE line.sheet_id = %(sheet)s AND line.writes
"""  # noqa: S608


def apply_sheet(
    *,
    actor: Actor,
    sheet_id: UUID,
    seen_preview: datetime | None = None,
    confirm_large_changes: bool = False,
    reason: str = "",
    may_add: bool = True,
    may_change: bool = True,
) -> RateSheet:
    """Write the previewed lines as rules, and end what they replace; the rejected ones are left out.

    One version, one audit entry and one event, whatever the size; none where no line changes anything. Raises
    RateSheetNotFound, PreconditionFailed unless operator and preview are as the preview saw the one and the caller the
    other (`seen_preview` is when it was made), RateChangeUnconfirmed, InvalidPayload on `file` where no line is left to
    apply, and ImportNotAllowed where a line adds a rule without `may_add`, or a rule ends or changes without
    `may_change`.
    """
    sheet = RateSheet.objects.find(sheet_id)
    with (
        step("apply", actor=actor, operator_id=sheet.operator_id, sheet=sheet.filename),
        transaction.atomic(durable=True),
    ):
        allow_long()
        version = hold_rules(sheet.operator_id)
        sheet = lock_sheet(sheet_id)
        _refuse(sheet, version, seen_preview, confirm_large_changes=confirm_large_changes)
        sheet.applied_at = timezone.now()
        sheet.applied_by, sheet.applied_source = actor.name, actor.source.value
        _write_rules(sheet)
        # Only what was written tells for certain; the transaction takes it back.
        if sheet.adds_rules and not may_add:
            raise ImportNotAllowed("add routing rules")
        if sheet.counts["touched"] and not may_change:
            raise ImportNotAllowed("end or change routing rules")
        if sheet.counts["made"] or sheet.counts["touched"]:
            operator = lock_operator(sheet.operator_id)
            change = {WIRE_NAME: (None, sheet.in_words())}
            commit_change(operator, actor, AuditAction.IMPORT_RATE_SHEET, change, reason)
            version = operator.version
        sheet.applied_version = version
        sheet.status = SheetStatus.APPLIED
        sheet.save(update_fields=["status", "counts", "applied_at", "applied_by", "applied_source", "applied_version"])
        remember(sheet, sheet.applied_at)
        RateSheetFile.objects.filter(sheet=sheet).delete()
    return sheet


def _refuse(sheet: RateSheet, version: int, seen_preview: datetime | None, *, confirm_large_changes: bool) -> None:
    if sheet.status != SheetStatus.PREVIEWED:
        raise PreconditionFailed(f"The sheet is {sheet.status}; only what was previewed can be applied.")
    if seen_preview is not None and sheet.previewed_at != seen_preview:
        raise PreconditionFailed("Somebody made another preview meanwhile. Look at it first; nothing was changed yet.")
    if version != sheet.seen_version:
        raise PreconditionFailed(
            f"The operator is at version {version}; the preview saw version {sheet.seen_version}. "
            "Nothing was changed; make the preview again."
        )
    if not sheet.accepted:
        raise InvalidPayload([FieldProblem("file", "No line of the sheet can be applied.")])
    if not confirm_large_changes:
        percent = settings.RATE_CHANGE_GUARD_PERCENT
        large = sheet.lines.large(percent)
        if total := large.count():
            raise RateChangeUnconfirmed(total=total, percent=percent, biggest=list(large.biggest_first()[:MOST_LISTED]))


def _write_rules(sheet: RateSheet) -> None:
    """End what the sheet replaces, then insert its prices, and count both."""
    values = {
        "sheet": sheet.pk,
        "operator": sheet.operator_id,
        "actor": sheet.applied_by,
        "now": sheet.applied_at,
        "priority": RoutingRule._meta.get_field("priority").default,
        "weight": RoutingRule._meta.get_field("weight").default,
    }
    join_as_sets()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS sheet_touched")  # of another sheet in the same transaction
        cursor.execute(_TOUCH, values)
        cursor.execute("ANALYZE sheet_touched")
        cursor.execute(_KEEP, values)
        cursor.execute(_END, values)
        sheet.counts["touched"] = cursor.rowcount
        cursor.execute(_INSERT, values)
        sheet.counts["made"] = cursor.rowcount
