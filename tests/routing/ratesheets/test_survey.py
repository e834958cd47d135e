"""The first look: which line has the titles, what they mean, and how numbers and dates are written."""

from __future__ import annotations

import io
import json

import pytest

from routing.ratesheets.lines import Column, ColumnMap, DateOrder, Survey, UnknownTitles, UnusableSheet
from routing.ratesheets.reading import survey
from tests.routing.ratesheets.sheets import PREFIX_AND_COST, accepted, read, xlsx


def look(content: str | bytes, *, remembered: ColumnMap | None = None, filename: str = "rates.csv") -> Survey:
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return survey(stream, filename=filename, remembered=remembered)


@pytest.mark.parametrize(
    ("titles", "columns"),
    [
        ("Prefix,Price", "prefix cost"),
        ("DIAL_CODE,Cost per segment", "prefix cost"),
        ("Destination code,Price/SMS", "prefix cost"),
        ("Country,Breakout,Unit price,CCY", "- prefix cost currency"),
        ("Code,Rate,Start date,End date", "prefix cost effectiveFrom effectiveTo"),
        ("Prefix,Tariff,Valid from,Valid until", "prefix cost effectiveFrom effectiveTo"),
        ("MCC,MNC,Network,Cost,Effective date,Cease date", "mcc mnc - cost effectiveFrom effectiveTo"),
        ("MCC-MNC,Rate", "mccMnc cost"),
        ("MCCMNC,MCC,MNC,Rate", "- mcc mnc cost"),
        ("Country code,Area code,Rate", "countryCode prefix cost"),
        ("Country code,Prefix,Rate", "- prefix cost"),
        ("Préfix,price", "prefix cost"),
    ],
)
def test_it_understands_the_usual_titles(titles: str, columns: str) -> None:
    found = look(f"{titles}\n{'1,' * titles.count(',')}1\n").column_map.columns

    assert found == {Column(name): index for index, name in enumerate(columns.split()) if name != "-"}


@pytest.mark.parametrize(
    ("title", "currency"),
    [("Price (EUR)", "EUR"), ("Rate USD", "USD"), ("EUR price", "EUR"), ("Price €", "EUR"), ("Rate in GBP", "GBP")],
)
def test_it_takes_the_currency_from_the_title_of_the_price(title: str, currency: str) -> None:
    column_map = look(f"Prefix,{title}\n44,0.07\n").column_map

    assert column_map.currency == currency
    assert accepted(read(f"Prefix,{title}\n44,0.07\n"))[0].currency == currency


def test_it_looks_for_the_titles_below_a_preamble() -> None:
    sheet = 'Carrier Ltd;;\n"Rates of\n1 December";;\n\nPrefix;Network;Price\n44;UK;0,07\n'

    assert look(sheet).column_map.header_line == 5
    assert accepted(read(sheet))[0].line == 6


def test_it_looks_no_further_than_thirty_lines() -> None:
    assert look("x,y\n" * 29 + "Prefix,Price\n44,1\n").column_map.header_line == 30
    with pytest.raises(UnknownTitles):
        look("x,y\n" * 30 + "Prefix,Price\n44,1\n")


def test_it_tells_which_titles_it_found_where_it_knows_none() -> None:
    with pytest.raises(UnknownTitles, match=r"The titles found are: Ziel, Preis, Gültig ab\.") as caught:
        look("Preisliste\nZiel;Preis;Gültig ab\n49;0,07;01.12.2026\n")

    assert caught.value.header_line == 2
    assert caught.value.titles == ("Ziel", "Preis", "Gültig ab")
    assert caught.value.sample == (("49", "0,07", "01.12.2026"),)


def test_it_tells_of_two_columns_that_could_be_the_price() -> None:
    found = look("Prefix,Rate,New rate\n44,0.05,0.07\n")

    assert found.column_map.columns[Column.COST] == 2
    assert found.notes == ("Several columns could be the cost: New rate, Rate; the first of these was taken.",)


