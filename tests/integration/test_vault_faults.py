"""Vault silent, slow, blocked, or answering for somebody else: each call has an end, and Vault is not beaten."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from django.conf import settings
from django.test import Client
from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from deploy.dev.openbao import OpenBao
from operators import login
from operators.errors import VaultUnavailable
from operators.provisioning import provision_vault
from operators.secrets import Secret
from operators.vault import OutcomeUnknown, Role, VaultClient, forget_clients, vault
from tests.audited import AuditedOpenBao
from tests.factories import make_operator
from tests.proxy import Mode, Proxy

WITHIN: Final = 3.6  # seconds: the deadline of 3 s, and a loaded machine
BODY: Final[dict[str, Any]] = {
    "name": "Zain",
    "host": "smpp.zain.example",
    "systemId": "zain_1",
    "tpsLimit": {"maxTps": 10},
    "password": "s3cr3t-8",
}


@pytest.fixture
def path() -> str:
    made = f"ops/operators/{uuid.uuid4()}/credentials"
    vault(Role.BOOTSTRAP).write(made, {"password": Secret("x")}, cas=0)
    return made


def client(role: Role = Role.BOOTSTRAP, *, url: str = "", token: str | None = None, **options: Any) -> VaultClient:
    return VaultClient(
        role,
        url=url or settings.VAULT_ADDR,
        mount=settings.VAULT_MOUNT,
        token=settings.VAULT_TOKENS[role] if token is None else token,
        **options,
    )


def timed(call: Callable[[], object]) -> tuple[float, str]:
    """Return the seconds that a call took, and how it ended."""
    began = time.perf_counter()
    try:
        call()
        outcome = "ok"
    except Exception as error:
        outcome = type(error).__name__
    return time.perf_counter() - began, outcome


def at_once(call: Callable[[], object], threads: int) -> list[tuple[float, str]]:
    gate = threading.Barrier(threads)

    def one(_: int) -> tuple[float, str]:
        gate.wait()
        return timed(call)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def eventually(call: Callable[[], Any], seconds: float = 15) -> Any:
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return call()
        except VaultUnavailable:
            assert time.monotonic() < give_up_at, "it did not heal"
            time.sleep(0.1)


# --- Silence ------------------------------------------------------------------------------------------------------


@contextmanager
def paused(openbao: OpenBao) -> Iterator[None]:
    openbao.pause()
    try:
        yield
    finally:
        openbao.resume()


@pytest.mark.parametrize("is_logged_in", [True, False], ids=["logged in", "before its first login"])
def test_it_ends_every_call_in_time_when_many_threads_call_a_paused_vault(
    openbao: OpenBao, path: str, is_logged_in: bool
) -> None:
    """48 threads are more than the pool has connections; before a login they also queue for it."""
    mine = client()
    if is_logged_in:
        mine.check()
    with paused(openbao):
        first = at_once(lambda: mine.read(path, version=1), 48)
        later = at_once(lambda: mine.read(path, version=1), 48)
    assert {outcome for _, outcome in first + later} == {"VaultUnavailable"}
    assert max(took for took, _ in first) < WITHIN
    assert sorted(took for took, _ in later)[24] < 0.2, "the breaker holds nobody up"
    assert eventually(lambda: mine.read(path, version=1)["password"].reveal()) == "x"


def test_it_holds_nobody_up_after_one_login_that_got_no_answer(path: str) -> None:
    """Without a login no call gets further, so that waiting for five of them to fail would be waiting for nothing."""
    with Proxy(settings.VAULT_ADDR) as proxy:
        mine = client(url=proxy.url, connect_timeout=0.2, read_timeout=1.0)
        proxy.mode = Mode.BLACKHOLE
        assert timed(lambda: mine.read(path, version=1))[1] == "VaultUnavailable"
        time.sleep(login.REFUSED_PAUSE + 0.1)  # shorter than the breaker's
        seen = proxy.requests_seen
        took, outcome = timed(lambda: mine.read(path, version=1))
        assert (outcome, proxy.requests_seen) == ("VaultUnavailable", seen)
        assert took < 0.5

        proxy.mode = Mode.PASS
        assert eventually(lambda: mine.read(path, version=1)["password"].reveal()) == "x"


def test_it_lets_one_call_probe_a_vault_that_was_away(path: str) -> None:
    with Proxy(settings.VAULT_ADDR) as proxy:
        mine = client(url=proxy.url, connect_timeout=0.2, read_timeout=1.0)
        mine.check()
        proxy.mode = Mode.BLACKHOLE
        at_once(lambda: mine.read(path, version=1), 5)
        time.sleep(2.1)  # the breaker's pause
        seen = proxy.requests_seen
        ends = at_once(lambda: mine.read(path, version=1), 16)
        assert proxy.requests_seen == seen + 1
        assert sum(took > 0.5 for took, _ in ends) == 1

        proxy.mode = Mode.PASS
        time.sleep(2.1)
        assert timed(lambda: mine.read(path, version=1))[1] == "ok"
        assert {outcome for _, outcome in at_once(lambda: mine.read(path, version=1), 16)} == {"ok"}


def dribble(head: bytes, *, before: bytes = b"") -> tuple[str, socket.socket]:
    """Answer every request one byte at a time, ten in a second, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(before)
                for byte in head * 10_000:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.1)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", listener


