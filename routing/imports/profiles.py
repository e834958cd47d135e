"""What is remembered of how an operator's sheets are read."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from routing.models import RateSheet, RateSheetProfile
from routing.ratesheets.lines import ColumnMap

FALLBACK_CURRENCY = "USD"


def remembered_map(operator_id: UUID) -> ColumnMap | None:
    profile = RateSheetProfile.objects.filter(pk=operator_id).first()
    return ColumnMap.from_dict(profile.column_map) if profile else None


def remembered_currency(operator_id: UUID) -> str:
    profile = RateSheetProfile.objects.filter(pk=operator_id).first()
    return profile.default_currency if profile else FALLBACK_CURRENCY


def remember(sheet: RateSheet, now: datetime) -> None:
    """Keep how this sheet was read, for the operator's next one; runs in the transaction that applies it."""
    RateSheetProfile.objects.update_or_create(
        operator_id=sheet.operator_id,
        defaults={
            "column_map": sheet.column_map,
            "default_currency": sheet.default_currency,
            "updated_by": sheet.applied_by,
            "updated_at": now,
        },
    )
