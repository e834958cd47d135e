"""Servers behind mutual TLS, and callers that keep their connections."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from config.devcerts import Authority
from tests.config.listener import HOST, Listener, Mount, running
from tests.servers import CONNECTOR


class Caller:
    """One connection, on which the same few bytes go out and answers are read without a library's help."""

    def __init__(self, listener: Listener, context: ssl.SSLContext) -> None:
        plain = socket.create_connection((HOST, listener.port), timeout=60)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain, server_hostname=HOST)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            some = self._socket.recv(65_536)
            if not some:
                raise ConnectionError("The server closed the connection.")
            head += some
        head, body = head.split(b"\r\n\r\n", 1)
        if b"content-length: " not in head.lower():  # in chunks, where no middleware has counted
            while not body.endswith(b"0\r\n\r\n"):
                body += self._socket.recv(65_536)
            return int(head[9:12]), body
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        parts, left = [body], length - len(body)
        while left > 0:
            parts.append(self._socket.recv(1_048_576))
            left -= len(parts[-1])
        return int(head[9:12]), b"".join(parts)


@contextmanager
def listening(
    application: str = "config.internal_wsgi", *, workers: int = 2, threads: int = 8, **environ: str
) -> Iterator[tuple[Listener, ssl.SSLContext]]:
    """Run an application as the internal listener is run, and give it with the connector's side of the handshake."""
    authority = Authority.create("Bench CA")
    with tempfile.TemporaryDirectory() as home:
        mount = Mount(Path(home))
        mount.put(authority.issue("localhost", hosts=["localhost"], addresses=[HOST], is_server=True), authority)
        files = {"INTERNAL_TLS_CERT": "tls.crt", "INTERNAL_TLS_KEY": "tls.key", "INTERNAL_TLS_CA": "ca.crt"}
        paths = {name: str(mount.path(file)) for name, file in files.items()}
        # Neither the limit per caller nor a silent log would be fair.
        more = {"CREDENTIALS_PER_SECOND": "100000", "CREDENTIALS_BURST": "100000", "LOG_LEVEL": "INFO", **environ}
        with running(
            {**os.environ, **paths}, mount.home, workers=workers, threads=threads, application=application, **more
        ) as listener:
            context = listener.context(authority, authority.issue("connector", uris=[CONNECTOR]))
            # The port answers before the workers are up, which is nothing that a caller should be timed for.
            with Caller(listener, context) as caller:
                caller.get("/health/live")
            yield listener, context
