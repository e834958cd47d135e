"""The API's viewer in Chromium: it works under the policy that the rest of the service has."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from playwright.sync_api import Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests.factories import make_operator

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, live_server: LiveServer) -> Iterator[Page]:
    # Playwright keeps an event loop in this thread, which Django takes for a coroutine that must not block.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("The browser tests need Chromium: install it, or name it in CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()
        wait_for_the_server_to_rest()


def wait_for_the_server_to_rest() -> None:
    """Wait until the live server's threads have closed their database connections, or dropping the database fails."""
    for _ in range(200):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone() == (0,):
                return
        time.sleep(0.05)
    pytest.fail("The live server holds on to the database.")


def test_it_describes_and_calls_the_api_without_help_from_outside(
    live_server: LiveServer, page: Page, token: Callable[..., str]
) -> None:
    operator = make_operator()
    complaints: list[str] = []
    addresses: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: addresses.append(request.url))

    page.goto(f"{live_server.url}/v1/docs")
    page.wait_for_selector(".opblock")
    assert page.locator(".opblock").count() == 13

    page.click(".authorize")
    page.fill(".auth-container input", token(scope="ops:read"))
    page.click(".auth-btn-wrapper .authorize")
    page.click(".btn-done")
    page.click("#operations-Operators-listOperators button.opblock-summary-control")
    page.click(".try-out__btn")
    page.click(".execute")
    page.wait_for_selector(".live-responses-table")
    assert str(operator.pk) in page.inner_text(".live-responses-table")

    assert complaints == []
    assert [address for address in addresses if not address.startswith((live_server.url, "data:"))] == []
