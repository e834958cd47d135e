"""The thread worker with handshakes that hold no thread: a caller that stalls delays nobody but itself."""

from __future__ import annotations

import logging
import select
import selectors
import socket
import ssl
import time
from contextlib import suppress
from typing import Any, Final

from gunicorn import http, util
from gunicorn.workers.gthread import _DEFER

from config.even_worker import EvenWorker
from config.tls import PeerSocket, wrapped

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS: Final = 5.0
# For the alert to arrive: closing over unread bytes would reset the connection and take the alert with it.
ALERT_SECONDS: Final = 0.2
LINGER_SECONDS: Final = 0.25


class InternalWorker(EvenWorker):
    """Go through the handshake in steps, between which the connection waits in the poller with the idle ones."""

    def init_process(self) -> None:
        self._jobs = 0  # connections that threads have, or that wait for one
        self._call, self._calling = socket.socketpair()
        super().init_process()  # and serve

    def enqueue_req(self, conn: Any) -> None:
        """Hand a connection to the threads, and call one back that waits for its caller if all are taken."""
        self._jobs += 1
        super().enqueue_req(conn)
        if self._jobs > self.cfg.threads:
            with suppress(BlockingIOError):  # as many are called as there is room for
                self._calling.send(b"!", socket.MSG_DONTWAIT)

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
        """Answer a request, and those that follow soon on the same connection.

        To hand a connection to the poller and back costs as much as a statement. So its thread waits for the next
        request, until it is called to another connection.
        """
        goes_on = super().handle(conn)
        while goes_on and self.alive and self._is_next(conn):
            goes_on = super().handle(conn)
        return goes_on

    def _is_next(self, conn: Any) -> bool:
        """Wait for the next request, or until the thread is called, or too long."""
        connection = conn.sock
        if connection.pending() or conn.parser.unreader.buf.getvalue():
            return True
        waiting = select.poll()
        waiting.register(connection, select.POLLIN)
        waiting.register(self._call, select.POLLIN)
        found = {descriptor for descriptor, _ in waiting.poll(LINGER_SECONDS * 1000)}
        if self._call.fileno() in found:
            with suppress(BlockingIOError):  # another thread was faster
                self._call.recv(1, socket.MSG_DONTWAIT)
                return False  # whoever asks again at once is behind those that wait
        return connection.fileno() in found

    def finish_request(self, conn: Any, fs: Any) -> None:
        self._jobs -= 1
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
