"""Routing rules in Chromium: the policy holds on every page, and the boxes that scripts fill do work."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from routing.models import RoutingRule
from tests.browser.test_console import Visit, log_in
from tests.browser.test_console import visit as visit
from tests.routing.cast import make_carrier, make_rule

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/routing/routingrule/"


@pytest.fixture
def rules() -> list[RoutingRule]:
    """One rule of each state, of two operators."""
    comium, other = make_carrier("Comium Gambia"), make_carrier("Other Telco", is_active=False)
    now = timezone.now()
    return [
        make_rule(comium, mcc="234", mnc="10", effective_from=now - timedelta(days=3)),
        make_rule(comium, prefix="+44", cost_per_segment=Decimal("0.03")),
        make_rule(comium, prefix="+33", effective_from=now + timedelta(days=3), currency="USD"),
        make_rule(other, prefix="+49", active=False, priority=5),
    ]


def pick(visit: Visit, box: str, term: str) -> None:
    """Search in an autocomplete box and take the first answer."""
    visit.page.click(f"{box} + .select2")
    visit.page.fill(".select2-search__field", term)
    visit.page.click(f".select2-results__option:has-text('{term}')")


@pytest.mark.parametrize("visit", ["light", "dark"], indirect=True)
def test_it_keeps_to_the_policy_on_every_page(visit: Visit, rules: list[RoutingRule]) -> None:
    log_in(visit)

    for address in (
        LIST,
        f"{LIST}?operator={rules[0].operator_id}",
        f"{LIST}?q=%2B44&state=IN_FORCE&currency=EUR",
        f"{LIST}add/",
        f"{LIST}{rules[0].pk}/change/",
        f"{LIST}{rules[0].pk}/delete/",
    ):
        visit.go(address)
        expect(visit.page.locator("h1")).to_be_visible()

    assert visit.complaints == []


def test_it_finds_an_operators_rules_and_adds_one_more(visit: Visit, rules: list[RoutingRule]) -> None:
    log_in(visit)
    page = visit.page
    visit.go(f"{LIST}?state=IN_FORCE")
    pick(visit, "#pick_operator", "Comium Gambia")
    page.click(".pick:has(#pick_operator) input[type=submit]")
    expect(page.locator("h1")).to_have_text("Routes of Comium Gambia")
    expect(page.locator("#result_list tbody tr")).to_have_count(2)

    page.click(".object-tools a.addlink")
    expect(page.locator(".select2-selection__rendered")).to_contain_text("Comium Gambia")
    page.fill("#id_prefix", "+4478")
    page.fill("#id_cost_per_segment", "0.05")
    page.fill("#id_effective_from", "2031-04-01T00:00:00")
    page.click("input[name=_save]")

    # +44 of the same priority contains it.
    expect(page.locator("#conflicts-title")).to_be_visible()
    expect(page.locator(".notice-error a")).to_have_text("+44")
    assert page.input_value("#id_effective_from").startswith("2031-04-01T00:00")
    page.check("#id_allow_overlap")
    page.click("input[name=_save]")

    expect(page.locator("ul.messagelist")).to_contain_text("+4478 is added.")
    assert RoutingRule.objects.get(prefix="+4478").effective_from is not None
    assert visit.complaints == []


def test_it_ends_rules_that_are_ticked(visit: Visit, rules: list[RoutingRule]) -> None:
    log_in(visit)
    page = visit.page
    visit.go(LIST)
    page.check("#action-toggle")
    page.select_option("select[name=action]", "end_selected")
    page.click(".actions button[type=submit]")
    expect(page.locator("table.chosen tbody tr")).to_have_count(2)
    expect(page.locator(".notice li")).to_have_count(2)

    page.fill("#id_reason", "OPS-1")
    page.click(".submit-row input[type=submit]")

    expect(page.locator("ul.messagelist")).to_contain_text("End now: done for 2 rules.")
    expect(page.locator("#result_list .badge", has_text="Ended")).to_have_count(2)
    assert visit.complaints == []


def test_it_fits_a_narrow_screen(visit: Visit, rules: list[RoutingRule]) -> None:
    log_in(visit)
    visit.page.set_viewport_size({"width": 390, "height": 844})

    for address in (LIST, f"{LIST}add/", f"{LIST}{rules[0].pk}/change/", f"{LIST}{rules[0].pk}/delete/"):
        visit.go(address)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
