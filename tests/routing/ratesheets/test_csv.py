"""Text in the encodings, with the delimiters and in the shapes in which carriers send it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import BinaryIO, cast

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.ratesheets.lines import PriceLine, RejectedLine, UnusableSheet
from routing.ratesheets.reading import read_lines, survey
from tests.routing.ratesheets.sheets import DECEMBER, DEFAULTS, accepted, notes, only, read, rejected

SHEET = "Prefix,Price,Currency,Network\n44,0.07,EUR,Téléphonie\n"
GERMANY = PriceLine(2, "+49", "", "", Decimal("0.0727"), "EUR", DECEMBER, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_it_reads_each_encoding(encoding: str) -> None:
    found = survey(io.BytesIO(SHEET.encode(encoding)), filename="rates.csv")

    assert found.titles == ("Prefix", "Price", "Currency", "Network")
    assert found.sample == (("44", "0.07", "EUR", "Téléphonie"),)
    assert any("Windows-1252" in note for note in found.notes) == (encoding == "cp1252")
    assert only(SHEET.encode(encoding)).prefix == "+44"


def test_it_reads_utf_16_with_the_big_end_first() -> None:
    assert only(b"\xfe\xff" + SHEET.encode("utf-16-be")).prefix == "+44"


def test_it_survives_a_byte_that_windows_1252_leaves_undefined() -> None:
    assert only(b"Prefix,Price,Network\n44,0.07,\x81\xe9\n").prefix == "+44"


def test_it_refuses_utf_16_that_is_cut_off() -> None:
    with pytest.raises(UnusableSheet, match="damaged"):
        read(SHEET.encode("utf-16")[:-1])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_it_guesses_the_delimiter_and_takes_each_line_end(delimiter: str, end: str) -> None:
    rows = (
        ("Prefix", "Price, net", "Rate", "Currency", "Effective date"),
        ("49", "x;y", "0.0727", "EUR", "2026-12-01"),
    )
    sheet = end.join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)

    assert only(sheet) == GERMANY


def test_it_counts_lines_as_the_file_does() -> None:
    sheet = 'Prefix,Price,Network\r\n44,0.07,"A\r\nB"\r\n\r\n,,\r\n45,-1,C\r\n46,x,"D\n\nE"\r\n47,0.1,F'

    assert [line.line for line in read(sheet)] == [2, 6, 7, 10]


def test_it_leaves_the_stream_open_and_reads_it_again() -> None:
    upload = cast("BinaryIO", SimpleUploadedFile("rates.csv", SHEET.encode()))

    column_map = survey(upload, filename="rates.csv").column_map
    for _ in range(2):
        (line,) = read_lines(upload, filename="rates.csv", column_map=column_map, defaults=DEFAULTS)
        assert isinstance(line, PriceLine)
    assert not upload.closed


def test_it_leaves_the_stream_open_when_reading_is_given_up() -> None:
    stream = io.BytesIO(b"Prefix,Price\n" + b"".join(b"44%d,0.07\n" % number for number in range(9_000)))
    lines = read_lines(
        stream, filename="rates.csv", column_map=survey(stream, filename="rates.csv").column_map, defaults=DEFAULTS
    )

    next(lines)
    del lines

    assert not stream.closed


def test_it_takes_a_short_row_for_blank_cells() -> None:
    assert rejected("Prefix,Price,Currency\n44\n").field == "cost"
    assert only("Prefix,Price,Currency\n44,0.07\n").currency == "USD"


def test_it_never_computes_a_cell() -> None:
    line = rejected("Prefix,Price\n44,=1+1\n")

    assert (line.field, line.value) == ("cost", "=1+1")
    assert only("Prefix,Price\n'+44,0.07\n").prefix == "+44"


@pytest.mark.parametrize("name", ["rates.xlsx", "rates", "rates.pdf"])
def test_it_says_that_a_file_under_another_name_is_csv(name: str) -> None:
    assert only(SHEET, name).prefix == "+44"
    assert any("it is CSV" in note for note in notes(SHEET, name))


PRICES = st.decimals(min_value=0, max_value=Decimal("99.999999"), places=6)
DATES = st.dates(min_value=date(2026, 1, 1), max_value=date(2099, 12, 31))
PREFIXES = st.from_regex(r"[1-9][0-9]{0,14}", fullmatch=True)
ROWS = st.lists(
    st.tuples(PREFIXES, PRICES, st.sampled_from(["EUR", "USD", "NGN", ""]), DATES),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[0],
)
DATE_STYLES = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%Y-%m-%dT00:00:00Z"]


@settings(max_examples=200, deadline=None)
@given(
    rows=ROWS,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    decimal_mark=st.sampled_from([".", ","]),
    date_style=st.sampled_from(DATE_STYLES),
    plus=st.sampled_from(["", "+"]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_it_reads_back_whatever_valid_table_was_written(
    rows: list[tuple[str, Decimal, str, date]],
    delimiter: str,
    decimal_mark: str,
    date_style: str,
    plus: str,
    end: str,
    encoding: str,
) -> None:
    def written(cells: Iterable[str]) -> str:
        return delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in cells) + end

    sheet = written(("Destination code", "Price per SMS", "CCY", "Valid from")) + "".join(
        written((plus + prefix, str(cost).replace(".", decimal_mark), currency, day.strftime(date_style)))
        for prefix, cost, currency, day in rows
    )

    assert accepted(read(sheet.encode(encoding))) == [
        PriceLine(
            line,
            f"+{prefix}",
            "",
            "",
            cost,
            currency or "USD",
            datetime(day.year, day.month, day.day, tzinfo=UTC),
            None,
        )
        for line, (prefix, cost, currency, day) in enumerate(rows, 2)
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.text(max_size=8), max_size=5), max_size=10))
def test_it_gives_a_line_for_whatever_stands_below_a_header(rows: list[list[str]]) -> None:
    sheet = "Prefix;Price;MCC;MNC;Valid from;Valid to;Currency\n44;0.07\n" + "".join(
        ";".join(f'"{cell.replace(chr(34), "")}"' for cell in row) + "\n" for row in rows
    )
    try:
        lines = read(sheet.encode("utf-8", "ignore"))
    except UnusableSheet:
        return

    assert all(isinstance(line, (PriceLine, RejectedLine)) for line in lines)
    assert len({line.line for line in lines}) == len(lines)
