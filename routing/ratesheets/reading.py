"""Read a rate sheet: first look at how it is written, then its lines one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import BinaryIO, Final

from routing.ratesheets.cells import shown, text_of
from routing.ratesheets.delimited import delimited_grids, encoding_of
from routing.ratesheets.grids import Formula, Grid, Row
from routing.ratesheets.headers import Header, choose_grid, find_header
from routing.ratesheets.kinds import Kind, kind_of
from routing.ratesheets.lines import Column, ColumnMap, Defaults, PriceLine, RejectedLine, Survey, UnusableSheet
from routing.ratesheets.marks import guess_date_order, guess_decimal_mark
from routing.ratesheets.prices import PriceReader

ROWS_LOOKED_AT: Final = 1_000
ROWS_SHOWN: Final = 10
_NO_PRICES: Final = "The sheet has titles, but no prices below them."


def survey(stream: BinaryIO, *, filename: str, remembered: ColumnMap | None = None) -> Survey:
    """Find the header and guess how the sheet is to be read, by its first thousand rows.

    The remembered map is taken where the sheet has its titles, also in another order. Raises UnusableSheet, and
    UnknownTitles where a person may still say which column is which.
    """
    with _open(stream, filename) as (grids, notes):
        header = find_header(grids, remembered)
        with closing(header.grid.rows()) as rows:
            below = list(islice((row for row in rows if row[0] > header.line), ROWS_LOOKED_AT))
    if not below:
        raise UnusableSheet(_NO_PRICES)
    column_map, guessed = _complete(header, below, remembered)
    sample = tuple(tuple(shown(text_of(cell)) for cell in cells) for _, cells in below[:ROWS_SHOWN])
    return Survey(column_map, header.titles, sample, (*notes, *header.notes, *guessed))


def read_lines(
    stream: BinaryIO, *, filename: str, column_map: ColumnMap, defaults: Defaults
) -> Iterator[PriceLine | RejectedLine]:
    """Read every line by the map. Raises UnusableSheet, for a limit or a broken file also after lines were given.

    Holds one row at a time, besides the prefixes and networks seen.
    """
    with _open(stream, filename) as (grids, _):
        grid = choose_grid(grids, column_map)
        reader = PriceReader(column_map, defaults, grid.epoch)
        empty = True
        with closing(grid.rows()) as rows:
            for row in rows:
                if row[0] > column_map.header_line:
                    empty = False
                    yield reader.read(row)
        if empty:
            raise UnusableSheet(_NO_PRICES)


@contextmanager
def _open(stream: BinaryIO, filename: str) -> Iterator[tuple[list[Grid], tuple[str, ...]]]:
    kind, notes = kind_of(stream, filename)
    if kind is Kind.XLSX:
        from routing.ratesheets.workbook import open_workbook  # openpyxl takes a quarter of a second to load

        with open_workbook(stream) as grids:
            yield grids, notes
        return
    encoding = encoding_of(stream)
    if encoding == "cp1252":
        notes = (*notes, "The text is not UTF-8; it was read as Windows-1252.")
    yield delimited_grids(stream, encoding), notes


def _complete(header: Header, below: Sequence[Row], remembered: ColumnMap | None) -> tuple[ColumnMap, tuple[str, ...]]:
    """Add to the header's columns how numbers and dates are written; what the sheet leaves open is remembered."""
    known = remembered if remembered and header.remembered else ColumnMap({})
    mark, mark_notes = guess_decimal_mark(_texts(header, below, Column.COST), known.decimal_mark)
    dates = [
        *_texts(header, below, Column.EFFECTIVE_FROM),
        *_texts(header, below, Column.EFFECTIVE_TO),
    ]
    order, order_notes = guess_date_order(dates, known.date_order if header.remembered else None)
    column_map = ColumnMap(
        columns=header.columns,
        header_line=header.line,
        decimal_mark=mark,
        date_order=order,
        titles=header.titles,
        currency=header.currency or known.currency,
        delimiter=header.grid.delimiter,
        sheet=header.grid.sheet,
    )
    return column_map, (*mark_notes, *order_notes, *_habits(header, below))


def _habits(header: Header, below: Sequence[Row]) -> Iterator[str]:
    """Tell what staff may not expect of the way such a sheet is read."""
    if any(len(text) == 1 and text.isdecimal() for text in _texts(header, below, Column.MNC)):
        yield "An MNC of one digit was read as two (1 as 01): spreadsheets drop the zero."
    if Column.PREFIX not in header.columns:
        yield "The sheet has no prefixes; each line gets the calling code of its MCC's country."
    if Column.EFFECTIVE_TO in header.columns:
        yield "A price ends when its end date begins (00:00 UTC), unless the cell gives a time."


def _texts(header: Header, below: Sequence[Row], column: Column) -> list[str]:
    """List what a column's cells hold as text, or as whole numbers; blank cells and formulas are left out."""
    index = header.columns.get(column)
    if index is None:
        return []
    cells = (row[index] for _, row in below if index < len(row))
    return [
        text
        for cell in cells
        if isinstance(cell, (str, int)) and not isinstance(cell, Formula)
        if (text := text_of(cell))
    ]
