"""How calls to Vault are sent: under a deadline, over kept connections, and not while a breaker is open."""

from __future__ import annotations

import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from ssl import SSLContext, create_default_context
from typing import Any, Final
from urllib.parse import SplitResult, urlencode, urlsplit

import requests
from certifi import where
from httptools import HttpParserError, HttpResponseParser
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.wait import wait_for_read

from operators.deadlines import BoundedResponse, time_left

POOL_SIZE: Final = 32
RECEIVED: Final = 65_536  # bytes at once
READ: Final = frozenset({b"connection", b"location", b"retry-after"})  # of the headers, by anybody here


class DeadlinePassed(requests.ConnectionError):
    """There was no time left to send the request."""


class BreakerOpen(Exception):
    """The last calls failed, and it is too early for another try."""


class _BoundedConnection(HTTPConnection):
    response_class = BoundedResponse


class _BoundedTlsConnection(HTTPSConnection):
    response_class = BoundedResponse


class _BoundedPool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnection


class _BoundedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTlsConnection


class DeadlineAdapter(HTTPAdapter):
    """Give each request at most our timeouts and what is left of the deadline, whatever its caller asks for."""

    def __init__(self, *, connect_timeout: float, read_timeout: float) -> None:
        self._timeouts = (connect_timeout, read_timeout)
        super().__init__(pool_connections=1, pool_maxsize=POOL_SIZE)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _BoundedPool, "https": _BoundedTlsPool}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        left = time_left()
        if left <= 0:
            raise DeadlinePassed
        connect, read = self._timeouts
        bounded: Any = Timeout(total=left, connect=min(connect, left), read=read)  # requests hands it on as it is
        return super().send(request, stream, bounded, verify, cert, proxies)


