"""A crawl of the real server, as production runs it, with the rules of a baseline scan for every answer."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

import psycopg
import pytest
import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection

from deploy.dev.ports import free_port
from operators.models import Operator
from tests.integration.baseline import faults, read
from tests.integration.test_staff_rights import World
from tests.servers import TestServers

HOST: Final = "ops.example.com"
PASSWORD: Final = "long-enough-for-all"
MOST_PAGES: Final = 400
MOST_QUERIES: Final = 4
LOGIN: Final = "/admin/login/"
ORIGIN: Final = {"Origin": f"https://{HOST}"}
OPERATORS: Final = "/v1/admin/operators"


@dataclass
class Browser:
    """Speak to the server as the proxy in front of it does, and keep cookies as a browser would over HTTPS."""

    url: str
    https: bool = True
    cookies: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, **kwargs: object) -> requests.Response:
        """Make one request and note which rules its answer breaks."""
        headers = {"Host": HOST, "X-Forwarded-For": "192.0.2.1", **kwargs.pop("headers", {})}  # type: ignore[dict-item]
        if self.https:
            headers["X-Forwarded-Proto"] = "https"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = requests.request(
            method,
            f"{self.url}{path}",
            headers=headers,
            allow_redirects=False,
            timeout=30,
            **kwargs,  # type: ignore[arg-type]
        )
        for text in answer.raw.headers.getlist("Set-Cookie"):
            for name, cookie in SimpleCookie(text).items():
                self.cookies[name] = cookie.value
        self.seen.append((method, path, answer.status_code))
        self.wrong += [f"{method} {path} {answer.status_code}: {fault}" for fault in faults(answer, https=self.https)]
        return answer

    def post(self, path: str, form: dict[str, str], **kwargs: object) -> requests.Response:
        """Send a form as a page of ours would: with its token and its origin."""
        page = self.ask("GET", LOGIN) if "__Host-csrftoken" not in self.cookies else None
        assert page is None or page.status_code == 200
        headers = {"Origin": f"https://{HOST}", "Referer": f"https://{HOST}{path}"}
        return self.ask("POST", path, data={**form, "csrfmiddlewaretoken": self.token}, headers=headers, **kwargs)

    @property
    def token(self) -> str:
        return self.cookies["__Host-csrftoken"]

    def log_in(self, name: str) -> None:
        answer = self.post(LOGIN, {"username": name, "password": PASSWORD, "next": "/admin/"})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


@pytest.fixture(scope="module")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collect the static files as an image does, with hashes in their names."""
    root = tmp_path_factory.mktemp("static")
    environ = {**os.environ, "OPS_ENV": "production", "STATIC_ROOT": str(root)}
    environ["JWT_DEV_KEY_PATH"] = ""
    command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
    subprocess.run(command, cwd=settings.BASE_DIR, env=environ, check=True, timeout=110)
    return root


