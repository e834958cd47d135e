from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nats
import psycopg
import pytest
import requests

from deploy.dev import env_file, packages
from deploy.dev.nats import Nats
from deploy.dev.openbao import OpenBao
from deploy.dev.ports import LOOPBACK, is_free, preferred_port
from deploy.dev.postgres import remove_home
from deploy.dev.process import ServerError, command_line
from deploy.dev.processes import Ended, Processes, Service
from deploy.dev.run import VAULT_TOKENS, services
from deploy.dev.server import Server
from deploy.dev.stack import PROJECT, Stack
from tests.servers import TestServers

OWNED = (
    "DATABASE_URL",
    "NATS_URL",
    "VAULT_ADDR",
    "VAULT_BOOTSTRAP_TOKEN",
    "VAULT_TOKEN",
    "SECRET_KEY",
    "OPS_ENV",
    "ALLOWED_HOSTS",
)


@pytest.fixture(autouse=True)
def no_given_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in OWNED:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def base_dir() -> Iterator[Path]:
    """A directory that PostgreSQL's own user can reach when the tests run as root; pytest closes its own to others."""
    with tempfile.TemporaryDirectory(prefix="ops-stack-") as home:
        Path(home).chmod(0o711)
        yield Path(home) / ".dev"
        remove_home(Path(home) / ".dev" / "postgres")  # it may lie elsewhere, behind a link


@pytest.fixture
def own_nats(base_dir: Path) -> Iterator[Nats]:
    with Nats(base_dir / "nats") as server:
        yield server


def test_it_keeps_data_ports_and_keys_from_one_run_to_the_next(base_dir: Path) -> None:
    with Stack(base_dir) as stack:
        first = stack.environ()
        _write_everywhere(stack)
        env_file.update(stack.env_path, {"VAULT_ADMIN_TOKEN": "written-by-bootstrap"})

    with Stack(base_dir) as stack:
        assert stack.environ() == first
        assert _read_everywhere(stack) == ("in PostgreSQL", "in JetStream", "in Vault")
        assert env_file.read(stack.env_path) == {**first, "VAULT_ADMIN_TOKEN": "written-by-bootstrap"}
        assert stat.S_IMODE(stack.env_path.stat().st_mode) == 0o600

        # A crash in the middle of everything, and a port that somebody took meanwhile.
        for server in stack.servers:
            server.kill()
        assert stack.nats is not None
        taken = stack.nats.port
        with _listener(taken), Stack(base_dir) as again:
            assert again.nats is not None
            assert again.nats.port != taken
            assert _read_everywhere(again) == ("in PostgreSQL", "in JetStream", "in Vault")
            assert json.loads((base_dir / "ports.json").read_text())["nats"] == again.nats.port


def test_it_unseals_vault_again_after_a_restart(servers: TestServers) -> None:
    vault = servers.openbao
    vault.seal()
    try:
        assert vault.is_sealed()
        assert not vault.is_ready()
    finally:
        vault.stop()
        vault.start()
    assert vault.is_ready()


@pytest.mark.parametrize("name", ["postgres", "nats", "openbao"])
def test_a_paused_server_answers_nothing_and_goes_on_afterwards(servers: TestServers, name: str) -> None:
    server: Server = getattr(servers, name)
    server.pause()
    try:
        assert not server.is_ready()
    finally:
        server.resume()
    assert server.is_ready()


def test_the_database_user_may_make_databases_and_the_partition_extension(servers: TestServers) -> None:
    with psycopg.connect(servers.postgres.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE stack_probe")
        try:
            with psycopg.connect(servers.postgres.url_of("stack_probe")) as probe:
                probe.execute("CREATE EXTENSION pg_partman")
                settings = probe.execute(
                    "SELECT current_setting('TimeZone'), current_setting('server_encoding'), inet_server_addr()::text"
                ).fetchone()
        finally:
            connection.execute("DROP DATABASE stack_probe")
    assert settings == ("UTC", "UTF8", "127.0.0.1/32")


def test_it_says_which_port_is_taken_and_shows_the_log(base_dir: Path) -> None:
    with _listener(0) as port, pytest.raises(ServerError, match=f"nats-server ended .*port {port}") as caught:
        Nats(base_dir / "nats", port).start()
    assert "address already in use" in str(caught.value)


def test_it_ends_what_an_earlier_owner_left_running_on_the_same_data(own_nats: Nats) -> None:
    left = own_nats.pid
    with Nats(own_nats.home, own_nats.port) as successor:
        assert successor.is_ready()
        assert not own_nats.is_running
        assert left != successor.pid


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="only util-linux ties a process to its parent")
def test_nothing_outlives_an_owner_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import time; from tests.servers import TestServers; servers = TestServers(); servers.start();"
        "print(*(server.pid for server in servers.all), servers.home, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout as output:
        *pids, home = output.readline().split()
    assert [bool(command_line(int(pid))) for pid in pids] == [True] * 3
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 10
    while any(command_line(int(pid)) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [command_line(int(pid)) for pid in pids] == [""] * 3
    TestServers().stop()  # the next run sweeps up
    assert not Path(home).exists()


def test_it_uses_the_servers_that_the_environment_names(base_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "DATABASE_URL": "postgres://me@db.example/ops",
        "NATS_URL": "nats://bus.example:4222",
        "VAULT_ADDR": "https://vault.example",
        "VAULT_BOOTSTRAP_TOKEN": "given",
    }
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    with Stack(base_dir) as stack:
        assert stack.servers == []
        assert given.items() <= env_file.read(stack.env_path).items()


def test_it_asks_for_a_token_of_a_vault_that_is_not_ours(base_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example")
    with pytest.raises(ServerError, match="VAULT_BOOTSTRAP_TOKEN"):
        Stack(base_dir).start()


def test_it_says_in_one_sentence_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "BIN_PATTERNS", ())
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ServerError, match=r"pg_partman is missing: install it .* or set DATABASE_URL") as caught:
        packages.install_postgres()
    assert "\n" not in str(caught.value)


