"""Find the line of the titles in a file, by what was remembered of the operator's last sheet or by known titles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from routing.ratesheets.cells import shown, text_of
from routing.ratesheets.grids import Grid
from routing.ratesheets.limits import MOST_PREAMBLE
from routing.ratesheets.lines import Column, ColumnMap, UnknownTitles, UnusableSheet
from routing.ratesheets.titles import plain, understand_titles

_ROWS_SHOWN: Final = 10
Line = tuple[int, tuple[str, ...]]


@dataclass(frozen=True)
class Header:
    """Where the titles stand and what was understood of them; `remembered` where an older map says so."""

    grid: Grid
    line: int
    titles: tuple[str, ...]
    columns: Mapping[Column, int]
    currency: str = ""
    notes: tuple[str, ...] = ()
    remembered: bool = False


def find_header(grids: Sequence[Grid], remembered: ColumnMap | None) -> Header:
    """Return the first header; raises UnknownTitles where no line is one."""
    tops, refusal = _tops(grids)
    notes: tuple[str, ...] = ()
    if remembered:
        if found := _best(_remembered_headers(tops, remembered)):
            return found
        notes = ("The remembered columns do not fit the titles of this sheet; the columns were guessed again.",)
    if found := _best(_known_headers(tops, notes)):
        return found
    if refusal:
        raise refusal
    raise _unknown(tops)


def choose_grid(grids: Sequence[Grid], column_map: ColumnMap) -> Grid:
    """Return the grid that a map is for; raises UnusableSheet where its titles are others than the map's."""
    tops, refusal = _tops(grids)
    fitting = [
        (len(titles), grid)
        for grid, lines in tops
        if column_map.sheet in ("", grid.sheet) and column_map.delimiter in ("", grid.delimiter)
        for line, titles in lines
        if line == column_map.header_line and _has_titles(titles, column_map)
    ]
    if fitting:
        return max(fitting, key=lambda each: each[0])[1]
    if refusal:
        raise refusal
    wanted = [f"{column} in column {index + 1}" for column, index in column_map.columns.items()]
    raise UnusableSheet(
        f"Line {column_map.header_line} of the sheet is not the header that the columns were chosen for "
        f"({', '.join(wanted)}); look at the sheet again."
    )


def _tops(grids: Sequence[Grid]) -> tuple[list[tuple[Grid, list[Line]]], UnusableSheet | None]:
    """Read the lines among which a header may be; a grid that cannot be read is left out, with the first refusal."""
    tops = []
    refusal = None
    for grid in grids:
        try:
            with closing(grid.rows()) as rows:
                lines = [
                    (line, tuple(shown(text_of(cell)) for cell in cells))
                    for line, cells in takewhile(lambda row: row[0] <= MOST_PREAMBLE, rows)
                ]
        except UnusableSheet as error:
            refusal = refusal or error
        else:
            tops.append((grid, lines))
    return tops, refusal


def _best(headers: Iterator[Header]) -> Header | None:
    """Take the first sheet's first header; of the delimiters, the one that makes most of it."""
    found: Header | None = None
    for header in headers:
        if found is None or (
            header.grid.sheet == found.grid.sheet
            and (-header.line, len(header.columns), len(header.titles))
            > (-found.line, len(found.columns), len(found.titles))
        ):
            found = header
    return found


def _known_headers(tops: Sequence[tuple[Grid, list[Line]]], notes: tuple[str, ...]) -> Iterator[Header]:
    for grid, lines in tops:
        for line, titles in lines:
            if meaning := understand_titles(titles):
                yield Header(grid, line, titles, meaning.columns, meaning.currency, (*notes, *meaning.notes))
                break


def _remembered_headers(tops: Sequence[tuple[Grid, list[Line]]], remembered: ColumnMap) -> Iterator[Header]:
    for grid, lines in tops:
        for line, titles in lines:
            if remembered.titles:
                columns = _moved(remembered, titles)
            elif line == remembered.header_line and _has_titles(titles, remembered):
                columns = remembered.columns
            else:
                continue
            if columns:
                yield Header(grid, line, titles, columns, currency=_currency(titles), remembered=True)
                break


def _currency(titles: Sequence[str]) -> str:
    meaning = understand_titles(titles)
    return meaning.currency if meaning else ""


def _moved(remembered: ColumnMap, titles: Sequence[str]) -> Mapping[Column, int] | None:
    """Find each remembered title where it was, or at the one other place that has it."""
    names = [plain(title) for title in titles]
    columns = {}
    for column, index in remembered.columns.items():
        name = plain(remembered.titles[index]) if index < len(remembered.titles) else ""
        if index < len(names) and names[index] == name:
            columns[column] = index
        elif name and names.count(name) == 1:
            columns[column] = names.index(name)
        else:
            return None
    return columns if len(set(columns.values())) == len(columns) else None


def _has_titles(titles: Sequence[str], column_map: ColumnMap) -> bool:
    """Tell whether a line is wide enough for a map and has the titles that the map was made for, if it knows any."""
    if max(column_map.columns.values()) >= len(titles):
        return False
    return not column_map.titles or all(
        index < len(column_map.titles) and plain(column_map.titles[index]) == plain(titles[index])
        for index in column_map.columns.values()
    )


def _unknown(tops: Sequence[tuple[Grid, list[Line]]]) -> UnusableSheet:
    """Take the line with the most cells for that of the titles."""
    widest = max(
        ((sum(map(bool, titles)), -order, -line) for order, (_, lines) in enumerate(tops) for line, titles in lines),
        default=None,
    )
    if widest is None:
        return UnusableSheet("The file holds no table.")
    _, order, line = widest
    lines = tops[-order][1]
    titles = next(titles for number, titles in lines if number == -line)
    named = ", ".join(title for title in titles[:20] if title)
    return UnknownTitles(
        f"None of the first {MOST_PREAMBLE} lines names a price and a prefix (or an MCC). "
        f"The titles found are: {named}.",
        header_line=-line,
        titles=titles,
        sample=tuple(titles for number, titles in lines if number > -line)[:_ROWS_SHOWN],
    )
