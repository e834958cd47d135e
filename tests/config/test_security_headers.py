from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from pytest_django import Settings

if TYPE_CHECKING:
    from django.http import HttpResponseBase
    from rest_framework.test import APIClient


ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
NOTHING_ALLOWED = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")


def assert_hardened(response: HttpResponseBase, *, is_static: bool = False) -> None:
    for name, value in ALWAYS.items():
        assert response[name] == value, name
    assert "camera=()" in response["Permissions-Policy"]
    assert "Server" not in response and "X-Powered-By" not in response
    assert "Access-Control-Allow-Origin" not in response
    if is_static:
        assert "max-age" in response["Cache-Control"]
        return
    assert "no-store" in response["Cache-Control"]
    if "text/html" in response["Content-Type"]:
        policy = dict(part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";") if part)
        assert policy in (POLICY, NOTHING_ALLOWED)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/", 302),
        ("get", "/admin/", 302),
        ("get", "/admin/login/", 200),
        ("post", "/admin/login/", 200),
        ("get", "/nowhere", 404),
        ("get", "/v1/admin/operators", 401),
        ("get", "/v1/nowhere", 404),
        ("get", "/v1/schema", 200),
        ("get", "/health/live", 200),
        ("post", "/health/live", 405),
        ("get", "/metrics", 200),
    ],
)
def test_it_hardens_answers_of_every_status(method: str, path: str, status: int) -> None:
    response = getattr(Client(raise_request_exception=False), method)(path)
    assert response.status_code == status
    assert_hardened(response)


@pytest.mark.django_db
def test_it_hardens_forbidden_posts_bad_hosts_and_static_files() -> None:
    forbidden = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"})
    assert forbidden.status_code == 403
    assert_hardened(forbidden)
    refused = Client(headers={"host": "evil.example"}).get("/admin/")
    assert refused.status_code == 400
    assert_hardened(refused)
    with closing(Client().get("/static/admin/css/base.css")) as static:
        assert static.status_code == 200
        assert_hardened(static, is_static=True)


@pytest.mark.django_db
def test_it_hardens_what_the_api_refuses(api: APIClient) -> None:
    for response in (
        api.post("/v1/admin/operators", "{", content_type="application/json"),
        api.post("/v1/admin/operators", "<x/>", content_type="application/xml"),
        api.put("/v1/admin/operators", {}),
        api.get("/v1/admin/operators/00000000-0000-4000-8000-000000000000"),
    ):
        assert response.status_code in {400, 404, 405, 415}
        assert_hardened(response)


def test_it_hardens_the_page_of_an_outage(postgres_away: Callable[[], None]) -> None:
    response = Client(raise_request_exception=False).post("/admin/login/", {"username": "x", "password": "y" * 12})
    assert response.status_code == 503
    assert_hardened(response)


@pytest.mark.django_db
def test_it_sets_cookies_that_scripts_and_other_sites_cannot_use() -> None:
    get_user_model().objects.create_superuser("carla", password=(password := "long-enough-for-all"))
    client = Client()
    client.get("/admin/login/")
    client.post("/admin/login/", {"username": "carla", "password": password})
    assert set(client.cookies) == {"csrftoken", "sessionid"}
    for cookie in client.cookies.values():
        assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["path"] == "/" and not cookie["domain"]


@pytest.mark.django_db
def test_it_sends_plain_http_to_https_except_for_probes_and_api(settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 31_536_000
    client = Client(raise_request_exception=False)
    moved = client.get("/admin/login/")
    assert (moved.status_code, moved["Location"]) == (301, "https://testserver/admin/login/")
    assert_hardened(moved)
    assert client.get("/v1/admin/operators").status_code == 401
    assert client.get("/health/live").status_code == 200
    secure = client.get("/admin/login/", secure=True)
    assert secure["Strict-Transport-Security"].startswith("max-age=31536000")
