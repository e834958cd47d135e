"""What a sheet and its lines show at a glance: status, kind, price, change."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.admin.badges import NOTHING, badge, moment
from routing.admin.rules.badges import price
from routing.models import LineKind, RateSheet, RateSheetLine, SheetStatus

# Borrowed from the badges that there are: a shape and a tone each.
TONES: Final[dict[str, str]] = {
    SheetStatus.UPLOADED: "UNKNOWN",
    SheetStatus.PREVIEWED: "PENDING",
    SheetStatus.APPLIED: "PUBLISHED",
    SheetStatus.UNDONE: "INACTIVE",
    SheetStatus.FAILED: "PARKED",
}
# The shape of each kind of line, in the order in which the kinds are shown.
SHAPES: Final[dict[str, str]] = {
    LineKind.NEW: "circle",
    LineKind.DEARER: "triangle",
    LineKind.CHEAPER: "down",
    LineKind.CURRENCY_CHANGED: "pause",
    LineKind.UNCHANGED: "ring",
    LineKind.ENDED: "square",
    LineKind.REJECTED: "cross",
}


def status_badge(sheet: RateSheet) -> SafeString:
    return badge(TONES[sheet.status], sheet.get_status_display().capitalize())


def who_and_when(who: str, at: datetime | None) -> SafeString:
    return format_html('{} <span class="quiet">{}</span>', who, moment(at)) if at else NOTHING


def figure(count: int) -> SafeString:
    return format_html('<span class="number">{}</span>', f"{count:,}") if count else NOTHING


def shape(kind: str) -> SafeString:
    return format_html('<i class="shape shape-{} kind-{}"></i>', SHAPES[kind], kind)


def old_price(line: RateSheetLine) -> SafeString:
    return NOTHING if line.old_cost is None else price(line.old_cost, line.old_currency)


def new_price(line: RateSheetLine) -> SafeString:
    return NOTHING if line.cost is None else price(line.cost, line.currency)


def change(line: RateSheetLine) -> SafeString:
    """Write a change in percent with its direction; there is none from nothing, or between two currencies."""
    if line.kind == LineKind.CURRENCY_CHANGED:
        words = "other currency"
    elif line.kind in (LineKind.DEARER, LineKind.CHEAPER):
        words = "from nothing" if line.change_percent is None else f"{line.change_percent:+,} %"
    else:
        return NOTHING
    return format_html('<span class="change number">{} {}</span>', shape(line.kind), words)
