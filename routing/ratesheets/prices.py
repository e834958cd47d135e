"""Make a price line, or a rejected one, of each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TypeVar

from routing.ratesheets.calling import prefix_of_mcc
from routing.ratesheets.cells import (
    Fault,
    read_area_code,
    read_cost,
    read_currency,
    read_mcc,
    read_mcc_mnc,
    read_mnc,
    read_moment,
    read_prefix,
    shown,
    text_of,
)
from routing.ratesheets.grids import Cell, Row
from routing.ratesheets.lines import Column, ColumnMap, Defaults, PriceLine, RejectedLine

T = TypeVar("T")


class _Rejection(Exception):
    def __init__(self, column: Column, cell: Cell, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.cell = cell
        self.reason = reason


class PriceReader:
    """Read rows in the sheet's order; holds the prefix and network of each, to tell what repeats an earlier line."""

    def __init__(self, column_map: ColumnMap, defaults: Defaults, epoch: datetime) -> None:
        self._columns = column_map.columns
        self._read_cost = partial(read_cost, decimal_mark=column_map.decimal_mark)
        moment = partial(read_moment, date_order=column_map.date_order, epoch=epoch)
        self._read_start = partial(moment, what="effective date")
        self._read_end = partial(moment, what="end date")
        self._currency = column_map.currency or defaults.currency
        self._effective_from = defaults.effective_from
        self._now = datetime.now(UTC)
        self._seen: dict[tuple[str, str, str], int] = {}

    def read(self, row: Row) -> PriceLine | RejectedLine:
        """Check the fields in the order of the columns' names; the first at fault is told.

        A line repeats an earlier one also where that was rejected: which of the two was meant, nobody can tell.
        """
        line, cells = row
        broken: _Rejection | None = None
        destination: tuple[str, str, str] = ("", "", "")
        earlier = line
        try:
            destination = self._destination(cells)
            earlier = self._seen.setdefault(destination, line)
        except _Rejection as rejection:
            broken = rejection
        if broken is None or broken.column is not Column.PREFIX:
            try:
                cost, currency, effective_from, effective_to = self._price(cells)
            except _Rejection as rejection:
                broken = rejection
        if broken:
            prefix = destination[0] or self._readable_prefix(cells)
            return RejectedLine(line, broken.column.value, shown(text_of(broken.cell)), broken.reason, prefix)
        if earlier != line:
            value = " ".join(part for part in destination if part)
            return RejectedLine(line, "duplicate", value, f"The line repeats line {earlier}.", destination[0])
        return PriceLine(line, *destination, cost, currency, effective_from, effective_to)

    def _destination(self, cells: Sequence[Cell]) -> tuple[str, str, str]:
        columns = self._columns
        prefix = self._prefix(cells) if Column.PREFIX in columns else ""
        if Column.MCC_MNC in columns:
            mcc, mnc = self._cell(cells, Column.MCC_MNC, read_mcc_mnc, blame=Column.MCC)
        else:
            mcc = self._cell(cells, Column.MCC, read_mcc) if Column.MCC in columns else ""
            mnc = self._cell(cells, Column.MNC, read_mnc) if Column.MNC in columns else ""
        if mnc and not mcc:
            raise _Rejection(Column.MCC, "", "An MNC means nothing without its MCC.")
        if prefix:
            return prefix, mcc, mnc
        if mcc:
            return self._of_mcc(mcc), mcc, mnc
        if Column.PREFIX in columns:
            raise _Rejection(Column.PREFIX, "", "The prefix is blank.")
        raise _Rejection(Column.MCC, "", "The MCC is blank.")

    def _prefix(self, cells: Sequence[Cell]) -> str:
        if Column.COUNTRY_CODE not in self._columns:
            return self._cell(cells, Column.PREFIX, read_prefix)
        country = self._cell(cells, Column.COUNTRY_CODE, read_prefix, blame=Column.PREFIX)
        national = self._cell(cells, Column.PREFIX, read_area_code)
        if national and not country:
            raise _Rejection(Column.PREFIX, "", "The country code is blank.")
        try:
            return read_prefix(f"{country}{national}")
        except Fault as fault:
            raise _Rejection(Column.PREFIX, f"{country}{national}", str(fault)) from None

    def _readable_prefix(self, cells: Sequence[Cell]) -> str:
        try:
            return self._prefix(cells) if Column.PREFIX in self._columns else ""
        except _Rejection:
            return ""

    def _of_mcc(self, mcc: str) -> str:
        try:
            return prefix_of_mcc(mcc)
        except Fault as fault:
            raise _Rejection(Column.MCC, mcc, str(fault)) from None

    def _price(self, cells: Sequence[Cell]) -> tuple[Decimal, str, datetime, datetime | None]:
        columns = self._columns
        cost = self._cell(cells, Column.COST, self._read_cost)
        currency = self._cell(cells, Column.CURRENCY, read_currency) if Column.CURRENCY in columns else ""
        start = end = None
        if Column.EFFECTIVE_FROM in columns:
            start = self._cell(cells, Column.EFFECTIVE_FROM, self._read_start)
        effective_from = start or self._effective_from
        if Column.EFFECTIVE_TO in columns:
            end = self._cell(cells, Column.EFFECTIVE_TO, self._read_end)
            if end and end <= effective_from:
                self._refuse_end(cells, "The price ends before it begins.")
            if end and end <= self._now:
                self._refuse_end(cells, "The price is already over.")
        return cost, currency or self._currency, effective_from, end

    def _refuse_end(self, cells: Sequence[Cell], reason: str) -> None:
        raise _Rejection(Column.EFFECTIVE_TO, self._at(cells, Column.EFFECTIVE_TO), reason)

    def _at(self, cells: Sequence[Cell], column: Column) -> Cell:
        index = self._columns[column]
        return cells[index] if index < len(cells) else None

    def _cell(
        self, cells: Sequence[Cell], column: Column, read: Callable[[Cell], T], *, blame: Column | None = None
    ) -> T:
        index = self._columns[column]
        cell = cells[index] if index < len(cells) else None
        try:
            return read(cell)
        except Fault as fault:
            raise _Rejection(blame or column, cell, str(fault)) from None
