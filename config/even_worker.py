"""Gunicorn's thread worker whose connections are shared out evenly among the workers.

Callers keep their connections, so whichever worker takes one has that caller's work from then on: by chance one of two
workers has three quarters of it, and all who are with it wait.
"""

from __future__ import annotations

import mmap
import socket
import time
from typing import Any, ClassVar, Final

from gunicorn.workers.gthread import ThreadWorker

from config.slow_peers import patient

# So long a new connection is left to a worker that has fewer, and so often is looked whether that one has come for it.
LEFT_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.001
MOST_WORKERS: Final = 64


class Connections:
    """How many connections each worker has, in memory that all of them see; made before they are forked."""

    def __init__(self) -> None:
        # One more than there are, so that 0 is a place without a worker.
        self._places = memoryview(mmap.mmap(-1, 4 * MOST_WORKERS)).cast("I")

    def tell(self, place: int, count: int) -> None:
        self._places[place] = count + 1

    def leave(self, place: int) -> None:
        self._places[place] = 0

    def fewest(self) -> int:
        return min(filter(None, self._places), default=1) - 1


class EvenWorker(ThreadWorker):  # type: ignore[misc]
    """Take a connection only where no other worker has fewer, or where that one does not come for it."""

    _connections: ClassVar = Connections()

    def __init__(self, age: int, *args: Any, **options: Any) -> None:
        super().__init__(age, *args, **options)
        self._place = age % MOST_WORKERS
        self._left_at = self._left_since = 0.0

    def notify(self) -> None:
        """Tell the master that we live, and the others how many connections we have; called in every round."""
        super().notify()
        if self.alive:
            self._connections.tell(self._place, self.nr_conns)

    def accept(self, listener: socket.socket) -> None:
        if self.nr_conns > self._connections.fewest():
            now = time.monotonic()
            if now - self._left_at > LEFT_SECONDS:  # this is another one
                self._left_since = now
            self._left_at = now
            if now - self._left_since < LEFT_SECONDS:
                time.sleep(LOOK_SECONDS)
                return
        super().accept(listener)
        self._connections.tell(self._place, self.nr_conns)

    def handle(self, conn: Any) -> Any:
        """Serve one request, whose peer has only so long to send it."""
        conn.sock = patient(conn.sock)
        conn.sock.begin()
        try:
            return super().handle(conn)
        finally:
            conn.sock.end()

    def leave(self) -> None:
        """Be counted no longer; the master calls it too, for a worker that was killed."""
        self._connections.leave(self._place)

    def _cap_keepalive(self, deadline: float) -> None:
        """Begin to stop (gunicorn calls this once)."""
        self.leave()
        super()._cap_keepalive(deadline)
