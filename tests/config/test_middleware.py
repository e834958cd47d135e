from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from django.utils.functional import SimpleLazyObject
from pytest_django import Settings

from config import urls
from config.middleware import StoresAwayMiddleware, known_user
from operators.errors import VaultUnavailable
from operators.metrics import pg_errors

if TYPE_CHECKING:
    from rest_framework.test import APIClient

    from tests.config.conftest import Lines

WITHIN = 4.0  # seconds; the connect timeout is 2


def fail_with_bug(request: HttpRequest) -> HttpResponse:
    raise LookupError("a bug")


def fail_with_vault(request: HttpRequest) -> HttpResponse:
    raise VaultUnavailable


def change_session_and_lose_database(request: HttpRequest) -> HttpResponse:
    request.session["x"] = 1
    raise OperationalError("gone")


class FaultyMiddleware:
    """Fail outside the view, as a session or login lookup in another middleware would."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.session.get("asks the database")
        return self.get_response(request)


urlpatterns = [
    path("bug", fail_with_bug),
    path("vault", fail_with_vault),
    path("v1/vault", fail_with_vault),
    path("session", change_session_and_lose_database),
    *urls.urlpatterns,
]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


@pytest.fixture
def bare() -> Iterator[Client]:
    """A client of the project with a few views that fail; errors come back as answers, as they do in production."""
    with override_settings(ROOT_URLCONF=__name__):
        yield Client(raise_request_exception=False)


@pytest.fixture
def logged_in(transactional_db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model().objects.create_superuser("carla"))
    assert client.get("/admin/password_change/").status_code == 200
    return client


def count(op: str) -> float:
    return pg_errors.labels(op)._value.get()  # type: ignore[no-any-return]


@pytest.mark.django_db
def test_it_keeps_a_well_formed_request_id(lines: Lines) -> None:
    response = Client().get("/nowhere", headers={"X-Request-ID": "req-0123456789"})
    assert response["X-Request-ID"] == "req-0123456789"
    assert [line["requestId"] for line in lines() if line["message"] == "request"] == ["req-0123456789"]


@pytest.mark.django_db
@pytest.mark.parametrize("asked", ["", "short", "with space in it", "x" * 129, 'quo"te-quote', "new\nline-line"])
def test_it_makes_an_id_where_none_is_well_formed(asked: str) -> None:
    response = Client().get("/nowhere", headers={"X-Request-ID": asked})
    assert str(uuid.UUID(response["X-Request-ID"])) == response["X-Request-ID"]


@pytest.mark.django_db
def test_it_writes_one_access_line_without_the_query(staff_client: Client, lines: Lines) -> None:
    staff_client.get("/admin/password_change/?password=canary")
    (line,) = lines()
    assert line["message"] == "request"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/admin/password_change/", 200)
    assert line["adminId"] == "root-of-tests"
    assert line["durationMs"] > 0
    assert line["traceId"]
    assert "canary" not in str(line)


@pytest.mark.django_db
def test_it_is_silent_about_probes(lines: Lines) -> None:
    Client().get("/health/live")
    assert lines() == []


@pytest.mark.django_db
def test_it_names_the_caller_of_the_api(api: APIClient, lines: Lines) -> None:
    api.get("/v1/admin/operators")
    assert [line["adminId"] for line in lines() if line["message"] == "request"] == ["bob"]


def test_it_does_not_ask_who_somebody_is() -> None:
    def ask() -> object:
        raise AssertionError("this would cost a query")

    request = RequestFactory().get("/")
    request.user = SimpleLazyObject(ask)  # type: ignore[assignment]
    assert known_user(request) == {}


@pytest.mark.django_db
def test_it_tells_a_bug_from_an_outage(bare: Client, lines: Lines) -> None:
    response = bare.get("/bug")
    assert response.status_code == 500
    assert "Retry-After" not in response
    assert any("LookupError: a bug" in line.get("exception", "") for line in lines())


@pytest.mark.django_db
def test_it_answers_503_when_vault_is_away(bare: Client) -> None:
    page, problem = bare.get("/vault"), bare.get("/v1/vault")
    for response in (page, problem):
        assert response.status_code == 503
        assert int(response["Retry-After"]) >= 1
        assert response["Cache-Control"] == "no-store"
    assert "credential store does not answer" in page.content.decode()
    assert problem["Content-Type"] == "application/problem+json"
    assert problem.json()["code"] == "VAULT_UNAVAILABLE"


@pytest.mark.django_db
def test_it_stores_no_session_while_the_database_is_away(bare: Client) -> None:
    before = count("connect")
    response = bare.get("/session")
    assert response.status_code == 503
    assert not response.cookies
    assert count("connect") == before + 1


def test_it_answers_503_on_the_console_and_heals(
    logged_in: Client, postgres_away: Callable[[], None], lines: Lines
) -> None:
    before = count("connect")
    started = time.monotonic()
    response = logged_in.get("/admin/password_change/")
    assert time.monotonic() - started < WITHIN
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "text/html" in response["Content-Type"]
    assert not response.cookies  # the session cookie lives on
    assert count("connect") == before + 1
    outage, access = lines()
    assert outage["message"].startswith("outage: PostgreSQL: ")
    assert (access["message"], access["status"]) == ("request", 503)
    assert not any("exception" in line for line in lines())

    postgres_away()
    assert logged_in.get("/admin/password_change/").status_code == 200


def test_it_answers_503_to_a_login_and_to_the_first_request_on_a_broken_connection(
    transactional_db: None, postgres_away: Callable[[], None]
) -> None:
    client = Client(raise_request_exception=False)
    answers = [client.post("/admin/login/", {"username": "carla", "password": "x" * 12}) for _ in range(2)]
    assert [response.status_code for response in answers] == [503, 503]


def test_it_answers_503_on_the_api_and_heals(api: APIClient, postgres_away: Callable[[], None]) -> None:
    api.raise_request_exception = False
    before = count("connect")
    started = time.monotonic()
    response = api.get("/v1/admin/operators")
    assert time.monotonic() - started < WITHIN
    assert response.status_code == 503
    assert response["Retry-After"]
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "DATABASE_UNAVAILABLE"
    assert count("connect") == before + 1
    postgres_away()
    assert api.get("/v1/admin/operators").status_code == 200


@pytest.mark.parametrize("address", ["/admin/password_change/", "/v1/admin/operators", "/nowhere"])
def test_it_answers_503_when_other_middleware_meets_the_outage(
    settings: Settings, logged_in: Client, postgres_away: Callable[[], None], lines: Lines, address: str
) -> None:
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:-1],
        f"{__name__}.{FaultyMiddleware.__name__}",
        settings.MIDDLEWARE[-1],
    ]
    fresh = Client(raise_request_exception=False)
    fresh.cookies = logged_in.cookies
    response = fresh.get(address)
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert ("json" if address.startswith("/v1/") else "html") in response["Content-Type"]
    assert "Permissions-Policy" in response
    assert not any("exception" in line for line in lines())


def test_it_gives_way_to_the_fallback_where_views_are_wrapped() -> None:
    answer = StoresAwayMiddleware(lambda request: HttpResponse()).process_exception(
        RequestFactory().get("/"), LookupError("a bug")
    )
    assert answer is None


def test_it_counts_what_postgresql_refused_by_kind(transactional_db: None) -> None:
    from config.outages import is_outage, reason, respond

    with pytest.raises(OperationalError) as caught, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 10")
        cursor.execute("SELECT pg_sleep(1)")
    connection.close()
    assert is_outage(caught.value)
    assert reason(caught.value) == "PostgreSQL: SQLSTATE 57014"
    before = count("write"), count("read")
    respond(RequestFactory().post("/admin/"), caught.value)
    respond(RequestFactory().get("/admin/"), caught.value)
    assert (count("write"), count("read")) == (before[0] + 1, before[1] + 1)
