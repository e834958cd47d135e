"""The unmistakable password again, through real processes: what they write, send, export and show of themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import psutil
import pytest
import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from pytest_django import Settings

from config.devcerts import Authority
from deploy.dev.ports import free_port
from operators.models import CredentialRead, Operator
from operators.provisioning import provision_vault
from operators.vault import forget_clients
from tests.audited import AuditedOpenBao
from tests.config.listener import Listener, Mount, running
from tests.integration.test_canary_password import CANARY, Sinks, api_body, database_dump
from tests.servers import CONNECTOR, TestServers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

PASSWORD: Final = "long-enough-for-all"
EXPORTS: Final = (
    "/admin/routing/reports/prices/?format=csv&number=%2B4479",
    "/admin/routing/reports/coverage/?format=csv",
    "/admin/routing/reports/single-operator/?format=csv",
)


class Collector(ThreadingHTTPServer):
    """Take spans as an OpenTelemetry collector does, and keep the bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collect)
        self.taken = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Collect(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.taken += self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@dataclass
class World:
    """The processes that a password goes through, and where each of them could leave it."""

    servers: TestServers
    vault: AuditedOpenBao
    collector: Collector
    listener: Listener
    web: subprocess.Popen[bytes]
    url: str
    metrics_url: str
    home: Path
    environ: dict[str, str]
    answers: list[bytes] = field(default_factory=list)
    exports: list[bytes] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)
    history: list[bytes] = field(default_factory=list)
    idle: subprocess.Popen[bytes] | None = None

    def processes(self) -> list[psutil.Process]:
        started = [self.web, self.listener.process, *([self.idle] if self.idle else [])]
        roots = [psutil.Process(process.pid) for process in started]
        return [process for root in roots for process in (root, *root.children(recursive=True))]

    def of_processes(self, name: str) -> bytes:
        """Read what the kernel shows of each process to others of the same user."""
        found = b""
        for process in self.processes():
            with suppress(ProcessLookupError, FileNotFoundError):  # it has ended meanwhile
                found += Path(f"/proc/{process.pid}/{name}").read_bytes()
        return found

    def metrics_pages(self) -> bytes:
        return b"".join(requests.get(url, timeout=5).content for url in (self.metrics_url, self.listener.metrics_url))


@pytest.fixture
def world(
    servers: TestServers,
    process_env: dict[str, str],
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """Console and internal listener as in production, on an OpenBao with an audit log, with a collector of spans."""
    authority, mount = Authority.create("Tests CA"), Mount(tmp_path / "mount")
    mount.home.mkdir()
    mount.put(authority.issue("localhost", hosts=["localhost"], addresses=["127.0.0.1"], is_server=True), authority)
    with AuditedOpenBao(tmp_path / "openbao", tmp_path / "audit.log") as vault, Collector() as collector:
        threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        settings.VAULT_ADDR = vault.url
        settings.VAULT_TOKENS = {**settings.VAULT_TOKENS, "bootstrap": vault.root_token}
        tokens = provision_vault(issue_tokens=True)
        settings.VAULT_TOKENS = {
            **settings.VAULT_TOKENS,
            **{role: tokens[f"VAULT_{role.upper()}_TOKEN"] for role in ("admin", "internal", "reconciler")},
        }
        metrics_dir = tmp_path / "metrics"
        environ = {
            **{name: value for name, value in process_env.items() if not name.startswith("VAULT_")},
            "VAULT_ADDR": vault.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "LOG_LEVEL": "DEBUG",
        }
        port, metrics_port = free_port(), free_port()
        web_env = {
            **environ,
            "VAULT_ADMIN_TOKEN": tokens["VAULT_ADMIN_TOKEN"],
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "WEB_CONCURRENCY": "1",
            "METRICS_PORT": str(metrics_port),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir),
        }
        with (tmp_path / "web.log").open("wb") as log:
            web = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "config.wsgi", "-c", "config/gunicorn.py"],
                cwd=settings.BASE_DIR,
                env=web_env,
                stdout=log,
                stderr=log,
            )
        try:
            internal_env = {
                **environ,
                "VAULT_INTERNAL_TOKEN": tokens["VAULT_INTERNAL_TOKEN"],
                "INTERNAL_TLS_CERT": str(mount.path("tls.crt")),
                "INTERNAL_TLS_KEY": str(mount.path("tls.key")),
                "INTERNAL_TLS_CA": str(mount.path("ca.crt")),
            }
            home = tmp_path / "internal"
            home.mkdir()
            with running(internal_env, home, workers=1) as listener:
                url = f"http://127.0.0.1:{port}"
                made = World(
                    servers,
                    vault,
                    collector,
                    listener,
                    web,
                    url,
                    f"http://127.0.0.1:{metrics_port}/metrics",
                    tmp_path,
                    environ,
                )
                wait_until(lambda: requests.get(f"{url}/health/live", timeout=2).ok)
                use(made, authority)
                yield made
        finally:
            web.kill()
            web.wait()
            collector.shutdown()
            forget_clients()


