"""Read the visible sheets of an XLSX row by row, after its archive was found harmless."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

import openpyxl

from routing.ratesheets.archive import check_archive
from routing.ratesheets.grids import Cell, Formula, Grid, Row
from routing.ratesheets.limits import MOST_CHARACTERS, MOST_COLUMNS, MOST_ROWS, MOST_SHEET_ROWS
from routing.ratesheets.lines import UnusableSheet

# It tells of styles and extensions that it leaves out; prices have none.
warnings.filterwarnings("ignore", module=r"openpyxl\.")


@contextmanager
def open_workbook(stream: BinaryIO) -> Iterator[list[Grid]]:
    """Offer each visible sheet, in the workbook's order."""
    check_archive(stream)
    stream.seek(0)
    try:
        workbook = openpyxl.load_workbook(stream, read_only=True, data_only=False, keep_links=False)
    except Exception as error:  # whatever a library raises that meets a broken file
        raise _damaged() from error
    try:
        yield [
            Grid(partial(_rows, sheet), sheet=sheet.title, epoch=workbook.epoch)
            for sheet in workbook.worksheets
            if sheet.sheet_state == "visible"
        ]
    finally:
        workbook.close()


def _damaged() -> UnusableSheet:
    return UnusableSheet(
        "The workbook is damaged or was not written as Excel does; open it and save it again as .xlsx."
    )


def _rows(sheet: Any) -> Iterator[Row]:
    # What a sheet says of its own size is often wrong, and would cut rows off.
    sheet.reset_dimensions()
    count = 0
    for line, cells in enumerate(_values(sheet), 1):
        if line > MOST_SHEET_ROWS:
            raise UnusableSheet(f"The sheet has rows beyond line {MOST_SHEET_ROWS:,}.")
        if not any(cell is not None and cell != "" for cell in cells):
            continue
        count += 1
        if count > MOST_ROWS:
            raise UnusableSheet(f"The sheet has more than {MOST_ROWS:,} rows; split it.")
        while cells[-1] is None:  # styled, but blank
            cells = cells[:-1]
        if len(cells) > MOST_COLUMNS:
            raise UnusableSheet(f"Line {line} has more than {MOST_COLUMNS} columns.")
        yield line, [_cell(line, cell) for cell in cells]


def _values(sheet: Any) -> Iterator[tuple[Any, ...]]:
    rows = sheet.iter_rows(values_only=True)
    while True:
        try:
            row = next(rows, None)
        except Exception as error:  # whatever a library raises that meets a broken file
            raise _damaged() from error
        if row is None:
            return
        yield row[: MOST_COLUMNS + 1]


def _cell(line: int, value: Any) -> Cell:
    if isinstance(value, str):
        if len(value) > MOST_CHARACTERS:
            raise UnusableSheet(f"Line {line} has a cell of more than {MOST_CHARACTERS:,} characters.")
        return Formula(value) if value[:1] == "=" else value
    if value is None or isinstance(value, Cell):
        return value
    return Formula(f"={getattr(value, 'text', '') or ''}".replace("==", "=", 1))  # an array formula or a data table
