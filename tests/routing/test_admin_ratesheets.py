"""The console's pages of rate sheets: upload, preview, apply, undo."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from operators import actions as operator_actions
from operators.actors import Actor
from operators.models import AuditEntry, OutboxEvent
from routing.actions import update_rule
from routing.imports.options import SheetOptions
from routing.models import LineKind, RateSheet, RateSheetLine, RoutingRule, SheetStatus
from routing.ratesheets.limits import MOST_BYTES
from tests.factories import make_operator
from tests.operators.console import page as operator_page
from tests.routing.cast import make_rule
from tests.routing.imports.cast import applied, previewed, row
from tests.routing.sheet_pages import ADD, JSON, LIST, SHEET, applying, chosen, page, reading, upload

# Each step of an import is a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)

OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def text_of(response: Any) -> str:
    """What a person reads: no tags, and blanks as one."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


# --- The list


def test_it_lists_sheets_with_their_figures(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0400"))
    make_rule(operator, prefix="+4476", cost_per_segment=Decimal("0.0500"))
    sheet = applied(operator, row("+4477", "0.0415"), row("+4476", "0.049"), row("+4479", "0.05"), row("x", "1"))

    html = staff_client.get(LIST).content.decode()

    for shown in ("prices.csv", "Comium", "alice", "Applied", 'badge-published"><i class="shape shape-circle">'):
        assert shown in html
    for kind in ("new", "dearer", "cheaper", "rejected"):
        assert f'<td class="field-{kind}"><span class="number">1</span></td>' in html
    assert f'href="{page("change", sheet)}"' in html.replace("?_changelist_filters=", '"')


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["two.csv", "one.csv"]),
        ("status__exact=APPLIED", ["one.csv"]),
        ("status__exact=PREVIEWED", ["two.csv"]),
        ("q=TWO", ["two.csv"]),
        ("q=first", ["one.csv"]),
        ("operator=nonsense", []),
    ],
)
def test_it_filters_and_searches(staff_client: Client, query: str, found: list[str]) -> None:
    one, two = make_operator(name="First"), make_operator(name="Second")
    RateSheet.objects.filter(pk=applied(one, row("+44", "1")).pk).update(filename="one.csv")
    RateSheet.objects.filter(pk=previewed(two, row("+44", "1")).pk).update(filename="two.csv")

    shown = staff_client.get(f"{LIST}?{query}").context["cl"].result_list

    assert [sheet.filename for sheet in shown] == found


