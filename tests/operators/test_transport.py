"""How a GET is sent to Vault and its answer read, against a server that says what it is told to, byte by byte."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import pytest
import requests

from operators.transport import PlainSession, session

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'


@dataclass
class Asked:
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0


@contextmanager
def answering(*connections: Sequence[Sequence[bytes]]) -> Iterator[Asked]:
    """Serve connections one after the other, each with these answers, each of which leaves in these pieces."""
    asked = Asked()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asked.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1/kv/data/x"

        def serve() -> None:
            for answers in connections:
                connection, _ = listening.accept()
                asked.connections += 1
                with connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for pieces in answers:
                        asked.heads.append(connection.recv(65_536))
                        for piece in pieces:
                            connection.sendall(piece)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(5)


@pytest.fixture
def plain() -> Iterator[Any]:
    with session(connect_timeout=1, read_timeout=1, ca_file="", on_answer=lambda *_, **__: None) as made:
        assert isinstance(made, PlainSession)
        yield made


def test_it_says_what_is_asked_in_one_piece(plain: requests.Session) -> None:
    with answering([[WHOLE]]) as asked:
        found = plain.request("get", asked.url, headers={"X-Vault-Token": "t"}, params={"version": 3})
        assert (found.status_code, found.ok, found.json()) == (200, True, {"a": 1})
    [head] = asked.heads
    lines = head.decode().split("\r\n")
    assert lines[0] == "GET /v1/kv/data/x?version=3 HTTP/1.1"
    assert f"Host: {asked.url.split('/')[2]}" in lines
    assert "X-Vault-Token: t" in lines
    assert lines[-2:] == ["", ""]


@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE[index : index + 1] for index in range(len(WHOLE))],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n", b'{"a"\r\n3\r\n:1}\r\n', b"0\r\n\r\n"],
        [b"HTTP/1.1 200 \r\ncontent-LENGTH:7\r\n\r\n", b'{"a":1}'],
    ],
    ids=["byte by byte", "in chunks", "without a reason"],
)
def test_it_puts_an_answer_together_and_keeps_the_connection(plain: requests.Session, pieces: list[bytes]) -> None:
    with answering([pieces, pieces]) as asked:
        assert [plain.get(asked.url).json() for _ in range(2)] == [{"a": 1}] * 2
    assert asked.connections == 1


@pytest.mark.parametrize(
    "closing",
    [WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n", 1), WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")],
    ids=["by its word", "as HTTP/1.0 does"],
)
def test_it_makes_another_connection_where_the_server_ends_one(plain: requests.Session, closing: bytes) -> None:
    with answering([[closing]], [[WHOLE]]) as asked:
        assert [plain.get(asked.url).json() for _ in range(2)] == [{"a": 1}] * 2
    assert asked.connections == 2


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", WHOLE[:-1], b"SSH-2.0-OpenSSH_9.2\r\n", WHOLE.replace(b"7", b"x", 1), b"\0" * 99],
    ids=["nothing", "half a head", "half a body", "another protocol", "no length", "zeros"],
)
def test_it_takes_nothing_for_an_answer_that_is_none(plain: requests.Session, answer: bytes) -> None:
    with answering([[answer]]) as asked, pytest.raises(requests.ConnectionError):
        plain.get(asked.url)


def test_it_tells_a_silence_from_an_end(plain: requests.Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(requests.ReadTimeout):
        plain.get(f"http://127.0.0.1:{silent.getsockname()[1]}/")


@pytest.mark.parametrize("token", ["a\r\nX-Other: b", "a\nb", "a\0b"])
def test_it_sends_no_header_of_more_than_one_line(plain: requests.Session, token: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.1)
        with pytest.raises(ValueError, match="header"):
            plain.request("get", f"http://127.0.0.1:{silent.getsockname()[1]}/", headers={"X-Vault-Token": token})
        with pytest.raises(TimeoutError):
            silent.accept()
