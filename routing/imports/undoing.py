"""Take a whole import back: its rules go, and what it ended is as it was."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from operators.actors import Actor
from operators.changes import commit_change, lock_operator
from operators.errors import PreconditionFailed
from operators.models import AuditAction
from routing.actions import WIRE_NAME
from routing.errors import MOST_LISTED, RateSheetTouched
from routing.imports.locking import hold_rules, lock_sheet
from routing.imports.steps import allow_long, join_as_sets, step
from routing.models import RateSheet, RateSheetEnding, RoutingRule, SheetStatus

_RULE: Final = RoutingRule._meta.db_table
_ENDING: Final = RateSheetEnding._meta.db_table

_DELETE: Final = f"DELETE FROM {_RULE} WHERE rate_sheet_id = %(sheet)s"  # noqa: S608 - the tables' names are ours
# The version goes on: an ETag must not come to mean something else. Time and name go back with the rest, so that the
# import before this one, which looks at them, can be undone next.
_RESTORE: Final = f"""
    UPDATE {_RULE} AS rule
    SET active = true, effective_to = ending.effective_to, version = rule.version + 1,
        updated_by = ending.updated_by, updated_at = ending.updated_at
    FROM {_ENDING} AS ending
    WHERE ending.sheet_id = %(sheet)s AND rule.id = ending.rule_id AND rule.operator_id = %(operator)s
"""  # noqa: S608
# What is not as the sheet left it: what it made, what it ended, and rules of others in the room that it made.
_TOUCHED: Final = f"""
    SELECT id FROM {_RULE} WHERE rate_sheet_id = %(sheet)s AND updated_at <> %(applied)s
    UNION
    SELECT rule.id
    FROM {_ENDING} AS ending JOIN {_RULE} AS rule ON rule.id = ending.rule_id AND rule.operator_id = %(operator)s
    WHERE ending.sheet_id = %(sheet)s AND rule.updated_at <> %(applied)s
    UNION
    SELECT other.id
    FROM {_ENDING} AS ending
    JOIN {_RULE} AS rule ON rule.id = ending.rule_id AND rule.operator_id = %(operator)s
    JOIN {_RULE} AS other ON other.operator_id = %(operator)s AND other.active AND other.id <> rule.id
        AND other.prefix = rule.prefix AND other.mcc = rule.mcc AND other.mnc = rule.mnc
        AND tstzrange(other.effective_from, other.effective_to) && tstzrange(rule.effective_from, ending.effective_to)
    WHERE ending.sheet_id = %(sheet)s AND other.rate_sheet_id IS DISTINCT FROM %(sheet)s
"""  # noqa: S608
_THERE: Final = f"""
    SELECT (SELECT count(*) FROM {_RULE} WHERE rate_sheet_id = %(sheet)s) + (
        SELECT count(*)
        FROM {_ENDING} AS ending JOIN {_RULE} AS rule ON rule.id = ending.rule_id AND rule.operator_id = %(operator)s
        WHERE ending.sheet_id = %(sheet)s
    )
"""  # noqa: S608


def undo_sheet(*, actor: Actor, sheet_id: UUID, reason: str = "") -> RateSheet:
    """Delete the rules that a sheet made, and restore those that it ended; the sheet and its lines stay.

    Of several imports the last one is undone first. One version, one audit entry, one event. Raises RateSheetNotFound,
    PreconditionFailed for a sheet that is not applied, and RateSheetTouched when anything that it made or ended was
    changed since.
    """
    sheet = RateSheet.objects.find(sheet_id)
    with (
        step("undo", actor=actor, operator_id=sheet.operator_id, sheet=sheet.filename),
        transaction.atomic(durable=True),
    ):
        allow_long()
        hold_rules(sheet.operator_id)
        sheet = lock_sheet(sheet_id)
        if sheet.status != SheetStatus.APPLIED:
            raise PreconditionFailed(f"The sheet is {sheet.status}; only what was applied can be undone.")
        join_as_sets()
        _refuse_touched(sheet)
        with connection.cursor() as cursor:
            cursor.execute(_DELETE, {"sheet": sheet.pk})
            cursor.execute(_RESTORE, {"sheet": sheet.pk, "operator": sheet.operator_id})
        if sheet.counts["made"] or sheet.counts["touched"]:
            operator = lock_operator(sheet.operator_id)
            change = {WIRE_NAME: (sheet.in_words(), None)}
            commit_change(operator, actor, AuditAction.UNDO_RATE_SHEET, change, reason)
        sheet.status, sheet.undone_at = SheetStatus.UNDONE, timezone.now()
        sheet.undone_by, sheet.undone_source = actor.name, actor.source.value
        sheet.save(update_fields=["status", "undone_at", "undone_by", "undone_source"])
    return sheet


def _refuse_touched(sheet: RateSheet) -> None:
    """Raise RateSheetTouched unless every rule is there and as the sheet left it, with its old place free."""
    values = {"sheet": sheet.pk, "operator": sheet.operator_id, "applied": sheet.applied_at}
    with connection.cursor() as cursor:
        cursor.execute(_TOUCHED, values)
        touched = [rule_id for (rule_id,) in cursor.fetchall()]
        cursor.execute(_THERE, values)
        [there] = cursor.fetchone()
    gone = sheet.counts["made"] + sheet.counts["touched"] - there
    if touched or gone:
        rules = RoutingRule.objects.filter(pk__in=touched).order_by("prefix", "id")
        raise RateSheetTouched(rules=list(rules[:MOST_LISTED]), total=len(touched), gone=gone)
