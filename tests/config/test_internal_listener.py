"""Real handshakes with the real server: who gets in, and what happens when certificates are replaced."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from django.conf import settings

from config.devcerts import Authority, Pair
from deploy.dev.ports import free_port
from deploy.dev.process import freeze
from tests.config.listener import HOST, Listener, Mount, environ_of, running, server_pair
from tests.config.sharing import assert_two_share_evenly, connections_of
from tests.servers import CONNECTOR, ROUTER

RESOLVE = "/v1/internal/routes/resolve?to=%2B447700900123"
LIVE = "/health/live"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("Tests CA")


@pytest.fixture
def mount(tmp_path: Path, authority: Authority) -> Mount:
    mount = Mount(tmp_path)
    mount.put(server_pair(authority), authority)
    return mount


@pytest.fixture
def listener(process_env: dict[str, str], mount: Mount) -> Iterator[Listener]:
    with running(environ_of(process_env, mount), mount.home, workers=1) as found:
        yield found


@pytest.fixture
def two_workers(process_env: dict[str, str], mount: Mount) -> Iterator[Listener]:
    with running(environ_of(process_env, mount), mount.home, workers=2) as found:
        yield found


def ask(listener: Listener, context: ssl.SSLContext, address: str = RESOLVE, **headers: str) -> tuple[int, Any]:
    connection = listener.connect(context)
    try:
        connection.request("GET", address, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def said(listener: Listener, context: ssl.SSLContext, request: bytes) -> tuple[bytes, bytes]:
    """Send bytes that need not be HTTP; returns head and body of the answer, after which the connection is closed."""
    plain = socket.create_connection((HOST, listener.port), timeout=30)
    with context.wrap_socket(plain, server_hostname=HOST) as secured:
        secured.sendall(request)
        whole = b"".join(iter(lambda: secured.recv(65_536), b""))
    head, body = whole.split(b"\r\n\r\n", 1)
    return head, body


def served(listener: Listener, context: ssl.SSLContext) -> str:
    """The serial number that the server shows to a new connection."""
    plain = socket.create_connection((HOST, listener.port), timeout=30)
    with context.wrap_socket(plain, server_hostname=HOST) as secured:
        certificate = secured.getpeercert()
    assert certificate
    return str(certificate["serialNumber"])


def serial(pair: Pair) -> str:
    text = f"{pair.certificate.serial_number:X}"
    return text if len(text) % 2 == 0 else f"0{text}"


def test_it_lets_in_the_right_service_and_names_it_in_its_log(listener: Listener, authority: Authority) -> None:
    context = listener.context(authority, authority.issue("router", uris=[ROUTER]))
    status, body = ask(listener, context)
    assert (status, body["outcome"]) == (200, "NO_ROUTE")
    assert ask(listener, context, LIVE) == (200, {"status": "ok"})
    assert ask(listener, context, "/health/ready")[1]["checks"].keys() == {"database", "migrations", "vault"}
    [line] = [line for line in listener.lines("request") if line["status"] == 200]
    assert (line["process"], line["caller"], line["identity"]) == ("internal", "routing-engine", ROUTER)
    assert line["traceId"]
    for nonsense in (b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"):
        head, body = said(listener, context, nonsense)
        assert (
            head.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"Content-Type: application/problem+json\r\n" in head
        )
        problem = json.loads(body)
        assert (problem["status"], problem["code"]) == (400, "INVALID_PAYLOAD")
        assert b"NONSENSE" not in body

    listener.process.send_signal(signal.SIGTERM)
    assert listener.process.wait(25) == 0


def test_it_turns_away_everybody_else(listener: Listener, authority: Authority) -> None:
    now = datetime.now(UTC)
    foreign = Authority.create("Foreign CA")
    namesake = Authority.create("Tests CA")
    at_the_door = {
        "no certificate": None,
        "expired": authority.issue("router", uris=[ROUTER], valid=(now - 2 * HOUR, now - HOUR)),
        "not valid yet": authority.issue("router", uris=[ROUTER], valid=(now + HOUR, now + 2 * HOUR)),
        "another authority": foreign.issue("router", uris=[ROUTER]),
        "another authority of the same name": namesake.issue("router", uris=[ROUTER]),
        "a server's certificate": authority.issue("router", uris=[ROUTER], is_server=True, is_client=False),
    }
    for name, pair in at_the_door.items():
        with pytest.raises((ssl.SSLError, ConnectionError)) as raised:
            ask(listener, listener.context(authority, pair))
        assert isinstance(raised.value, ssl.SSLError), f"{name}: it hears why, by an alert"
    assert listener.counted('ops_internal_refused_total{reason="handshake"}') == len(at_the_door)
    reasons = [line["reason"] for line in listener.lines("internal handshake refused")]
    assert reasons.count("certificate has expired") == 1
    assert reasons.count("certificate is not yet valid") == 1

    inside = {
        "another service": ([CONNECTOR], [], 403),
        "no name": ([], [], 401),
        "two ids": ([ROUTER, CONNECTOR], [], 401),
        "twice the id": ([ROUTER, ROUTER], [], 401),
        "a DNS name that nobody has": ([], ["routing-engine"], 403),
        "prefix": ([ROUTER[:-1]], [], 403),
        "suffix": ([f"{ROUTER}2"], [], 403),
        "trust domain": ([ROUTER.replace("ops.local", "evil.local")], [], 403),
        "upper case": ([ROUTER.replace("routing-engine", "ROUTING-ENGINE")], [], 403),
    }
    for name, (uris, hosts, expected) in inside.items():
        # The common name lies, and so does a header.
        pair = authority.issue(ROUTER[:60], uris=uris, hosts=hosts)
        headers = {"X-Forwarded-Client-Cert": f"URI={ROUTER}"}
        status, body = ask(listener, listener.context(authority, pair), **headers)
        assert (name, status, body["status"]) == (name, expected, expected)
        assert "ops.local" not in json.dumps(body)


def test_it_speaks_tls_1_2_and_1_3_and_never_resumes(listener: Listener, authority: Authority) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = listener.context(authority, authority.issue("router", uris=[ROUTER]))
        context.minimum_version = context.maximum_version = version
        assert ask(listener, context)[0] == 200
    context = listener.context(authority, authority.issue("router", uris=[ROUTER]))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        ask(listener, context)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{HOST}:{listener.port}{LIVE}", timeout=5)


def test_it_serves_new_certificates_without_failing_a_request(
    listener: Listener, mount: Mount, authority: Authority
) -> None:
    """Callers on kept connections and callers on new ones, while server pair and bundle are swapped again and again."""
    successor = Authority.create("Tests CA, next")
    router, next_router = (each.issue("router", uris=[ROUTER]) for each in (authority, successor))
    stop = threading.Event()
    answers: list[int] = []

    def trusting_both(pair: Pair) -> ssl.SSLContext:
        context = listener.context(authority, pair)
        context.load_verify_locations(cadata=successor.pair.certificate_pem.decode())
        return context

    kept_context, new_context = trusting_both(router), trusting_both(router)
    newer_context = trusting_both(next_router)

    def keep_asking() -> None:
        connection = listener.connect(kept_context)
        while not stop.is_set():
            connection.request("GET", RESOLVE)
            answer = connection.getresponse()
            answer.read()
            answers.append(answer.status)
        connection.close()

    def ask_anew() -> None:
        while not stop.is_set():
            answers.append(ask(listener, new_context)[0])

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(work) for work in (keep_asking, keep_asking, ask_anew, ask_anew)]
        while len(answers) < 20 and not any(job.done() for job in jobs):
            time.sleep(0.05)
        for authorities in ((authority,), (authority, successor), (authority, successor)):
            for signer in (authority, successor):
                pair = server_pair(signer)
                mount.put(pair, *authorities)
                assert served(listener, new_context) == serial(pair), "a new connection sees the new certificate"
                time.sleep(0.3)
        assert ask(listener, newer_context)[0] == 200, "while both authorities stand in the bundle"
        seen = len(answers)
        while len(answers) < seen + 20 and not any(job.done() for job in jobs):
            time.sleep(0.05)
        stop.set()
        for job in jobs:
            job.result()
    assert set(answers) == {200}

    mount.put(server_pair(successor), successor)
    assert ask(listener, newer_context)[0] == 200
    with pytest.raises(ssl.SSLError):
        ask(listener, new_context)
    assert listener.process.poll() is None


def test_it_ends_connections_of_an_authority_that_is_gone(
    listener: Listener, mount: Mount, authority: Authority
) -> None:
    connection = listener.connect(listener.context(authority, authority.issue("router", uris=[ROUTER])))
    headers = []
    for turn in range(3):
        if turn == 1:
            mount.put(server_pair(authority), Authority.create("Tests CA, next"))
        connection.request("GET", RESOLVE)
        answer = connection.getresponse()
        answer.read()
        headers.append((answer.status, answer.headers["Connection"]))
        if answer.will_close:
            break
    assert headers == [(200, "keep-alive"), (200, "close")]


@pytest.mark.parametrize("broken", ["half a certificate", "another key", "no authorities", "nothing"])
def test_it_keeps_what_it_has_while_the_new_files_are_broken(
    listener: Listener, mount: Mount, authority: Authority, broken: str
) -> None:
    context = listener.context(authority, authority.issue("router", uris=[ROUTER]))
    assert ask(listener, context)[0] == 200
    pair, other = server_pair(authority), server_pair(authority)
    old = served(listener, context)
    match broken:
        case "half a certificate":
            mount.path("tls.crt").write_bytes(pair.certificate_pem[:300])
        case "another key":
            mount.path("tls.key").write_bytes(other.key_pem)
        case "no authorities":
            mount.path("ca.crt").write_bytes(b"")
        case _:
            for name in ("tls.crt", "tls.key", "ca.crt"):
                mount.path(name).unlink()
    for _ in range(10):
        assert ask(listener, context)[0] == 200
    assert served(listener, context) == old
    warnings = listener.lines("internal TLS files unusable, what was read before stays in force")
    assert 1 <= len(warnings) <= 2, "one for each worker, however many connections come"

    mount.put(pair, authority)
    assert served(listener, context) == serial(pair)


def test_it_answers_more_callers_than_threads_in_turn(
    process_env: dict[str, str], mount: Mount, authority: Authority
) -> None:
    """Each keeps its connection and asks again: a thread that waits for one of them keeps no other waiting."""
    with running(environ_of(process_env, mount), mount.home, workers=1, threads=2) as listener, ExitStack() as stack:
        good = listener.context(authority, authority.issue("router", uris=[ROUTER]))
        assert ask(listener, good)[0] == 200
        callers = [HTTPSConnection(HOST, listener.port, timeout=5, context=good) for _ in range(12)]
        for caller in callers * 5:
            stack.callback(caller.close)
            began = time.monotonic()
            caller.request("GET", LIVE)
            with caller.getresponse() as answer:
                assert (answer.status, answer.read()[:1]) == (200, b"{")
            assert time.monotonic() - began < 1


def test_it_starves_nobody_while_others_ask_without_a_pause(
    process_env: dict[str, str], mount: Mount, authority: Authority
) -> None:
    """A thread that stays with a caller for its next request must leave it when others wait for a thread."""
    with running(environ_of(process_env, mount), mount.home, workers=1, threads=2) as listener:
        good = listener.context(authority, authority.issue("router", uris=[ROUTER]))
        assert ask(listener, good)[0] == 200
        ends = time.monotonic() + 3

        def longest(_: int) -> float:
            took = 0.0
            with closing(HTTPSConnection(HOST, listener.port, timeout=10, context=good)) as caller:
                while (began := time.monotonic()) < ends:
                    caller.request("GET", LIVE)
                    with caller.getresponse() as answer:
                        assert answer.status == 200
                        answer.read()
                    took = max(took, time.monotonic() - began)
            return took

        with ThreadPoolExecutor(6) as pool:
            assert max(pool.map(longest, range(6))) < 1.5


def keep(listener: Listener, context: ssl.SSLContext, stack: ExitStack) -> None:
    """Make one more connection that is kept."""
    connection = stack.enter_context(closing(listener.connect(context)))
    connection.request("GET", LIVE)
    with connection.getresponse() as answer:
        assert answer.status == 200
        answer.read()


def test_its_workers_share_the_connections_evenly(two_workers: Listener, authority: Authority) -> None:
    good = two_workers.context(authority, authority.issue("router", uris=[ROUTER]))
    with ExitStack() as stack:
        assert_two_share_evenly(lambda: keep(two_workers, good, stack), two_workers.process, two_workers.port)


def test_it_takes_the_connections_of_a_worker_that_stands_still_or_is_gone(
    two_workers: Listener, authority: Authority
) -> None:
    good = two_workers.context(authority, authority.issue("router", uris=[ROUTER]))
    assert ask(two_workers, good, LIVE)[0] == 200
    still = psutil.Process(two_workers.process.pid).children()[0]
    freeze(still.pid)
    with ExitStack() as stack:
        began = time.monotonic()
        for _ in range(8):
            keep(two_workers, good, stack)
        took = time.monotonic() - began
        counts = connections_of(two_workers.process, two_workers.port)
        still.kill()
        assert ask(two_workers, good, LIVE)[0] == 200
    assert counts == [8]
    assert took < 4


def test_it_is_not_delayed_by_callers_that_stall(
    process_env: dict[str, str], mount: Mount, authority: Authority
) -> None:
    """Far more of them than threads: silent ones, ones in the middle of the handshake, ones that send bytes slowly."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    hello = outgoing.read()
    with running(environ_of(process_env, mount), mount.home, workers=1, threads=2) as listener, ExitStack() as stack:
        good = listener.context(authority, authority.issue("router", uris=[ROUTER]))
        assert ask(listener, good)[0] == 200
        stalled = []
        for sent in (b"", hello[:1], hello[:20], hello, hello[:-1]) * 4:
            plain = stack.enter_context(socket.create_connection((HOST, listener.port), timeout=5))
            plain.sendall(sent)
            stalled.append(plain)
        # And one that is known, but sends no request.
        idle = stack.enter_context(socket.create_connection((HOST, listener.port), timeout=5))
        stack.enter_context(good.wrap_socket(idle, server_hostname=HOST))
        for _ in range(10):
            began = time.monotonic()
            assert ask(listener, good)[0] == 200
            assert time.monotonic() - began < 1
        # A byte from time to time does not keep a handshake alive beyond its bound.
        slow = stalled[1]
        with pytest.raises(ConnectionError):
            for byte in hello[1:40]:
                time.sleep(0.3)
                slow.sendall(bytes([byte]))
        assert listener.counted('ops_internal_refused_total{reason="handshake"}') == 1
        # Nor do those that still wait hold up the end.
        began = time.monotonic()
        listener.process.send_signal(signal.SIGTERM)
        assert listener.process.wait(15) == 0
        assert time.monotonic() - began < 8


