"""Django's PostgreSQL backend, with a health check that does not wait for ever."""

from __future__ import annotations

import select
import time
from typing import Final

import psycopg
from django_prometheus.db.backends.postgresql import base

HEALTH_CHECK_SECONDS: Final = 2.0


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django_prometheus has no types
    def is_usable(self) -> bool:
        """Ask whether the kept connection still works, before each request that needs it (CONN_HEALTH_CHECKS).

        Django's own check waits without a bound for a server that is frozen but whose kernel still acknowledges
        packets: neither connect_timeout nor tcp_user_timeout nor statement_timeout ends that.
        """
        if self.connection is None:
            return False
        server = self.connection.pgconn
        deadline = time.monotonic() + HEALTH_CHECK_SECONDS
        try:
            server.send_query(b"SELECT 1")
            while server.is_busy():
                if not select.select([server.socket], [], [], max(deadline - time.monotonic(), 0))[0]:
                    return False
                server.consume_input()
            answered = False
            while (result := server.get_result()) is not None:
                answered = result.status == psycopg.pq.ExecStatus.TUPLES_OK
                result.clear()
        except (psycopg.Error, OSError, ValueError):
            return False
        return answered
