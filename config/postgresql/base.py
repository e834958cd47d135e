"""Django's PostgreSQL backend, with a health check that does not wait for ever and moments of any offset."""

from __future__ import annotations

import select
import time
from datetime import datetime
from typing import Any, Final

import psycopg
from django_prometheus.db.backends.postgresql import base
from psycopg.abc import Buffer
from psycopg.types.datetime import DatetimeDumper

from operators.moments import in_utc

HEALTH_CHECK_SECONDS: Final = 2.0


class MomentDumper(DatetimeDumper):
    """Write a moment in UTC: of offsets, of which ISO 8601 has some up to 23:59, PostgreSQL reads those below 16:00."""

    def dump(self, obj: datetime) -> Buffer | None:
        try:
            return super().dump(in_utc(obj))
        except ValueError as error:
            raise psycopg.DataError(str(error)) from None


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # django_prometheus has no types
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.adapters.register_dumper(datetime, MomentDumper)
        return connection

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
