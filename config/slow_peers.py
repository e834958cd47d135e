"""Connections whose peers have only so long to send a request and to take its answer, for a thread waits for them."""

from __future__ import annotations

import errno
import logging
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from gunicorn.http.errors import NoMoreData

from config.env import bounded

if TYPE_CHECKING:
    _Socket = socket.socket
else:
    _Socket = object

logger = logging.getLogger(__name__)

# For as long the other side may do nothing.
SILENT_SECONDS: Final = 10.0
# A request has to arrive, and an answer to be taken, within as long, and a second more for each LEAST_RATE bytes of it.
REQUEST_SECONDS: Final = float(bounded("REQUEST_SECONDS", default=20, low=1, high=600))
LEAST_RATE: Final = 10_000


class Overdue(NoMoreData):  # type: ignore[misc]
    """The request did not arrive in time; to gunicorn its peer is gone, and Django calls its body unreadable."""

    def __str__(self) -> str:
        return "The request took too long to arrive."


class Patient(_Socket):
    """What makes a socket of one that waits only so long: for a request, from `begin` until `end`, and in `sendall`."""

    _ends_at: float | None = None
    _is_told = False

    def begin(self) -> None:
        self._ends_at, self._is_told = time.monotonic() + REQUEST_SECONDS, False

    def end(self) -> None:
        self._ends_at = None

    def setblocking(self, flag: bool) -> None:
        seconds = SILENT_SECONDS if flag else 0.0
        if self.gettimeout() != seconds:  # it is asked for around each request
            self.settimeout(seconds)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Wait for the next bytes; raises Overdue for those of a request."""
        waits = self.gettimeout()
        if self._ends_at is None or not waits:
            return super().recv(buflen, flags)
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise self._overdue()
        if left < waits:
            self.settimeout(left)
        try:
            some = super().recv(buflen, flags)
        except TimeoutError:
            raise self._overdue() from None
        finally:
            if left < waits:
                self.settimeout(waits)
        self._ends_at += len(some) / LEAST_RATE
        return some

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all; raises BrokenPipeError, at which gunicorn closes without a word, for a peer that is too slow.

        A socket's own bounds the whole by its timeout, however much there is to send.
        """
        rest = memoryview(data).cast("B")
        ends_at = time.monotonic() + REQUEST_SECONDS + len(rest) / LEAST_RATE
        while rest:
            try:
                rest = rest[self.send(rest, flags) :]
                is_late = bool(rest) and time.monotonic() > ends_at
            except TimeoutError:
                is_late = True
            if is_late:
                self._tell("answer")
                raise BrokenPipeError(errno.EPIPE, "The peer took too long over the answer.")

    def _overdue(self) -> Overdue:
        if not self._is_told:  # whoever looks for the rest of a body comes here again
            self._is_told = True
            self._tell("request")
        return Overdue()

    def _tell(self, part: str) -> None:
        from operators import metrics  # gunicorn's master imports this module, and must not count

        metrics.peers_overdue.labels(part).inc()
        logger.warning("peer overdue", extra={"part": part})


class PatientSocket(Patient, socket.socket):
    """A plain connection."""


def patient(connection: Any) -> Any:
    """Give an accepted connection its deadlines; one that has them is returned as it is."""
    return connection if isinstance(connection, Patient) else PatientSocket(fileno=connection.detach())
