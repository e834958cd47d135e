"""A TCP proxy that can break: for losing an answer, going silent, or being slow, on real connections."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from enum import StrEnum
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

CHUNK: Final = 65_536
TICK: Final = 0.02


class Mode(StrEnum):
    PASS = "pass"
    BLACKHOLE = "blackhole"  # takes everything, hands on nothing, answers nothing
    RESET_AFTER_REQUEST = "reset-after-request"  # the server does the request; its answer is thrown away, with a reset
    RESET_ONCE = "reset-once"  # the same for one answer, then it passes again
    DELAY = "delay"  # answers come `delay` seconds late
    REFUSE = "refuse"  # connections are reset at once, open ones too


class Proxy:
    """Stand between a client and `target` (host:port or URL); the mode may change at any time, also mid-connection."""

    def __init__(self, target: str, *, mode: Mode = Mode.PASS, delay: float = 0.0) -> None:
        parts = urlsplit(target if "//" in target else f"tcp://{target}")
        assert parts.hostname is not None and parts.port is not None
        self._scheme = parts.scheme
        self._target = (parts.hostname, parts.port)
        self.mode = mode
        self.delay = delay
        self.requests_seen = 0
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(TICK)
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self.mode is Mode.REFUSE:
                _reset(client)
                continue
            thread = threading.Thread(target=self._serve, args=(client,), name="proxy connection", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        """Carry one connection until either side ends it."""
        with contextlib.suppress(OSError), client, socket.create_connection(self._target, timeout=5) as server:
            while not self._closing.is_set():
                if self.mode is Mode.REFUSE:
                    _reset(client)
                    return
                ready, _, _ = select.select([client, server], [], [], TICK)
                if client in ready and not self._carry_request(client, server):
                    return
                if server in ready and not self._carry_answer(client, server):
                    return

    def _carry_request(self, client: socket.socket, server: socket.socket) -> bool:
        data = client.recv(CHUNK)
        if not data:
            return False
        self.requests_seen += 1
        if self.mode is not Mode.BLACKHOLE:
            server.sendall(data)
        return True

    def _carry_answer(self, client: socket.socket, server: socket.socket) -> bool:
        data = server.recv(CHUNK)
        if not data:
            return False
        match self.mode:
            case Mode.BLACKHOLE:
                return True
            case Mode.RESET_AFTER_REQUEST | Mode.RESET_ONCE:
                if self.mode is Mode.RESET_ONCE:
                    self.mode = Mode.PASS
                _reset(client)
                return False
            case Mode.DELAY:
                time.sleep(self.delay)
        client.sendall(data)
        return True


def _reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