@pytest.fixture(scope="module")
def gunicorn(
    servers: TestServers,
    provisioned: None,
    django_db_setup: None,
    static_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Run gunicorn with production settings behind a proxy that ends TLS."""
    port = free_port()
    environ = {
        **os.environ,
        "DATABASE_URL": servers.postgres.url_of(connection.settings_dict["NAME"]),
        "OPS_ENV": "production",
        "STATIC_ROOT": str(static_root),
        "ALLOWED_HOSTS": HOST,
        "BEHIND_TLS_PROXY": "true",
        "TRUSTED_PROXIES": "1",
        "JWT_DEV_KEY_PATH": "",
        "ADMIN_API_PER_SECOND": "1",
        "ADMIN_API_BURST": "60",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
    }
    log = tmp_path_factory.mktemp("gunicorn") / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "config.wsgi", "-c", "config/gunicorn.py"],
            cwd=settings.BASE_DIR,
            env=environ,
            stderr=stream,
            stdout=stream,
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            requests.get(f"{url}/health/live", timeout=1)
            break
        except requests.RequestException:
            time.sleep(0.1)
    yield url
    process.kill()
    process.wait()


@pytest.fixture
def server(gunicorn: str, transactional_db: None) -> str:
    """The one server of all tests here; what it counts in memory stays from test to test."""
    return gunicorn


@pytest.fixture
def administrator(server: str) -> Browser:
    """An administrator who is logged in, and one row of everything to look at."""
    world = World()
    assert world.rows
    user = get_user_model().objects.create_user("ada", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name="Administrator"))
    browser = Browser(server)
    browser.log_in("ada")
    return browser


@contextmanager
def away(servers: TestServers, database: str) -> Iterator[None]:
    """Take the test's database from everybody for a while."""
    connection.close()
    with psycopg.connect(servers.postgres.url_of("postgres"), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
        yield
        admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')


def crawl(browser: Browser, *starts: str) -> Counter[str]:
    """Follow every link and asset from these addresses, a few queries of each page, and count what was seen."""
    waiting, known, queries = list(starts), set(starts), Counter[str]()
    counts: Counter[str] = Counter()
    while waiting and sum(counts.values()) < MOST_PAGES:
        path = waiting.pop(0)
        answer = browser.ask("GET", path)
        kind = "static" if path.startswith("/static/") else "page"
        counts[kind] += 1
        found = [answer.headers["Location"]] if answer.is_redirect else []
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            page = read(answer)
            counts["form"] += page.posts
            found += [*page.links, *page.assets]
        elif answer.headers.get("Content-Type", "").startswith("text/css"):
            found += re.findall(r'url\\("?([^")]+)"?\\)', answer.text)
        for link in found:
            target = urlsplit(urldefrag(urljoin(f"https://{HOST}{path}", link)).url)
            address = f"{target.path}?{target.query}" if target.query else target.path
            if target.netloc != HOST or address in known or target.scheme != "https":
                continue
            known.add(address)
            queries[target.path] += 1
            if queries[target.path] <= MOST_QUERIES:
                waiting.append(address)
    return counts


@pytest.mark.timeout(300)
def test_every_page_that_staff_can_reach_keeps_the_rules(administrator: Browser) -> None:
    counts = crawl(administrator, "/", "/admin/", "/v1/docs", "/v1/schema", "/v1/schema?format=json", "/v1/docs.js")

    assert administrator.wrong == []
    statuses = Counter(status for _, _, status in administrator.seen)
    assert set(statuses) <= {200, 302}, [each for each in administrator.seen if each[2] not in (200, 302)]
    assert counts["page"] > 100 and counts["static"] > 20 and counts["form"] > 50, counts


@pytest.mark.timeout(200)
def test_every_refusal_keeps_the_rules(
    administrator: Browser, server: str, token: Callable[..., str], servers: TestServers
) -> None:
    stranger = Browser(server)
    bearer = {"Authorization": f"Bearer {token(sub='dora')}"}
    reader = {"Authorization": f"Bearer {token(scope='ops:read')}"}
    json_type = {"Content-Type": "application/json"}
    big = b'{"name": "' + b"x" * 2_000_000 + b'"}'
    cases: list[tuple[int, Browser, str, str, dict[str, object]]] = [
        (400, administrator, "GET", "/admin/operators/operator/?q=%00", {}),
        (400, stranger, "GET", "/admin/", {"headers": {"Host": "evil.example"}}),
        (400, stranger, "GET", OPERATORS, {"headers": {"Host": "evil.example"}}),
        (400, stranger, "POST", OPERATORS, {"headers": bearer | json_type, "data": "{"}),
        (401, stranger, "GET", OPERATORS, {}),
        (401, stranger, "GET", OPERATORS, {"headers": {"Authorization": "Bearer x.y.z"}}),
        (403, stranger, "POST", LOGIN, {"data": {"username": "ada"}}),
        (403, administrator, "GET", "/admin/auth/group/add/", {}),
        (403, stranger, "POST", OPERATORS, {"headers": reader | json_type, "data": "{}"}),
        (404, stranger, "GET", "/nowhere", {}),
        (404, stranger, "GET", "/static/nowhere.css", {}),
        (404, stranger, "GET", "/static/", {}),
        (404, stranger, "GET", "/static/admin/", {}),
        (404, stranger, "GET", "/v1/nowhere", {}),
        (404, administrator, "GET", "/admin/nowhere/", {}),
        (404, stranger, "GET", f"{OPERATORS}/00000000-0000-4000-8000-000000000000", {"headers": bearer}),
        (405, administrator, "GET", "/admin/logout/", {}),
        (405, stranger, "PUT", OPERATORS, {"headers": bearer | json_type, "data": "{}"}),
        (405, stranger, "TRACE", "/v1/docs", {}),
        (406, stranger, "GET", OPERATORS, {"headers": bearer | {"Accept": "text/csv"}}),
        (413, stranger, "POST", OPERATORS, {"headers": bearer | json_type, "data": big}),
        (
            413,
            administrator,
            "POST",
            "/admin/password_change/",
            {"files": {"file": b"x" * 3_000_000}, "headers": ORIGIN},
        ),
        (415, stranger, "POST", OPERATORS, {"headers": bearer | {"Content-Type": "text/xml"}, "data": "<x/>"}),
        (302, stranger, "GET", "/admin/operators/operator/", {}),
        (302, stranger, "GET", "/admin/nowhere/", {}),
    ]
    wrong = []
    for status, browser, method, path, options in cases:
        answer = browser.ask(method, path, **options)
        if answer.status_code != status:
            wrong.append(f"{method} {path}: {answer.status_code}, not {status}")
    assert wrong == []

    for _ in range(6):
        locked = stranger.post(LOGIN, {"username": "ada", "password": "wrong"})
    assert locked.status_code == 429
    for _ in range(80):
        limited = stranger.ask("GET", OPERATORS, headers=bearer)
        if limited.status_code == 429:
            break
    assert (limited.status_code, limited.json()["code"]) == (429, "RATE_LIMITED")

    other = {"Authorization": f"Bearer {token(sub='carol')}"}
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE operators_auditentry RENAME TO away")
        try:
            assert administrator.ask("GET", "/admin/operators/auditentry/").status_code == 500
            history = f"{OPERATORS}/{Operator.objects.get().pk}/history"
            assert stranger.ask("GET", history, headers=other).status_code == 500
        finally:
            cursor.execute("ALTER TABLE away RENAME TO operators_auditentry")

    with away(servers, connection.settings_dict["NAME"]):
        assert administrator.ask("GET", "/admin/operators/operator/").status_code == 503
        assert stranger.ask("GET", OPERATORS, headers=other).status_code == 503

    assert administrator.wrong + stranger.wrong == []
    statuses = {status for browser in (administrator, stranger) for _, _, status in browser.seen}
    assert statuses >= {302, 400, 401, 403, 404, 405, 406, 413, 415, 429, 500, 503}


def raw(server: str, *lines: str, body: bytes = b"") -> str:
    """Send bytes that no client library would, and read the answer to its end."""
    with socket.create_connection(("127.0.0.1", urlsplit(server).port or 0), timeout=20) as connected:
        connected.sendall("\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1") + body)
        answer = b""
        while chunk := connected.recv(65536):
            answer += chunk
    return answer.decode("latin-1")


HOST_LINE: Final = f"Host: {HOST}"
HTTPS_LINE: Final = "X-Forwarded-Proto: https"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET / HTTP/1.1", HOST_LINE, f"Evil: {'x' * 9000}"), 431),
        (("GET / HTTP/1.1", HOST_LINE, *(f"X-{number}: 1" for number in range(80))), 431),
        ((f"GET /{'x' * 5000} HTTP/1.1", HOST_LINE), 414),
        (("GET <script>alert(1)</script> HTTP/9.9", HOST_LINE), 400),
        (("<script> / HTTP/1.1", HOST_LINE), 400),
        (("POST / HTTP/1.1", HOST_LINE, "Transfer-Encoding: chunked", "Content-Length: 5"), 400),
        (("POST / HTTP/1.1", HOST_LINE, "Content-Length: 5", "Content-Length: 6"), 400),
    ],
    ids=["a long header", "many headers", "a long address", "no HTTP", "no method", "two framings", "two lengths"],
)
def test_what_is_no_http_request_learns_nothing(server: str, lines: tuple[str, ...], status: int) -> None:
    answer = raw(server, *lines)

    head, _, body = answer.partition("\r\n\r\n")
    assert int(head.split()[1]) == status
    assert "script" not in answer and "xxx" not in answer
    assert len(body) < 60 and "<" not in body
    assert "Server:" not in head and "X-Content-Type-Options: nosniff" in head and "no-store" in head


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        (("GET http://evil.example/admin/ HTTP/1.1", HOST_LINE), {302, 400}),
        (("GET http://evil.example/admin/ HTTP/1.1", "Host: evil.example"), {400}),
        (("GET /admin/ HTTP/1.1", "Host: evil.example", f"X-Forwarded-Host: {HOST}"), {400}),
        (("GET /admin/ HTTP/1.1", HOST_LINE, "X-Forwarded-Host: evil.example"), {302}),
        (("GET //evil.example/%2e%2e HTTP/1.1", HOST_LINE), {404}),
        (("GET //evil.example/admin HTTP/1.1", HOST_LINE), {404}),
        (("GET /static/../manage.py HTTP/1.1", HOST_LINE), {404}),
        (("GET /static/%2e%2e/%2e%2e/etc/passwd HTTP/1.1", HOST_LINE), {404}),
        (("GET /admin HTTP/1.1", HOST_LINE), {301, 302}),
        (("OPTIONS * HTTP/1.1", HOST_LINE), {400, 404}),
        (("TRACE /admin/ HTTP/1.1", HOST_LINE, "X-Secret: 31415"), {302, 404, 405}),
        (("CONNECT evil.example:443 HTTP/1.1", HOST_LINE), {400, 404}),
    ],
)
def test_it_leads_nobody_elsewhere(server: str, lines: tuple[str, ...], statuses: set[int]) -> None:
    answer = raw(server, *lines, HTTPS_LINE)

    assert int(answer.split()[1]) in statuses, answer[:300]
    location = re.search(r"(?mi)^location: (.+?)\r$", answer)
    assert location is None or urlsplit(location[1]).netloc in ("", HOST)
    assert "evil.example" not in answer.partition("\r\n\r\n")[0] and "31415" not in answer
    assert "root:" not in answer


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "http:evil"]
)
def test_the_login_leads_only_into_the_console(server: str, target: str) -> None:
    get_user_model().objects.create_user("ada", password=PASSWORD, is_staff=True)
    browser = Browser(server)

    answer = browser.post(f"{LOGIN}?next={target}", {"username": "ada", "password": PASSWORD, "next": target})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_plain_http_is_sent_to_https_and_serves_the_api_no_redirect(server: str) -> None:
    plain = Browser(server, https=False)

    moved = plain.ask("GET", LOGIN)
    assert (moved.status_code, moved.headers["Location"]) == (301, f"https://{HOST}{LOGIN}")
    assert plain.ask("GET", OPERATORS).status_code == 401
    assert plain.wrong == []


