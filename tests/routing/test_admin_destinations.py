from __future__ import annotations

from typing import Any, Final

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from routing import destinations
from routing.models import DestinationPrefix
from routing.models.destination import Origin
from tests.factories import ALICE
from tests.operators.console import member_of
from tests.routing.cast import make_destination

pytestmark = pytest.mark.django_db

LIST: Final = "/admin/routing/destinationprefix/"


def page(name: str, row: DestinationPrefix) -> str:
    return reverse(f"admin:routing_destinationprefix_{name}", args=[row.pk])


def typed(row: DestinationPrefix | None = None, **changes: Any) -> dict[str, Any]:
    """Build what a browser sends when somebody opens the form, types `changes` and saves."""
    shown = {name: getattr(row, name) if row else "" for name in ("prefix", "country", "network", "mcc", "mnc")}
    return {**shown, "expected_version": row.version if row else "", **changes}


def listed(client: Client, query: str = "") -> list[str]:
    return [row.prefix for row in client.get(f"{LIST}?{query}").context["cl"].result_list]


@pytest.fixture
def world(db: None) -> None:
    make_destination("+44", "GB", origin=Origin.REFERENCE)
    make_destination("+4479", "GB", network="Comium", mcc="234", mnc="10")
    make_destination("+4479111", "GG", network="JT <b>Mobile</b>", mcc="234", mnc="50", origin=Origin.REFERENCE)
    make_destination("+49", "DE", mcc="262", origin=Origin.REFERENCE)
    make_destination("+870", "", origin=Origin.REFERENCE)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["+44", "+4479", "+4479111", "+49", "+870"]),
        ("q=%2B447911123456", ["+44", "+4479", "+4479111"]),
        ("q=44 79 111", ["+44", "+4479", "+4479111"]),
        ("q=4", ["+44", "+4479", "+4479111", "+49"]),
        ("q=comium", ["+4479"]),
        ("q=%2B", []),
        ("q=" + "4" * 40, ["+44"]),
        ("country=GB", ["+44", "+4479"]),
        ("country=none", ["+870"]),
        ("country=XX", []),
        ("origin=STAFF", ["+4479"]),
        ("o=-0", ["+870", "+49", "+4479111", "+4479", "+44"]),
    ],
)
def test_it_searches_filters_and_sorts(staff_client: Client, world: None, query: str, found: list[str]) -> None:
    assert listed(staff_client, query) == found


def test_it_escapes_names_and_says_countries_in_full(staff_client: Client, world: None) -> None:
    html = staff_client.get(LIST).content.decode()

    assert "JT &lt;b&gt;Mobile&lt;/b&gt;" in html
    assert "Guernsey" in html
    assert "reference data" in html
    assert '<option value="GG">Guernsey</option>' in html


def test_its_list_costs_the_same_however_many_rows_there_are(staff_client: Client, world: None) -> None:
    staff_client.get(LIST)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert staff_client.get(LIST).status_code == 200
        return len(captured)

    before = queries()
    for number in range(40):
        make_destination(f"+33{number + 10}", "FR")
    assert queries() == before


def test_it_adds_a_row(staff_client: Client, db: None) -> None:
    answer = staff_client.post(
        f"{LIST}add/", typed(prefix=" +44790 ", country="gb", network="Comium", mcc="234", mnc="10"), follow=True
    )

    row = DestinationPrefix.objects.get()
    assert (row.prefix, row.country, row.network, row.mcc, row.mnc) == ("+44790", "GB", "Comium", "234", "10")
    assert (row.origin, row.updated_by) == (Origin.STAFF, "root-of-tests")
    assert "+44790</a> is saved." in answer.content.decode()


@pytest.mark.parametrize(("button", "leads"), [("_save", LIST), ("_addanother", f"{LIST}add/"), ("_continue", None)])
def test_it_goes_on_where_the_button_says(staff_client: Client, world: None, button: str, leads: str | None) -> None:
    row = DestinationPrefix.objects.get(prefix="+49")

    answer = staff_client.post(page("change", row), typed(row, network="Comium") | {button: "on"})

    assert answer["Location"] == (leads or page("change", row))


