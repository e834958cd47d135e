"""How long a peer may take for a request; the two servers' own tests try it on the real ones."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from config import slow_peers
from config.slow_peers import Overdue, PatientSocket, patient
from operators import metrics

Pair = tuple[PatientSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as peer, patient(listener.accept()[0]) as ours:
        ours.setblocking(True)
        yield ours, peer


def counted(part: str = "request") -> float:
    return float(metrics.peers_overdue.labels(part)._value.get())


def drip(peer: socket.socket, *, seconds: float, each: bytes) -> None:
    """Send something every 20 ms, and then say that this was all."""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        peer.sendall(each)
        time.sleep(0.02)
    peer.shutdown(socket.SHUT_WR)


def test_it_gives_up_on_a_peer_that_falls_silent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, peer = pair
    monkeypatch.setattr(slow_peers, "SILENT_SECONDS", 0.1)
    ours.setblocking(True)
    before = counted()
    ours.begin()
    peer.sendall(b"GET / HT")
    assert ours.recv(100) == b"GET / HT"
    with pytest.raises(Overdue):
        ours.recv(100)
    with pytest.raises(Overdue):
        ours.recv(100)
    assert counted() == before + 1, "one request counts once"
    assert ours.gettimeout() == 0.1


def test_it_gives_up_on_a_peer_that_sends_a_byte_now_and_then(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, peer = pair
    monkeypatch.setattr(slow_peers, "REQUEST_SECONDS", 0.5)
    before = counted()
    ours.begin()
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(drip, peer, seconds=2, each=b"x")
        began = time.monotonic()
        with pytest.raises(Overdue):
            while time.monotonic() < began + 1.5:
                ours.recv(100)
        sent.result()
    assert counted() == before + 1


def test_it_waits_for_much_that_comes_steadily(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 bytes a second at the least, each of which bought a hundredth of one."""
    ours, peer = pair
    monkeypatch.setattr(slow_peers, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(slow_peers, "LEAST_RATE", 100)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(drip, peer, seconds=1.5, each=b"x" * 20)
        ours.recv(1)  # it sends
        ours.begin()
        while ours.recv(1000):
            pass
        sent.result()


def test_it_begins_anew_with_each_request(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, peer = pair
    monkeypatch.setattr(slow_peers, "REQUEST_SECONDS", 0.05)
    ours.begin()
    time.sleep(0.1)
    with pytest.raises(Overdue):
        ours.recv(100)
    ours.begin()
    peer.sendall(b"x")
    assert ours.recv(100) == b"x"


def test_it_counts_nothing_where_no_request_is_awaited(pair: Pair) -> None:
    """Gunicorn drains a connection that it closes, with bounds of its own."""
    ours, _ = pair
    before = counted()
    ours.begin()
    ours.end()
    ours.settimeout(0.05)
    with pytest.raises(TimeoutError) as caught:
        ours.recv(100)
    assert not isinstance(caught.value, Overdue)
    assert counted() == before


def test_it_gives_up_on_a_peer_that_takes_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = pair
    monkeypatch.setattr(slow_peers, "SILENT_SECONDS", 0.1)
    ours.setblocking(True)
    before = counted("answer")
    with pytest.raises(BrokenPipeError) as caught:
        ours.sendall(bytes(50_000_000))
    assert caught.value.errno == errno.EPIPE, "by which gunicorn knows it"
    assert counted("answer") == before + 1


def take(peer: socket.socket, *, pause: float, until: Event) -> int:
    taken = 0
    while not until.is_set() and (some := peer.recv(100_000)):
        taken += len(some)
        time.sleep(pause)
    return taken


def test_it_gives_up_on_a_peer_that_takes_too_little(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, peer = pair
    monkeypatch.setattr(slow_peers, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(slow_peers, "LEAST_RATE", 500_000_000)
    before, given_up = counted("answer"), Event()
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(take, peer, pause=0.01, until=given_up)
        with pytest.raises(BrokenPipeError):
            ours.sendall(bytes(100_000_000))
        given_up.set()
        assert taking.result() < 100_000_000
    assert counted("answer") == before + 1


def test_it_sends_for_longer_than_a_peer_may_be_silent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, peer = pair
    monkeypatch.setattr(slow_peers, "SILENT_SECONDS", 1.0)
    ours.setblocking(True)
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(take, peer, pause=0.006, until=Event())
        began = time.monotonic()
        ours.sendall(bytes(30_000_000))
        ours.shutdown(socket.SHUT_WR)
        assert taking.result() == 30_000_000
    assert time.monotonic() - began > 1, "or it was no test"


def test_it_takes_a_connection_once(pair: Pair) -> None:
    ours, _ = pair
    assert patient(ours) is ours