def test_a_method_is_what_the_request_line_says(server: str, token: Callable[..., str]) -> None:
    World()
    operator = Operator.objects.get()
    browser = Browser(server)
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        headers = {"Authorization": f"Bearer {token()}", name: "DELETE", "Content-Type": "application/json"}
        answer = browser.ask("POST", f"{OPERATORS}/{operator.pk}?_method=DELETE", headers=headers, data="{}")
        assert answer.status_code == 405
    assert Operator.objects.live().filter(pk=operator.pk).exists()


def test_static_files_come_compressed_and_are_asked_for_once(server: str, static_root: Path) -> None:
    browser = Browser(server)
    name = next(path.name for path in (static_root / "console").glob("console.*.css"))
    address = f"/static/console/{name}"

    small = browser.ask("GET", address, headers={"Accept-Encoding": "gzip"})
    whole = browser.ask("GET", address, headers={"Accept-Encoding": "identity"})
    same = browser.ask("GET", address, headers={"If-Modified-Since": whole.headers["Last-Modified"]})
    unhashed = browser.ask("GET", "/static/console/console.css")

    assert (small.headers["Content-Encoding"], small.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert (whole.headers.get("Content-Encoding"), whole.content) == (None, small.content)
    assert (same.status_code, same.content, unhashed.status_code) == (304, b"", 200)
    assert "immutable" not in unhashed.headers["Cache-Control"]
    assert browser.ask("HEAD", address).status_code == 200
    assert browser.wrong == []


def test_a_form_of_many_fields_or_parts_is_refused(server: str) -> None:
    browser = Browser(server)
    browser.ask("GET", LOGIN)

    fields = browser.ask("POST", LOGIN, data={f"f{number}": "x" for number in range(10_001)}, headers=ORIGIN)
    parts = browser.ask("POST", LOGIN, files=[("f", (None, b"x")) for _ in range(10_001)], headers=ORIGIN)

    assert (fields.status_code, parts.status_code) == (400, 400)
    assert browser.wrong == []