def wait_until(check: Callable[[], bool], seconds: float = 90) -> None:
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            if check():
                return
        except requests.RequestException:
            pass
        assert time.monotonic() < give_up_at
        time.sleep(0.1)


def use(world: World, authority: Authority) -> None:
    """Create, rotate, be refused, read, look at it and export, all with the one password."""
    from config.devkeys import sign_token

    bearer = {"Authorization": f"Bearer {sign_token(subject='bob', scope='ops:admin', minutes=5)}"}
    operators = f"{world.url}/v1/admin/operators"
    created = requests.post(operators, json=api_body(), headers=bearer, timeout=10)
    assert created.status_code == 201, created.text
    one = f"{operators}/{created.json()['operatorId']}"
    rotated = requests.patch(one, json={"password": CANARY}, headers={**bearer, "If-Match": '"1"'}, timeout=10)
    assert rotated.status_code == 200, rotated.text
    world.answers += [created.content, rotated.content, requests.get(one, headers=bearer, timeout=5).content]
    world.history.append(requests.get(f"{one}/history", headers=bearer, timeout=5).content)

    as_json, stolen = {**bearer, "Content-Type": "application/json"}, CANARY.encode().hex()
    login = f"{world.url}/admin/login/"
    refused = [
        requests.post(operators, json=api_body(port=0), headers=bearer, timeout=5),
        requests.post(operators, data=f'{{"password": {json.dumps(CANARY)}, ', headers=as_json, timeout=5),
        requests.post(operators, json=api_body(), timeout=5),
        requests.post(operators, json=api_body(), headers={"Authorization": f"Bearer {stolen}"}, timeout=5),
        requests.put(operators, json=api_body(), headers=bearer, timeout=5),
        requests.post(operators, data=api_body(), headers=bearer, timeout=5),
        requests.post(operators, json=api_body(notes="x" * 2_000_000), headers=bearer, timeout=10),
        requests.post(f"{world.url}/v1/admin/nowhere", json=api_body(), headers=bearer, timeout=5),
        requests.get(operators, params={"password": CANARY}, headers=bearer, timeout=5),
        requests.post(login, data={"username": "bob", "password": CANARY}, timeout=5),
        requests.post(f"{world.url}/admin/nowhere/", data={"password": CANARY}, timeout=5),
    ]
    assert all(400 <= answer.status_code < 500 for answer in refused), [answer.status_code for answer in refused]
    world.errors += [answer.content + str(answer.headers).encode() for answer in refused]

    read_as_connector(world, authority, created.json()["operatorId"])
    browse(world, created.json()["operatorId"])
    for command in (["drain_outbox", "--once"], ["export_audit"]):
        ran = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=settings.BASE_DIR,
            env=world.environ,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        world.exports.append(ran.stdout + ran.stderr)


def read_as_connector(world: World, authority: Authority, operator_id: str) -> None:
    """The one answer that may hold it, and two that may not."""
    context = world.listener.context(authority, authority.issue("smpp-connector", uris=[CONNECTOR]))
    for path, status in (
        (f"/v1/internal/operators/{operator_id}/credentials", 200),
        (f"/v1/internal/operators/{operator_id}", 200),
        ("/v1/internal/operators", 200),
        ("/v1/internal/operators/3f2b8c1e-5d0a-4b7e-9a61-0c9e6f1d2a34/credentials", 404),
    ):
        caller = world.listener.connect(context)
        caller.request("GET", path)
        answer = caller.getresponse()
        body = answer.read()
        caller.close()
        assert answer.status == status, body
        if path.endswith("/credentials") and status == 200:
            assert json.loads(body)["password"] == CANARY
            assert answer.headers["Cache-Control"] == "no-store"
        else:
            world.answers.append(body + str(answer.headers).encode())


