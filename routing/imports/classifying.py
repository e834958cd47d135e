"""Tell what each staged line would do to the prices that its operator has: set operations, no loop over rows."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Final

from django.db import connection

from routing.coverage import covered, span_of
from routing.imports.countries import reject_strangers
from routing.imports.staging import STAGE
from routing.imports.steps import join_as_sets
from routing.models import LineKind, RateSheet, RateSheetLine, RoutingRule

RULES: Final = "pg_temp.sheet_rules"
_SAME_KEY: Final = "{0}.prefix = {1}.prefix AND {0}.mcc = {1}.mcc AND {0}.mnc = {1}.mnc"

_LOAD_RULES: Final = f"""
    CREATE TEMP TABLE {RULES.removeprefix("pg_temp.")} ON COMMIT DROP AS
    SELECT id, prefix, mcc, mnc, cost_per_segment AS cost, currency, effective_from, effective_to
    FROM {RoutingRule._meta.db_table} WHERE operator_id = %s AND active
"""  # noqa: S608 - the tables' names are ours

# At most one rule is in force when a line begins: the exclusion constraint says so. A line that says what that rule
# says for just as long has nothing to write.
_CLASSIFY: Final = f"""
    INSERT INTO {RateSheetLine._meta.db_table} (
        sheet_id, line, prefix, mcc, mnc, cost, currency, effective_from, effective_to, kind, writes,
        rule_id, old_cost, old_currency, change_percent, field, value, reason
    )
    SELECT
        %(sheet)s, stage.line, stage.prefix, stage.mcc, stage.mnc, stage.cost, stage.currency,
        stage.effective_from, stage.effective_to,
        CASE
            WHEN stage.field <> '' THEN '{LineKind.REJECTED}'
            WHEN rule.id IS NULL THEN '{LineKind.NEW}'
            WHEN rule.currency <> stage.currency THEN '{LineKind.CURRENCY_CHANGED}'
            WHEN stage.cost > rule.cost THEN '{LineKind.DEARER}'
            WHEN stage.cost < rule.cost THEN '{LineKind.CHEAPER}'
            ELSE '{LineKind.UNCHANGED}'
        END,
        stage.field = '' AND (rule.id IS NULL OR (rule.cost, rule.currency) <> (stage.cost, stage.currency)
            OR rule.effective_to IS DISTINCT FROM stage.effective_to),
        rule.id, rule.cost, coalesce(rule.currency, ''),
        CASE WHEN rule.currency = stage.currency AND rule.cost > 0
            THEN round((stage.cost - rule.cost) * 100 / rule.cost, 2)
            WHEN rule.currency = stage.currency AND stage.cost = rule.cost THEN 0 END,
        stage.field, stage.value, stage.reason
    FROM {STAGE} AS stage LEFT JOIN {RULES} AS rule
        ON stage.field = '' AND {_SAME_KEY.format("rule", "stage")}
        AND tstzrange(rule.effective_from, rule.effective_to) @> stage.effective_from
    ORDER BY stage.line
"""  # noqa: S608

# A rejected line does not say that its price ends; its network may be what is wrong with it.
_UNNAMED: Final = f"""
    FROM {RULES} AS rule
    WHERE (rule.effective_to IS NULL OR rule.effective_to > %(at)s)
        AND NOT EXISTS (SELECT FROM {STAGE} AS stage WHERE stage.field = '' AND {_SAME_KEY.format("stage", "rule")})
        AND NOT EXISTS (SELECT FROM {STAGE} AS stage WHERE stage.field <> '' AND stage.prefix = rule.prefix)
"""  # noqa: S608
_END_UNNAMED: Final = f"""
    INSERT INTO {RateSheetLine._meta.db_table} (
        sheet_id, line, prefix, mcc, mnc, cost, currency, effective_from, effective_to, kind, writes,
        rule_id, old_cost, old_currency, change_percent, field, value, reason
    )
    SELECT %(sheet)s, NULL, prefix, mcc, mnc, NULL, '', effective_from, %(at)s, '{LineKind.ENDED}', false,
        id, cost, currency, NULL, '', '', ''
    {_UNNAMED}
    ORDER BY prefix, id
"""
_COUNT_SUPERSEDED: Final = f"""
    SELECT count(DISTINCT rule.id)
    FROM {RateSheetLine._meta.db_table} AS line JOIN {RULES} AS rule
        ON {_SAME_KEY.format("rule", "line")} AND rule.effective_from >= line.effective_from
        AND (line.effective_to IS NULL OR rule.effective_from < line.effective_to)
    WHERE line.sheet_id = %s AND line.writes
