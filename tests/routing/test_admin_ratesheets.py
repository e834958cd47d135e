"""The console's list of rate sheets, and their upload."""

from __future__ import annotations

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
from routing.models import RateSheet, RoutingRule, SheetStatus
from routing.ratesheets.limits import MOST_BYTES, MOST_ROWS
from tests.factories import make_operator
from tests.operators.console import page as operator_page
from tests.routing.cast import make_rule
from tests.routing.imports.cast import applied, previewed, row
from tests.routing.sheet_pages import ADD, JSON, LIST, SHEET, chosen, page, upload

# Each step of an import is a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)

OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


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
    body = (SHEET + (b" " * 900 + b"\n") * MOST_ROWS)[:MOST_BYTES]

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