def browse(world: World, operator_id: str) -> None:
    get_user_model().objects.create_superuser("carla", password=PASSWORD)
    browser = requests.Session()
    browser.get(f"{world.url}/admin/login/", timeout=5)
    login = {"username": "carla", "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    browser.post(f"{world.url}/admin/login/", data=login, timeout=5)
    for tail in ("change/", "history/"):
        page = browser.get(f"{world.url}/admin/operators/operator/{operator_id}/{tail}", timeout=5)
        assert page.status_code == 200
        world.history.append(page.content)
    for address in EXPORTS:
        sheet = browser.get(world.url + address, timeout=5)
        assert sheet.status_code == 200, address
        world.exports.append(sheet.content)


def shown_settings() -> bytes:
    names = [name for name in dir(settings) if name.isupper() and hasattr(settings, name)]
    return repr({name: getattr(settings, name) for name in names}).encode()


def files_of(*homes: Path) -> bytes:
    found = b""
    for home in homes:
        for path in sorted(home.rglob("*")) if home.is_dir() else [home]:
            if path.is_file():
                found += path.read_bytes()
    return found


SINKS: Final[dict[str, Callable[[World], bytes]]] = {
    "log of the console": lambda world: (world.home / "web.log").read_bytes(),
    "log of the internal listener": lambda world: world.listener.log.read_bytes(),
    "spans": lambda world: world.collector.taken,
    "metrics pages": World.metrics_pages,
    "metrics files": lambda world: files_of(world.home / "metrics"),
    "environments": lambda world: world.of_processes("environ"),
    "command lines": lambda world: world.of_processes("cmdline"),
    "broker's disk: streams, KV, dead letters": lambda world: files_of(world.servers.nats.home),
    "Vault's audit log": lambda world: files_of(world.vault.audit),
    "Vault's disk and log": lambda world: files_of(world.vault.home),
    "log of PostgreSQL": lambda world: files_of(world.servers.postgres.log_path),
    "database": lambda world: database_dump(world.servers),
    "answers of both APIs": lambda world: b"".join(world.answers),
    "history": lambda world: b"".join(world.history),
    "exports": lambda world: b"".join(world.exports),
    "error answers": lambda world: b"".join(world.errors),
    "settings": lambda world: shown_settings(),
}


def plant(world: World) -> None:
    """Put the password where it must not be, in each sink by the way that it would take."""
    for path in (world.home / "web.log", world.listener.log, world.vault.audit, world.vault.log_path):
        with path.open("a") as file:
            file.write(CANARY)
    with world.servers.postgres.log_path.open("a") as file:
        file.write(CANARY)
    requests.post(world.collector.url, data=CANARY.encode(), timeout=5)
    count = "import sys; from prometheus_client import Counter; Counter('planted', '', ['x']).labels(sys.argv[1]).inc()"
    subprocess.run(
        [sys.executable, "-c", count, CANARY],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(world.home / "metrics")},
        check=True,
        timeout=30,
    )
    idle = "import time; time.sleep(120)"
    world.idle = subprocess.Popen([sys.executable, "-c", idle, CANARY], env={"PLANTED": CANARY})
    (world.servers.nats.home / "planted").write_text(CANARY)
    Operator.objects.update(notes=CANARY)
    for kept in (world.answers, world.history, world.exports, world.errors):
        kept.append(CANARY.encode())


def searched(world: World) -> Sinks:
    sinks = Sinks()
    for name, collect in SINKS.items():
        sinks.add(name, collect(world))
    return sinks


def logins_of(pid: int) -> set[str]:
    """Name the roles of Vault whose tokens a process has been given."""
    names = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    given = [name.split("=", 1) for name in names if name.startswith("VAULT_")]
    return {name for name, value in given if "TOKEN" in name and value}


def test_it_keeps_a_password_out_of_everything_that_processes_leave_behind(world: World, settings: Settings) -> None:
    wait_until(lambda: b"ops.vault.readCredentials" in world.collector.taken)
    wait_until(lambda: b"ops.vault.writeCredentials" in world.collector.taken)
    sinks = searched(world)

    assert all(sinks.contents.values()), "a sink that caught nothing proves nothing"
    assert b"ops_credentials_read_total" in sinks.contents["metrics pages"]
    assert b"/credentials" in sinks.contents["Vault's audit log"]
    assert b"operator.config.created" in sinks.contents["broker's disk: streams, KV, dead letters"]
    assert b"VAULT_ADMIN_TOKEN" in sinks.contents["environments"]
    assert CredentialRead.objects.count() >= 1
    assert logins_of(world.web.pid) == {"VAULT_ADMIN_TOKEN"}
    assert logins_of(world.listener.process.pid) == {"VAULT_INTERNAL_TOKEN"}
    assert sinks.finds(CANARY) == []

    plant(world)
    settings.PLANTED = CANARY
    try:
        found = {hit.rsplit(" (", 1)[0] for hit in searched(world).finds(CANARY)}
    finally:
        (world.servers.nats.home / "planted").unlink()
        assert world.idle is not None
        world.idle.kill()
        world.idle.wait()
    assert found == set(SINKS), "a sink in which it would not be found"
