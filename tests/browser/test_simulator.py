"""The route simulator in Chromium, under the Content-Security-Policy and at any width."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from operators.models import HealthState, Operator
from tests.browser.test_console import Visit, log_in
from tests.routing.cast import make_carrier, make_destination, make_rule

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NARROW: Final = 390
PAGE: Final = "/admin/routing/simulator/"
ONE: Final = "numbers=%2B447911123456"
LIST: Final = "numbers=%2B447911123456%0A%2B33612345678%0A%2B4915112345678%0Anonsense"


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Visit]:
    get_user_model().objects.create_superuser("dora", password="a-long-pass-phrase")
    context = browser.new_context(
        color_scheme=getattr(request, "param", "light"), viewport={"width": 1440, "height": 900}
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=live_server.url)
    yield Visit(context, live_server.url)
    context.close()


@pytest.fixture
def carrier(transactional_db: None) -> Operator:
    """Make every verdict and outcome occur."""
    first, second, third = make_carrier("Comium"), make_carrier("Africell Gambia International"), make_carrier("Broken")
    make_rule(first, priority=1, cost_per_segment=Decimal("0.05"))
    make_rule(second, prefix="+447", mcc="234", mnc="15", cost_per_segment=Decimal("0.03"))
    make_rule(third, cost_per_segment=Decimal("0.01"))
    make_rule(third, prefix="+49")
    Operator.objects.filter(pk=third.pk).update(health_state=HealthState.UNHEALTHY)
    make_destination("+4479", "GB", network="Vodafone", mcc="234", mnc="15")
    return first


@pytest.mark.parametrize("visit", ["light", "dark"], indirect=True)
def test_it_keeps_to_the_policy_and_within_any_width(visit: Visit, carrier: Operator) -> None:
    log_in(visit)
    tails = ["", f"?{ONE}", f"?{ONE}&down={carrier.pk}&as_of=2099-01-02T10:30:05", f"?{LIST}&strategy=COST"]
    tails += ["?numbers=%2B4915112345678", "?numbers=%2B33612345678", "?numbers=0044&currency=QQQ"]

    for width in (1440, NARROW):
        visit.page.set_viewport_size({"width": width, "height": 900})
        for tail in tails:
            visit.go(f"{PAGE}{tail}")
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, tail

    assert visit.complaints == []


def test_it_asks_what_if_and_copies_the_link(visit: Visit, carrier: Operator) -> None:
    log_in(visit)
    visit.go("/admin/routing/routingrule/")
    page = visit.page
    page.click("text=Try a number")

    page.fill("#id_numbers", "+44 7911 123456")
    page.click("input[type=submit][value=Try]")
    page.wait_for_selector(".outcome-words:has-text('Comium')")
    page.check("label:has-text('down') >> input[aria-label='Assume that Comium is down']")
    page.click("text=Try again without these")
    page.wait_for_selector(".outcome-words:has-text('Africell')")
    assert f"down={carrier.pk}" in page.url

    page.click("button[aria-label='Copy the link']")
    page.wait_for_selector("button:has-text('Copied')")
    assert page.evaluate("navigator.clipboard.readText()") == page.url

    page.uncheck(".assumed input")
    page.click("input[type=submit][value=Try]")
    page.wait_for_selector(".outcome-words:has-text('Comium')")
    assert "down=" not in page.url
    assert visit.complaints == []


def test_a_long_list_comes_back_whole_and_as_a_file(visit: Visit, carrier: Operator) -> None:
    log_in(visit)
    visit.go(PAGE)
    page = visit.page

    page.fill("#id_numbers", "\n".join(f"+4479{number:08}" for number in range(300)))
    page.click("input[type=submit][value=Try]")
    page.wait_for_selector("text=300 lines")
    assert page.input_value("#id_numbers").count("\n") == 299
    with page.expect_download() as download:
        page.click("button:has-text('Download as CSV')")
    assert download.value.suggested_filename.startswith("routes-")
    assert visit.complaints == []


def test_the_sidebars_filter_finds_it(visit: Visit, carrier: Operator) -> None:
    log_in(visit)
    visit.go(PAGE)
    page = visit.page

    page.fill("#nav-filter", "simul")

    assert page.locator("#nav-sidebar th a:visible").all_inner_texts() == ["Route simulator"]
    assert page.locator("#nav-sidebar a[aria-current=page]").inner_text() == "Route simulator"
    assert visit.complaints == []
