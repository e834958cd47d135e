"""Tell what a sheet does: in words for a terminal, and as JSON for whoever works through the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings

from operators.errors import OperatorError
from routing.models import LineKind, RateSheet

MOST_CHANGES: Final = 20
MOST_REJECTED: Final = 50  # in words; the JSON has all


def figures(sheet: RateSheet) -> dict[str, Any]:
    """Give what API and command say of a preview, by the wire's names, without the rejected lines."""
    return {
        "rows": sheet.total,
        "counts": sheet.kinds(),
        "missing": sheet.missing,
        "columnMap": sheet.column_map,
        "notes": [*sheet.notes, *sheet.warnings],
        "largeChanges": sheet.lines.large(settings.RATE_CHANGE_GUARD_PERCENT).count(),
        "biggestChanges": [line.as_change() for line in sheet.lines.repriced().biggest_first()[:MOST_CHANGES]],
    }


def as_document(sheet: RateSheet, *, operator: str, is_dry_run: bool, refusal: OperatorError | None) -> dict[str, Any]:
    """Make the JSON report; `rejected` is {line: field}, with values and reasons among the details."""
    found = figures(sheet)
    rejected = [line.as_rejected() for line in sheet.lines.rejected().iterator()]
    return {
        "operator": operator,
        "file": sheet.filename,
        "dryRun": is_dry_run,
        "rows": found.pop("rows"),
        "counts": found.pop("counts"),
        "missing": found.pop("missing"),
        "rejected": {str(each["line"]): each["field"] for each in rejected},
        "details": {
            "operatorId": str(sheet.operator_id),
            "sheetId": None if sheet.is_open else str(sheet.pk),
            "version": sheet.applied_version,
            "refused": None if refusal is None else {"code": refusal.code, "message": str(refusal)},
            **found,
            "rejected": rejected,
        },
    }


def in_words(sheet: RateSheet) -> Iterator[str]:
    """Lay the preview out for a terminal, line by line."""
    yield f"{sheet.filename}: {sheet.total:,} lines"
    for kind, count in sheet.kinds().items():
        if count:
            yield f"  {LineKind(kind).label:<16} {count:>9,}"
    if sheet.missing and not sheet.is_full:
        yield f"  {'not named':<16} {sheet.missing:>9,}  (stays as it is; --full ends it)"
    for note in (*sheet.notes, *sheet.warnings):
        yield f"Note: {note}"
    biggest = list(sheet.lines.repriced().biggest_first()[:MOST_CHANGES])
    if biggest:
        yield "Biggest changes:"
        yield from (f"  {line.in_words()}" for line in biggest)
    rejected = sheet.lines.rejected()
    if total := rejected.count():
        yield "Rejected:"
        for line in rejected[:MOST_REJECTED]:
            yield f"  line {line.line:<7} {line.field:<14} {line.value!r}: {line.reason}"
        if total > MOST_REJECTED:
            yield f"  and {total - MOST_REJECTED:,} more; --report writes all of them."
