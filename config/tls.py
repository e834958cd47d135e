"""The TLS side of the internal listener: both ends show certificates, and what is replaced on disk counts at once."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from config.slow_peers import Patient

logger = logging.getLogger(__name__)

# A connection outlives by this much the certificates with which it was made; its caller reconnects in between.
LONGEST_CONNECTION: Final = 300.0

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Files:
    """Where the certificate chain, its key and the bundle of the callers' authorities lie."""

    certificate: str
    key: str
    authorities: str

    def stamp(self) -> Stamp:
        """Tell one state of the files from another, behind symbolic links; raises OSError."""
        found = (os.stat(path) for path in (self.certificate, self.key, self.authorities))
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)


class PeerSocket(Patient, ssl.SSLSocket):
    """A connection of a caller."""

    made_at = 0.0
    _certificate: Any = None

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Read the caller's certificate, which a connection never changes (OP_NO_RENEGOTIATION), once."""
        if binary_form or self._certificate is None:
            found = super().getpeercert(binary_form)
            if binary_form or not found:
                return found
            self._certificate = found
        return self._certificate


class Contexts:
    """Keep one TLS context, and make another when a file changes; a pair that is broken leaves the old in force."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._lock = threading.Lock()
        self._tried: Stamp | None = None
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        """Return the context of what lies on disk now; raises OSError where nothing there has ever been usable."""
        with self._lock:
            seen: Stamp | None = None
            try:
                seen = self.files.stamp()
                if seen != self._tried:
                    self._take(context_of(self.files), seen)
            except OSError as error:  # ssl.SSLError is one
                if self._context is None:
                    raise
                if self._tried is not None:
                    complain(error)
                self._tried = seen  # the same broken files are not read again
            assert self._context is not None
            return self._context

    def _take(self, made: ssl.SSLContext, seen: Stamp) -> None:
        if self._context is not None:
            # A swap while the files were read may have mixed two states; the next call looks again.
            if self.files.stamp() != seen:
                return
            logger.info("internal TLS certificates replaced")
        self._context, self._tried = made, seen


def complain(error: OSError) -> None:
    reason = str(getattr(error, "reason", "") or type(error).__name__)
    logger.warning("internal TLS files unusable, what was read before stays in force", extra={"reason": reason})


def context_of(files: Files) -> ssl.SSLContext:
    """Read the files; raises OSError, of which ssl.SSLError is one kind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = PeerSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # A resumed session would not be verified again.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.load_verify_locations(cafile=files.authorities)
    context.load_cert_chain(files.certificate, files.key)
    return context


def wrapped(context: ssl.SSLContext, plain: socket.socket) -> PeerSocket:
    """Put TLS on a connection without waiting for the other side: the handshake is the caller's to do, in steps."""
    plain.setblocking(False)
    secured = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    assert isinstance(secured, PeerSocket)
    secured.made_at = time.monotonic()
    return secured


def is_outdated(connection: Any, context: ssl.SSLContext) -> bool:
    """Tell whether a caller should come back on a new connection, under the certificates that are in force."""
    return isinstance(connection, PeerSocket) and (
        connection.context is not context or time.monotonic() - connection.made_at > LONGEST_CONNECTION
    )