@pytest.mark.parametrize(
    ("prices", "mark", "noted"),
    [
        ("0.07 0.08", ".", False),
        ("0,07 0,08", ",", False),
        ("1.234,56 7", ",", False),
        ("1,234.56 7", ".", False),
        ("1.234.567", ",", False),
        ("1,234 2,345", ",", True),
        ("1,234 0,07", ",", False),
        ("5 7", ".", False),
        ("0.07 0.08 0,09", ".", True),
    ],
)
def test_it_guesses_the_decimal_mark(prices: str, mark: str, noted: bool) -> None:
    found = look("Prefix;Price\n" + "".join(f"44{n};{price}\n" for n, price in enumerate(prices.split())))

    assert found.column_map.decimal_mark == mark
    assert bool(found.notes) == noted


@pytest.mark.parametrize(
    ("dates", "order", "noted"),
    [
        ("13/04/2026 01/02/2026", "DMY", False),
        ("04/13/2026 01/02/2026", "MDY", False),
        ("01/02/2026", "DMY", True),
        ("01.02.2026", "DMY", False),
        ("02/02/2026", "DMY", False),
        ("2026-12-01", "DMY", False),
        ("13/04/2026 04/13/2026", "DMY", True),
    ],
)
def test_it_guesses_the_order_of_dates(dates: str, order: str, noted: bool) -> None:
    found = look("Prefix;Price;Valid from\n" + "".join(f"44{n};1;{date}\n" for n, date in enumerate(dates.split())))

    assert found.column_map.date_order == order
    assert bool(found.notes) == noted


def test_it_tells_how_networks_and_end_dates_are_read() -> None:
    told = " ".join(look("MCC,MNC,Rate,End date\n234,1,0.07,2027-01-01\n").notes)

    assert "1 as 01" in told
    assert "no prefixes" in told
    assert "when its end date begins" in told


def test_it_shows_the_first_rows() -> None:
    found = look("Prefix,Price\n" + "".join(f"44{n},0.07\n" for n in range(99)))

    assert found.titles == ("Prefix", "Price")
    assert found.sample == tuple((f"44{n}", "0.07") for n in range(10))


def test_it_reads_by_the_remembered_map_where_the_titles_are_the_same() -> None:
    mine = ColumnMap(
        {Column.PREFIX: 0, Column.COST: 2}, titles=("Ziel", "Alt", "Preis"), date_order=DateOrder.MONTH_FIRST
    )

    found = look("Ziel;Alt;Preis\n49;0,1;0,07\n", remembered=mine)

    assert found.column_map.columns == mine.columns
    assert found.column_map.date_order is DateOrder.MONTH_FIRST
    assert found.column_map.decimal_mark == ","
    assert not found.notes


def test_it_follows_remembered_titles_to_other_columns() -> None:
    mine = ColumnMap(PREFIX_AND_COST, titles=("Ziel", "Preis"))

    found = look("Preisliste\n\nLand;Preis;Ziel\nDE;0,07;49\n", remembered=mine)

    assert found.column_map.columns == {Column.PREFIX: 2, Column.COST: 1}
    assert found.column_map.header_line == 3


def test_it_guesses_again_where_the_remembered_map_does_not_fit() -> None:
    found = look("Prefix,Price\n44,0.07\n", remembered=ColumnMap(PREFIX_AND_COST, titles=("Ziel", "Preis")))

    assert found.column_map.columns == PREFIX_AND_COST
    assert "do not fit" in found.notes[0]


def test_it_takes_a_map_without_titles_at_its_word() -> None:
    found = look("Preisliste\nZiel;Preis\n49;0,07\n", remembered=ColumnMap(PREFIX_AND_COST, header_line=2))

    assert found.column_map.titles == ("Ziel", "Preis")
    assert found.column_map.delimiter == ";"