def test_it_shows_one_operators_sheets_under_its_tabs(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    sheet = previewed(operator, row("+44", "1"))
    previewed(make_operator(), row("+44", "1"))

    response = staff_client.get(f"{LIST}?operator={operator.pk}")

    html = response.content.decode()
    assert [shown.pk for shown in response.context["cl"].result_list] == [sheet.pk]
    assert f'<a href="{LIST}?operator={operator.pk}" aria-current="page">Rate sheets</a>' in html
    assert f'<a href="{ADD}?operator={operator.pk}" class="addlink">Import rate sheet</a>' in html
    assert f'<a href="{LIST}?operator={operator.pk}">Rate sheets</a>' in (
        staff_client.get(operator_page("change", operator)).content.decode()
    )
    form = staff_client.get(f"{ADD}?operator={operator.pk}").context["form"]
    assert form["operator"].value() == operator.pk


def test_it_costs_the_same_queries_for_one_sheet_and_for_many(staff_client: Client) -> None:
    operator = make_operator()
    small = previewed(operator, row("+4479", "1"))
    urls = (LIST, f"{LIST}?operator={operator.pk}")
    few = [queries(staff_client, url) for url in urls]
    few_lines = queries(staff_client, page("change", small))
    for number in range(8):
        large = previewed(make_operator(name=f"Telco {number}"), *(row(f"+44{line}", "1") for line in range(100, 180)))

    assert [queries(staff_client, url) for url in urls] == few
    assert queries(staff_client, page("change", large)) == few_lines
    assert max(few) <= 7
    assert few_lines <= 6


def test_it_hides_the_sheets_of_operators_that_are_gone(staff_client: Client, actor: Actor) -> None:
    operator = make_operator()
    sheet = applied(operator, row("+44", "1"))
    operator_actions.delete_operator(actor=actor, operator_id=operator.pk)

    assert not staff_client.get(LIST).context["cl"].result_list
    for name in ("change", "undo", "progress", "rejected", "history"):
        assert staff_client.get(page(name, sheet)).status_code == 404
    for name in ("preview", "apply", "undo", "discard"):
        assert staff_client.post(page(name, sheet)).status_code == 404
    assert staff_client.get(f"{LIST}nonsense/change/").status_code == 404


# --- Upload


def test_it_uploads_and_previews_without_scripts(staff_client: Client) -> None:
    operator = make_operator()
    body = b"Prefix,Price\n+4479,0.05\n+4478,0.06\n"

    sheet = upload(
        staff_client,
        operator,
        body,
        name="C:\\rates\\winter.csv",
        currency="eur",
        effective_from="2126-12-01T00:00",
        is_full="on",
    )

    assert (sheet.operator, sheet.filename, sheet.uploaded_by) == (operator, "winter.csv", "root-of-tests")
    assert (sheet.status, sheet.is_full, sheet.accepted) == (SheetStatus.PREVIEWED, True, 2)
    line = sheet.lines.get(prefix="+4479")
    assert (line.currency, line.effective_from) == ("EUR", datetime(2126, 12, 1, tzinfo=UTC))
    assert not RoutingRule.objects.exists()


def test_it_uploads_first_and_previews_then_where_scripts_ask_for_it(staff_client: Client) -> None:
    response = staff_client.post(ADD, chosen(make_operator()), headers=JSON)

    sheet = RateSheet.objects.get()
    assert response.status_code == 201
    assert response.json() == {"preview": page("preview", sheet), "progress": page("progress", sheet)}
    assert staff_client.get(page("progress", sheet)).json() == {"status": "UPLOADED", "progress": 0, "total": None}

    response = staff_client.post(page("preview", sheet))
    assert (response.status_code, response["Location"]) == (302, page("change", sheet))
    assert staff_client.get(page("progress", sheet)).json() == {"status": "PREVIEWED", "progress": 2, "total": 2}


@pytest.mark.parametrize(
    ("field", "wrong", "status", "message"),
    [
        ("file", "", 200, "Choose a file."),
        ("file", b"", 200, "The file is empty."),
        ("file", b"\n  \n", 400, "The file is empty."),
        ("file", b"%PDF-1.7", 400, "a PDF document"),
        ("file", OLE, 400, "an old Office document"),
        ("file", b"PK\x03\x04" + bytes(200), 400, "a damaged workbook or archive"),
        ("file", b"Prefix,Price\n", 400, "no prices below them"),
        ("operator", "", 200, "This field is required."),
        ("operator", "00000000-0000-4000-8000-000000000000", 200, "There is no such operator any more."),
        ("currency", "XXY", 200, "a three-letter code of ISO 4217"),
        ("effective_from", "tomorrow", 200, "Enter a valid date/time."),
    ],
)
def test_it_names_the_wrong_field_and_keeps_what_was_typed(
    staff_client: Client, field: str, wrong: Any, status: int, message: str
) -> None:
    operator = make_operator()
    right: dict[str, Any] = {"currency": "EUR", "effective_from": "2126-12-01T00:00", "is_full": "on"}

    def typed() -> dict[str, Any]:
        if isinstance(wrong, bytes):
            return chosen(operator, wrong, **right)
        return chosen(operator, **right) | {field: wrong}

    response = staff_client.post(ADD, typed())

    form = response.context["form"]
    assert response.status_code == status
    assert list(form.errors) == [field]
    assert message in form.errors[field][0]
    kept = {name: "on" if (value := form[name].value()) is True else value for name in right}
    assert kept == right | ({field: wrong} if field in right else {})
    answer = staff_client.post(ADD, typed(), headers=JSON)
    assert answer.status_code == 400
    assert message in answer.json()["errors"][field][0]
    assert not RateSheet.objects.exists()


def test_it_takes_no_sheet_for_an_operator_that_goes_meanwhile(staff_client: Client, actor: Actor) -> None:
    operator = make_operator()
    operator_actions.delete_operator(actor=actor, operator_id=operator.pk)

    response = staff_client.post(ADD, chosen(operator))

    assert "There is no such operator any more." in response.context["form"].errors["operator"]
    assert not RateSheet.objects.exists()


@pytest.mark.parametrize("over", [1, 200_000])
def test_it_refuses_a_file_above_the_limit_and_keeps_the_rest(staff_client: Client, over: int) -> None:
    body = SHEET + b" " * (MOST_BYTES - len(SHEET) + over)

    response = staff_client.post(ADD, chosen(make_operator(), body, currency="EUR"))

    form = response.context["form"]
    assert response.status_code == 413
    assert [message[:32] for message in form.errors["file"]] == ["The file is larger than 20 MB, t"]
    assert form["currency"].value() == "EUR"
    assert not RateSheet.objects.exists()


def test_it_takes_a_file_at_the_limit(staff_client: Client) -> None:
    body = SHEET + b"\n" * (MOST_BYTES - len(SHEET))

    assert upload(staff_client, make_operator(), body).size == MOST_BYTES


def test_it_reads_next_to_nothing_of_a_gigabyte(staff_client: Client) -> None:
    operator = make_operator()
    lines = [
        b"--edge",
        b'Content-Disposition: form-data; name="operator"',
        b"",
        str(operator.pk).encode(),
        b"--edge",
        b'Content-Disposition: form-data; name="file"; filename="huge.csv"',
        b"",
        b"1" * 200_000,
    ]

    # The client's body ends after these, and a read beyond its end fails the test.
    response = staff_client.generic(
        "POST",
        ADD,
        b"\r\n".join(lines),
        content_type="multipart/form-data; boundary=edge",
        CONTENT_LENGTH=str(1024**3),
    )

    form = response.context["form"]
    assert response.status_code == 413
    assert form["operator"].value() == str(operator.pk)
    assert list(form.errors) == ["file"]


def test_it_takes_a_file_only_with_the_forms_token(staff_client: Client) -> None:
    operator = make_operator()
    client = Client(enforce_csrf_checks=True)
    client.cookies = staff_client.cookies
    html = client.get(ADD).content.decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', html)
    assert found

    assert client.post(ADD, chosen(operator)).status_code == 403
    assert not RateSheet.objects.exists()
    assert client.post(ADD, chosen(operator, csrfmiddlewaretoken=found[1])).status_code == 302
    sheet = RateSheet.objects.get()
    for name in ("preview", "apply", "undo", "discard"):
        assert client.post(page(name, sheet)).status_code == 403


# --- Preview


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
    assert staff_client.post(page("discard", kept))["Location"] == page("change", kept)

    assert list(RateSheet.objects.all()) == [kept]


# --- Apply


def test_it_applies_and_says_what_was_done(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0400"))
    sheet = previewed(operator, row("+4477", "0.0415"), row("+4479", "0.05"), row("+4470", "free"))

    response = staff_client.post(page("apply", sheet), applying(staff_client, sheet, reason="OPS-7"), follow=True)

    text = text_of(response)
    assert "Applied by root-of-tests" in text
    assert "2 rules made, 1 rule ended or replaced, 1 line left out." in text
    html = response.content.decode()
    assert f'href="/admin/routing/routingrule/?operator={operator.pk}"' in html
    assert f'href="{operator_page("history", operator)}"' in html
    assert f'href="{page("undo", sheet)}"' in html
    assert RoutingRule.objects.filter(rate_sheet=sheet).count() == 2
    entry = AuditEntry.objects.get(action="import_rate_sheet")
    assert (entry.reason, entry.actor, entry.source) == ("OPS-7", "root-of-tests", "console")
    assert OutboxEvent.objects.filter(operator_id=operator.pk, version=operator.version + 2).count() == 1
    assert staff_client.get(page("history", sheet))["Location"] == operator_page("history", operator)


def test_it_asks_again_where_prices_move_far(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0415"))
    sheet = previewed(operator, row("+4477", "4.15"), row("+4479", "0.05"))
    sent = applying(staff_client, sheet, reason="OPS-7")

    first = staff_client.post(page("apply", sheet), sent)

    assert first.status_code == 409
    text = text_of(first)
    assert "1 price changes by more than 30 %" in text
    assert "+4477 0.0415 EUR 4.1500 EUR +9,900.00 %" in text
    assert first.context["form"]["reason"].value() == "OPS-7"
    assert first.context["form"]["seen"].value() == sent["seen"]

    unticked = staff_client.post(page("apply", sheet), {**sent, "confirming": "yes"})
    assert unticked.status_code == 409
    assert "Tick this, if they are." in text_of(unticked)
    # The box counts only on the page that lists the changes.
    assert staff_client.post(page("apply", sheet), {**sent, "confirm": "on"}).status_code == 409
    assert RoutingRule.objects.count() == 1

    done = staff_client.post(page("apply", sheet), {**sent, "confirming": "yes", "confirm": "on"})
    assert (done.status_code, done["Location"]) == (302, page("change", sheet))
    assert AuditEntry.objects.get(action="import_rate_sheet").reason == "OPS-7"


def test_it_asks_again_where_a_price_comes_from_nothing_or_changes_its_currency(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0415"), currency="USD")
    make_rule(operator, prefix="+4476", cost_per_segment=Decimal(0))
    sheet = previewed(operator, row("+4477", "0.0415"), row("+4476", "0.05"))

    response = staff_client.post(page("apply", sheet), applying(staff_client, sheet))

    text = text_of(response)
    assert "2 prices change by more than 30 %, or change their currency." in text
    assert "+4477 0.0415 USD 0.0415 EUR other currency" in text
    assert "+4476 0.0000 EUR 0.0500 EUR from nothing" in text


def test_it_applies_no_other_preview_than_the_one_that_was_seen(staff_client: Client) -> None:
    sheet = upload(staff_client, make_operator())
    sent = applying(staff_client, sheet)
    staff_client.post(page("preview", sheet), reading(staff_client, sheet, currency="GBP"))

    response = staff_client.post(page("apply", sheet), sent)

    assert response.status_code == 412
    assert "Somebody made another preview meanwhile." in text_of(response)
    assert not RoutingRule.objects.exists()
    assert response.context["applying"]["seen"].value() != sent["seen"]


def test_it_applies_nothing_where_the_rules_changed_meanwhile(staff_client: Client) -> None:
    operator = make_operator()
    sheet = previewed(operator, row("+4477", "0.0415"))
    sent = applying(staff_client, sheet)
    make_rule(operator, prefix="+33")

    response = staff_client.post(page("apply", sheet), sent)

    assert response.status_code == 412
    text = text_of(response)
    assert "Nothing was changed; make the preview again." in text
    assert 'value="Preview again"' in response.content.decode()
    assert RoutingRule.objects.count() == 1

    staff_client.post(page("preview", sheet), reading(staff_client, sheet))
    assert staff_client.post(page("apply", sheet), applying(staff_client, sheet)).status_code == 302


def test_it_applies_a_sheet_once(staff_client: Client) -> None:
    sheet = previewed(make_operator(), row("+4477", "0.0415"))
    sent = applying(staff_client, sheet)
    staff_client.post(page("apply", sheet), sent)

    response = staff_client.post(page("apply", sheet), sent)

    assert response.status_code == 412
    assert "The sheet is APPLIED; only what was previewed can be applied." in text_of(response)
    assert RoutingRule.objects.count() == 1
    assert staff_client.get(page("apply", sheet)).status_code == 405


def test_it_offers_no_sheet_without_a_line_to_apply(staff_client: Client) -> None:
    sheet = previewed(make_operator(), row("x", "1"))

    response = staff_client.get(page("change", sheet))
    assert "No line of the sheet can be applied." in text_of(response)
    assert "applying" not in response.context

    assert sheet.previewed_at
    refused = staff_client.post(page("apply", sheet), {"seen": sheet.previewed_at.isoformat()})
    assert refused.status_code == 400


def test_it_keeps_a_reason_that_is_too_long(staff_client: Client) -> None:
    sheet = previewed(make_operator(), row("+4477", "0.0415"))

    response = staff_client.post(page("apply", sheet), applying(staff_client, sheet, reason="x" * 1001))

    assert "at most 1000 characters" in response.context["applying"].errors["reason"][0]
    assert not RoutingRule.objects.exists()


def test_it_imports_nothing_by_half_when_the_database_goes_away(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0400"))
    sheet = previewed(operator, row("+4477", "0.0415"), row("+4479", "0.05"))
    sent = applying(staff_client, sheet)
    with connection.cursor() as cursor:
        # What a session gets that is ended by a restart of the server, while the last line is written.
        cursor.execute(
            """
            CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.prefix = '+4479' THEN RAISE SQLSTATE '57P01'; END IF; RETURN NEW; END $$;
            CREATE TRIGGER go_away BEFORE INSERT ON routing_routingrule FOR EACH ROW EXECUTE FUNCTION go_away()
            """
        )
    try:
        response = staff_client.post(page("apply", sheet), sent)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION go_away CASCADE")

    assert response.status_code == 503
    assert "The database does not answer." in text_of(response)
    rule = RoutingRule.objects.get()
    assert (rule.prefix, rule.effective_to, rule.version) == ("+4477", None, 1)
    sheet.refresh_from_db()
    assert sheet.status == SheetStatus.PREVIEWED
    assert staff_client.post(page("apply", sheet), sent).status_code == 302


# --- Undo


def test_it_takes_an_import_back(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0400"))
    sheet = applied(operator, row("+4477", "0.0415"), row("+4479", "0.05"))
    assert "By this import: 2 rules made, 1 rule ended or replaced." in text_of(staff_client.get(page("undo", sheet)))
    assert RoutingRule.objects.count() == 3

    response = staff_client.post(page("undo", sheet), {"reason": "OPS-9"}, follow=True)

    text = text_of(response)
    assert "Undone by root-of-tests" in text
    assert "The prices are as they were before." in text
    rule = RoutingRule.objects.get()
    assert (rule.prefix, rule.effective_to) == ("+4477", None)
    assert AuditEntry.objects.get(action="undo_rate_sheet").reason == "OPS-9"
    # It happens once.
    again = staff_client.post(page("undo", sheet), follow=True)
    assert "Only an import that is applied can be undone." in text_of(again)


def test_it_lists_the_rules_that_keep_an_import_from_being_undone(staff_client: Client, actor: Actor) -> None:
    operator = make_operator()
    sheet = applied(operator, row("+4477", "0.0415"), row("+4479", "0.05"), row("+4478", "0.05"))
    rule = RoutingRule.objects.get(prefix="+4479")
    update_rule(actor=actor, rule_id=rule.pk, changes={"weight": 5})
    RoutingRule.objects.filter(prefix="+4478").delete()

    response = staff_client.post(page("undo", sheet), {"reason": "OPS-9"})

    assert response.status_code == 409
    text = text_of(response)
    assert "The sheet cannot be undone as a whole: 1 rules were changed or added since" in text
    assert "1 were deleted" in text
    assert f'href="/admin/routing/routingrule/{rule.pk}/change/"' in response.content.decode()
    assert response.context["form"]["reason"].value() == "OPS-9"
    assert RoutingRule.objects.count() == 2


def test_it_keeps_what_was_typed_where_the_reason_is_too_long(staff_client: Client) -> None:
    sheet = applied(make_operator(), row("+4477", "0.0415"))

    response = staff_client.post(page("undo", sheet), {"reason": "x" * 1001})

    assert "at most 1000 characters" in response.context["form"].errors["reason"][0]
    assert RoutingRule.objects.count() == 1
