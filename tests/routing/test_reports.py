"""The reports, on a small world in which every case occurs once."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from operators.actions import delete_operator, suspend_operator
from operators.models import Operator
from routing.reports.coverage import Cover, DestinationCover, carriers_of, cover_of_countries, cover_of_country
from routing.reports.prices import PriceSeries, prices_at
from routing.spreadsheet import harmless
from tests.factories import ALICE
from tests.operators.api.cast import NOBODY
from tests.operators.console import member_of
from tests.routing.cast import make_carrier, make_destination, make_rule

pytestmark = pytest.mark.django_db

REPORTS: Final = "/admin/routing/reports"
MARCH: Final = datetime(2026, 3, 1, tzinfo=UTC)
JUNE: Final = datetime(2026, 6, 1, tzinfo=UTC)
FAR: Final = datetime(2099, 1, 1, tzinfo=UTC)


def cost(series: PriceSeries) -> tuple[str | None, str | None, str | None]:
    """Say the prices before, then and after as people would."""
    before, then, after = (
        None if price is None else f"{price.cost.normalize()} {price.currency}"
        for price in (series.before, series.then, series.after)
    )
    return before, then, after


def rows_of(answer: Any) -> list[dict[str, str]]:
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def priced() -> Operator:
    """An operator whose price for +4479 changed twice, with a gap in May."""
    carrier = make_carrier("Comium")
    make_rule(carrier, effective_to=MARCH, cost_per_segment=Decimal("0.01"), active=False)
    for start, end, price in (
        (None, MARCH, "0.02"),
        (MARCH, datetime(2026, 5, 1, tzinfo=UTC), "0.03"),
        (JUNE, None, "0.04"),
    ):
        # Prices of the past are made by time, not by hand.
        rule = make_rule(carrier, effective_from=start, effective_to=None if end is None else FAR, active=False)
        type(rule).objects.filter(pk=rule.pk).update(effective_to=end, cost_per_segment=Decimal(price), active=True)
    return carrier


@pytest.mark.parametrize(
    ("at", "prices"),
    [
        (MARCH - timedelta(seconds=1), (None, "0.02 EUR", "0.03 EUR")),
        (MARCH, ("0.02 EUR", "0.03 EUR", "0.04 EUR")),
        (datetime(2026, 5, 15, tzinfo=UTC), ("0.03 EUR", None, "0.04 EUR")),
        (JUNE, ("0.03 EUR", "0.04 EUR", None)),
    ],
)
def test_it_tells_the_price_then_and_what_came_before_and_after(
    priced: Operator, at: datetime, prices: tuple[str | None, str | None, str | None]
) -> None:
    for asked in (
        prices_at(at, operator_id=priced.pk, limit=10),
        prices_at(at, number="+447911123456", limit=10),
        prices_at(at, operator_id=priced.pk, number="+4479", limit=10),
    ):
        [series] = asked
        assert (series.operator, series.prefix, cost(series)) == ("Comium", "+4479", prices)


def test_it_keeps_networks_and_operators_apart_and_marks_what_a_longer_prefix_takes(priced: Operator) -> None:
    other = make_carrier("Africell", is_active=False)
    make_rule(other, prefix="+44", cost_per_segment=Decimal("0.5"))
    make_rule(priced, prefix="+44", cost_per_segment=Decimal("0.6"))
    make_rule(priced, prefix="+44", mcc="234", mnc="10", cost_per_segment=Decimal("0.7"))
    make_rule(priced, prefix="+49", cost_per_segment=Decimal("0.8"))
    gone = make_carrier("Gone")
    make_rule(gone)
    delete_operator(actor=ALICE, operator_id=gone.pk)

    found = prices_at(JUNE, number="+447911123456", limit=10)

    assert [(row.operator, row.status, row.prefix, row.mnc, cost(row)[1], row.is_beaten) for row in found] == [
        ("Africell", "INACTIVE", "+44", "", "0.5 EUR", False),
        ("Comium", "ACTIVE", "+4479", "", "0.04 EUR", False),
        ("Comium", "ACTIVE", "+44", "", "0.6 EUR", True),
        ("Comium", "ACTIVE", "+44", "10", "0.7 EUR", False),
    ]
    in_the_gap = prices_at(datetime(2026, 5, 15, tzinfo=UTC), operator_id=priced.pk, number="+4479", limit=10)
    assert [(row.prefix, row.is_beaten) for row in in_the_gap if not row.mnc] == [("+4479", False), ("+44", False)]
    assert [row.prefix for row in prices_at(JUNE, operator_id=priced.pk, limit=2)] == ["+44", "+44"]
    assert [row.prefix for row in prices_at(JUNE, operator_id=priced.pk, limit=2, offset=2)] == ["+4479", "+49"]


def test_its_price_page_asks_answers_and_downloads(staff_client: Client, priced: Operator) -> None:
    Operator.objects.filter(pk=priced.pk).update(name="=Comium")
    assert "Name an operator" not in staff_client.get(f"{REPORTS}/prices/").content.decode()

    html = staff_client.get(f"{REPORTS}/prices/?operator={priced.pk}&at=2026-03-02").content.decode()
    for shown in ("0.030000", "0.020000", "0.040000", "As of", "2 Mar 2026, 00:00"):
        assert shown in html
    html = staff_client.get(f"{REPORTS}/prices/?number=%2B44+7911+123456&at=2026-06-02T10:30").content.decode()
    assert "What covers +447911123456" in html
    assert "0.040000" in html

    [row] = rows_of(staff_client.get(f"{REPORTS}/prices/?number=447911&at=2026-03-02&format=csv"))
    assert row["operator"] == "'=Comium"
    assert row["prefix"] == "+4479"
    assert (row["costPerSegment"], row["costBefore"], row["costAfter"]) == ("0.030000", "0.020000", "0.040000")
    assert (row["effectiveFrom"], row["toAfter"]) == ("2026-03-01T00:00:00.000000Z", "")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("number=&at=", "Name an operator, a number or a prefix."),
        ("number=abc", "A prefix is + and 1 to 15 digits"),
        ("number=0044", "A prefix is + and 1 to 15 digits"),
        ("operator=nonsense", "is not a valid UUID"),
        (f"operator={NOBODY}", "There is no such operator."),
        ("number=44&at=yesterday", "Enter a valid date/time."),
    ],
)
def test_it_says_what_is_wrong_with_the_question(staff_client: Client, db: None, query: str, message: str) -> None:
    for tail in ("", "&format=csv"):
        answer = staff_client.get(f"{REPORTS}/prices/?{query}{tail}")
        assert answer.status_code == 200
        assert message in answer.content.decode()
        assert "rows" not in answer.context


def test_it_turns_pages(staff_client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("routing.admin.reports.PAGE", 2)
    carrier = make_carrier("Comium")
    for number in range(5):
        make_rule(carrier, prefix=f"+4479{number}")
        make_destination(f"+4479{number}", "GB")

    for address in (f"prices/?operator={carrier.pk}", "coverage/?country=GB", "single-operator/?country=GB"):
        first = staff_client.get(f"{REPORTS}/{address}").context
        last = staff_client.get(f"{REPORTS}/{address}&p=3").context
        assert (first["previous"], last["next"]) == ("", "")
        assert first["next"].endswith("p=2")
        assert last["previous"].endswith("p=2")
        assert "prefix" not in first["csv"]
        shown = [getattr(row, "row", row).prefix for row in last.get("rows", last.get("lines", []))]
        assert shown == ["+44794"]
        assert staff_client.get(f"{REPORTS}/{address}&p=nonsense").status_code == 200


@pytest.fixture
def covered() -> Iterator[dict[str, Operator]]:
    """Destinations of which each is covered in another way."""
    one, two, three = make_carrier("Comium"), make_carrier("Africell"), make_carrier("Suspended")
    make_destination("+44", "GB")
    make_destination("+4471", "GB", network="Both", mcc="234", mnc="10")
    make_destination("+4472", "GB", network="One", mcc="234", mnc="15")
    make_destination("+4473", "GB", network="Not in force")
    make_destination("+4474", "GB", network="Suspended")
    make_destination("+4475", "GB", network="Another network", mcc="234", mnc="20")
    make_destination("+4476", "GB", network="Twice the same")
    make_destination("+4477", "GB", network="@Unknown")
    make_destination("+49", "DE")
    make_destination("+870", "")
    make_rule(one, prefix="+4471")
    make_rule(two, prefix="+4471", mcc="234", mnc="10")
    make_rule(one, prefix="+4472", mcc="234")
    make_rule(one, prefix="+4473", effective_from=FAR)
    make_rule(one, prefix="+4473", effective_to=FAR, active=False)
    make_rule(three, prefix="+4474")
    make_rule(one, prefix="+4475", mcc="234", mnc="10")
    make_rule(two, prefix="+4476", mcc="234")
    make_rule(two, prefix="+4476", mcc="235")
    make_rule(one, prefix="+4")
    make_rule(two, prefix="+491")
    suspend_operator(actor=ALICE, operator_id=three.pk)
    yield {"one": one, "two": two}


def by_network(rows: list[DestinationCover]) -> dict[str, DestinationCover]:
    return {row.network or row.prefix: row for row in rows}


def test_it_finds_what_nobody_carries_and_what_one_operator_does(covered: dict[str, Operator]) -> None:
    now = timezone.now()
    covered["one"].routing_rules.filter(prefix="+4").delete()

    rows = by_network(cover_of_country("GB", now))

    assert {name: row.cover for name, row in rows.items()} == {
        "+44": Cover.PARTLY,
        "Both": Cover.FULL,
        "One": Cover.FULL,
        "Not in force": Cover.NONE,
        "Suspended": Cover.NONE,
        "Another network": Cover.NONE,
        "Twice the same": Cover.FULL,
        "@Unknown": Cover.NONE,
    }
    assert {name: row.operator for name, row in rows.items() if row.is_single} == {
        "One": "Comium",
        "Twice the same": "Africell",
    }
    assert rows["One"].rule == "+4472"
    assert [(row.prefix, row.cover) for row in cover_of_country("DE", now)] == [("+49", Cover.PARTLY)]
    assert [(row.prefix, row.cover) for row in cover_of_country("", now)] == [("+870", Cover.NONE)]
    assert [(row.country, row.destinations, row.uncovered, row.single) for row in cover_of_countries(now)] == [
        ("", 1, 1, 0),
        ("DE", 1, 1, 0),
        ("GB", 8, 5, 2),
    ]


def test_a_rule_on_a_shorter_prefix_covers(covered: dict[str, Operator]) -> None:
    now = timezone.now()

    rows = by_network(cover_of_country("GB", now))

    assert {row.cover for row in rows.values()} == {Cover.FULL}
    assert (rows["Suspended"].rule, rows["Suspended"].operator) == ("+4", "Comium")
    assert (rows["Twice the same"].rule, rows["Twice the same"].operator) == ("+4476", None)
    assert (rows["Both"].rule, rows["Both"].is_single) == ("+4471", False)
    carriers = carriers_of(rows.values(), now)
    assert (carriers["+4471"].count, carriers["+4471"].names) == (2, ("Africell", "Comium"))
    assert (carriers["+4474"].count, carriers["+4474"].names, carriers["+4474"].more) == (1, ("Comium",), 0)
    assert [(row.country, row.uncovered, row.single) for row in cover_of_countries(now)] == [
        ("", 1, 0),
        ("DE", 0, 1),
        ("GB", 0, 6),
    ]


def test_a_rule_counts_at_the_moment_that_is_asked_about(covered: dict[str, Operator]) -> None:
    rows = by_network(cover_of_country("GB", FAR))

    assert rows["Not in force"].rule == "+4473"


def test_its_coverage_page_shows_gaps_first_and_says_what_covers(
    staff_client: Client, covered: dict[str, Operator]
) -> None:
    covered["one"].routing_rules.filter(prefix="+4").delete()

    answer = staff_client.get(f"{REPORTS}/coverage/?country=GB")

    html = answer.content.decode()
    assert [line.row.prefix for line in answer.context["lines"]] == [
        *("+4473", "+4474", "+4475", "+4477"),
        "+44",
        *("+4471", "+4472", "+4476"),
    ]
    assert "Coverage gaps: United Kingdom" in html
    assert "Africell, Comium" in html
    assert f"prices/?number={quote('+4471')}" in html
    assert (answer.context["uncovered"], answer.context["partly"], answer.context["covered"]) == (4, 1, 3)
    assert answer.context["networks"][0].uncovered == 1

    rows = rows_of(staff_client.get(f"{REPORTS}/coverage/?country=GB&format=csv"))
    assert [row["network"] for row in rows if row["prefix"] == "+4477"] == ["'@Unknown"]
    assert {row["prefix"]: row["cover"] for row in rows}["+44"] == "PARTLY"


def test_its_overview_counts_countries(staff_client: Client, covered: dict[str, Operator]) -> None:
    for address in ("coverage/", "single-operator/"):
        html = staff_client.get(f"{REPORTS}/{address}").content.decode()
        assert "United Kingdom" in html
        assert "?country=none" in html
    rows = rows_of(staff_client.get(f"{REPORTS}/coverage/?format=csv"))
    assert {row["country"]: row["destinations"] for row in rows} == {"": "1", "DE": "1", "GB": "8"}


def test_its_page_of_single_operators_names_them(staff_client: Client, covered: dict[str, Operator]) -> None:
    covered["one"].routing_rules.filter(prefix="+4").delete()

    answer = staff_client.get(f"{REPORTS}/single-operator/?country=GB")

    assert [(line.row.prefix, line.row.operator) for line in answer.context["lines"]] == [
        ("+4472", "Comium"),
        ("+4476", "Africell"),
    ]
    [first, _] = rows_of(staff_client.get(f"{REPORTS}/single-operator/?country=GB&format=csv"))
    assert (first["onlyOperator"], first["rulePrefix"]) == ("Comium", "+4472")
    assert "two operators at least" in staff_client.get(f"{REPORTS}/single-operator/?country=FR").content.decode()


@pytest.mark.parametrize(
    "address", ["coverage/", "coverage/?country=GB", "single-operator/?country=GB", "prices/?number=%2B4471"]
)
def test_its_pages_cost_the_same_however_much_they_show(
    staff_client: Client, covered: dict[str, Operator], address: str
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert staff_client.get(f"{REPORTS}/{address}").status_code == 200
        return len(captured)

    queries()
    before = queries()
    for number in range(20):
        make_destination(f"+4471{number + 10}", "GB", network=f"N{number}")
        make_rule(covered["one"], prefix=f"+4471{number + 10}")
    assert queries() == before


def test_it_is_for_those_who_may_read_rules(covered: dict[str, Operator]) -> None:
    viewer, stranger = member_of("Viewer"), Client()
    nobody = Client()
    nobody.force_login(get_user_model().objects.create_user("nobody", is_staff=True))
    for address in ("prices/", "coverage/", "single-operator/", "coverage/?format=csv"):
        assert viewer.get(f"{REPORTS}/{address}").status_code == 200
        assert viewer.post(f"{REPORTS}/{address}").status_code == 405
        assert nobody.get(f"{REPORTS}/{address}").status_code == 403
        assert stranger.get(f"{REPORTS}/{address}")["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_it_lets_no_spreadsheet_compute_a_name(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert harmless("Comium = 1") == "Comium = 1"
