"""Rate sheets in Chromium: upload, correct, preview, apply, undo, under the Content-Security-Policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from operators.models import Operator
from routing.models import RateSheet, RoutingRule
from routing.ratesheets.limits import MOST_BYTES
from tests.browser.test_console import Visit, log_in
from tests.routing.cast import make_carrier, make_rule
from tests.routing.imports.cast import content, row

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SAMPLES: Final = settings.BASE_DIR / "deploy/dev/sample/rate_sheets"
CSV: Final = SAMPLES / "0_comium22.csv"
XLSX: Final = SAMPLES / "1_bws30.xlsx"
LIST: Final = "/admin/routing/ratesheet/"
NARROW: Final = 390


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Visit]:
    get_user_model().objects.create_superuser("dora", password="a-long-pass-phrase")
    asked: dict[str, Any] = getattr(request, "param", {})
    context = browser.new_context(viewport={"width": 1440, "height": 900}, **asked)
    yield Visit(context, live_server.url)
    context.close()


@pytest.fixture
def operator(transactional_db: None) -> Operator:
    return make_carrier("Comium")


def upload(visit: Visit, operator: Operator, file: Path) -> Page:
    """Go the way from the operator's page, and choose the file."""
    visit.go(f"/admin/operators/operator/{operator.pk}/change/")
    visit.page.click(".tabs >> text=Rate sheets")
    visit.page.click("text=Import rate sheet")
    visit.page.set_input_files("#id_file", file)
    visit.page.click("text=Upload and preview")
    return visit.page


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'")
        page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("visit", [{"color_scheme": "light"}, {"java_script_enabled": False}], indirect=True)
def test_it_brings_a_sheet_in_and_takes_it_back(visit: Visit, operator: Operator) -> None:
    log_in(visit)
    page = upload(visit, operator, CSV)

    page.wait_for_selector("input[value='Apply 897 prices, leave 4 lines out']")
    page.click(".tiles >> text=Rejected")
    page.wait_for_selector("text=Rejected: 4 lines")
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    assert download.value.suggested_filename == "0_comium22-rejected.csv"
    page.click("input[value^='Apply 897']")
    page.wait_for_selector("text=897 rules made, 4 lines left out.")
    assert RoutingRule.objects.count() == 897

    page.click("text=Undo this import")
    page.fill("#id_reason", "Wrong carrier, OPS-9")
    page.click("input[value='Undo this import']")
    page.wait_for_selector("text=The prices are as they were before")
    assert not RoutingRule.objects.exists()
    assert visit.complaints == []


def test_it_takes_a_workbook_and_corrects_its_columns(visit: Visit, operator: Operator) -> None:
    log_in(visit)
    page = upload(visit, operator, XLSX)
    page.wait_for_selector("input[value^='Apply 396 prices']")
    cost = page.locator(".sheet-sample select").evaluate_all("boxes => boxes.findIndex(box => box.value === 'cost')")

    page.click("summary:has-text('How the file is read')")
    page.select_option(f"#id_column_{cost}", "")
    page.click("input[value='Preview again']")
    page.wait_for_selector("text=Say which column holds the price.")
    assert page.locator(".sheet-how").get_attribute("open") is not None

    page.select_option(f"#id_column_{cost}", "cost")
    page.check("#id_is_full")
    page.fill("#id_currency", "gbp")
    page.click("input[value='Preview again']")
    page.wait_for_selector(".sheet-facts >> text=full sheet")
    page.wait_for_selector("input[value^='Apply 396 prices']")
    sheet = RateSheet.objects.get()
    assert (sheet.status, sheet.default_currency, sheet.column_map["columns"]["cost"]) == ("PREVIEWED", "GBP", cost)
    assert visit.complaints == []


