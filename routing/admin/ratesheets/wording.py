"""Rate sheets in words: what applying one will do or did, and what its columns hold."""

from __future__ import annotations

from typing import Final

from routing.models import LineKind, RateSheet
from routing.ratesheets.lines import Column, DateOrder

COLUMNS: Final[dict[str, str]] = {
    Column.PREFIX: "Prefix",
    Column.COST: "Price",
    Column.CURRENCY: "Currency",
    Column.EFFECTIVE_FROM: "Valid from",
    Column.EFFECTIVE_TO: "Valid until",
    Column.MCC: "MCC",
    Column.MNC: "MNC",
    Column.MCC_MNC: "MCC and MNC",
    Column.COUNTRY_CODE: "Country code",
}
MARKS: Final = {".": "point: 0.0415", ",": "comma: 0,0415"}
ORDERS: Final[dict[str, str]] = {
    DateOrder.DAY_FIRST: "day first: 31/12/2026",
    DateOrder.MONTH_FIRST: "month first: 12/31/2026",
}
KINDS: Final[dict[str, str]] = {
    LineKind.NEW: "New",
    LineKind.DEARER: "Dearer",
    LineKind.CHEAPER: "Cheaper",
    LineKind.CURRENCY_CHANGED: "Other currency",
    LineKind.UNCHANGED: "Unchanged",
    LineKind.ENDED: "Ended",
    LineKind.REJECTED: "Rejected",
}
FULL_SHEET: Final = (
    "Tick this only where the carrier says that the sheet names every price: then the prices of this operator that it "
    "does not name end. Otherwise they go on as they are."
)


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def promise(sheet: RateSheet, writes: int) -> str:
    """Say on a button what applying the sheet will do: Apply 897 prices, leave 4 lines out."""
    kinds = sheet.kinds()
    parts = [f"Apply {counted(writes, 'price')}"]
    if ended := kinds[LineKind.ENDED]:
        parts.append(f"end {counted(ended, 'other')}")
    if rejected := kinds[LineKind.REJECTED]:
        parts.append(f"leave {counted(rejected, 'line')} out")
    return ", ".join(parts)


def missing(sheet: RateSheet) -> str:
    """Say what becomes of the prices that the sheet does not name."""
    if not (count := sheet.missing):
        return ""
    names = f"The sheet does not name {counted(count, 'price')} of this operator."
    them = "it" if count == 1 else "them"
    if sheet.is_full:
        return f"{names} It is a full sheet, so applying it ends {them}: see “Ended” below."
    go_on = "It goes" if count == 1 else "They go"
    return f"{names} {go_on} on as before. A full sheet would end {them}: tick “Full sheet” and preview again."


def done(sheet: RateSheet) -> str:
    """Say what applying the sheet did."""
    made, touched = int(sheet.counts.get("made", 0)), int(sheet.counts.get("touched", 0))
    if not made and not touched:
        return "Nothing had to be changed: every price was as the sheet says."
    sentence = f"{counted(made, 'rule')} made"
    if touched:
        sentence += f", {counted(touched, 'rule')} ended or replaced"
    if rejected := sheet.kinds()[LineKind.REJECTED]:
        sentence += f", {counted(rejected, 'line')} left out"
    return f"{sentence}."


def understood(sheet: RateSheet) -> str:
    """Say on one line how the file is read: Prefix, Price, Valid from; titles in line 1."""
    columns = sheet.column_map.get("columns", {})
    names = ", ".join(COLUMNS[name] for name, _ in sorted(columns.items(), key=lambda item: int(item[1])))
    return f"{names}; titles in line {sheet.column_map.get('headerLine')}" if names else "no column is known"
