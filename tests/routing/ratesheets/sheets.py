"""Small rate sheets, made where a test needs them, and one call that reads them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import openpyxl

from routing.ratesheets.lines import Column, ColumnMap, Defaults, PriceLine, RejectedLine
from routing.ratesheets.reading import read_lines, survey

DEFAULTS = Defaults(currency="USD", effective_from=datetime(2026, 11, 1, tzinfo=UTC))
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
TITLES = ("Prefix", "Price", "Currency", "Effective date")


def xlsx(*rows: Sequence[Any], sheet: str = "Rates") -> bytes:
    workbook = openpyxl.Workbook()
    worksheet = workbook.active
    assert worksheet is not None
    worksheet.title = sheet
    for row in rows:
        worksheet.append(list(row))
    return saved(workbook)


def saved(workbook: openpyxl.Workbook) -> bytes:
    stream = io.BytesIO()
    workbook.save(stream)
    return stream.getvalue()


def with_part(workbook: bytes, name: str, content: bytes) -> bytes:
    """Replace one part of a workbook."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            new.writestr(each, content if each == name else old.read(each))
        if name not in old.namelist():
            new.writestr(name, content)
    return stream.getvalue()


def with_strings(workbook: bytes, strings: bytes) -> bytes:
    """Give a workbook the part of shared strings that Excel writes; openpyxl writes strings into the cells."""
    relations = "xl/_rels/workbook.xml.rels"
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        old = archive.read(relations)
    kind = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    entry = b'<Relationship Id="strings" Type="%s" Target="sharedStrings.xml"/></Relationships>' % kind
    assert b"</Relationships>" in old
    return with_part(
        with_part(workbook, relations, old.replace(b"</Relationships>", entry)), "xl/sharedStrings.xml", strings
    )


def read(
    content: bytes | str, filename: str = "rates.csv", *, column_map: ColumnMap | None = None
) -> list[PriceLine | RejectedLine]:
    """Read a sheet as its survey says, or by the map that is given."""
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    column_map = column_map or survey(stream, filename=filename).column_map
    return list(read_lines(stream, filename=filename, column_map=column_map, defaults=DEFAULTS))


def notes(content: bytes | str, filename: str = "rates.csv") -> tuple[str, ...]:
    return survey(io.BytesIO(content.encode() if isinstance(content, str) else content), filename=filename).notes


def accepted(lines: Iterable[PriceLine | RejectedLine]) -> list[PriceLine]:
    """Give the prices of a sheet none of whose lines may be rejected."""
    prices = []
    for line in lines:
        assert isinstance(line, PriceLine), line
        prices.append(line)
    return prices


def only(content: bytes | str, filename: str = "rates.csv") -> PriceLine:
    (price,) = accepted(read(content, filename))
    return price


def rejected(content: bytes | str, filename: str = "rates.csv") -> RejectedLine:
    """Give the last line, which must be a rejected one."""
    line = read(content, filename)[-1]
    assert isinstance(line, RejectedLine), line
    return line


PREFIX_AND_COST = {Column.PREFIX: 0, Column.COST: 1}
