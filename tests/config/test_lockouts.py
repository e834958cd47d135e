"""The console's log-in: who guesses is locked out, and learns nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY
from pytest_django import Settings

from config.lockouts import UNKNOWN
from tests.operators.console import member_of

pytestmark = pytest.mark.django_db

PASSWORD = "long-enough-for-all"
CANARY = "cAnAry-passw0rd-31415"
LOGIN = "/admin/login/"
ATTEMPTS = "/admin/axes/accessattempt/"


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> None:
    """Hundreds of log-ins would take minutes with the hasher that staff have."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def carla() -> User:
    return get_user_model().objects.create_user("carla", password=PASSWORD, is_staff=True)


def log_in(name: str, password: str = "wrong", *, address: str = "192.0.2.1", **headers: str) -> Any:
    form = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address, headers=headers).post(LOGIN, form)


def fail(name: str, times: int, **kwargs: Any) -> Any:
    for _ in range(times):
        answer = log_in(name, **kwargs)
    return answer


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("ops_console_login_total", {"result": result}) or 0


def test_it_locks_a_name_at_an_address_and_says_what_to_do(carla: User) -> None:
    assert fail("carla", 4).status_code == 200
    locked = fail("carla", 1)

    assert (locked.status_code, locked["Retry-After"]) == (429, "900")
    html = locked.content.decode()
    assert "Too many failed log-ins" in html and "15 minutes" in html and "ask an administrator" in html
    assert log_in("carla", PASSWORD).status_code == 429, "the right password opens nothing now"
    assert log_in("carla", PASSWORD, address="192.0.2.2").status_code == 302, "elsewhere it does"


def test_it_forgets_failures_after_the_right_password_and_after_the_cool_off(carla: User) -> None:
    fail("carla", 4)
    assert log_in("carla", PASSWORD).status_code == 302
    assert fail("carla", 4).status_code == 200
    assert fail("carla", 1).status_code == 429

    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        assert log_in("carla", PASSWORD).status_code == 302


def test_it_does_not_let_knocking_prolong_the_lock(carla: User) -> None:
    fail("carla", 5)

    with time_machine.travel(timezone.now() + timedelta(minutes=10)):
        assert log_in("carla").status_code == 429
    with time_machine.travel(timezone.now() + timedelta(minutes=15, seconds=1)):
        assert log_in("carla", PASSWORD).status_code == 302


def test_it_locks_an_address_that_tries_many_names(carla: User, settings: Settings) -> None:
    settings.LOGIN_FLOOD = 12

    statuses = [log_in(f"guess-{number}").status_code for number in range(12)]

    assert statuses == [200] * 11 + [429]
    assert log_in("carla", PASSWORD).status_code == 429
    assert log_in("carla", PASSWORD, address="192.0.2.2").status_code == 302


def test_one_valid_account_does_not_reset_the_count_of_an_address(carla: User, settings: Settings) -> None:
    settings.LOGIN_FLOOD = 10

    for number in range(9):
        log_in(f"guess-{number}")
    assert log_in("carla", PASSWORD).status_code == 302
    assert log_in("guess-9").status_code == 429


def test_changing_browsers_buys_no_guess(carla: User) -> None:
    statuses = [log_in("carla", user_agent=f"browser {number}").status_code for number in range(6)]

    assert statuses == [200] * 4 + [429] * 2


