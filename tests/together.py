"""Several callers at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, Final

from django.db import connection
from rest_framework.test import APIClient

TRIES: Final = 4


def client(token: Callable[..., str]) -> APIClient:
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {token()}")
    return made


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Start all calls at the same moment, each in a thread with a connection of its own, and return their answers.

    On a machine that stands still for seconds a connection or a lock can take too long: a caller who is told so (503)
    calls again, as every service does. No call may meet a deadlock.
    """
    barrier = Barrier(len(calls))
    before = _deadlocks()

    def run(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait()
            for _ in range(TRIES):
                answer = call()
                if answer.status_code != 503:
                    break
            return answer
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(run, calls))
    assert _deadlocks() == before
    return answers


def _deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
