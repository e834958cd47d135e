"""The API's viewer in Chromium: it works under the policy that the rest of the service has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from tests.factories import make_operator

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


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
    assert page.locator(".opblock").count() == 36

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
