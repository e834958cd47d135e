"""Workbooks: what spreadsheets make of codes, prices and dates, and what they hide."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.datetime import MAC_EPOCH
from openpyxl.worksheet.formula import ArrayFormula

from routing.ratesheets.lines import PriceLine, UnknownTitles, UnusableSheet
from tests.routing.ratesheets.sheets import (
    DECEMBER,
    TITLES,
    accepted,
    notes,
    only,
    read,
    rejected,
    saved,
    with_part,
    with_strings,
    xlsx,
)

NAME = "rates.xlsx"
SHEET_XML = "xl/worksheets/sheet1.xml"


def sheet_xml(rows: str, *, prefix: str = "") -> bytes:
    """Write a sheet as other programs than openpyxl do."""
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    start = f'<{prefix}worksheet xmlns{":" if prefix else ""}{prefix[:-1]}="{namespace}"><{prefix}sheetData>'
    return f"{start}{rows}</{prefix}sheetData></{prefix}worksheet>".encode()


@pytest.mark.parametrize("cell", [45201, 45201.0, "45201", "+45201", " 45201 "])
def test_it_reads_a_prefix_that_is_a_number(cell: object) -> None:
    assert only(xlsx(("Prefix", "Price"), (cell, 0.07)), NAME).prefix == "+45201"


@pytest.mark.parametrize(
    ("cell", "cost"),
    [
        (0.06231, "0.06231"),
        (1, "1"),
        (0, "0"),
        (0.1 + 0.2, "0.3"),
        (0.000001, "0.000001"),
        ("0.07269", "0.07269"),
        ("0,07269", "0.07269"),
    ],
)
def test_it_reads_a_price_as_the_spreadsheet_shows_it(cell: object, cost: str) -> None:
    assert only(xlsx(("Prefix", "Price"), (44, cell)), NAME).cost == Decimal(cost)


@pytest.mark.parametrize(
    ("cell", "effective_from"),
    [
        (datetime(2026, 12, 1), DECEMBER),  # noqa: DTZ001 - a cell has no zone
        (date(2026, 12, 1), DECEMBER),
        (datetime(2026, 12, 1, 6, 30), datetime(2026, 12, 1, 6, 30, tzinfo=UTC)),  # noqa: DTZ001
        (46357, DECEMBER),
        (46357.25, datetime(2026, 12, 1, 6, tzinfo=UTC)),
        (20261201, DECEMBER),
        ("01.12.2026", DECEMBER),
    ],
)
def test_it_reads_a_date_in_each_form(cell: object, effective_from: datetime) -> None:
    assert only(xlsx(TITLES, (44, 0.07, "EUR", cell)), NAME).effective_from == effective_from


def test_it_counts_days_from_1904_where_the_workbook_does() -> None:
    workbook = openpyxl.Workbook()
    workbook.epoch = MAC_EPOCH
    assert workbook.active is not None
    for row in (TITLES, (44, 0.07, "EUR", datetime(2026, 12, 1)), (45, 0.07, "EUR", 46357 - 1462)):  # noqa: DTZ001
        workbook.active.append(row)

    assert [price.effective_from for price in accepted(read(saved(workbook), NAME))] == [DECEMBER, DECEMBER]


@pytest.mark.parametrize(
    ("row", "field", "value", "words"),
    [
        (("=A1", 0.07, "EUR", "2026-12-01"), "prefix", "=A1", "prefix holds a formula; export values"),
        ((44, "=B1*2", "EUR", "2026-12-01"), "cost", "=B1*2", "price holds a formula; export values"),
        ((44, ArrayFormula("B2", "=SUM(C1:C9)"), "EUR", None), "cost", "=SUM(C1:C9)", "holds a formula"),
        ((44, 0.07, "=C1", "2026-12-01"), "currency", "=C1", "currency holds a formula; export values"),
        ((44, 0.07, "EUR", "=TODAY()"), "effectiveFrom", "=TODAY()", "date holds a formula; export values"),
        ((44, "#N/A", "EUR", "2026-12-01"), "cost", "#N/A", "error #N/A"),
        ((44, None, "EUR", "2026-12-01"), "cost", "", "blank"),
        ((44, "  ", "EUR", "2026-12-01"), "cost", "", "blank"),
        ((None, 0.07, "EUR", "2026-12-01"), "prefix", "", "blank"),
        ((44, True, "EUR", "2026-12-01"), "cost", "TRUE", "truth value"),
        ((True, 0.07, "EUR", "2026-12-01"), "prefix", "TRUE", "truth value"),
        ((44, datetime(2026, 12, 1), "EUR", None), "cost", "2026-12-01 00:00:00", "formatted as a date"),  # noqa: DTZ001
        ((date(2026, 12, 1), 0.07, "EUR", None), "prefix", "2026-12-01 00:00:00", "formatted as a date"),
        ((44, 0.07, "EUR", time(6, 30)), "effectiveFrom", "06:30:00", "no date"),
        ((44, 0.07, "EUR", timedelta(days=2)), "effectiveFrom", "2", "no date"),
        ((44, 0.07, "EUR", 7), "effectiveFrom", "7", "no date"),
        ((44.5, 0.07, "EUR", None), "prefix", "44.5", "other than digits"),
        ((44, 0.00000012, "EUR", None), "cost", "1.2e-07", "6 decimals"),
        ((44, -0.5, "EUR", None), "cost", "-0.5", "at least 0"),
        ((12345678901234567, 0.07, "EUR", None), "prefix", "1.23456789012346e+16", "power of ten"),
    ],
)
def test_it_rejects_a_cell_that_holds_something_else(row: tuple[Any, ...], field: str, value: str, words: str) -> None:
    line = rejected(xlsx(TITLES, row), NAME)

    assert (line.line, line.field, line.value) == (2, field, value)
    assert words in line.reason


def test_it_reads_codes_whose_zeros_the_spreadsheet_ate() -> None:
    sheet = xlsx(("MCC", "MNC", "Rate"), (234, 1, 0.07), (234, 10, 0.07), (310, 260, 0.07), (234.0, "002", 0.07))

    assert [(price.mcc, price.mnc) for price in accepted(read(sheet, NAME))] == [
        ("234", "01"),
        ("234", "10"),
        ("310", "260"),
        ("234", "002"),
    ]
    assert any("1 as 01" in note for note in notes(sheet, NAME))


def test_it_leaves_formulas_alone_in_columns_that_mean_nothing() -> None:
    assert only(xlsx(("Prefix", "Price", "Country"), (44, 0.07, "=VLOOKUP(A2,X,1)")), NAME).prefix == "+44"


def test_it_skips_hidden_sheets_and_those_without_a_header() -> None:
    workbook = openpyxl.Workbook()
    assert workbook.active is not None
    workbook.active.append(("Terms", "of", "sale"))
    for title, state, prefix in (("Old", "hidden", 1), ("Older", "veryHidden", 2), ("New", "visible", 3)):
        sheet = workbook.create_sheet(title)
        sheet.sheet_state = state
        sheet.append(("Prefix", "Price"))
        sheet.append((prefix, 0.07))
    workbook.create_chartsheet("Chart", 0)

    assert only(saved(workbook), NAME).prefix == "+3"


def test_it_refuses_a_workbook_whose_titles_it_does_not_know() -> None:
    with pytest.raises(UnknownTitles, match="The titles found are: Ziel, Preis"):
        read(xlsx(("Ziel", "Preis"), (49, 0.07)), NAME)


def test_it_counts_rows_as_the_sheet_does() -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet["B3"], sheet["C3"] = "Prefix", "Price\n(EUR)"
    sheet["B6"], sheet["C6"] = 44, 0.07
    sheet["B9"], sheet["C9"] = 45, 0.08
    sheet.merge_cells("B1:C1")
    sheet["B1"] = "Carrier Ltd"

    prices = accepted(read(saved(workbook), NAME))

    assert [(price.line, price.prefix, price.currency) for price in prices] == [(6, "+44", "EUR"), (9, "+45", "EUR")]


def test_it_reads_a_sheet_that_another_program_wrote() -> None:
    rows = (
        '<x:row><x:c t="inlineStr"><x:is><x:r><x:t>Pre</x:t></x:r><x:r><x:t>fix</x:t></x:r></x:is></x:c>'
        '<x:c t="inlineStr"><x:is><x:t>Price_x000D_</x:t><x:rPh sb="0" eb="1"><x:t>purais</x:t></x:rPh></x:is></x:c>'
        "</x:row>"
        '<x:row r="4"><x:c r="A4"><x:v>44</x:v></x:c><x:c r="B4"><x:v>6.2310000000000004E-2</x:v></x:c></x:row>'
        '<x:row><x:c><x:v>45</x:v></x:c><x:c t="str"><x:v>0.07</x:v></x:c></x:row>'
        "<x:row><x:c><x:v>46</x:v></x:c><x:c><x:f>B4</x:f><x:v>0.07</x:v></x:c></x:row>"
        '<x:row><x:c><x:v>47</x:v></x:c><x:c t="e"><x:v>#DIV/0!</x:v></x:c></x:row>'
    )
    lines = read(with_part(xlsx(("a",)), SHEET_XML, sheet_xml(rows, prefix="x:")), NAME)

    assert [line.line for line in lines] == [4, 5, 6, 7]
    assert [line.cost for line in lines if isinstance(line, PriceLine)] == [Decimal("0.06231"), Decimal("0.07")]
    assert [getattr(line, "value", "") for line in lines] == ["", "", "=B4", "#DIV/0!"]


def test_it_reads_strings_that_cells_share() -> None:
    strings = (
        b"<sst><si><t>Prefix</t></si><si><r><t>Pri</t></r><r><t>ce</t></r><rPh><t>purais</t></rPh></si>"
        b"<si><t>+44</t></si><si/><si><t>0,07_x000D_</t></si></sst>"
    )
    rows = "".join(
        f'<row r="{line}"><c r="A{line}" t="s"><v>{a}</v></c><c r="B{line}" t="s"><v>{b}</v></c></row>'
        for line, (a, b) in enumerate([(0, 1), (2, 4), (3, 3), (3, 4)], 1)
    )
    lines = read(with_strings(with_part(xlsx(("a",)), SHEET_XML, sheet_xml(rows)), strings), NAME)

    assert [(line.line, getattr(line, "field", "")) for line in lines] == [(2, ""), (4, "prefix")]
    assert getattr(lines[0], "cost", None) == Decimal("0.07")


def test_it_reads_a_date_beyond_the_calendar_as_an_error() -> None:
    sheet = xlsx(TITLES, (44, 0.07, "EUR", date(2026, 12, 1)))
    with zipfile.ZipFile(io.BytesIO(sheet)) as archive:
        rows = archive.read(SHEET_XML)
    assert b"<v>46357</v>" in rows

    line = rejected(with_part(sheet, SHEET_XML, rows.replace(b"<v>46357</v>", b"<v>99999999</v>")), NAME)

    assert (line.field, line.value) == ("effectiveFrom", "#VALUE!")


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1"><c t="s"><v>99</v></c></row>',
        '<row r="1"><c><v>one</v></c></row>',
        '<row r="x"/>',
        '<row r="2"/><row r="1"/>',
        '<row r="1"><c>',
    ],
)
def test_it_refuses_a_sheet_that_makes_no_sense(rows: str) -> None:
    with pytest.raises(UnusableSheet, match="damaged"):
        read(with_part(xlsx(("a",)), SHEET_XML, sheet_xml(rows)), NAME)


@pytest.mark.parametrize("name", ["rates.csv", "rates", "rates.xls"])
def test_it_says_that_a_file_under_another_name_is_a_workbook(name: str) -> None:
    sheet = xlsx(("Prefix", "Price"), (44, 0.07))

    assert only(sheet, name).prefix == "+44"
    assert any("it is XLSX" in note for note in notes(sheet, name))
    assert not notes(sheet, NAME)
