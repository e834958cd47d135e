"""Gunicorn's thread worker with handshakes that hold no thread: a caller that stalls delays nobody but itself."""

from __future__ import annotations

import logging
import selectors
import ssl
import time
from typing import Any, Final

from gunicorn import http, util
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from config.tls import PeerSocket, wrapped

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 5.0
# For the alert to arrive: closing over unread bytes would reset the connection and take the alert with it.
ALERT_SECONDS: Final = 0.2


class InternalWorker(ThreadWorker):  # type: ignore[misc]
    """Go through the handshake in steps, between which the connection waits in the poller with the idle ones."""

    def handle(self, conn: Any) -> Any:
        if conn.initialized:
            return super().handle(conn)
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
        return super().handle(conn) if is_readable(conn.sock) else _DEFER

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


def is_readable(connection: PeerSocket) -> bool:
    """Tell whether the first request is on its way already."""
    if connection.pending():
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(timeout=0))


def refuse(conn: Any, error: OSError) -> None:
    """Close a connection whose handshake failed; counted, unless the other side just went away as probes do."""
    from operators import metrics  # gunicorn's master imports this module, and must not count

    util.close_graceful(conn.sock, timeout=ALERT_SECONDS)
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return
    metrics.internal_refused.labels("handshake").inc()
    why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
    logger.warning("internal handshake refused", extra={"reason": why, "address": str(conn.client[0])})