@pytest.mark.parametrize(
    ("dribbled", "before"),
    [
        (b"HTTP/1.1 200 OK", b""),
        (b"X-Filler: x\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b" ", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n\r\n"),
        (b"1\r\n \r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["status line", "headers", "body", "chunks"],
)
def test_it_counts_the_deadline_and_not_the_bytes(dribbled: bytes, before: bytes) -> None:
    """Each byte would begin a socket's own timeout anew."""
    url, listener = dribble(dribbled, before=before)
    with listener:
        mine = client(url=url, token="t", connect_timeout=0.3, read_timeout=0.5)
        took, outcome = timed(lambda: mine.read("ops/operators/x/credentials", version=1))
    assert outcome == "VaultUnavailable"
    assert took < 1.2


def test_it_has_one_deadline_for_login_call_and_retry_together(path: str) -> None:
    with Proxy(settings.VAULT_ADDR, mode=Mode.DELAY, delay=0.7) as proxy:
        mine = client(url=proxy.url, connect_timeout=0.2, read_timeout=0.8)
        took, outcome = timed(lambda: mine.read(path, version=1))
        assert outcome == "VaultUnavailable"
        assert proxy.requests_seen == 2, "the login was answered, and the call was sent"
        assert took < 1.4


def test_it_waits_no_longer_when_the_audit_device_blocks(tmp_path: Path, settings: Settings) -> None:
    """Vault answers nobody while it cannot write its audit log: silence, not an error."""
    pipe = tmp_path / "audit"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)  # a writer finds somebody at the other end, who does not read
    may_read = threading.Event()
    may_read.set()
    stopping = threading.Event()

    def drain() -> None:
        os.set_blocking(reader, False)
        while not stopping.is_set():
            try:
                if may_read.is_set() and os.read(reader, 65536):
                    continue
            except BlockingIOError:
                pass
            time.sleep(0.005)

    draining = threading.Thread(target=drain, daemon=True)
    draining.start()
    try:
        with AuditedOpenBao(tmp_path / "openbao", pipe) as bao:
            mine = client(url=bao.url, token=bao.root_token, connect_timeout=0.3, read_timeout=0.7)
            eventually(mine.check)
            may_read.clear()
            ends = [timed(mine.check) for _ in range(60)]
            assert "VaultUnavailable" in {outcome for _, outcome in ends}, "the pipe took everything"
            assert max(took for took, _ in ends) < 1.6
            may_read.set()
            eventually(mine.check)
    finally:
        may_read.set()
        stopping.set()
        draining.join()
        os.close(reader)


# --- Answers ------------------------------------------------------------------------------------------------------


class Standing(ThreadingHTTPServer):
    """Stand where Vault should be: know every token, and answer everything else as told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Standing)
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b"", {})
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Standing(BaseHTTPRequestHandler):
    server: Standing

    def respond(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/lookup-self"):
            self.send(200, b'{"data": {"id": "t", "ttl": 0, "renewable": false}}', {})
        else:
            self.server.asked += 1
            self.send(*self.server.answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_LIST = respond  # noqa: N815 - the library's names

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def standing() -> Iterator[Standing]:
    with Standing() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def told(*errors: str) -> bytes:
    return json.dumps({"errors": list(errors)}).encode()


# Status, body, what it means, whether a write may have been done all the same.
ANSWERS: Final[dict[str, tuple[int, bytes, str, bool]]] = {
    "sealed": (503, told("Vault is sealed"), "sealed", False),
    "not initialised": (501, told("Vault is not initialized"), "not initialised", False),
    "standby without a leader": (500, told("local node not active but active cluster node not found"), "leader", False),
    "disaster recovery secondary": (472, told(), "no leader", False),
    "performance standby": (473, told(), "no leader", False),
    "standby without active node": (474, told(), "no leader", False),
    "removed from the cluster": (530, told(), "no leader", False),
    "behind the last write": (412, told("required index state not present"), "caught up", False),
    "over its quota": (429, told("request path: rate limit quota exceeded"), "less often", False),
    "forbidden": (403, told("permission denied"), "its policy forbids it", False),
    "a bad request": (400, told("something is wrong"), "refused", False),
    "a proxy without Vault": (502, b"<html>Bad Gateway</html>", "answer", True),
    "a proxy that gave up": (504, b"<html>Gateway Timeout</html>", "answer", True),
    "a proxy that is busy": (503, b"<html>no healthy upstream</html>", "answer", True),
    "an error of its own": (500, told("internal error"), "answer", True),
    "no JSON": (200, b"<html>Welcome</html>", "answer", True),
    "an empty answer": (200, b"", "answer", True),
    "JSON of another kind": (200, b"[]", "answer", True),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_it_says_what_an_answer_means(standing: Standing, name: str) -> None:
    status, body, words, may_be_done = ANSWERS[name]
    standing.answer = (status, body, {})
    mine = client(url=standing.url, token="t")
    with pytest.raises(VaultUnavailable, match=words):
        mine.read("ops/operators/x/credentials", version=1)
    assert standing.asked == (2 if status == 412 else 1), "only a standby that lags is asked again"

    with pytest.raises(VaultUnavailable, match=words) as writing:
        mine.write("ops/operators/x/credentials", {"password": Secret("x")}, cas=0)
    assert isinstance(writing.value, OutcomeUnknown) is may_be_done
    assert writing.value.status == 503 and (writing.value.retry_after or 0) >= 1


@pytest.mark.parametrize(
    ("header", "expected"), [("7", 7), ("1", 1), ("0", 5), ("99999", 60), ("soon", 5), ("-3", 5), ("9" * 30, 5)]
)
def test_it_hands_on_when_a_quota_allows_another_try(standing: Standing, header: str, expected: int) -> None:
    standing.answer = (429, told("rate limit quota exceeded"), {"Retry-After": header})
    with pytest.raises(VaultUnavailable) as refused:
        client(url=standing.url, token="t").read("ops/operators/x/credentials", version=1)
    assert refused.value.retry_after == expected


@pytest.mark.django_db(transaction=True)
def test_it_answers_503_and_when_to_come_back(standing: Standing, settings: Settings, api: APIClient) -> None:
    standing.answer = (429, told("rate limit quota exceeded"), {"Retry-After": "11"})
    settings.VAULT_ADDR = standing.url
    answer = api.post("/v1/admin/operators", BODY)
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "VAULT_UNAVAILABLE", "11")
    forget_clients()


def test_it_leaves_a_vault_alone_that_is_ill_and_not_one_that_only_says_no(standing: Standing) -> None:
    for name, (status, body, _, _) in ANSWERS.items():
        standing.answer, standing.asked = (status, body, {}), 0
        mine = client(url=standing.url, token="t")
        for _ in range(8):
            with pytest.raises(VaultUnavailable):
                mine.read("ops/operators/x/credentials", version=1)
        is_ill = status >= 500 or status in (472, 473, 474) or status == 200
        assert standing.asked == (5 if is_ill else 16 if status == 412 else 8), name


# --- What does not need Vault ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_it_serves_lists_and_reports_as_ever_while_vault_is_paused(
    openbao: OpenBao, api: APIClient, staff_client: Client
) -> None:
    operator = make_operator()
    url = f"/v1/admin/operators/{operator.pk}"
    readers: tuple[Callable[[], Any], ...] = (
        lambda: api.get("/v1/admin/operators"),
        lambda: api.get(url),
        lambda: api.get(f"{url}/history"),
        lambda: api.get(f"{url}/health/status"),
        lambda: staff_client.get("/admin/operators/operator/"),
        lambda: staff_client.get(f"/admin/operators/operator/{operator.pk}/change/"),
        lambda: staff_client.get("/admin/"),
    )
    for read in readers:
        read()
    forget_clients()
    with paused(openbao):
        for read in readers:
            began = time.perf_counter()
            assert read().status_code == 200
            assert time.perf_counter() - began < 1.0
        took, _ = timed(lambda: api.post("/v1/admin/operators", BODY))
        assert took < WITHIN
    eventually_created = time.monotonic() + 15
    while api.post("/v1/admin/operators", BODY).status_code != 201:
        assert time.monotonic() < eventually_created, "it did not heal"
        time.sleep(0.2)
    forget_clients()


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("ops_vault_auth_total", {"result": result}) or 0


def test_it_raises_the_alarm_when_its_policy_is_taken_away_and_heals_when_it_is_back(path: str) -> None:
    root, mine = vault(Role.BOOTSTRAP), client(Role.INTERNAL)
    assert mine.read(path, version=1)["password"].reveal() == "x"
    denied, refused = counted("denied"), counted("error")
    root.request(
        "put", "sys/policies/acl/ops-internal", {"policy": 'path "secret/data/nothing" { capabilities = ["read"] }'}
    )
    try:
        for _ in range(5):
            with pytest.raises(VaultUnavailable, match="its policy forbids it"):
                mine.read(path, version=1)
    finally:
        provision_vault(issue_tokens=False)
    assert counted("denied") == denied + 5
    assert counted("error") == refused
    assert mine.read(path, version=1)["password"].reveal() == "x"
