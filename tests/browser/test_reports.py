"""Destination prefixes and the reports in Chromium, under the Content-Security-Policy and at any width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from operators.models import Operator
from routing.models import DestinationPrefix
from tests.browser.test_console import Visit, log_in
from tests.routing.cast import make_carrier, make_destination, make_rule

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NARROW: Final = 390
REPORTS: Final = "/admin/routing/reports"
LIST: Final = "/admin/routing/destinationprefix/"


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Visit]:
    get_user_model().objects.create_superuser("dora", password="a-long-pass-phrase")
    context = browser.new_context(
        color_scheme=getattr(request, "param", "light"), viewport={"width": 1440, "height": 900}
    )
    yield Visit(context, live_server.url)
    context.close()


@pytest.fixture
def carrier(transactional_db: None) -> Operator:
    """Carry one destination alone and one together with another operator, and leave two."""
    made = make_carrier("Comium")
    make_destination("+44", "GB")
    for number in range(1, 5):
        make_destination(f"+447{number}", "GB", network=f"Network {number}", mcc="234")
    make_rule(made, prefix="+4471")
    make_rule(made, prefix="+4472")
    make_rule(make_carrier("Africell"), prefix="+4472")
    return made


@pytest.mark.parametrize("visit", ["light", "dark"], indirect=True)
def test_it_keeps_to_the_policy_and_within_any_width(visit: Visit, carrier: Operator) -> None:
    log_in(visit)
    row = DestinationPrefix.objects.get(prefix="+4471")
    addresses = [
        *(f"{REPORTS}/{tail}" for tail in ("coverage/", "coverage/?country=GB", "single-operator/?country=GB")),
        *(f"{REPORTS}/prices/{tail}" for tail in ("", f"?operator={carrier.pk}", "?number=%2B4471")),
        *(f"{LIST}{tail}" for tail in ("", "add/", f"{row.pk}/change/", f"{row.pk}/delete/")),
    ]

    for width in (1440, NARROW):
        visit.page.set_viewport_size({"width": width, "height": 900})
        for address in addresses:
            visit.go(address)
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, address

    assert visit.complaints == []


def test_it_finds_a_price_by_the_operators_name(visit: Visit, carrier: Operator) -> None:
    log_in(visit)
    visit.go(f"{REPORTS}/prices/")
    page = visit.page

    page.click(".select2-selection")
    page.fill(".select2-search__field", "comi")
    page.click(".select2-results__option:has-text('Comium')")
    page.fill("#id_at", "2026-12-01T10:30")
    page.click("input[type=submit][value=Show]")

    page.wait_for_selector("text=As of 1 Dec 2026, 10:30 UTC")
    assert page.locator(".report-table tbody tr").count() == 2
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    assert download.value.suggested_filename == "prices-2026-12-01.csv"
    assert visit.complaints == []
