"""The pages about staff and the log-in in Chromium, light and dark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from config.groups import GROUPS, ensure_groups

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PATIENCE: Final = 15_000  # ms
PASSWORD: Final = "a-long-pass-phrase"
# Where to leave pictures of the pages, for whoever wants to look at them.
PICTURES: Final = os.environ.get("PAGE_PICTURES", "")


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, live_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Page]:
    ensure_groups()
    user = get_user_model().objects.create_user("dora", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name="Administrator"))
    context = browser.new_context(
        base_url=live_server.url, color_scheme=request.param, viewport={"width": 1280, "height": 800}
    )
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    yield opened
    context.close()


def log_in(page: Page, password: str = PASSWORD) -> None:
    page.goto("/admin/")
    page.fill("#id_username", "dora")
    page.fill("#id_password", password)
    page.click("input[type=submit]")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'")
        page.screenshot(path=Path(PICTURES) / f"{name}-{scheme}.png", full_page=True)


def test_it_locks_out_and_says_what_to_do(page: Page) -> None:
    page.goto("/admin/")
    picture(page, "login")
    for _ in range(4):
        log_in(page, "wrong")
        page.wait_for_selector(".errornote")
    picture(page, "login-refused")

    log_in(page, "wrong")

    page.wait_for_selector("h1:has-text('Too many failed log-ins')")
    picture(page, "locked")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background in ("rgb(244, 246, 249)", "rgb(16, 22, 30)"), "the page has the console's look"


def test_an_administrator_finds_people_groups_and_lockouts(page: Page) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    other = get_user_model().objects.create_user("emil", password=PASSWORD, is_staff=True)
    for name, failures in (("emil", 5), ("unknown-0123456789abcdef", 2)):
        AccessAttempt.objects.create(username=name, ip_address="192.0.2.1", failures_since_start=failures)
    log_in(page)
    page.wait_for_selector("text=Overview")
    picture(page, "overview")

    page.goto("/admin/auth/user/")
    picture(page, "users")
    page.goto(f"/admin/auth/user/{other.pk}/change/")
    picture(page, "user")
    assert page.locator("#id_groups option").all_inner_texts() == sorted(GROUPS)
    page.select_option("#id_groups", label="Rate manager")
    page.click("input[name=_save]")
    page.wait_for_selector(".messagelist .success")
    assert [group.name for group in other.groups.all()] == ["Rate manager"]

    page.goto("/admin/auth/group/")
    picture(page, "groups")
    page.click("text=Security officer")
    page.wait_for_selector("text=Can go back to an operator's previous password")
    picture(page, "group")

    page.goto("/admin/axes/accessattempt/")
    picture(page, "failed-logins")
    page.check("tr:has-text('emil') input[name=_selected_action]")
    page.select_option("select[name=action]", "let_in")
    page.click("button:has-text('Go')")
    page.wait_for_selector("text=They may log in again.")
    assert not AccessAttempt.objects.filter(username="emil").exists()
    assert complaints == []
