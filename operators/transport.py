"""What bounds a call to Vault: a deadline over all its requests, and a breaker while Vault is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

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


class DeadlineAdapter(HTTPAdapter):
    """Give each request at most our timeouts and what is left of the deadline, whatever its caller asks for."""

    def __init__(self, *, connect_timeout: float, read_timeout: float) -> None:
        self._timeouts = (connect_timeout, read_timeout)
        super().__init__(pool_connections=1, pool_maxsize=POOL_SIZE)

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
        return super().send(request, stream, (min(connect, left), min(read, left)), verify, cert, proxies)


def session(*, connect_timeout: float, read_timeout: float, ca_file: str) -> requests.Session:
    """Make a pooled session that takes no proxy, certificate or .netrc from its surroundings."""
    made = requests.Session()
    made.trust_env = False
    made.verify = ca_file or True
    adapter = DeadlineAdapter(connect_timeout=connect_timeout, read_timeout=read_timeout)
    made.mount("http://", adapter)
    made.mount("https://", adapter)
    return made


def surely_not_sent(error: requests.RequestException) -> bool:
    """Tell whether a request failed before its first byte went out; when in doubt, it does not say so."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(error, DeadlinePassed) or isinstance(reason, ConnectTimeoutError | NewConnectionError)


class Breaker:
    """Fail at once for a while after some failures in a row, so that a silent Vault does not hold every thread.

    After the pause one call at a time may try; its success closes the breaker.
    """

    def __init__(self, *, failures: int = 5, pause: float = 2.0) -> None:
        self._limit = failures
        self._pause = pause
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
            self._retry_at = now + self._pause

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._retry_at = time.monotonic() + self._pause
