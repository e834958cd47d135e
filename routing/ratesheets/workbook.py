"""Read the visible sheets of an XLSX row by row (ECMA-376 part 1, §18).

openpyxl's own reader takes several times as long and holds as much of a hostile part as that has; what it knows of
number formats and dates is used here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import BinaryIO, Final

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH

from routing.ratesheets.archive import Archive, damaged, open_archive
from routing.ratesheets.grids import Grid, Row
from routing.ratesheets.limits import MOST_ROWS
from routing.ratesheets.lines import UnusableSheet
from routing.ratesheets.markup import parse
from routing.ratesheets.sheetrows import SharedStrings, SheetRows

_WANTED: Final = frozenset({"Relationship", "sheet", "workbookPr", "numFmt", "cellXfs", "xf"})
_MOST_WANTED: Final = 100_000  # Excel stops at 65,490 cell formats


@contextmanager
def open_workbook(stream: BinaryIO) -> Iterator[list[Grid]]:
    """Offer each visible sheet, in the workbook's order; raises UnusableSheet where there is none."""
    with open_archive(stream) as archive:
        workbook = _Workbook(archive)
        grids = [
            Grid(partial(_rows, workbook, path), sheet=title, epoch=workbook.epoch)
            for title, path in workbook.visible_sheets()
        ]
        if not grids:
            raise UnusableSheet("The workbook has no visible sheet.")
        yield grids


class _Attributes:
    """Hear the few elements that tell how a workbook is put together; all of them speak by attributes."""

    def __init__(self) -> None:
        self.found: list[tuple[str, dict[str, str]]] = []
        self._in_cell_formats = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "cellXfs":
            self._in_cell_formats = True
        elif name in _WANTED and (name != "xf" or self._in_cell_formats):
            self.found.append((name, attributes))
            if len(self.found) > _MOST_WANTED:
                raise damaged("it has too many sheets or formats")

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._in_cell_formats = False

    def text(self, data: str) -> None:
        pass


class _Workbook:
    """Where the parts are that the sheets need."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._path = next(
            (path for kind, path in self._related("").values() if kind == "officeDocument"), "xl/workbook.xml"
        )
        self._parts = self._related(self._path)
        self._elements = self._attributes(self._path)
        since_1904 = any(
            name == "workbookPr" and attributes.get("date1904") in ("1", "true") for name, attributes in self._elements
        )
        self.epoch = MAC_EPOCH if since_1904 else WINDOWS_EPOCH

    def visible_sheets(self) -> Iterator[tuple[str, str]]:
        for name, attributes in self._elements:
            if name != "sheet" or attributes.get("state", "visible") != "visible":
                continue
            reference = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            kind, path = self._parts.get(reference, ("", ""))
            if kind == "worksheet":
                yield attributes.get("name", ""), path

    @cached_property
    def strings(self) -> list[str]:
        shared = SharedStrings()
        if path := self._part("sharedStrings"):
            for _ in parse(self._archive.pieces(path), shared):
                pass
        return shared.strings

    @cached_property
    def date_styles(self) -> frozenset[str]:
        """Number the cell formats, as cells name them, that show a number as a date; a duration is none."""
        path = self._part("styles")
        elements = self._attributes(path) if path else []
        codes = {str(number): code for number, code in BUILTIN_FORMATS.items()}
        codes |= {each["numFmtId"]: each.get("formatCode", "") for name, each in elements if name == "numFmt"}
        formats = (each.get("numFmtId", "0") for name, each in elements if name == "xf")
        return frozenset(
            str(number)
            for number, each in enumerate(formats)
            if each in codes and is_date_format(codes[each]) and not is_timedelta_format(codes[each])
        )

    def pieces(self, path: str) -> Iterator[bytes]:
        return self._archive.pieces(path)

    def _part(self, wanted: str) -> str:
        return next((path for kind, path in self._parts.values() if kind == wanted and path in self._archive), "")

    def _attributes(self, path: str) -> list[tuple[str, dict[str, str]]]:
        listener = _Attributes()
        for _ in parse(self._archive.pieces(path), listener):
            pass
        return listener.found

    def _related(self, path: str) -> dict[str, tuple[str, str]]:
        """Name the kind and the path of each part that a part refers to, by the reference's id."""
        folder, name = posixpath.split(path)
        relations = posixpath.join(folder, "_rels", f"{name}.rels")
        return {
            each.get("Id", ""): (
                each.get("Type", "").rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/"),
            )
            for kind, each in (self._attributes(relations) if relations in self._archive else [])
            if kind == "Relationship"
        }


def _rows(workbook: _Workbook, path: str) -> Generator[Row]:
    sheet = SheetRows(workbook.strings, workbook.date_styles, workbook.epoch)
    count = 0
    try:
        for _ in parse(workbook.pieces(path), sheet):
            for row in sheet.rows:
                if any(type(cell) is not str or cell.strip() for cell in row[1] if cell is not None):
                    count += 1
                    if count > MOST_ROWS:
                        raise UnusableSheet(f"The sheet has more than {MOST_ROWS:,} rows; split it.")
                    yield row
            sheet.rows.clear()
    except (ValueError, IndexError, OverflowError, TypeError) as error:
        raise damaged("a cell cannot be read") from error
