"""The real server in a process of its own, through an outage and back."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection

from deploy.dev.ports import free_port
from tests.config.sharing import assert_two_share_evenly

if TYPE_CHECKING:
    from deploy.dev.postgres import Postgres

PASSWORD = "long-enough-for-all"
WITHIN = 4.0  # seconds


@dataclass
class Web:
    process: subprocess.Popen[bytes]
    url: str
    metrics_url: str
    log: Path
    metrics_dir: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def counted(self, name: str) -> float:
        page = requests.get(self.metrics_url, timeout=5).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        assert found, name
        return float(found[1])


@pytest.fixture
def web(request: pytest.FixtureRequest, process_env: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    """Run gunicorn as production does, on this test's database, and with what a test sets in its environment."""
    port, metrics_port = free_port(), free_port()
    metrics_dir = tmp_path / "metrics"
    metrics_dir.mkdir()
    (metrics_dir / "counter_1.db").write_bytes(b"left over")
    log = tmp_path / "log"
    environ = {
        **process_env,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir),
        **getattr(request, "param", {}),
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "config.wsgi", "-c", "config/gunicorn.py"],
            cwd=settings.BASE_DIR,
            env=environ,
            stderr=stream,
            stdout=stream,
        )
        made = Web(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics", log, metrics_dir)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            try:
                requests.get(f"{made.url}/health/live", timeout=1)
                break
            except requests.RequestException:
                time.sleep(0.1)
        yield made
        process.kill()
        process.wait()


def logged_in(web: Web) -> tuple[requests.Session, str]:
    """Log a superuser in; return the browser and a page that asks for session and user and nothing else."""
    get_user_model().objects.create_superuser("carla", password=PASSWORD)
    browser = requests.Session()
    browser.get(f"{web.url}/admin/login/", timeout=5)
    token = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    browser.post(f"{web.url}/admin/login/", {"username": "carla", "password": PASSWORD, **token}, timeout=5)
    page = f"{web.url}/admin/password_change/"
    assert browser.get(page, timeout=5, allow_redirects=False).status_code == 200
    return browser, page


def test_it_serves_logs_counts_and_stops_as_production_expects(web: Web) -> None:
    for _ in range(20):
        answer = requests.get(f"{web.url}/admin/login/?password=canary", timeout=5)
    assert answer.status_code == 200
    assert "Server" not in answer.headers
    probe = requests.get(f"{web.url}/health/live", headers={"Host": "10.1.2.3"}, timeout=5)
    assert (probe.status_code, probe.headers["Content-Length"]) == (200, str(len(probe.content)))
    # Both workers are counted, whichever answers, and twice in the same way.
    name = 'django_http_responses_total_by_status_view_method_total{method="GET",status="200",view="admin:login"}'
    assert [web.counted(name) for _ in range(3)] == [20.0] * 3
    assert "ops_outbox_pending 0.0" in requests.get(f"{web.url}/metrics", timeout=5).text
    assert not (web.metrics_dir / "counter_1.db").exists()

    web.process.send_signal(signal.SIGTERM)
    assert web.process.wait(25) == 0
    lines = web.lines()
    assert {line["process"] for line in lines} == {"web"}
    accesses = [line for line in lines if line["message"] == "request"]
    assert len(accesses) == 20
    assert all(line["path"] == "/admin/login/" and line["traceId"] for line in accesses)
    assert "canary" not in web.log.read_text()


def test_its_workers_share_the_connections_evenly(web: Web) -> None:
    kept = []

    def keep() -> None:
        browser = requests.Session()
        kept.append(browser)
        assert browser.get(f"{web.url}/health/live", timeout=5).status_code == 200

    try:
        assert_two_share_evenly(keep, web.process, int(web.url.rpartition(":")[2]))
    finally:
        for browser in kept:
            browser.close()


@pytest.mark.parametrize("web", [{"WEB_CONCURRENCY": "1", "WEB_THREADS": "2", "REQUEST_SECONDS": "1"}], indirect=True)
def test_it_gives_up_on_requests_that_do_not_arrive(web: Web, token: Callable[..., str]) -> None:
    """More of them than threads: heads that end in the middle, and a body of which nothing more comes."""
    address = urlsplit(web.url)
    whole = (
        "POST /v1/admin/operators HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f'Authorization: Bearer {token()}\r\nContent-Length: 1000\r\n\r\n{{"name": '
    ).encode()
    with ExitStack() as stack:
        halves = [
            stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=10))
            for _ in range(4)
        ]
        for half, sent in zip(halves, (whole[:4], whole[:60], whole[:100], whole), strict=True):
            half.sendall(sent)
        began = time.monotonic()
        assert requests.get(f"{web.url}/health/live", timeout=10).status_code == 200
        assert time.monotonic() - began < 5, "two threads have given up on two each"
        *nothing, answer = [b"".join(iter(partial(half.recv, 65_536), b"")) for half in halves]
    assert nothing == [b""] * 3
    head, body = answer.split(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    problem = json.loads(body)
    assert (problem["code"], problem["errors"][0]["field"]) == ("INVALID_PAYLOAD", "body")
    assert web.counted('ops_peers_overdue_total{part="request"}') == 4
    assert not [line for line in web.lines() if line["level"] == "error"]


def test_it_answers_503_during_an_outage_and_heals_without_a_restart(web: Web, postgres_server: Postgres) -> None:
    browser, page = logged_in(web)
    postgres_server.stop()
    try:
        for _ in range(8):  # every worker and thread with a connection meets it
            started = time.monotonic()
            away = browser.get(page, timeout=10, allow_redirects=False)
            assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
            assert time.monotonic() - started < WITHIN
        assert requests.get(f"{web.url}/health/live", timeout=5).status_code == 200
        assert requests.get(f"{web.url}/health/ready", timeout=5).status_code == 503
        assert web.counted('ops_pg_errors_total{op="connect"}') >= 8
    finally:
        postgres_server.start()
        connection.close()
    healed = [browser.get(page, timeout=5, allow_redirects=False).status_code for _ in range(8)]
    assert healed == [200] * 8


def test_it_refuses_to_start_with_wrong_settings(process_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import config.wsgi"],
        cwd=settings.BASE_DIR,
        env={**process_env, "OPS_ENV": "production", "SECRET_KEY": "short", "JWT_DEV_KEY_PATH": "dev-key.pem"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "config.E001" in done.stderr
    assert "config.E006" in done.stderr


def test_it_answers_503_while_postgresql_is_frozen(web: Web, postgres_server: Postgres) -> None:
    browser, page = logged_in(web)

    postgres_server.pause()
    try:
        for _ in range(4):
            started = time.monotonic()
            assert browser.get(page, timeout=15, allow_redirects=False).status_code == 503
            assert time.monotonic() - started < WITHIN + 1  # health check and connect, 2 s each
    finally:
        postgres_server.resume()
    assert browser.get(page, timeout=5, allow_redirects=False).status_code == 200
