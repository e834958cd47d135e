"""Whether this process can do its work now: database, migrations, Vault and NATS, asked all at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Lock
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from nats.aio.client import Client

from config.outages import reason
from operators.errors import VaultUnavailable
from operators.jetstream import close
from operators.vault import Role, vault

BOUND: Final = 2.5  # seconds for all checks together
FRESH: Final = 2.0  # seconds for which an answer is given again, so that a storm of probes costs nothing
NATS_SECONDS: Final = 1.0

# A check answers with what is missing; an empty text means that all is well.
Check = Callable[[], str]


def database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:
        return reason(error)
    finally:
        connection.close()  # it belongs to this thread, which ends now
    return ""


def migrations() -> str:
    try:
        missing = sorted(known_migrations() - MigrationRecorder(connection).applied_migrations().keys())
    except Exception as error:
        return f"unknown; {reason(error)}"
    finally:
        connection.close()
    return f"{len(missing)} not applied, first {'.'.join(missing[0])}" if missing else ""


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.nodes)


def credential_store() -> str:
    try:
        vault(Role.INTERNAL if settings.LISTENER == "internal" else Role.ADMIN).check()
    except VaultUnavailable as error:
        return str(error)
    return ""


def broker() -> str:
    async def ask() -> None:
        client = Client()
        try:
            async with asyncio.timeout(NATS_SECONDS):
                await client.connect(
                    servers=[url.strip() for url in settings.NATS_URL.split(",")],
                    name="ops-readiness",
                    allow_reconnect=False,
                    connect_timeout=1,
                    error_cb=ignore,
                )
                await client.jetstream(timeout=NATS_SECONDS).account_info()
        finally:
            await close(client)

    async def ignore(error: Exception) -> None:
        """Leave the telling to the answer; nats-py would log a traceback for every attempt."""

    try:
        asyncio.run(ask())
    except TimeoutError:
        return f"NATS does not answer within {NATS_SECONDS:g} s"
    except Exception as error:
        # Its text may quote the URL, which holds a password.
        return f"NATS or JetStream does not answer ({type(error).__name__})"
    return ""


class Readiness:
    """Run the checks side by side within 2.5 s, and keep the answer for 2 s."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self.checks = checks
        self._lock = Lock()
        self._running: dict[str, Future[str]] = {}
        self._answer: dict[str, str] = {}
        self._answered_at = float("-inf")

    def reasons(self) -> dict[str, str]:
        """Map each check to what is missing; an empty text means that all is well."""
        with self._lock:
            if time.monotonic() - self._answered_at >= FRESH:
                self._answer = self._ask()
                self._answered_at = time.monotonic()
            return self._answer

    def _ask(self) -> dict[str, str]:
        # A check that still hangs from the last time is not started again: a dead store must not eat threads.
        pool = ThreadPoolExecutor(len(self.checks), thread_name_prefix="readiness")
        for name, check in self.checks.items():
            if name not in self._running or self._running[name].done():
                self._running[name] = pool.submit(check)
        wait(self._running.values(), timeout=BOUND)
        pool.shutdown(wait=False)
        return {
            name: running.result() if running.done() else f"no answer within {BOUND:g} s"
            for name, running in self._running.items()
        }


CHECKS: Final[Mapping[str, Mapping[str, Check]]] = {
    "console": {"database": database, "migrations": migrations, "vault": credential_store, "nats": broker},
    # Its reads need no broker, and of the reports that it takes each answer tells.
    "internal": {"database": database, "migrations": migrations, "vault": credential_store},
}
readiness: Final = Readiness(CHECKS[settings.LISTENER])
