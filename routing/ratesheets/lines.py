"""What a rate sheet says, line by line, and how its columns are understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Self

from django.core.exceptions import ValidationError

from operators.validators import validate_currency
from routing.ratesheets.limits import MOST_COLUMNS, MOST_PREAMBLE

DECIMAL_MARKS: Final = (".", ",")
DELIMITERS: Final = (",", ";", "\t", "|")


class Column(StrEnum):
    """What a column of a sheet may hold, by the name that reports and stored maps use."""

    PREFIX = "prefix"
    MCC = "mcc"
    MNC = "mnc"
    COST = "cost"
    CURRENCY = "currency"
    EFFECTIVE_FROM = "effectiveFrom"
    EFFECTIVE_TO = "effectiveTo"
    MCC_MNC = "mccMnc"  # both in one cell, such as 23410 or 234-10
    COUNTRY_CODE = "countryCode"  # put before what the prefix column holds


class DateOrder(StrEnum):
    """How 03/04/2026 is read; a date that begins with the year needs no such choice."""

    DAY_FIRST = "DMY"
    MONTH_FIRST = "MDY"


class UnusableSheet(Exception):
    """The file as a whole cannot be read; the message says why, in words for staff."""


class UnknownTitles(UnusableSheet):
    """No line names a price and a prefix; `titles` and `sample` are what a person may build a map from."""

    def __init__(
        self, message: str, *, header_line: int, titles: tuple[str, ...], sample: tuple[tuple[str, ...], ...]
    ) -> None:
        super().__init__(message)
        self.header_line = header_line
        self.titles = titles
        self.sample = sample


@dataclass(frozen=True)
class ColumnMap:
    """How a sheet is read: which column (from 0) holds what, and how numbers and dates are written.

    `header_line` is the line of the titles, counted from 1; prices begin below it. `titles` are those of the sheet that
    the map was made for: a later sheet is read by the map if it has them too. A map without titles, as a person makes
    it, fits every sheet that is wide enough. `currency` is what the price's title names. An empty `delimiter` is
    guessed; an empty `sheet` is the first visible one whose header fits.
    """

    columns: Mapping[Column, int]
    header_line: int = 1
    decimal_mark: str = "."
    date_order: DateOrder = DateOrder.DAY_FIRST
    titles: tuple[str, ...] = ()
    currency: str = ""
    delimiter: str = ""
    sheet: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Give the map as JSON may hold it."""
        return {
            "columns": {column.value: index for column, index in self.columns.items()},
            "headerLine": self.header_line,
            "decimalMark": self.decimal_mark,
            "dateOrder": self.date_order.value,
            "titles": list(self.titles),
            "currency": self.currency,
            "delimiter": self.delimiter,
            "sheet": self.sheet,
        }

    @classmethod
    def from_dict(cls, raw: object) -> Self:
        """Take a map back from JSON; raises ValueError, in words for staff, for one that no sheet could be read by."""
        if not isinstance(raw, Mapping):
            raise ValueError("A column map is an object.")
        unknown = [str(key) for key in raw if key not in _KEYS]
        if unknown:
            raise ValueError(f"A column map has no {', '.join(sorted(unknown))}; it has {', '.join(_KEYS)}.")
        titles = raw.get("titles", [])
        if not isinstance(titles, list) or not all(isinstance(title, str) for title in titles):
            raise ValueError("The titles are a list of texts.")
        return cls(
            columns=_columns(raw.get("columns"), width=len(titles) or MOST_COLUMNS),
            header_line=_header_line(raw.get("headerLine", 1)),
            decimal_mark=_one_of("decimalMark", raw.get("decimalMark", "."), DECIMAL_MARKS),
            date_order=DateOrder(_one_of("dateOrder", raw.get("dateOrder", "DMY"), tuple(DateOrder))),
            titles=tuple(titles),
            currency=_currency(raw.get("currency", "")),
            delimiter=_one_of("delimiter", raw.get("delimiter", ""), ("", *DELIMITERS)),
            sheet=_text("sheet", raw.get("sheet", "")),
        )


_KEYS: Final = ("columns", "headerLine", "decimalMark", "dateOrder", "titles", "currency", "delimiter", "sheet")


def _columns(raw: object, *, width: int) -> dict[Column, int]:
    if not isinstance(raw, Mapping):
        raise ValueError("The columns are an object of names and column numbers, counted from 0.")
    columns: dict[Column, int] = {}
    for name, index in raw.items():
        if name not in tuple(Column):
            raise ValueError(f"No column is called {name!r}; the names are {', '.join(Column)}.")
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < width:
            raise ValueError(f"The column of {name} is a number from 0 to {width - 1}, not {index!r}.")
        if index in columns.values():
            raise ValueError(f"Column {index} is named twice.")
        columns[Column(name)] = index
    if Column.COST not in columns:
        raise ValueError("No column is named as the cost.")
    if not columns.keys() & {Column.PREFIX, Column.MCC, Column.MCC_MNC}:
        raise ValueError("No column is named as the prefix, the mcc or the mccMnc.")
    if Column.COUNTRY_CODE in columns and Column.PREFIX not in columns:
        raise ValueError("A countryCode column needs a prefix column beside it.")
    if Column.MCC_MNC in columns and columns.keys() & {Column.MCC, Column.MNC}:
        raise ValueError("Name either mccMnc or mcc and mnc.")
    return columns


def _header_line(raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= MOST_PREAMBLE:
        raise ValueError(f"The header line is a number from 1 to {MOST_PREAMBLE}.")
    return raw


def _one_of(name: str, raw: object, choices: tuple[str, ...]) -> str:
    if not isinstance(raw, str) or raw not in choices:
        raise ValueError(f"{name} is one of {', '.join(map(repr, map(str, choices)))}.")
    return raw


def _currency(raw: object) -> str:
    if raw == "":
        return ""
    currency = _text("currency", raw)
    try:
        validate_currency(currency)
    except ValidationError as error:
        raise ValueError(error.message) from None
    return currency


def _text(name: str, raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{name} is a text.")
    return raw


@dataclass(frozen=True)
class Survey:
    """What a first look at a sheet shows: a map that was guessed or remembered, and rows to judge it by."""

    column_map: ColumnMap
    titles: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Defaults:
    """What lines without a currency or a date mean."""

    currency: str
    effective_from: datetime


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One valid line; its prefix is E.164 with the +. `effective_to` is exclusive, None until further notice."""

    line: int
    prefix: str
    mcc: str
    mnc: str
    cost: Decimal
    currency: str
    effective_from: datetime
    effective_to: datetime | None


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """One line that breaks a rule: the column at fault or `duplicate`, what the cell holds, and the rule in words.

    `prefix` is the line's own, empty where it could not be read.
    """

    line: int
    field: str
    value: str
    reason: str
    prefix: str = ""