def test_it_refuses_by_the_field_before_anything_is_sent(visit: Visit, operator: Operator, tmp_path: Path) -> None:
    log_in(visit)
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    page = upload(visit, operator, huge)
    page.wait_for_selector(".field-file .errorlist >> text=larger than 20 MB")

    page.fill("#id_currency", "XXY")
    page.set_input_files("#id_file", CSV)
    page.click("text=Upload and preview")
    page.wait_for_selector(".field-currency .errorlist >> text=three-letter code")
    assert page.locator(".errorlist").count() == 1
    assert page.input_value("#id_file").endswith("0_comium22.csv")

    page.fill("#id_currency", "USD")
    page.click("text=Upload and preview")
    page.wait_for_selector("input[value^='Apply 897 prices']")
    # Chromium tells on the console of the one refusal that came from the server.
    assert ["status of 400" in complaint for complaint in visit.complaints] == [True]


def test_it_counts_the_lines_while_they_are_read(visit: Visit, operator: Operator, tmp_path: Path) -> None:
    log_in(visit)
    large = tmp_path / "large.csv"
    large.write_bytes(content(*(row(f"+44{number}", "0.05") for number in range(100_000, 140_000))))
    visit.page.add_init_script(
        """
        window.addEventListener("DOMContentLoaded", () => {
          const line = document.querySelector("[data-progress-line]");
          if (line) {
            new MutationObserver(() => {
              const said = JSON.parse(sessionStorage.getItem("said") ?? "[]");
              sessionStorage.setItem("said", JSON.stringify([...said, line.textContent]));
            }).observe(line, { childList: true });
          }
        });
        """
    )
    page = upload(visit, operator, large)
    page.wait_for_selector("input[value='Apply 40,000 prices']", timeout=60_000)

    said = page.evaluate("JSON.parse(sessionStorage.getItem('said'))")
    assert any(words.startswith("Uploaded ") or words == "Looking at the file…" for words in said)
    assert any(words.startswith("Lines read so far: ") for words in said)
    assert visit.complaints == []


@pytest.mark.parametrize("visit", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_it_keeps_to_the_policy_and_within_any_width(visit: Visit, operator: Operator, tmp_path: Path) -> None:
    for number, cost in enumerate(("0.0400", "0.0500", "0.0415", "0.0300")):
        make_rule(operator, prefix=f"+447{number}", cost_per_segment=Decimal(cost))
    log_in(visit)
    prices = tmp_path / "winter 2126.csv"
    new = [row(f"+44{number}", "0.05", mcc="234", mnc="10") for number in range(10, 40)]
    prices.write_bytes(
        content(row("+4470", "0.0415"), row("+4471", "0.0475"), row("+4472", "4.15"), row("x", "1"), *new)
    )
    page = upload(visit, operator, prices)
    page.wait_for_selector("input[value='Apply 33 prices, leave 1 line out']")
    sheet = RateSheet.objects.get()
    change = f"{LIST}{sheet.pk}/change/"

    for width in (NARROW, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        for name, address in (
            ("list", f"{LIST}?operator={operator.pk}"),
            ("upload", f"{LIST}add/?operator={operator.pk}"),
            ("new", f"{change}?kind=new"),
            ("rejected", f"{change}?kind=rejected"),
            ("preview", change),
        ):
            visit.go(address)
            if name == "preview":
                page.click("summary:has-text('How the file is read')")
            shot(page, f"{name}-{width}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)

    page.click("input[value^='Apply 33']")
    page.wait_for_selector("text=1 price changes by more than 30 %")
    shot(page, "confirm-1440")
    page.check("#id_confirm")
    page.click("input[value^='Apply 33']")
    page.wait_for_selector("text=33 rules made, 3 rules ended or replaced, 1 line left out.")
    shot(page, "applied-1440")
    RoutingRule.objects.filter(prefix="+4410").update(updated_at=timezone.now())
    page.click("text=Undo this import")
    page.click("input[value='Undo this import']")
    page.wait_for_selector("text=cannot be undone as a whole")
    shot(page, "touched-1440")
    assert visit.complaints == []
