"""How long a log-in lasts."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from config.groups import ensure_groups
from config.sessions import end_sessions
from tests.operators.console import member_of

pytestmark = pytest.mark.django_db

PASSWORD = "long-enough-for-all"
PAGE = "/admin/"


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> None:
    """Hundreds of log-ins would take minutes with the hasher that staff have."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def carla() -> User:
    ensure_groups()
    user = get_user_model().objects.create_user("carla", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name="Viewer"))
    return user


def logged_in() -> Client:
    client = Client()
    client.get("/admin/login/")
    assert client.post("/admin/login/", {"username": "carla", "password": PASSWORD}).status_code == 302
    return client


def is_in(client: Client, **headers: str) -> bool:
    return client.get(PAGE, headers=headers).status_code == 200


def test_it_ends_after_an_hour_without_use(carla: User) -> None:
    client, begin = logged_in(), timezone.now()

    with time_machine.travel(begin + timedelta(minutes=59)):
        assert is_in(client)
    with time_machine.travel(begin + timedelta(minutes=118)):
        assert is_in(client), "it was used meanwhile"
    with time_machine.travel(begin + timedelta(minutes=178, seconds=1)):
        assert not is_in(client)
        assert not Session.objects.exists()


def test_it_ends_eight_hours_after_the_login_however_it_is_used(carla: User) -> None:
    client, begin = logged_in(), timezone.now()

    for minutes in range(30, 480, 30):
        with time_machine.travel(begin + timedelta(minutes=minutes)):
            assert is_in(client)
    with time_machine.travel(begin + timedelta(hours=8, seconds=1)):
        assert not is_in(client)


def test_what_a_page_fetches_by_itself_is_no_use(carla: User) -> None:
    client, begin = logged_in(), timezone.now()

    for minutes in range(10, 60, 10):
        with time_machine.travel(begin + timedelta(minutes=minutes)):
            assert is_in(client, sec_fetch_dest="empty")
    with time_machine.travel(begin + timedelta(minutes=60, seconds=1)):
        assert not is_in(client)


def test_a_session_without_a_beginning_is_none(carla: User) -> None:
    client = logged_in()
    session = client.session
    del session["began"]
    session.save()

    assert not is_in(client)


def test_it_gets_a_new_key_at_the_login(carla: User) -> None:
    client = Client()
    session = client.session
    session["planted"] = "by somebody else"
    session.save()
    planted = session.session_key or ""
    client.cookies["sessionid"] = planted

    client.post("/admin/login/", {"username": "carla", "password": PASSWORD})

    assert client.cookies["sessionid"].value != planted
    assert not Session.objects.filter(pk=planted).exists()


def test_it_logs_out_by_post_alone(carla: User) -> None:
    client = logged_in()

    assert client.get("/admin/logout/").status_code == 405
    assert is_in(client)
    assert client.post("/admin/logout/").status_code == 200
    assert not is_in(client)
    assert not Session.objects.exists()


def test_it_ends_when_the_password_changes(carla: User) -> None:
    client = logged_in()

    carla.set_password("another-one-for-all")
    carla.save()

    assert not is_in(client)


@pytest.mark.parametrize("change", [{"groups": ["Rate manager"]}, {"is_active": ""}, {"is_staff": ""}])
def test_it_ends_when_an_administrator_changes_the_access(carla: User, change: dict[str, object]) -> None:
    client, other = logged_in(), member_of("Viewer")
    form = {
        "username": "carla",
        "is_active": "on",
        "is_staff": "on",
        "groups": ["Viewer"],
        **change,
    }
    form["groups"] = [Group.objects.get(name=name).pk for name in form["groups"]]  # type: ignore[attr-defined]

    answer = member_of("Administrator").post(
        f"/admin/auth/user/{carla.pk}/change/", {k: v for k, v in form.items() if v}
    )

    assert answer.status_code == 302
    assert not is_in(client)
    assert is_in(other), "nobody else's"


def test_it_goes_on_when_only_the_name_changes(carla: User) -> None:
    client = logged_in()
    group = Group.objects.get(name="Viewer").pk
    form = {"username": "carla", "first_name": "Carla", "is_active": "on", "is_staff": "on", "groups": [group]}

    assert member_of("Administrator").post(f"/admin/auth/user/{carla.pk}/change/", form).status_code == 302

    assert is_in(client)


def test_it_counts_what_it_ends(carla: User) -> None:
    clients = [logged_in(), logged_in()]

    assert end_sessions(carla.pk) == 2
    assert not any(is_in(client) for client in clients)
