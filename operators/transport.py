"""How calls to Vault are sent: under a deadline, over kept connections, and not while a breaker is open."""

from __future__ import annotations

import http.client
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
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.wait import wait_for_read

from operators.deadlines import BoundedResponse, time_left

POOL_SIZE: Final = 32


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


def _close(connections: list[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


class PlainSession(requests.Session):
    """Send a GET over http.client, without what requests and urllib3 do around one: of all that we use nothing.

    That is two thirds of the processor's time that a read takes. A session talks to one server.
    """

    def __init__(self, *, connect_timeout: float, read_timeout: float) -> None:
        super().__init__()
        self._timeouts = (connect_timeout, read_timeout)
        self._kept: list[http.client.HTTPConnection] = []  # the last used is the next to be used
        weakref.finalize(self, _close, self._kept)

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
        connection = self._connection(url)
        try:
            connection.request("GET", url[url.index("/", len("https://")) :], headers=headers)
            answer = connection.getresponse()
            response = requests.Response()
            response._content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            kind = requests.ReadTimeout if isinstance(error, TimeoutError) else requests.ConnectionError
            raise kind(error) from None
        if answer.will_close or len(self._kept) >= POOL_SIZE:
            connection.close()
        else:
            self._kept.append(connection)
        response.status_code, response.reason, response.url = answer.status, answer.reason, url
        response.headers = CaseInsensitiveDict(answer.getheaders())
        return response

    def _connection(self, url: str) -> http.client.HTTPConnection:
        """Take a kept connection that the server has not closed meanwhile, or make one."""
        left = time_left()
        if left <= 0:
            raise DeadlinePassed
        while self._kept:
            with suppress(IndexError):  # another thread was faster
                connection = self._kept.pop()
                if not wait_for_read(connection.sock, timeout=0.0):
                    return connection
                connection.close()
        connect, read = self._timeouts
        connection = self._new(urlsplit(url), timeout=min(connect, left))
        try:
            connection.connect()
        except OSError as error:
            kind = requests.ConnectTimeout if isinstance(error, TimeoutError) else requests.ConnectionError
            raise kind(error) from None
        connection.sock.settimeout(read)
        return connection

    @cached_property
    def _trusted(self) -> SSLContext:
        """Trust whom requests trusts, which sends everything else."""
        return create_default_context(cafile=self.verify if isinstance(self.verify, str) else where())

    def _new(self, url: SplitResult, timeout: float) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection
        if url.scheme == "https":
            made = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=timeout, context=self._trusted)
        else:
            made = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
        made.response_class = BoundedResponse
        return made


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