def test_it_gives_up_on_requests_that_do_not_arrive(
    process_env: dict[str, str], mount: Mount, authority: Authority
) -> None:
    """Of callers that are known, and more than there are threads."""
    environ = environ_of(process_env, mount)
    with (
        running(environ, mount.home, workers=1, threads=2, REQUEST_SECONDS="1") as listener,
        ExitStack() as stack,
    ):
        connector = listener.context(authority, authority.issue("connector", uris=[CONNECTOR]))
        assert ask(listener, connector, LIVE)[0] == 200
        halves = []
        for head in (b"GET /v1/inter", b"GET / HTTP/1.1\r\nHost: x\r\n") * 2:
            plain = stack.enter_context(socket.create_connection((HOST, listener.port), timeout=10))
            half = stack.enter_context(connector.wrap_socket(plain, server_hostname=HOST))
            half.sendall(head)
            halves.append(half)
        began = time.monotonic()
        assert ask(listener, connector, LIVE)[0] == 200
        assert time.monotonic() - began < 5, "two threads have given up on two each"
        assert [half.recv(100) for half in halves] == [b""] * 4

        body = b'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"reports": '
        head, answer = said(listener, connector, b"POST /v1/internal/health HTTP/1.1\r\nHost: localhost\r\n" + body)
        assert b" 400 " in head.splitlines()[0]
        problem = json.loads(answer)
        assert (problem["code"], problem["errors"][0]["field"]) == ("INVALID_PAYLOAD", "body")
        assert listener.counted('ops_peers_overdue_total{part="request"}') == 5
        assert [line["level"] for line in listener.lines("peer overdue")] == ["warning"] * 5
        assert not listener.lines("Socket error processing request.")


