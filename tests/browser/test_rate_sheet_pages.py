"""Rate sheets in Chromium: upload, correct, preview, apply, undo, under the Content-Security-Policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from operators.models import Operator
from routing.models import RateSheet, RoutingRule, SheetStatus
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
    scheme, has_scripts = getattr(request, "param", ("light", True))
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": 1440, "height": 900}, java_script_enabled=has_scripts
    )
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
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize("visit", [("light", True), ("dark", True), ("light", False)], indirect=True)
def test_it_brings_a_sheet_in_and_takes_it_back(visit: Visit, operator: Operator) -> None:
    log_in(visit)
    page = upload(visit, operator, CSV)

    page.wait_for_selector("input[value='Apply 897 prices, leave 4 lines out']")
    shot(page, "preview")
    page.click(".tiles >> text=Rejected")
    page.wait_for_selector("text=Rejected: 4 lines")
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    assert download.value.suggested_filename == "0_comium22-rejected.csv"
    page.click("input[value^='Apply 897']")
    page.wait_for_selector("text=897 rules made, 4 lines left out.")
    shot(page, "applied")
    assert RoutingRule.objects.count() == 897

    page.click("text=Undo this import")
    page.fill("#id_reason", "Wrong carrier, OPS-9")
    shot(page, "undo")
    page.click("input[value='Undo this import']")
    page.wait_for_selector("text=The prices are as they were before")
    assert not RoutingRule.objects.exists()
    assert visit.complaints == []