"""  # noqa: S608
_FACTS: Final = f"""
    SELECT min(effective_from), count(*) FILTER (WHERE effective_from < %s), count(effective_to)
    FROM {STAGE} WHERE field = ''
"""  # noqa: S608
# Prices of whole prefixes, and the rules beside them that run on: of one prefix the one that ends last.
_SPANS: Final = f"""
    SELECT prefix, effective_from, effective_to, true FROM {STAGE} WHERE field = '' AND mcc = ''
    UNION ALL (
        SELECT DISTINCT ON (prefix) prefix, effective_from, effective_to, false
        FROM {RULES} AS rule
        WHERE mcc = '' AND NOT %(is_full)s
            AND NOT EXISTS (SELECT FROM {STAGE} AS stage WHERE stage.field = '' AND {_SAME_KEY.format("stage", "rule")})
        ORDER BY prefix, effective_to DESC NULLS FIRST
    )
"""  # noqa: S608
_MOST_NAMED: Final = 5


def classify(sheet: RateSheet, now: datetime) -> None:
    """Replace the sheet's lines by the staged ones, each with its kind, and set its counts and warnings.

    Runs inside a transaction, and leaves it to the caller to save the sheet. A rule that is changed meanwhile is
    noticed when the sheet is applied.
    """
    RateSheetLine.objects.filter(sheet=sheet).delete()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {RULES}")  # of another sheet in the same transaction
        cursor.execute(_LOAD_RULES, [sheet.operator_id])
        cursor.execute(f"ANALYZE {RULES}")
        reject_strangers(cursor)
        join_as_sets()
        cursor.execute(_CLASSIFY, {"sheet": sheet.pk})
        cursor.execute(_FACTS, [now])
        earliest, backdated, bounded = cursor.fetchone()
        missing = _missing(cursor, sheet, earliest)
        cursor.execute(_COUNT_SUPERSEDED, [sheet.pk])
        [superseded] = cursor.fetchone()
        cursor.execute(
            f"SELECT kind, count(*) FROM {RateSheetLine._meta.db_table} WHERE sheet_id = %s GROUP BY kind",  # noqa: S608
            [sheet.pk],
        )
        kinds = Counter(dict(cursor.fetchall()))
        losers = _never_winning(cursor, sheet)
    sheet.counts = {kind.value: kinds[kind.value] for kind in LineKind}
    sheet.counts |= {"missing": missing, "superseded": superseded}
    sheet.warnings = _warnings(sheet, backdated=backdated, bounded=bounded, losers=losers)


def _missing(cursor: Any, sheet: RateSheet, earliest: datetime | None) -> int:
    """Count the rules that no line names, and let those of a full sheet end; a sheet without any price ends none."""
    if earliest is None:
        return 0
    values = {"sheet": sheet.pk, "at": sheet.missing_end_at or earliest}
    if sheet.is_full:
        cursor.execute(_END_UNNAMED, values)
        return int(cursor.rowcount)
    cursor.execute(f"SELECT count(*) {_UNNAMED}", values)
    return int(cursor.fetchone()[0])


def _never_winning(cursor: Any, sheet: RateSheet) -> list[str]:
    """List the prefixes of the sheet of which the operator's longer ones leave no number.

    Where a single rule is refused for it, a sheet's is only told of: which ranges it prices is the carrier's to choose.
    """
    cursor.execute(_SPANS, {"is_full": sheet.is_full})
    rows = cursor.fetchall()
    spans = {prefix: span_of(start, end) for prefix, start, end, _ in rows}
    named = {prefix for prefix, *_, is_named in rows if is_named}
    return [prefix for prefix in covered(spans) if prefix in named]


def _warnings(sheet: RateSheet, *, backdated: int, bounded: int, losers: list[str]) -> list[str]:
    superseded, missing = sheet.counts["superseded"], sheet.missing if sheet.is_full else 0
    first = ", ".join(losers[:_MOST_NAMED]) + (", …" if len(losers) > _MOST_NAMED else "")
    found = (
        (backdated, "Lines that begin in the past", "their prices count from then on"),
        (bounded, "Lines with an end", "after it the sheet leaves their prefixes without a price"),
        (superseded, "Prices that were to begin later", "the sheet replaces them"),
        (missing, "Prices that the sheet does not name", "they end"),
        (len(losers), "Prices that can never win", f"longer prefixes cover every number of {first}"),
    )
    return [f"{what}: {count:,}; {meaning}." for count, what, meaning in found if count]