def test_its_own_pod_can_ask_how_it_is(process_env: dict[str, str], mount: Mount, authority: Authority) -> None:
    def probe(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "config.probe", *arguments]
        environ = {**environ_of(process_env, mount), "INTERNAL_PORT": str(found.port), **changes}
        return subprocess.run(command, cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, timeout=60)

    with running(environ_of(process_env, mount), mount.home, workers=1) as found:
        context = found.context(authority, authority.issue("router", uris=[ROUTER]))
        assert ask(found, context, LIVE)[0] == 200
        assert (probe("live").returncode, probe("live").stdout) == (0, '{"status": "ok"}\n')
        assert '"vault": {"ok": true, "reason": ""}' in probe("ready").stdout
        # The pod's own name opens nothing else.
        own = found.context(authority, server_pair(authority))
        assert ask(found, own)[0] == 403
        foreign = Authority.create("Foreign CA").pair
        foreign.save(mount.home, "foreign")
        failed = probe("live", INTERNAL_TLS_CA=str(mount.home / "foreign.crt"))
        assert (failed.returncode, failed.stdout) == (1, "")
        assert "SSLCertVerificationError" in failed.stderr
        assert probe("deep").stderr.startswith("usage:")
        found.process.send_signal(signal.SIGTERM)
        found.process.wait(25)
        gone = probe("ready")
        assert (gone.returncode, gone.stderr) == (1, "ConnectionRefusedError: [Errno 111] Connection refused\n")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("INTERNAL_TLS_CA", "", "Set INTERNAL_TLS_CERT, INTERNAL_TLS_KEY and INTERNAL_TLS_CA"),
        ("INTERNAL_TLS_KEY", "/nowhere", "No such file or directory"),
        ("INTERNAL_TLS_KEY", "tls.crt", "[SSL]"),
        ("INTERNAL_TLS", "perhaps", "INTERNAL_TLS must be true or false"),
    ],
)
def test_it_does_not_start_without_certificates(
    process_env: dict[str, str], mount: Mount, name: str, value: str, said: str
) -> None:
    wrong = str(mount.path(value)) if value.startswith("tls") else value
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "config.internal_wsgi", "-c", "config/internal_gunicorn.py"],
        cwd=settings.BASE_DIR,
        env={**environ_of(process_env, mount), name: wrong, "HOST": HOST, "INTERNAL_PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert said in done.stderr


def test_it_believes_its_mesh_alone_and_no_header_that_comes_twice(process_env: dict[str, str], tmp_path: Path) -> None:
    """Plain HTTP from a sidecar on the same host, and what a hostile caller would put beside the sidecar's word."""
    ours = f"By=spiffe://ops.local/ns/ops/sa/operators;Hash=ab;URI={ROUTER}"
    name = "X-Forwarded-Client-Cert"
    cases: list[tuple[list[tuple[str, str]], int]] = [
        ([(name, ours)], 200),
        ([(name, f"URI={CONNECTOR},{ours}")], 200),
        ([(name, f"URI={CONNECTOR}"), (name, ours)], 401),
        ([(name, ours), (name, ours)], 401),
        ([(name, ours), (name.upper(), "")], 401),
        ([("X_Forwarded_Client_Cert", ours)], 401),
        ([(name, f"URI={CONNECTOR}"), ("X_Forwarded_Client_Cert", ours)], 403),
        ([("X-Forwarded-For", HOST), ("X-Forwarded-Proto", "https")], 401),
        ([], 401),
    ]
    mesh = {**process_env, "INTERNAL_TLS": "false", "INTERNAL_XFCC_PROXIES": "127.0.0.1"}
    with running(mesh, tmp_path, workers=1) as listener:
        for headers, expected in cases:
            connection = HTTPConnection(HOST, listener.port, timeout=30)
            connection.putrequest("GET", RESOLVE)
            for header in headers:
                connection.putheader(*header)
            connection.endheaders()
            answer = connection.getresponse()
            assert (headers, answer.status) == (headers, expected)
            if expected != 200:
                assert answer.headers["Content-Type"] == "application/problem+json"
                answer.read()
            connection.close()
        # Another loopback address stands for a pod that is no proxy.
        plain = socket.create_connection((HOST, listener.port), timeout=10, source_address=("127.0.0.9", 0))
        with plain:
            plain.sendall(f"GET {RESOLVE} HTTP/1.1\r\nHost: localhost\r\n{name}: {ours}\r\n\r\n".encode())
            assert plain.recv(64).startswith(b"HTTP/1.1 401 ")
