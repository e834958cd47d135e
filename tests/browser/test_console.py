"""The console in Chromium: nothing may break the Content-Security-Policy, and the scripts it lives on must work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Error, Page, Request
from pytest_django.live_server_helper import LiveServer

from operators import actions
from operators.actors import Actor
from operators.models import Operator
from tests.factories import make_operator

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PATIENCE: Final = 15_000  # ms
# A refused form answers with its own status, and Chromium reports that on the console as well.
EXPECTED: Final = ("the server responded with a status of 409", "the server responded with a status of 404")


class Visit:
    """One logged-in browser window that remembers every complaint."""

    def __init__(self, context: BrowserContext, root: str) -> None:
        self.root = root
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", self._note_error)
        self.page.on("request", self._watch)

    def _note_error(self, error: Error) -> None:
        self.complaints.append(f"{self.page.url}: {error}")

    def _watch(self, request: Request) -> None:
        if not request.url.startswith((self.root, "data:")):
            self.complaints.append(f"outside: {request.url}")

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(expected in text for expected in EXPECTED):
            self.complaints.append(f"{self.page.url}: {text}")

    def go(self, address: str) -> None:
        self.page.goto(f"{self.root}{address}", wait_until="load")


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Visit]:
    get_user_model().objects.create_superuser("dora", password="a-long-pass-phrase")
    context = browser.new_context(
        color_scheme=getattr(request, "param", "light"), viewport={"width": 1440, "height": 900}
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=live_server.url)
    yield Visit(context, live_server.url)
    context.close()


def log_in(visit: Visit) -> None:
    visit.go("/admin/")
    visit.page.fill("#id_username", "dora")
    visit.page.fill("#id_password", "a-long-pass-phrase")
    visit.page.click("input[type=submit]")
    visit.page.wait_for_selector("text=Overview")


@pytest.mark.parametrize("visit", ["light", "dark"], indirect=True)
def test_it_keeps_to_the_policy_on_every_page(visit: Visit, actor: Actor) -> None:
    make_operator(name="Other")
    operator = make_operator(name="Comium", tags=["otp"])
    gone = make_operator(name="Gone")
    actions.delete_operator(actor=actor, operator_id=gone.pk)
    log_in(visit)
    edit = f"/admin/operators/operator/{operator.pk}"

    for address in (
        "/admin/operators/operator/",
        "/admin/operators/operator/?deleted=yes",
        "/admin/operators/operator/add/",
        f"{edit}/change/",
        f"{edit}/history/",
        f"{edit}/delete/",
        f"{edit}/rotate/",
        f"{edit}/activate/",
        f"/admin/operators/operator/{gone.pk}/change/",
        "/admin/operators/auditentry/",
        "/admin/operators/outboxevent/",
        "/admin/operators/legacyrun/",
        "/admin/auth/user/",
        "/admin/auth/user/add/",
        "/admin/password_change/",
        "/admin/nothing/",
    ):
        visit.go(address)

    visit.go(f"{edit}/change/")
    visit.page.fill("#id_name", "Other")
    visit.page.fill("#id_max_tps", "7")
    visit.page.click("input[name=_save]")
    visit.page.wait_for_selector("text=already has this name")
    assert visit.complaints == []


@pytest.mark.parametrize("width", [1265, 1366, 1440])
def test_it_shows_all_columns_on_a_laptop(visit: Visit, width: int) -> None:
    make_operator(name="Cable & Wireless +16", host="smpp1.cablewireless16.example", system_id="cablewireless62")
    log_in(visit)
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.go("/admin/operators/operator/")
    list_, room = visit.page.evaluate(
        "(() => { const list = document.querySelector('#result_list'); "
        "return [list.scrollWidth, list.parentElement.clientWidth]; })()"
    )
    assert list_ <= room


def test_it_finds_a_backup_operator_while_one_types(visit: Visit) -> None:
    make_operator(name="Backup carrier")
    operator = make_operator(name="Comium")
    log_in(visit)

    visit.go(f"/admin/operators/operator/{operator.pk}/change/")
    visit.page.click("span.select2-selection")
    visit.page.fill(".select2-search__field", "backup")
    visit.page.click(".select2-results__option:has-text('Backup carrier')")
    visit.page.click("input[name=_continue]")
    visit.page.wait_for_selector("text=is saved")

    operator.refresh_from_db()
    assert operator.backup_operator is not None
    assert operator.backup_operator.name == "Backup carrier"
    assert visit.complaints == []


def test_it_copies_the_operator_id(visit: Visit) -> None:
    operator = make_operator()
    log_in(visit)

    visit.go(f"/admin/operators/operator/{operator.pk}/change/")
    visit.page.click("button.copy")
    visit.page.wait_for_selector("button.copy:has-text('Copied')")

    assert visit.page.evaluate("navigator.clipboard.readText()") == str(operator.pk)


def test_it_moves_several_operators_at_once(visit: Visit) -> None:
    make_operator(name="One")
    make_operator(name="Two")
    log_in(visit)

    visit.go("/admin/operators/operator/")
    visit.page.check("#action-toggle")
    visit.page.select_option("select[name=action]", "activate_selected")
    visit.page.click("button[name=index]")
    visit.page.fill("#id_reason", "Go-live")
    visit.page.click("input[type=submit]")
    visit.page.wait_for_selector("text=done for One, Two")

    assert set(Operator.objects.values_list("status", flat=True)) == {"ACTIVE"}
    assert visit.complaints == []


def test_it_turns_dark_when_asked(visit: Visit) -> None:
    log_in(visit)
    background = "getComputedStyle(document.body).backgroundColor"
    light = visit.page.evaluate(background)

    visit.page.click(".theme-toggle")  # from what the system prefers to its opposite

    assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert visit.page.evaluate(background) != light
    assert visit.complaints == []


def test_it_works_by_keyboard_alone(visit: Visit) -> None:
    operator = make_operator()
    log_in(visit)

    visit.go(f"/admin/operators/operator/{operator.pk}/activate/")
    visit.page.focus("#id_reason")
    visit.page.keyboard.type("By keyboard")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("text=is active.")

    operator.refresh_from_db()
    assert operator.status == "ACTIVE"


def test_it_sends_every_answer_with_the_strict_policy(live_server: LiveServer, db: None) -> None:
    policy = Client().get("/admin/login/")["Content-Security-Policy"]

    assert "script-src 'self'" in policy and "style-src 'self'" in policy
    assert "unsafe" not in policy
