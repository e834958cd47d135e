"""The sheets that the tests of imports are about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from operators.models import Operator
from routing.imports.applying import apply_sheet
from routing.imports.options import SheetOptions
from routing.imports.preview import preview_sheet
from routing.imports.uploading import upload_sheet
from routing.models import RateSheet, RoutingRule
from tests.factories import ALICE

TITLES: Final = "Prefix,MCC,MNC,Price,Currency,Effective date,Valid until"
DECEMBER: Final = datetime(2126, 12, 1, tzinfo=UTC)
JANUARY: Final = datetime(2127, 1, 1, tzinfo=UTC)
FEBRUARY: Final = datetime(2127, 2, 1, tzinfo=UTC)


def row(
    prefix: str,
    cost: str,
    *,
    currency: str = "EUR",
    start: datetime | None = DECEMBER,
    end: datetime | None = None,
    mcc: str = "",
    mnc: str = "",
) -> str:
    days = [f"{day:%Y-%m-%d}" if day else "" for day in (start, end)]
    return ",".join((prefix, mcc, mnc, cost, currency, *days))


def content(*rows: str) -> bytes:
    return "\n".join((TITLES, *rows, "")).encode()


def previewed(operator: Operator, *rows: str, options: SheetOptions | None = None) -> RateSheet:
    sheet = upload_sheet(
        actor=ALICE,
        operator_id=operator.pk,
        filename="prices.csv",
        content=content(*rows),
        options=options or SheetOptions(),
    )
    return preview_sheet(actor=ALICE, sheet_id=sheet.pk)


def applied(operator: Operator, *rows: str, options: SheetOptions | None = None) -> RateSheet:
    """Import a sheet, whatever its changes are."""
    sheet = previewed(operator, *rows, options=options)
    return apply_sheet(actor=ALICE, sheet_id=sheet.pk, confirm_large_changes=True)


def kinds(sheet: RateSheet) -> dict[str, int]:
    """The kinds of lines that there are."""
    return {kind: count for kind, count in sheet.kinds().items() if count}


def lines_of(sheet: RateSheet) -> dict[str, str]:
    return dict(sheet.lines.order_by("line", "id").values_list("prefix", "kind"))


def prices(operator: Operator) -> list[str]:
    """Every rule of the operator in words, in the order of prefix and time."""
    rules = RoutingRule.objects.filter(operator=operator).order_by("prefix", "mcc", "mnc", "effective_from", "active")
    return [rule.in_words() for rule in rules]


def snapshot(operator: Operator) -> list[dict[str, Any]]:
    """Every column of every rule but the version, which only ever rises."""
    names = [field.attname for field in RoutingRule._meta.concrete_fields if field.name != "version"]
    return list(RoutingRule.objects.filter(operator=operator).order_by("id").values(*names))
