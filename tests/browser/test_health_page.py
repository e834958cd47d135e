"""An operator's health page in Chromium: lively drawings and every form, under the Content-Security-Policy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from health.models import WindowKind
from operators.models import Operator
from tests.browser.test_console import Visit, log_in
from tests.factories import make_operator
from tests.health.cast import health_page, live_through, make_partitions, make_window

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NARROW: Final = 390
FORMS: Final = ("maintenance", "end_maintenance", "override")


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Visit]:
    get_user_model().objects.create_superuser("dora", password="a-long-pass-phrase")
    context = browser.new_context(
        color_scheme=getattr(request, "param", "light"), viewport={"width": 1440, "height": 900}
    )
    yield Visit(context, live_server.url)
    context.close()


@pytest.fixture
def operator(transactional_db: None) -> Operator:
    """Live through three days with a maintenance behind and one under way."""
    made = make_operator(name="Comium")
    now = timezone.now()
    make_partitions(now - timedelta(days=3), now)
    live_through(made, now - timedelta(days=3), now)
    hour = timedelta(hours=1)
    make_window(made, WindowKind.OVERRIDE, now - 30 * hour, now - 26 * hour, ended_at=now - 26 * hour)
    make_window(made, WindowKind.MAINTENANCE, now - hour, now + hour)
    return made


def width_of(page: Page) -> int:
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width


@pytest.mark.parametrize("visit", ["light", "dark"], indirect=True)
def test_it_keeps_to_the_policy_and_within_any_width(visit: Visit, operator: Operator) -> None:
    log_in(visit)
    addresses = [
        *(health_page(operator) + f"?range={name}" for name in ("hour", "day", "week")),
        *(health_page(operator, name) for name in FORMS),
    ]

    for width in (1440, NARROW):
        visit.page.set_viewport_size({"width": width, "height": 900})
        for address in addresses:
            visit.go(address)
            assert width_of(visit.page) <= width, address

    assert visit.complaints == []


def test_it_draws_lines_and_patterns_that_can_be_seen(visit: Visit, operator: Operator) -> None:
    log_in(visit)
    visit.go(health_page(operator) + "?range=week")
    page = visit.page

    for selector in (".chart .line-mean", ".chart .line-worst", ".chart .level-degraded", ".chart .level-unhealthy"):
        for line in page.locator(selector).all():
            box = line.bounding_box()
            assert box is not None
            assert box["width"] > 200
    worst = page.locator(".chart .line-worst").first.evaluate("line => getComputedStyle(line).strokeDasharray")
    mean = page.locator(".chart .line-mean").first.evaluate("line => getComputedStyle(line).strokeDasharray")
    assert (worst == "none", mean == "none") == (False, True)
    assert page.locator(".lane-label").all_text_contents() == ["Maintenance", "Override", "Measured"]
    # A pattern that the page did not define would be painted as nothing.
    fills = page.locator(".band-block[fill]").evaluate_all("rows => rows.map(row => row.getAttribute('fill'))")
    assert {"url(#band-healthy)", "url(#band-maintenance)", "url(#band-override)"} <= set(fills)
    for fill in set(fills):
        assert page.locator(f"pattern{fill.removeprefix('url(').removesuffix(')')}").count() == 1


def test_it_opens_the_numbers_without_a_script_and_ends_a_maintenance_by_hand(visit: Visit, operator: Operator) -> None:
    log_in(visit)
    visit.go(health_page(operator))
    visit.page.click("summary:has-text('The numbers')")
    assert visit.page.locator(".numbers tbody tr").first.is_visible()

    visit.page.click("text=End maintenance")
    visit.page.click(".submit-row input")
    visit.page.wait_for_selector("text=The maintenance of Comium is over.")

    visit.page.click("text=Start maintenance")
    visit.page.check("input[name=length][value='4']")
    visit.page.fill("textarea[name=reason]", "Works, OPS-4")
    visit.page.click(".submit-row input")
    visit.page.wait_for_selector("text=Comium is in maintenance until")
    assert visit.complaints == []
