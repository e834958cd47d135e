"""What bounds a call to Vault: a deadline over all its requests, and a breaker while Vault is away."""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

POOL_SIZE: Final = 32
_deadline: ContextVar[float | None] = ContextVar("vault_deadline", default=None)


class DeadlinePassed(requests.ConnectionError):
    """There was no time left to send the request."""


class BreakerOpen(Exception):
    """The last calls failed, and it is too early for another try."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bound everything that this thread sends inside; within another deadline the earlier one holds."""
    outer, mine = _deadline.get(), time.monotonic() + seconds
    token = _deadline.set(mine if outer is None else min(outer, mine))
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left() -> float:
    """Return the seconds until the deadline, and a day outside of one."""
    at = _deadline.get()
    return 86_400.0 if at is None else max(0.0, at - time.monotonic())


class _BoundedFile(io.RawIOBase):
    """Read a socket with what is left of the deadline: a socket's own timeout begins anew with every byte."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = time_left()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        own = self._sock.gettimeout()
        self._sock.settimeout(left if own is None else min(own, left))
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(own)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedSocket:
    """What http.client asks of a socket that it reads an answer from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedFile(self._sock))


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(_BoundedSocket(sock), *args, **options)  # type: ignore[arg-type]


class _BoundedConnection(HTTPConnection):
    response_class = _BoundedResponse


class _BoundedTlsConnection(HTTPSConnection):
    response_class = _BoundedResponse


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
        bounded: Any = self.bounded()  # requests hands it on as it is
        return super().send(request, stream, bounded, verify, cert, proxies)

    def bounded(self) -> Timeout:
        left = time_left()
        if left <= 0:
            raise DeadlinePassed
        connect, read = self._timeouts
        return Timeout(total=left, connect=min(connect, left), read=read)


class PlainSession(requests.Session):
    """Send a GET straight through the pool, without what requests does around one: of all that we use nothing.

    That is more than half of the processor's time that a read takes.
    """

    _pool: Any = None  # requests says less of it than urllib3

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        if method not in ("get", "GET") or not isinstance(url, str) or args or options.get("json"):
            return super().request(method, url, *args, **options)
        query = urlencode(options.get("params") or {})
        response = self._get(f"{url}?{query}" if query else url, options.get("headers") or {})
        if response.is_redirect:  # of a standby that does not forward
            return super().request(method, url, **options)
        for refuse in self.hooks["response"]:
            refuse(response)
        return response

    def _get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        adapter = self.get_adapter(url)
        assert isinstance(adapter, DeadlineAdapter)
        if self._pool is None:  # a session talks to one server
            prepared = requests.Request("GET", url).prepare()
            self._pool = adapter.get_connection_with_tls_context(prepared, verify=self.verify or True)
        bounded = adapter.bounded()
        try:
            answer = self._pool.urlopen(
                "GET", url[url.index("/", len("https://")) :], headers=headers, timeout=bounded, retries=False
            )
        except ConnectTimeoutError as error:
            raise requests.ConnectTimeout(error) from None
        except ReadTimeoutError as error:
            raise requests.ReadTimeout(error) from None
        except (HTTPError, OSError) as error:
            raise requests.ConnectionError(error) from None
        response = requests.Response()
        response.status_code, response.reason, response.url = answer.status, answer.reason or "", url
        response.headers = CaseInsensitiveDict(answer.headers)
        response._content = answer.data
        return response


def session(
    *, connect_timeout: float, read_timeout: float, ca_file: str, on_answer: Callable[..., None]
) -> requests.Session:
    """Make a pooled session that takes no proxy, certificate or .netrc from its surroundings."""
    made = PlainSession()
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

    After the pause one call may try, and no other until it is over or `patience` has passed; its success closes the
    breaker.
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

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._retry_at = time.monotonic() + self._pause
