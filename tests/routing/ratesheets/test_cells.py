"""Each field's rules, one cell at a time, as a line of a CSV shows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import time_machine

from routing.ratesheets.lines import PriceLine
from tests.routing.ratesheets.sheets import DECEMBER, accepted, only, read, rejected


@pytest.fixture(autouse=True)
def _in_november() -> Iterator[None]:
    with time_machine.travel(datetime(2026, 11, 15, 12, tzinfo=UTC), tick=False):
        yield


@pytest.mark.parametrize("prefix", ["447911", "+447911", "'+447911", " 447911 ", "\u00a0447911"])
def test_it_takes_a_prefix_with_and_without_the_plus(prefix: str) -> None:
    assert only(f"Prefix,Price\n{prefix},0.07\n").prefix == "+447911"


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("", "blank"),
        ("00447911", "begins with 00"),
        ("+0044", "begins with 00"),
        ("07911", "begins with 0"),
        ("1234567890123456", "16 digits"),
        ("44abc", "other than digits"),
        ("+", "other than digits"),
        ("٤٤", "other than digits"),
        ("4.47911E+11", "power of ten"),
        ("44791-44795", "on a line of its own"),
        ("44791 44792", "on a line of its own"),
        ("#N/A", "error #N/A"),
        ("@SUM(A1)", "other than digits"),
    ],
)
def test_it_rejects_what_is_no_prefix(prefix: str, words: str) -> None:
    line = rejected(f"Prefix;Price\n{prefix};0.07\n")

    assert (line.field, line.value) == ("prefix", prefix)
    assert words in line.reason


@pytest.mark.parametrize(
    ("price", "cost"),
    [
        ("0.07269", "0.07269"),
        ("0", "0"),
        (".5", "0.5"),
        ("12", "12"),
        ("5E-05", "0.00005"),
        ("0.0500000000", "0.05"),
        ("1,234.56", "1234.56"),
        ("1,234,567", "1234567"),
    ],
)
def test_it_takes_a_price_with_a_decimal_point(price: str, cost: str) -> None:
    lines = read(f"Prefix;Price\n44;{price}\n45;0.1\n46;0.2\n47;0.3\n")

    assert isinstance(lines[0], PriceLine)
    assert lines[0].cost == Decimal(cost)


@pytest.mark.parametrize(("price", "cost"), [("0,07269", "0.07269"), ("1.234,56", "1234.56"), ("1,234", "1.234")])
def test_it_takes_a_price_with_a_decimal_comma(price: str, cost: str) -> None:
    assert only(f"Prefix;Price\n44;{price}\n").cost == Decimal(cost)


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ("", "blank"),
        ("-0.5", "at least 0"),
        ("0.0000001", "6 decimals"),
        ("1000000000000", "below 10^12"),
        ("free", "number such as"),
        ("NaN", "number such as"),
        ("1_0", "number such as"),
        ("0.05 EUR", "number such as"),
        ("1,234", "decimal mark"),
        ("0,05", "decimal mark"),
        ("#REF!", "error #REF!"),
    ],
)
def test_it_rejects_what_is_no_price(price: str, words: str) -> None:
    line = rejected(f"Prefix;Price\n45;0.1\n46;0.2\n44;{price}\n")

    assert (line.field, line.value) == ("cost", price)
    assert words in line.reason


@pytest.mark.parametrize(
    ("cell", "currency"), [("EUR", "EUR"), ("eur", "EUR"), ("€", "EUR"), ("£", "GBP"), ("", "USD")]
)
def test_it_takes_a_currency(cell: str, currency: str) -> None:
    assert only(f"Prefix,Price,Currency\n44,0.07,{cell}\n").currency == currency


@pytest.mark.parametrize(("cell", "words"), [("EURO", "ISO 4217"), ("$", "many currencies"), ("XXQ", "ISO 4217")])
def test_it_rejects_what_is_no_currency(cell: str, words: str) -> None:
    line = rejected(f"Prefix,Price,Currency\n44,0.07,{cell}\n")

    assert (line.field, line.value) == ("currency", cell)
    assert words in line.reason


@pytest.mark.parametrize(
    "cell",
    [
        "2026-12-01",
        "2026/12/01",
        "20261201",
        "01.12.2026",
        "1.12.2026",
        "01/12/2026",
        "01-12-2026",
        "1-Dec-2026",
        "01 December 2026",
        "1 dec. 2026",
        "Dec 1, 2026",
        "December 01 2026",
        "2026-12-01 00:00",
        "2026-12-01T00:00:00Z",
        "01/12/2026 0:00:00",
        "46357",
    ],
)
def test_it_takes_a_date(cell: str) -> None:
    assert only(f"Prefix|Price|Valid from\n44|0.07|{cell}\n").effective_from == DECEMBER


def test_it_reads_all_dates_month_first_where_they_must_be() -> None:
    prices = accepted(read("Prefix,Price,Valid from\n44,0.07,12/01/2026\n45,0.07,12/13/2026\n"))

    assert [price.effective_from for price in prices] == [DECEMBER, datetime(2026, 12, 13, tzinfo=UTC)]


def test_it_takes_a_time_with_a_date() -> None:
    price = only("Prefix,Price,Valid from,Valid to\n44,0.07,2026-12-01 06:30,2026-12-31 18:00:15Z\n")

    assert price.effective_from == datetime(2026, 12, 1, 6, 30, tzinfo=UTC)
    assert price.effective_to == datetime(2026, 12, 31, 18, 0, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("01.12.26", "two digits"),
        ("1-Dec-26", "two digits"),
        ("31.02.2026", "no day"),
        ("2026-12-01 25:00", "no day"),
        ("1-Foo-2026", "names no month"),
        ("soon", "no date"),
        ("2026-12/01", "no date"),
        ("12", "no date"),
        ("#VALUE!", "error #VALUE!"),
    ],
)
def test_it_rejects_what_is_no_date(cell: str, words: str) -> None:
    line = rejected(f"Prefix,Price,Valid from\n44,0.07,{cell}\n")

    assert (line.field, line.value) == ("effectiveFrom", cell)
    assert words in line.reason


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [
        ("2026-12-01", "2026-12-01", "ends before it begins"),
        ("", "2026-10-31", "ends before it begins"),
        ("2025-01-01", "2026-11-15", "already over"),
        ("2025-01-01", "later", "no date"),
    ],
)
def test_it_rejects_a_price_that_ends_too_early(begins: str, ends: str, words: str) -> None:
    line = rejected(f"Prefix,Price,Valid from,Valid to\n44,0.07,{begins},{ends}\n")

    assert (line.field, line.value) == ("effectiveTo", ends)
    assert words in line.reason


@pytest.mark.parametrize(
    ("mcc", "mnc", "prefix"),
    [
        ("234", "10", "+44"),
        ("364", "39", "+1242"),
        ("310", "260", "+1"),
        ("604", "00", "+212"),
        ("208", "01", "+33"),
        ("452", "", "+84"),
    ],
)
def test_it_finds_the_prefix_of_an_mcc(mcc: str, mnc: str, prefix: str) -> None:
    price = only(f"MCC,MNC,Rate\n{mcc},{mnc},0.07\n")

    assert (price.prefix, price.mcc, price.mnc) == (prefix, mcc, mnc)


@pytest.mark.parametrize(
    ("mcc", "mnc", "field", "words"),
    [
        ("340", "01", "mcc", "calling codes differ"),
        ("425", "05", "mcc", "calling codes differ"),
        ("302", "720", "mcc", "shares +1"),
        ("330", "11", "mcc", "shares +1"),
        ("901", "01", "mcc", "no country"),
        ("23", "10", "mcc", "3 digits"),
        ("", "", "mcc", "blank"),
        ("", "10", "mcc", "without its MCC"),
        ("234", "1234", "mnc", "2 or 3 digits"),
        ("234", "all", "mnc", "2 or 3 digits"),
    ],
)
def test_it_rejects_a_network_that_says_no_prefix(mcc: str, mnc: str, field: str, words: str) -> None:
    line = rejected(f"MCC,MNC,Rate\n{mcc},{mnc},0.07\n")

    assert line.field == field
    assert words in line.reason


def test_it_keeps_the_prefix_that_a_line_gives_beside_its_network() -> None:
    price = only("Prefix,MCC,MNC,Rate\n447911,234,1,0.07\n")

    assert (price.prefix, price.mcc, price.mnc) == ("+447911", "234", "01")


@pytest.mark.parametrize(
    ("cell", "network"),
    [("23410", ("234", "10")), ("234-10", ("234", "10")), ("310260", ("310", "260")), ("234", ("234", ""))],
)
def test_it_parts_mcc_and_mnc(cell: str, network: tuple[str, str]) -> None:
    price = only(f"MCC-MNC,Rate\n{cell},0.07\n")

    assert (price.mcc, price.mnc) == network


def test_it_rejects_an_mcc_and_mnc_that_cannot_be_parted() -> None:
    assert rejected("MCCMNC,Rate\n2341,0.07\n").field == "mcc"


def test_it_puts_a_country_code_before_an_area_code() -> None:
    assert only("Country code,Area code,Rate\n44,7911,0.07\n").prefix == "+447911"
    assert only("Country code,Area code,Rate\n+44,,0.07\n").prefix == "+44"
    assert rejected("Country code,Area code,Rate\n,7911,0.07\n").field == "prefix"
    assert rejected("Country code,Area code,Rate\n44,79x,0.07\n").value == "+4479x"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("x,x,x,x,x,x,x", "prefix"),
        ("44,x,x,x,x,x,x", "cost"),
        ("44,1,x,x,x,x,x", "currency"),
        ("44,1,EUR,x,x,x,x", "effectiveFrom"),
        ("44,1,EUR,2026-12-01,x,x,x", "effectiveTo"),
        ("44,1,EUR,2026-12-01,,x,x", "mcc"),
        ("44,1,EUR,2026-12-01,,234,x", "mnc"),
        ("44,1,EUR,2026-12-01,,,", "duplicate"),
    ],
)
def test_it_names_the_first_field_at_fault(line: str, field: str) -> None:
    assert rejected(f"Prefix,Price,Currency,Valid from,Valid to,MCC,MNC\n44,0.5,EUR,,,,\n{line}\n").field == field


def test_it_rejects_what_repeats_an_earlier_line_even_a_rejected_one() -> None:
    lines = read("Prefix,MCC,Rate\n44,,\n+44,,0.07\n44,234,0.08\n44,234,0.08\n4479,,0.07\n")

    assert [getattr(line, "field", "") for line in lines] == ["cost", "duplicate", "", "duplicate", ""]
    assert [(line.value, line.reason) for line in lines if getattr(line, "field", "") == "duplicate"] == [  # type: ignore[union-attr]
        ("+44", "The line repeats line 2."),
        ("+44 234", "The line repeats line 4."),
    ]


def test_it_shows_no_more_of_a_cell_than_a_page_can_bear() -> None:
    line = rejected(f"Prefix,Price\n\x1b[31m\u202e{'9' * 300},0.07\n")

    assert len(line.value) == 100
    assert line.value.startswith("\ufffd[31m\ufffd999")
