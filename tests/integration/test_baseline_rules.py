"""The rules of the crawl find what they are there for."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import pytest
import requests
from urllib3 import HTTPHeaderDict, HTTPResponse

from tests.integration.baseline import faults

GOOD: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Set-Cookie": "__Host-sessionid=x; HttpOnly; Path=/; SameSite=Lax; Secure",
}
PAGE: Final = (
    '<form method="post"><input name="csrfmiddlewaretoken" value="x"></form><script src="/static/a.js"></script>'
)


def answer(headers: dict[str, str], *, body: str = PAGE, status: int = 200, path: str = "/admin/") -> requests.Response:
    made = requests.Response()
    made.status_code, made.url = status, f"https://ops.example.com{path}"
    made.headers.update(headers)
    made.raw = HTTPResponse(body=BytesIO(), headers=HTTPHeaderDict(headers), preload_content=False)
    made._content = body.encode()
    made.encoding = "utf-8"
    return made


def test_they_find_nothing_in_a_good_answer() -> None:
    assert faults(answer(GOOD)) == []


@pytest.mark.parametrize("name", [name for name in GOOD if name != "Set-Cookie"])
def test_they_miss_every_header(name: str) -> None:
    assert faults(answer({key: value for key, value in GOOD.items() if key != name}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Security-Policy", GOOD["Content-Security-Policy"] + "; script-src 'unsafe-inline'"),
        ("Content-Security-Policy", GOOD["Content-Security-Policy"] + "; script-src *"),
        ("Content-Security-Policy", GOOD["Content-Security-Policy"].replace("frame-ancestors 'none'", "")),
        ("Content-Security-Policy", GOOD["Content-Security-Policy"].replace("object-src 'none'", "object-src 'self'")),
        ("Content-Type", "text/html"),
        ("Strict-Transport-Security", "max-age=600; includeSubDomains"),
        ("Strict-Transport-Security", "max-age=31536000"),
        ("Referrer-Policy", "unsafe-url"),
        ("X-Frame-Options", "ALLOWALL"),
        ("Cache-Control", "private"),
        ("Server", "gunicorn"),
        ("X-Powered-By", "Django"),
        ("Access-Control-Allow-Origin", "*"),
        ("Set-Cookie", "__Host-sessionid=x; Path=/; SameSite=Lax; Secure"),
        ("Set-Cookie", "__Host-sessionid=x; HttpOnly; Path=/; SameSite=Lax"),
        ("Set-Cookie", "__Host-sessionid=x; HttpOnly; Path=/; Secure"),
        ("Set-Cookie", "sessionid=x; HttpOnly; Path=/; SameSite=Lax; Secure"),
        ("Set-Cookie", "__Host-sessionid=x; HttpOnly; Path=/admin; SameSite=Lax; Secure"),
        ("Set-Cookie", "__Host-sessionid=x; HttpOnly; Path=/; SameSite=Lax; Secure; Domain=example.com"),
    ],
)
def test_they_notice_a_weak_header(name: str, value: str) -> None:
    assert faults(answer({**GOOD, name: value}))


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<style>p {}</style>",
        '<p style="color: red">',
        '<p onclick="x()">',
        '<a href="javascript:x()">',
        '<script src="https://cdn.example/a.js"></script>',
        '<link href="//cdn.example/a.css">',
        '<img src="http://evil.example/a.png">',
        '<form method="post"><input name="x"></form>',
        '<form method="post" action="https://evil.example/"><input name="csrfmiddlewaretoken" value="x"></form>',
        '<a href="/x" target="_blank">',
        "<title>Index of /static/</title>",
    ],
)
def test_they_notice_what_a_page_must_not_hold(body: str) -> None:
    assert faults(answer(GOOD, body=body))


@pytest.mark.parametrize(
    "told", ["Traceback (most recent call last)", 'File "/srv/app/x.py"', "psycopg.OperationalError", "Django/5.2"]
)
def test_they_notice_an_error_that_tells(told: str) -> None:
    assert faults(answer(GOOD, body=told, status=500))
    assert not faults(answer(GOOD, body=told)), "a page that works may speak of anything"


@pytest.mark.parametrize(
    ("path", "rule", "is_good"),
    [
        ("/static/console/console.796536429b3e.css", "max-age=315360000, public, immutable", True),
        ("/static/console/console.796536429b3e.css", "max-age=60, public", False),
        ("/static/console/console.css", "max-age=60, public", True),
        ("/static/console/console.css", "public", False),
        ("/admin/", "max-age=315360000, public, immutable", False),
    ],
)
def test_they_know_what_may_be_kept(path: str, rule: str, is_good: bool) -> None:
    assert (faults(answer({**GOOD, "Cache-Control": rule}, path=path)) == []) == is_good


def test_they_refuse_hsts_over_plain_http() -> None:
    plain = {**GOOD, "Set-Cookie": "sessionid=x; HttpOnly; Path=/; SameSite=Lax"}

    assert faults(answer(plain), https=False) == ["HSTS over plain HTTP"]
