"""A sheet's lines by what they do, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from routing.admin.ratesheets import badges
from routing.admin.ratesheets.wording import KINDS
from routing.admin.rules.badges import destination, window
from routing.models import LineKind, RateSheet, RateSheetLine

LINES_PAGE: Final = 50
BIGGEST: Final = 10
# What staff want to see first.
FIRST: Final = (
    LineKind.DEARER,
    LineKind.CHEAPER,
    LineKind.CURRENCY_CHANGED,
    LineKind.NEW,
    LineKind.ENDED,
    LineKind.REJECTED,
    LineKind.UNCHANGED,
)


class CountedPaginator(Paginator):  # type: ignore[type-arg]
    """Turn pages of rows that the preview has counted already."""

    def __init__(self, rows: QuerySet[RateSheetLine], per_page: int, *, count: int) -> None:
        super().__init__(rows, per_page)
        self._known = count

    @cached_property
    def count(self) -> int:
        return self._known


@dataclass(frozen=True)
class Tile:
    """One kind of line and how many there are."""

    kind: str
    count: int
    is_current: bool

    @property
    def label(self) -> str:
        return KINDS[self.kind]

    @property
    def shape(self) -> SafeString:
        return badges.shape(self.kind)


@dataclass(frozen=True)
class Shown:
    """One line, ready to be shown."""

    row: RateSheetLine

    @property
    def destination(self) -> SafeString:
        return destination(self.row.prefix, self.row.mcc, self.row.mnc)

    @property
    def before(self) -> SafeString:
        return badges.old_price(self.row)

    @property
    def after(self) -> SafeString:
        return badges.new_price(self.row)

    @property
    def change(self) -> SafeString:
        return badges.change(self.row)

    @property
    def window(self) -> SafeString:
        return window(self.row)


def tiles(sheet: RateSheet, current: str) -> list[Tile]:
    return [Tile(kind, count, kind == current) for kind, count in sheet.kinds().items()]


def chosen_kind(request: HttpRequest, sheet: RateSheet) -> str:
    """Take the kind that was asked for, or the most interesting one that there is."""
    kinds = sheet.kinds()
    if (asked := request.GET.get("kind", "")) in kinds:
        return asked
    return next((kind.value for kind in FIRST if kinds[kind]), LineKind.NEW.value)


def lines_page(request: HttpRequest, sheet: RateSheet, kind: str) -> Page[RateSheetLine]:
    rows = sheet.lines.filter(kind=kind).order_by("line", "id")
    return CountedPaginator(rows, LINES_PAGE, count=sheet.kinds()[kind]).get_page(request.GET.get("p"))


def biggest_changes(sheet: RateSheet) -> list[Shown]:
    return [Shown(line) for line in sheet.lines.repriced().biggest_first()[:BIGGEST]]