@pytest.mark.parametrize("name", ["carla", "nobody", "switched-off", "not-staff"])
def test_it_answers_the_same_for_every_name(carla: User, name: str) -> None:
    users = get_user_model().objects
    users.create_user("switched-off", password=PASSWORD, is_staff=True, is_active=False)
    users.create_user("not-staff", password=PASSWORD)
    guess = "wrong" if name == "carla" else PASSWORD

    def told(answer: Any) -> tuple[int, str]:
        html = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())
        return answer.status_code, html.replace(name, "NAME")

    seen = [told(log_in(name, guess)) for _ in range(6)]
    nobody = [told(log_in("somebody-else", "wrong", address="192.0.2.9")) for _ in range(6)]

    assert [(status, html.replace("somebody-else", "NAME")) for status, html in nobody] == seen
    assert [status for status, _ in seen] == [200] * 4 + [429] * 2


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "10.9.9.9, 198.51.100.7", "198.51.100.7"),
        (2, "10.9.9.9, 198.51.100.7, 203.0.113.5", "198.51.100.7"),
        (2, "198.51.100.7", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "nonsense", "192.0.2.1"),
        (1, "198.51.100.7:4711", "192.0.2.1"),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (1, "::ffff:198.51.100.7", "198.51.100.7"),
    ],
)
def test_it_believes_only_the_configured_proxies(
    settings: Settings, proxies: int, forwarded: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies

    log_in("carla", x_forwarded_for=forwarded)

    assert AccessAttempt.objects.get().ip_address == address


def test_a_new_forwarded_address_on_each_request_buys_no_guess(carla: User) -> None:
    statuses = [log_in("carla", x_forwarded_for=f"198.51.100.{number}").status_code for number in range(6)]

    assert statuses[-1] == 429


def test_it_keeps_no_password_wherever_it_is_typed(carla: User, capfd: pytest.CaptureFixture[str]) -> None:
    log_in("carla", CANARY)
    log_in(CANARY, "x")
    for form in ({"username": "carla", "password": "x", "passwort": CANARY}, {"username": "carla", "pass": CANARY}):
        Client().post(f"{LOGIN}?password={CANARY}&next={CANARY}", form)
    fail("carla", 5, password=CANARY)

    assert AccessAttempt.objects.count() == 3
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'ops'::regnamespace")
        tables = [name for (name,) in cursor.fetchall()]
        assert {"axes_accessattempt", "axes_accesslog", "django_session"} <= set(tables)
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}" AS row WHERE row::text LIKE %s', [f"%{CANARY}%"])  # noqa: S608
            assert cursor.fetchone() == (0,), table
    assert CANARY not in capfd.readouterr().err


def test_it_names_unknown_users_only_by_a_fingerprint(carla: User) -> None:
    log_in("carla")
    log_in("nobody")

    names = set(AccessAttempt.objects.values_list("username", flat=True))
    assert "carla" in names
    assert [name for name in names if name.startswith(UNKNOWN) and "nobody" not in name]


def test_it_counts_and_logs_every_attempt(carla: User, capfd: pytest.CaptureFixture[str]) -> None:
    before = {result: counted(result) for result in ("ok", "failed", "locked")}

    fail("carla", 6)
    log_in("carla", PASSWORD, address="192.0.2.2")

    assert {result: counted(result) - before[result] for result in before} == {"ok": 1, "failed": 4, "locked": 2}
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    told = [(line["message"], line["adminId"], line["address"]) for line in lines if line.get("action") == "login"]
    assert told == [
        *[("login failed", "carla", "192.0.2.1")] * 4,
        *[("login locked", "carla", "192.0.2.1")] * 2,
        ("login ok", "carla", "192.0.2.2"),
    ]


def reset_in_the_console(attempt: AccessAttempt) -> None:
    answer = member_of("Administrator").post(ATTEMPTS, {"action": "let_in", "_selected_action": [attempt.pk]})
    assert answer.status_code == 302


def reset_by_the_command(_attempt: AccessAttempt) -> None:
    call_command("axes_reset", verbosity=0)


@pytest.mark.parametrize("reset", [reset_in_the_console, reset_by_the_command])
def test_an_administrator_lets_them_in_again(carla: User, reset: Callable[[AccessAttempt], None]) -> None:
    fail("carla", 3, user_agent="one")
    fail("carla", 2, user_agent="two")
    assert log_in("carla", PASSWORD).status_code == 429

    reset(AccessAttempt.objects.first())

    assert log_in("carla", PASSWORD).status_code == 302


def test_an_administrator_lets_an_address_in_again(carla: User, settings: Settings) -> None:
    settings.LOGIN_FLOOD = 6
    for number in range(6):
        log_in(f"guess-{number}")
    assert log_in("carla", PASSWORD).status_code == 429

    reset_in_the_console(AccessAttempt.objects.first())

    assert log_in("carla", PASSWORD).status_code == 302


def test_it_shows_who_is_locked_out_to_who_may_see(carla: User, settings: Settings) -> None:
    fail("carla", 5)
    fail("nobody", 1, address="192.0.2.9")

    html = member_of("Security officer").get(ATTEMPTS).content.decode()

    assert "Locked" in html and "Counted" in html and "192.0.2.1" in html and "no such user" in html
    assert "let_in" not in html, "seeing is not letting in"
    settings.LOGIN_FLOOD = 5
    assert "Address locked" in member_of("Administrator").get(ATTEMPTS).content.decode()
    assert member_of("Viewer").get(ATTEMPTS).status_code == 403
