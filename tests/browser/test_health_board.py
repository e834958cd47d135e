"""The board in Chromium: it refreshes itself, disturbs nobody, and says so when it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from health.models import HealthReport, HealthStatus, WindowKind
from operators.models import HealthState
from tests.browser.test_console import Visit, log_in
from tests.health.board import BOARD, open_window, put, report

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

REFRESH: Final = 10_000  # ms
UNHEALTHY: Final = "#result_list .badge-unhealthy"


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A logged-in window whose clock the test moves on."""
    get_user_model().objects.create_superuser("dora", password="a-long-pass-phrase")
    context = browser.new_context(
        color_scheme=getattr(request, "param", "light"), viewport={"width": 1440, "height": 900}
    )
    visit = Visit(context, live_server.url)
    log_in(visit)
    visit.page.clock.install()
    yield visit
    context.close()


def turn(status: HealthStatus, state: str) -> None:
    HealthStatus.objects.filter(pk=status.pk).update(effective_state=state)


def refresh(page: Page) -> None:
    with page.expect_response(lambda answer: BOARD in answer.url):
        page.clock.run_for(REFRESH)


@pytest.mark.parametrize("visit", ["light", "dark"], indirect=True)
def test_it_keeps_to_the_policy_with_every_kind_of_row(visit: Visit) -> None:
    now = timezone.now()
    put("Never", HealthState.UNKNOWN, age=None)
    lost = put("Lost", HealthState.UNHEALTHY, bind_state="UNBOUND", bind_error="ESME_RBINDFAIL")
    open_window(put("Works"), WindowKind.MAINTENANCE, HealthState.UNHEALTHY)
    HealthReport.objects.bulk_create(
        report(lost, now - timedelta(minutes=age), error_rate=age / 60, bind_state="UNBOUND" if age else "BOUND")
        for age in range(50)
    )

    for address in (BOARD, f"{BOARD}?o=-error_rate&state=UNHEALTHY", f"{BOARD}?q=nobody"):
        visit.go(address)

    assert visit.complaints == []


def test_it_refreshes_itself_and_keeps_scroll_focus_and_typing(visit: Visit) -> None:
    statuses = [put(f"Telco {number:02}") for number in range(40)]
    page = visit.page
    visit.go(f"{BOARD}?o=name")
    page.fill("#searchbar", "half a na")
    link = page.locator("a", has_text="Telco 30")
    link.focus()
    scrolled = page.evaluate("window.scrollY")
    assert scrolled > 0 and page.locator(UNHEALTHY).count() == 0
    turn(statuses[30], HealthState.UNHEALTHY)

    refresh(page)

    expect(page.locator(UNHEALTHY)).to_have_count(1)
    expect(page.locator(".tiles li", has_text="Unhealthy").locator("b")).to_have_text("1")
    expect(link).to_be_focused()
    assert page.evaluate("window.scrollY") == scrolled
    assert page.input_value("#searchbar") == "half a na"
    assert visit.complaints == []


def test_it_waits_while_somebody_marks_text(visit: Visit) -> None:
    status = put("Comium")
    page = visit.page
    visit.go(BOARD)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#result_list td'))")
    turn(status, HealthState.UNHEALTHY)

    page.clock.run_for(3 * REFRESH)
    assert page.evaluate("getSelection().toString()").strip() == "Comium"
    assert page.locator(UNHEALTHY).count() == 0

    page.evaluate("getSelection().removeAllRanges()")
    refresh(page)
    expect(page.locator(UNHEALTHY)).to_have_count(1)


def test_it_can_be_paused(visit: Visit) -> None:
    status = put("Comium")
    page = visit.page
    visit.go(BOARD)
    page.click("#board-pause")
    expect(page.locator("#board-state")).to_have_text("Paused.")
    turn(status, HealthState.UNHEALTHY)

    page.clock.run_for(3 * REFRESH)
    assert page.locator(UNHEALTHY).count() == 0

    page.click("#board-pause")
    expect(page.locator(UNHEALTHY)).to_have_count(1)
    expect(page.locator("#board-state")).to_have_text("")


def test_it_rests_while_nobody_looks(visit: Visit) -> None:
    status = put("Comium")
    page = visit.page
    visit.go(BOARD)
    page.evaluate("Object.defineProperty(document, 'hidden', {get: () => window.isAway, configurable: true})")
    page.evaluate("window.isAway = true")
    turn(status, HealthState.UNHEALTHY)

    page.clock.run_for(3 * REFRESH)
    assert page.locator(UNHEALTHY).count() == 0

    page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(UNHEALTHY)).to_have_count(1)


def test_it_says_since_when_it_could_not_refresh_and_recovers(visit: Visit) -> None:
    put("Comium")
    page = visit.page
    visit.go(BOARD)
    shown = page.locator("[data-live=clock] time").inner_text()
    page.route(f"**{BOARD}", lambda route: route.abort())

    page.clock.run_for(REFRESH)
    expect(page.locator("#board-state")).to_have_text(f"Not refreshed since {shown} UTC: the server does not answer.")
    assert page.evaluate("document.body.classList.contains('board-old')")

    page.unroute(f"**{BOARD}")
    refresh(page)
    expect(page.locator("#board-state")).to_have_text("")
    assert not page.evaluate("document.body.classList.contains('board-old')")


def test_it_says_so_when_the_session_has_ended(visit: Visit) -> None:
    put("Comium")
    visit.go(BOARD)
    visit.page.context.clear_cookies()

    visit.page.clock.run_for(REFRESH)

    expect(visit.page.locator("#board-state")).to_have_text("You are logged out: load the page again.")
    expect(visit.page.locator("#result_list")).to_contain_text("Comium")


def test_it_turns_rows_into_cards_where_columns_do_not_fit(visit: Visit) -> None:
    put("Comium", HealthState.UNHEALTHY, bind_state="UNBOUND", bind_error="E" * 128)
    visit.page.set_viewport_size({"width": 390, "height": 844})

    visit.go(BOARD)

    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert visit.page.locator("#result_list thead").is_hidden()