class _Answer:
    """Collect one response as the parser tells of it; the head's limits are the deadline's."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.is_complete = False
        # The parser's callbacks, by its names.
        self.on_body = self.parts.append

    def on_header(self, name: bytes, value: bytes) -> None:
        if (lowered := name.lower()) in READ:
            self.headers[lowered.decode()] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        self.is_complete = True


class PlainResponse(requests.Response):
    """What came back, without the cookies and the guesses at an encoding that requests keeps: Vault speaks JSON."""

    def __init__(self, url: str, status: int, answer: _Answer) -> None:
        self._content = b"".join(answer.parts)
        self._content_consumed = True
        self.url, self.encoding, self.status_code, self.reason = url, "utf-8", status, ""
        self.headers = CaseInsensitiveDict(answer.headers)


def _close(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()


class PlainSession(requests.Session):
    """Send a GET over a kept connection, without what requests, urllib3 and http.client do around one.

    That is most of the processor's time that a read takes, and of all that they do we use nothing. A session talks to
    one server.
    """

    def __init__(self, *, connect_timeout: float, read_timeout: float) -> None:
        super().__init__()
        self._timeouts = (connect_timeout, read_timeout)
        self._kept: list[socket.socket] = []  # the last used is the next to be used
        weakref.finalize(self, _close, self._kept)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        if method not in ("get", "GET") or not isinstance(url, str) or args or options.get("json"):
            return super().request(method, url, *args, **options)
        params = options.get("params")
        response = self._get(f"{url}?{urlencode(params)}" if params else url, options.get("headers") or {})
        if response.is_redirect:  # of a standby that does not forward
            return super().request(method, url, **options)
        for refuse in self.hooks["response"]:
            refuse(response)
        return response

    def _get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        head = _head(url, headers)
        connection = self._connection(url)
        answer = _Answer()
        parser = HttpResponseParser(answer)
        try:
            self._bound(connection)
            connection.sendall(head)
            while not answer.is_complete:
                parser.feed_data(self._received(connection))
        except (OSError, HttpParserError) as error:
            connection.close()
            kind = requests.ReadTimeout if isinstance(error, TimeoutError) else requests.ConnectionError
            raise kind(error) from None
        response = PlainResponse(url, parser.get_status_code(), answer)
        ends = parser.get_http_version() != "1.1" or response.headers.get("Connection", "").lower() == "close"
        if ends or len(self._kept) >= POOL_SIZE:
            connection.close()
        else:
            self._kept.append(connection)
        return response

    def _bound(self, connection: socket.socket) -> None:
        """Let it wait for what is left of the deadline: a socket's own timeout begins anew with every byte."""
        left = time_left()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        connection.settimeout(min(left, self._timeouts[1]))

    def _received(self, connection: socket.socket) -> bytes:
        self._bound(connection)
        some = connection.recv(RECEIVED)
        if not some:
            raise ConnectionError("The server closed the connection.")
        return some

    def _connection(self, url: str) -> socket.socket:
        """Take a kept connection that the server has not closed meanwhile, or make one."""
        left = time_left()
        if left <= 0:
            raise DeadlinePassed
        while self._kept:
            with suppress(IndexError):  # another thread was faster
                connection = self._kept.pop()
                if not wait_for_read(connection, timeout=0.0):
                    return connection
                connection.close()
        try:
            return self._connected(urlsplit(url), seconds=min(self._timeouts[0], left))
        except OSError as error:
            kind = requests.ConnectTimeout if isinstance(error, TimeoutError) else requests.ConnectionError
            raise kind(error) from None

    def _connected(self, url: SplitResult, seconds: float) -> socket.socket:
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        connection = socket.create_connection((host, port), timeout=seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._trusted.wrap_socket(connection, server_hostname=host) if url.scheme == "https" else connection

    @cached_property
    def _trusted(self) -> SSLContext:
        """Trust whom requests trusts, which sends everything else."""
        return create_default_context(cafile=self.verify if isinstance(self.verify, str) else where())


def _head(url: str, headers: Mapping[str, str]) -> bytes:
    """Write the head of a GET (RFC 9112); raises ValueError where a value would be more than one line."""
    _, _, host, path = url.split("/", 3)
    lines = [f"GET /{path} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if " " in path or not all(map(str.isprintable, lines)):
        raise ValueError("Neither an address nor a header may hold spaces or line breaks.")
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def session(
    *, connect_timeout: float, read_timeout: float, ca_file: str, on_answer: Callable[..., None]
) -> requests.Session:
    """Make a pooled session that takes no proxy, certificate or .netrc from its surroundings."""
    made = PlainSession(connect_timeout=connect_timeout, read_timeout=read_timeout)
    made.trust_env = False
    made.verify = ca_file or True
    adapter = DeadlineAdapter(connect_timeout=connect_timeout, read_timeout=read_timeout)
    made.mount("http://", adapter)
    made.mount("https://", adapter)
    made.hooks["response"] = [on_answer]
    return made


def surely_not_sent(error: requests.RequestException) -> bool:
    """Tell whether a request failed before its first byte went out; when in doubt, it does not say so."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(error, DeadlinePassed) or isinstance(reason, ConnectTimeoutError | NewConnectionError)


class Breaker:
    """Fail at once for a while after some failures in a row, so that a silent Vault does not hold every thread.

    A failure that stands for all calls, as that of a login does, is enough on its own. After the pause one call may
    try, and no other until it is over or `patience` has passed; its success closes the breaker.
    """

    def __init__(self, *, failures: int = 5, pause: float = 2.0, patience: float = 3.0) -> None:
        self._limit = failures
        self._pause = pause
        self._patience = max(pause, patience)
        self._failures = 0
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def guard(self) -> None:
        """Let the call pass or raise BreakerOpen."""
        with self._lock:
            if self._failures < self._limit:
                return
            now = time.monotonic()
            if now < self._retry_at:
                raise BreakerOpen
            self._retry_at = now + self._patience

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0

    def failed(self, *, for_all: bool) -> None:
        with self._lock:
            self._failures = self._limit if for_all else self._failures + 1
            self._retry_at = time.monotonic() + self._pause
