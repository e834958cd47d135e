"""What a rate sheet says, line by line, and how its columns are understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Column(StrEnum):
    """What a column of a sheet may hold, by the name that reports and stored maps use."""

    PREFIX = "prefix"
    MCC = "mcc"
    MNC = "mnc"
    COST = "cost"
    CURRENCY = "currency"
    EFFECTIVE_FROM = "effectiveFrom"
    EFFECTIVE_TO = "effectiveTo"


class DateOrder(StrEnum):
    """How 03/04/2026 is read; a date that begins with the year needs no such choice."""

    DAY_FIRST = "DMY"
    MONTH_FIRST = "MDY"


class UnusableSheet(Exception):
    """The file as a whole cannot be read; the message says why, in words for staff."""


@dataclass(frozen=True)
class ColumnMap:
    """How a sheet is read: which column (from 0) holds what, and how numbers and dates are written.

    `header_line` is the line of the titles, counted from 1; prices begin below it.
    """

    columns: Mapping[Column, int]
    header_line: int = 1
    decimal_mark: str = "."
    date_order: DateOrder = DateOrder.DAY_FIRST


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
    """One line that breaks a rule: the column at fault or `duplicate`, what the cell holds, and the rule in words."""

    line: int
    field: str
    value: str
    reason: str
