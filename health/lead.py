"""The one database connection that leads ingest, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from django.db import connection

P = ParamSpec("P")
T = TypeVar("T")

# A frozen leader keeps its TCP connection, and with it the lock; the server ends a session this silent. It must be
# longer than anything a healthy leader does between two statements.
LEASE_SECONDS: Final = 15

_LEAD: Final = "SELECT pg_try_advisory_lock(hashtextextended('health.ingest_health', 0))"
_LEASE: Final = (
    f"SET idle_session_timeout = '{LEASE_SECONDS}s'; SET idle_in_transaction_session_timeout = '{LEASE_SECONDS}s'"
)


def try_to_lead() -> bool:
    """Try to become the one active ingest; losing the connection is losing the lead."""
    with connection.cursor() as cursor:
        cursor.execute(_LEAD)
        [is_leader] = cursor.fetchone()
        if is_leader:
            cursor.execute(_LEASE)
    return bool(is_leader)


class DatabaseThread:
    """Run blocking database work beside the event loop, always in the same thread, so on the same connection.

    Django connects anew only after `disconnect`: a connection that broke fails every call until then.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ingest-database")

    async def do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))

    async def disconnect(self) -> None:
        await self.do(_hang_up)

    async def close(self) -> None:
        await self.disconnect()
        self._pool.shutdown()


def _hang_up() -> None:
    # `connection` is another one in each thread: it has to be looked up where it is closed.
    connection.close()