def test_it_reads_no_sheet_by_the_map_of_another() -> None:
    with pytest.raises(UnusableSheet, match="not the header"):
        read("Price,Prefix\n0.07,44\n", column_map=look("Prefix,Price\n44,0.07\n").column_map)
    with pytest.raises(UnusableSheet, match="not the header"):
        read("Prefix,Price\n44,0.07\n", column_map=ColumnMap({Column.PREFIX: 0, Column.COST: 7}))


def test_it_takes_the_first_visible_sheet_with_a_header() -> None:
    found = look(xlsx(("Prefix", "Price"), (44, 0.07), sheet="Rates SMS"), filename="rates.xlsx")

    assert found.column_map.sheet == "Rates SMS"
    with pytest.raises(UnusableSheet, match="not the header"):
        read(xlsx(("Prefix", "Price"), (44, 0.07)), column_map=found.column_map)


@pytest.mark.parametrize("content", ["Prefix,Price\n", "Prefix,Price\n\n,\n", xlsx(("Prefix", "Price"))])
def test_it_refuses_titles_without_prices(content: str | bytes) -> None:
    with pytest.raises(UnusableSheet, match="no prices below"):
        look(content)
    with pytest.raises(UnusableSheet, match="no prices below"):
        read(content, column_map=ColumnMap(PREFIX_AND_COST))


def test_it_stores_a_map_and_takes_it_back() -> None:
    column_map = look("Prefix;Price (EUR);Valid from\n44;0,07;04/13/2026\n").column_map

    assert ColumnMap.from_dict(json.loads(json.dumps(column_map.as_dict()))) == column_map
    assert ColumnMap.from_dict({"columns": {"prefix": 0, "cost": 1}}) == ColumnMap(PREFIX_AND_COST)


GOOD = {"prefix": 0, "cost": 1}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "is an object"),
        ([], "is an object"),
        ({}, "columns are an object"),
        ({"columns": {"prefix": 0, "cost": 1}, "colour": 1}, "has no colour"),
        ({"columns": {"prefix": 0, "cost": 1, "colour": 2}}, "No column is called 'colour'"),
        ({"columns": {"prefix": 0, "cost": 0}}, "named twice"),
        ({"columns": {"prefix": 0, "cost": 100}}, "from 0 to 99"),
        ({"columns": {"prefix": -1, "cost": 1}}, "from 0 to 99"),
        ({"columns": {"prefix": True, "cost": 0}}, "from 0 to 99"),
        ({"columns": {"prefix": "0", "cost": 1}}, "from 0 to 99"),
        ({"columns": {"prefix": 0, "cost": 2}, "titles": ["a", "b"]}, "from 0 to 1"),
        ({"columns": {"prefix": 0}}, "as the cost"),
        ({"columns": {"cost": 0}}, "as the prefix"),
        ({"columns": {"cost": 0, "countryCode": 1, "mcc": 2}}, "needs a prefix"),
        ({"columns": {"cost": 0, "mccMnc": 1, "mcc": 2}}, "either mccMnc or"),
        ({"columns": GOOD, "headerLine": 0}, "from 1 to 30"),
        ({"columns": GOOD, "headerLine": "1"}, "from 1 to 30"),
        ({"columns": GOOD, "decimalMark": "'"}, "decimalMark is one of"),
        ({"columns": GOOD, "dateOrder": "YMD"}, "dateOrder is one of 'DMY', 'MDY'"),
        ({"columns": GOOD, "delimiter": "x"}, "delimiter is one of"),
        ({"columns": GOOD, "titles": "a"}, "list of texts"),
        ({"columns": GOOD, "titles": [1, 2]}, "list of texts"),
        ({"columns": GOOD, "currency": "EURO"}, "ISO 4217"),
        ({"columns": GOOD, "currency": 1}, "currency is a text"),
        ({"columns": GOOD, "sheet": 1}, "sheet is a text"),
    ],
)
def test_it_refuses_a_map_that_no_sheet_could_be_read_by(raw: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ColumnMap.from_dict(raw)
