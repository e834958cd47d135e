"""The console's pages of rate sheets: what a sheet would do, and how it is read."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client

from routing.imports.options import SheetOptions
from routing.models import LineKind, RateSheet, RateSheetLine, SheetStatus
from tests.factories import make_operator
from tests.routing.cast import make_rule
from tests.routing.imports.cast import applied, previewed, row
from tests.routing.sheet_pages import LIST, applying, page, reading, text_of, upload

# Each step of an import is a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)


def test_it_shows_what_the_sheet_would_do(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0400"))
    make_rule(operator, prefix="+4476", cost_per_segment=Decimal("0.0500"))
    make_rule(operator, prefix="+4475", cost_per_segment=Decimal("0.0500"))
    sheet = previewed(
        operator,
        row("+4477", "0.0415"),
        row("+4476", "0.025"),
        row("+4479", "0.05", mcc="234", mnc="10"),
        row("+4470", "free"),
    )

    response = staff_client.get(page("change", sheet))

    text = text_of(response)
    assert {tile.label: tile.count for tile in response.context["tiles"] if tile.count} == {
        "New": 1,
        "Dearer": 1,
        "Cheaper": 1,
        "Rejected": 1,
    }
    assert "+4477 0.0400 EUR 0.0415 EUR +3.75 %" in text
    assert text.index("-50.00 %") < text.index("+3.75 %")
    assert "The sheet does not name 1 price of this operator. It goes on as before. A full sheet would end it" in text
    assert 'value="Apply 3 prices, leave 1 line out"' in response.content.decode()
    assert "from 01 Dec 2126" in text
    new = text_of(staff_client.get(f"{page('change', sheet)}?kind=new"))
    assert "4 +4479 234/10 — 0.0500 EUR" in new
    rejected = text_of(staff_client.get(f"{page('change', sheet)}?kind=rejected"))
    assert "5 cost free" in rejected


def test_it_says_what_a_full_sheet_ends(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4475")
    sheet = previewed(operator, row("+4477", "0.0415"), options=SheetOptions(is_full=True))

    response = staff_client.get(f"{page('change', sheet)}?kind=ended")

    text = text_of(response)
    assert "The sheet does not name 1 price of this operator. It is a full sheet, so applying it ends it" in text
    assert 'value="Apply 1 price, end 1 other"' in response.content.decode()
    assert "— +4475 0.0415 EUR — — until 01 Dec 2126" in text


def test_it_turns_pages_of_one_kind(staff_client: Client) -> None:
    sheet = previewed(make_operator(), *(row(f"+44{number}", "1") for number in range(100, 220)))
    address = page("change", sheet)

    third = staff_client.get(f"{address}?kind=new&p=3")

    assert [line.row.prefix for line in third.context["lines"]] == [f"+44{number}" for number in range(200, 220)]
    assert f'href="{address}?kind=new&amp;p=2#lines"' in third.content.decode()
    assert staff_client.get(f"{address}?kind=nonsense&p=x").context["kind"] == "new"
    assert "No line is of this kind." in text_of(staff_client.get(f"{address}?kind=ended"))


def test_it_reads_the_columns_as_corrected(staff_client: Client) -> None:
    sheet = upload(staff_client, make_operator(), b"Prefix,Old price,Price\n+4479,0.04,0.05\n")
    assert sheet.lines.get().cost == Decimal("0.05")

    sent = reading(staff_client, sheet, column_1="cost", column_2="", currency="gbp", effective_from="2126-12-01T00:00")
    response = staff_client.post(page("preview", sheet), sent)

    assert (response.status_code, response["Location"]) == (302, page("change", sheet))
    line = sheet.lines.get()
    assert (line.cost, line.currency, f"{line.effective_from:%Y}") == (Decimal("0.04"), "GBP", "2126")


def test_it_reads_marks_dates_and_titles_as_corrected(staff_client: Client) -> None:
    body = b"Prefix;Price;Effective date\n# from;here;on\n4479;1,234;03/04/2126\n"
    sheet = upload(staff_client, make_operator(), body)

    sent = reading(staff_client, sheet, header_line="2", decimal_mark=",", date_order="MDY")
    assert staff_client.post(page("preview", sheet), sent).status_code == 302

    line = sheet.lines.get()
    assert (line.cost, line.effective_from) == (Decimal("1.234"), datetime(2126, 3, 4, tzinfo=UTC))


def test_it_makes_a_sheet_full_afterwards(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+33")
    sheet = upload(staff_client, operator)

    sent = reading(staff_client, sheet, is_full="on", missing_end_at="2127-01-01T00:00")
    assert staff_client.post(page("preview", sheet), sent).status_code == 302

    assert sheet.lines.get(kind=LineKind.ENDED).effective_to == datetime(2127, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"column_1": "prefix"}, "column_1", "Column 1 is the prefix already."),
        ({"column_3": ""}, "__all__", "Say which column holds the price."),
        ({"column_0": ""}, "__all__", "Say which column holds the prefix, or the MCC."),
        ({"column_0": "countryCode", "column_1": "mcc", "column_2": "mnc"}, "__all__", "needs a prefix column"),
        ({"column_0": "nonsense"}, "column_0", "Select a valid choice."),
        ({"header_line": "0"}, "header_line", "greater than or equal to 1"),
        ({"header_line": ""}, "header_line", "This field is required."),
        ({"missing_end_at": "2127-01-01T00:00"}, "missing_end_at", "Only what a full sheet does not name ends."),
        ({"currency": "XXY"}, "currency", "a three-letter code of ISO 4217"),
    ],
)
def test_it_names_what_is_wrong_with_a_correction(
    staff_client: Client, changes: dict[str, str], field: str, message: str
) -> None:
    sheet = upload(staff_client, make_operator())
    changes = {"column_1": "", "column_2": "", **changes}

    response = staff_client.post(page("preview", sheet), reading(staff_client, sheet, **changes))

    form = response.context["reading"]
    assert response.status_code == 200
    assert message in form.errors[field][0]
    assert form["decimal_mark"].value() == "."
    sheet.refresh_from_db()
    assert sheet.status == SheetStatus.PREVIEWED


def test_it_asks_for_the_columns_where_no_title_tells_them(staff_client: Client) -> None:
    sheet = upload(staff_client, make_operator(), b"Ziel,Tarif A\n+4479,0.05\n")
    assert sheet.status == SheetStatus.UPLOADED
    response = staff_client.get(page("change", sheet))
    assert "Which column holds what could not be guessed." in text_of(response)
    assert "applying" not in response.context

    # Without an answer there is nothing to preview.
    assert staff_client.post(page("preview", sheet)).status_code == 302
    sheet.refresh_from_db()
    assert sheet.status == SheetStatus.UPLOADED

    staff_client.post(page("preview", sheet), reading(staff_client, sheet, column_0="prefix", column_1="cost"))
    assert sheet.lines.get().prefix == "+4479"


def test_it_says_why_a_file_could_not_be_read(staff_client: Client) -> None:
    sheet = upload(staff_client, make_operator())

    response = staff_client.post(page("preview", sheet), reading(staff_client, sheet, header_line="9"))

    assert response.status_code == 400
    text = text_of(response)
    assert "The file could not be read. Line 9 of the sheet is not the header" in text
    assert "Nothing was changed." in text
    assert "tiles" not in response.context  # what the preview before said counts no more
    assert response.context["reading"]["header_line"].value() == 9


def test_it_previews_nothing_that_was_applied(staff_client: Client) -> None:
    sheet = upload(staff_client, make_operator())
    sent = reading(staff_client, sheet)
    staff_client.post(page("apply", sheet), applying(staff_client, sheet))

    response = staff_client.post(page("preview", sheet), sent)

    assert response.status_code == 412
    assert "The sheet is APPLIED" in text_of(response)
    assert staff_client.get(page("change", sheet)).context["reading"] is None


def test_it_gives_the_rejected_lines_as_a_harmless_table(staff_client: Client) -> None:
    cells = ["=1+1", "+1", "-2", "@sum", "plain"]
    sheet = previewed(make_operator(), row("+4479", "1"), *(row(f"+44{at}", cell) for at, cell in enumerate(cells)))
    RateSheet.objects.filter(pk=sheet.pk).update(filename='win"ter\u00e9 1.csv')
    RateSheetLine.objects.filter(sheet=sheet, prefix="+444").update(value="a,b")

    response = staff_client.get(page("rejected", sheet))

    body = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    table = list(csv.reader(io.StringIO(body)))
    assert response["Content-Disposition"] == 'attachment; filename="win-ter-1-rejected.csv"'
    assert table[0] == ["line", "prefix", "field", "value", "reason"]
    assert [line[:4] for line in table[1:]] == [
        ["3", "'+440", "cost", "'=1+1"],
        ["4", "'+441", "cost", "'+1"],
        ["5", "'+442", "cost", "'-2"],
        ["6", "'+443", "cost", "'@sum"],
        ["7", "'+444", "cost", "a,b"],
    ]
    assert all(line[4] for line in table[1:])


def test_it_throws_away_what_was_never_applied(staff_client: Client) -> None:
    operator = make_operator()
    kept, gone = applied(operator, row("+44", "1")), previewed(operator, row("+45", "1"))

    assert staff_client.post(page("discard", gone))["Location"] == f"{LIST}?operator={operator.pk}"
    assert "Threw away prices.csv. No price was changed." in text_of(staff_client.get(LIST))
    assert staff_client.post(page("discard", kept))["Location"] == page("change", kept)

    assert list(RateSheet.objects.all()) == [kept]
