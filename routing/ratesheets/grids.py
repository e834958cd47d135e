"""What CSV and XLSX have in common: lines of cells, of which each line knows its number in the file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta


class Formula(str):
    """A formula as it stands in the cell of a workbook; it is never evaluated."""

    __slots__ = ()


Cell = str | int | float | bool | datetime | time | timedelta | None
Row = tuple[int, Sequence[Cell]]  # the line and its cells

WINDOWS_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet's days have no zone


@dataclass(frozen=True)
class Grid:
    """One table that a file may be read as: a CSV by one delimiter, or one sheet of a workbook.

    `rows` starts at the first line each time it is called, leaves out blank lines, and raises UnusableSheet.
    """

    rows: Callable[[], Generator[Row]]
    delimiter: str = ""
    sheet: str = ""
    epoch: datetime = WINDOWS_EPOCH