def test_a_change_makes_reference_data_the_staffs(staff_client: Client, world: None) -> None:
    row = DestinationPrefix.objects.get(prefix="+49")
    assert "Once you change them, they are yours" in staff_client.get(page("change", row)).content.decode()

    answer = staff_client.post(page("change", row), typed(row, network="Comium"))

    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.network, row.origin, row.version) == ("Comium", Origin.STAFF, 2)
    assert "Once you change them" not in staff_client.get(page("change", row)).content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "message", "status"),
    [
        ({"prefix": "0044"}, "prefix", "A prefix is +", 200),
        ({"prefix": "+44"}, "prefix", "already", 409),
        ({"country": "UK"}, "country", "ISO 3166-1", 200),
        ({"country": "G1"}, "country", "ISO 3166-1", 200),
        ({"mcc": "234"}, "mcc", "belongs to GB, GG, IM, JE, not to DE", 400),
        ({"mcc": "", "mnc": "01"}, "mnc", "needs an MCC", 200),
        ({"network": "n" * 201}, "network", "at most 200 characters", 200),
    ],
)
def test_it_says_at_the_field_what_is_wrong(
    staff_client: Client, world: None, changes: dict[str, str], field: str, message: str, status: int
) -> None:
    row = DestinationPrefix.objects.get(prefix="+49")

    answer = staff_client.post(page("change", row), typed(row, **changes))

    assert answer.status_code == status
    errors = answer.context["adminform"].form.errors
    assert set(errors) == {field}
    assert message in errors[field][0]
    row.refresh_from_db()
    assert row.version == 1


def test_it_overwrites_nobodys_change_unseen(staff_client: Client, world: None) -> None:
    row = DestinationPrefix.objects.get(prefix="+49")
    seen = typed(row, network="Mine")
    destinations.update_destination(actor=ALICE, prefix_id=row.pk, changes={"network": "Hers"})

    answer = staff_client.post(page("change", row), seen)

    assert answer.status_code == 412
    assert "alice changed it meanwhile" in answer.content.decode()
    row.refresh_from_db()
    assert row.network == "Hers"


def test_it_asks_before_it_deletes(staff_client: Client, world: None) -> None:
    row = DestinationPrefix.objects.get(prefix="+49")
    assert "comes back when these are loaded again" in staff_client.get(page("delete", row)).content.decode()
    assert DestinationPrefix.objects.filter(pk=row.pk).exists()

    for stale in ({"expected_version": "7"}, {"expected_version": ""}, {"expected_version": "²"}, {}):
        assert staff_client.post(page("delete", row), stale).status_code == 412
    assert staff_client.post(page("delete", row), {"expected_version": "1"}).status_code == 302
    assert not DestinationPrefix.objects.filter(pk=row.pk).exists()


def test_it_knows_who_may_do_what(world: None) -> None:
    row = DestinationPrefix.objects.get(prefix="+49")
    viewer = member_of("Viewer")

    assert viewer.get(LIST).status_code == 200
    html = viewer.get(page("change", row)).content.decode()
    assert "262" in html
    assert 'name="prefix"' not in html
    assert viewer.get(f"{LIST}add/").status_code == 403
    assert viewer.post(page("change", row), typed(row, network="x")).status_code == 403
    assert viewer.get(page("delete", row)).status_code == 403
    assert viewer.post(page("delete", row), {"expected_version": "1"}).status_code == 403

    manager = member_of("Rate manager")
    assert manager.post(page("change", row), typed(row, network="x")).status_code == 302
    assert manager.post(page("delete", row), {"expected_version": "2"}).status_code == 302


def test_it_finds_no_row_that_is_not_there(staff_client: Client, world: None) -> None:
    for pk in ("3f2b8c1e-5d0a-4b7e-9a61-0c9e6f1d2a34", "nonsense"):
        for tail in ("change", "delete", "history"):
            assert staff_client.get(f"{LIST}{pk}/{tail}/").status_code == 404
    row = DestinationPrefix.objects.get(prefix="+49")
    assert staff_client.get(page("history", row))["Location"] == page("change", row)
