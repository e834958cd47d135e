"""Gunicorn's thread worker with handshakes that hold no thread: a caller that stalls delays nobody but itself."""

from __future__ import annotations

import logging
import selectors
import ssl
import threading
import time
from typing import Any, Final

from gunicorn import http, util
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from config.tls import PeerSocket, wrapped

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 5.0
# For the alert to arrive: closing over unread bytes would reset the connection and take the alert with it.
ALERT_SECONDS: Final = 0.2
LINGER_SECONDS: Final = 0.02


class InternalWorker(ThreadWorker):  # type: ignore[misc]
    """Go through the handshake in steps, between which the connection waits in the poller with the idle ones."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seats = threading.Semaphore(max(1, self.cfg.threads // 2))

    def handle(self, conn: Any) -> Any:
        if conn.initialized:
            return self._serve(conn)
        try:
            if not isinstance(conn.sock, PeerSocket):
                conn.sock = wrapped(self.cfg.ssl_context(self.cfg, None), conn.sock)
            if time.monotonic() - conn.sock.made_at > HANDSHAKE_SECONDS:
                raise TimeoutError("The handshake takes too long.")
            conn.sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return _DEFER
        except OSError as error:  # ssl.SSLError and TimeoutError are some
            refuse(conn, error)
            return False
        conn.initialized = True
        conn.parser = http.get_parser(self.cfg, conn.sock, conn.client)
        return self._serve(conn) if is_readable(conn.sock) else _DEFER

    def _serve(self, conn: Any) -> Any:
        """Answer a request, and those that follow at once on the same connection.

        In a burst a caller asks again as soon as it has its answer. To hand the connection to the poller and back
        costs as much as a statement, so its thread waits for a moment; half of the threads never do.
        """
        goes_on = super().handle(conn)
        if not self._seats.acquire(blocking=False):
            return goes_on
        try:
            while goes_on and self.alive and is_readable(conn.sock, within=LINGER_SECONDS):
                goes_on = super().handle(conn)
        finally:
            self._seats.release()
        return goes_on

    def finish_request(self, conn: Any, fs: Any) -> None:
        if conn.sock.fileno() == -1:  # closed by refuse; closing it again would count it twice
            self.nr_conns -= 1
            return
        super().finish_request(conn, fs)

    def _cap_keepalive(self, deadline: float) -> None:
        """End those that wait for a handshake or a first request as early as the idle ones when the worker stops."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)


def is_readable(connection: PeerSocket, within: float = 0.0) -> bool:
    """Tell whether the next request is on its way already, or comes within so many seconds."""
    if connection.pending():
        return True
    with selectors.PollSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(timeout=within))


def refuse(conn: Any, error: OSError) -> None:
    """Close a connection whose handshake failed; counted, unless the other side just went away as probes do."""
    from operators import metrics  # gunicorn's master imports this module, and must not count

    util.close_graceful(conn.sock, timeout=ALERT_SECONDS)
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return
    metrics.internal_refused.labels("handshake").inc()
    why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
    logger.warning("internal handshake refused", extra={"reason": why, "address": str(conn.client[0])})