def test_an_env_file_refuses_a_value_that_would_break_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "env"
    env_file.update(path, {"A": "1"})
    with pytest.raises(ValueError, match="B must be one line"):
        env_file.update(path, {"B": "1\nC=2"})
    assert env_file.read(path) == {"A": "1"}


def test_the_preferred_port_moves_up_when_it_is_taken() -> None:
    with _listener(0) as port:
        assert not is_free(port)
        assert preferred_port(port) > port


def test_each_process_is_given_its_own_vault_token_alone() -> None:
    environs = {service.name: service.environ for service in services(3020, 3021)}
    kept = {name: {variable for variable in VAULT_TOKENS if variable not in environs[name]} for name in environs}
    assert kept == {"web": {"VAULT_ADMIN_TOKEN"}, "internal": {"VAULT_INTERNAL_TOKEN"}, "drain": set(), "ingest": set()}
    assert {
        environs[name][variable] for name in environs for variable in VAULT_TOKENS if variable not in kept[name]
    } == {""}


def test_services_that_ignore_the_request_to_stop_are_killed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("deploy.dev.processes.STOP_SECONDS", 0.2)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
    services = [
        Service("deaf", [sys.executable, "-u", "-c", stubborn], {}),
        Service("brief", [sys.executable, "-c", "import os, sys; sys.exit(int(os.environ['CODE']))"], {"CODE": "3"}),
    ]
    processes = Processes(services, environ={"PATH": os.defpath}, cwd=tmp_path)
    processes.start()
    deadline = time.monotonic() + 10
    while (ended := processes.ended()) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended == Ended("brief", 3)
    printed = ""
    while "deaf  | up" not in printed and time.monotonic() < deadline:
        time.sleep(0.02)
        printed += capsys.readouterr().out
    processes.stop()
    assert "deaf  | up\n" in printed
    assert "deaf did not stop within" in capsys.readouterr().out


def test_a_second_run_in_the_same_clone_is_refused_and_the_first_ends_cleanly(tmp_path: Path) -> None:
    """The real command, in a copy of what it needs, with servers that are told to be elsewhere."""
    clone = tmp_path / "clone"
    shutil.copytree(PROJECT / "deploy", clone / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    elsewhere = {"DATABASE_URL": "postgres://db.example/ops", "NATS_URL": "nats://bus.example", "VAULT_TOKEN": "given"}
    environ = {**os.environ, **elsewhere, "VAULT_ADDR": "https://vault.example"}
    command = [sys.executable, "-m", "deploy.dev.run", "--servers-only"]
    with subprocess.Popen(command, cwd=clone, env=environ, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        while "Stop with Ctrl-C" not in first.stdout.readline():
            assert first.poll() is None
        second = subprocess.run(command, cwd=clone, env=environ, capture_output=True, text=True, check=False)
        assert (second.returncode, second.stderr) == (1, "")
        assert "Already running in this clone (the servers only)" in second.stdout
        first.send_signal(signal.SIGTERM)
        assert first.wait(10) == 0


@contextlib.contextmanager
def _listener(port: int) -> Iterator[int]:
    """Occupy a loopback port, any one for 0, while the block runs."""
    with socket.create_server((LOOPBACK, port)) as listener:
        yield listener.getsockname()[1]


def _write_everywhere(stack: Stack) -> None:
    assert stack.postgres
    assert stack.nats
    assert stack.openbao
    with psycopg.connect(stack.postgres.dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'in PostgreSQL' AS note")

    async def publish(url: str) -> None:
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"in JetStream")
        await client.close()

    asyncio.run(publish(stack.nats.url))
    _vault(stack.openbao, "POST", "sys/mounts/kept", {"type": "kv"})
    _vault(stack.openbao, "POST", "kept/a", {"note": "in Vault"})


def _read_everywhere(stack: Stack) -> tuple[str, str, str]:
    assert stack.postgres
    assert stack.nats
    assert stack.openbao
    with psycopg.connect(stack.postgres.dsn) as connection:
        row = connection.execute("SELECT note FROM kept").fetchone()
    assert row is not None

    async def fetch(url: str) -> bytes:
        client = await nats.connect(url)
        message = await client.jetstream().get_last_msg("KEPT", "kept")
        await client.close()
        return message.data or b""

    message = asyncio.run(fetch(stack.nats.url))
    return row[0], message.decode(), _vault(stack.openbao, "GET", "kept/a").json()["data"]["note"]


def _vault(vault: OpenBao, method: str, path: str, body: dict[str, str] | None = None) -> requests.Response:
    login = {"X-Vault-Token": vault.root_token}
    answer = requests.request(method, f"{vault.url}/v1/{path}", json=body, headers=login, timeout=10)
    answer.raise_for_status()
    return answer
